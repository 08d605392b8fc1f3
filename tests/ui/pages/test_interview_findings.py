"""What witnesses found on the page Interview: the image with boxes, a switch, marks of their answers, the choice."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator

import pytest
from PIL import Image

from core.findings import Box, Findings, Thing
from core.records import Caption
from core.settings import get_settings
from core.store.transcripts import TranscriptStore
from core.testing import FakeWitness, make_line, make_thing
from tests.fakes import register_witness
from tests.ui.app import html_of, open_page, visitor_of
from tests.ui.pages.test_interview_page import desk, start, upload
from ui.state.images import jpeg
from ui.state.interviews import InterviewSettings
from ui.views.findings_view import boxed

pytestmark = pytest.mark.usefixtures("eye")
Png = Callable[..., bytes]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeWitness]:
    """The only witness, which the settings choose."""
    witness = FakeWitness(things=[make_thing("dog")], lines=[make_line("EXIT")])
    register_witness(monkeypatch, witness)
    monkeypatch.setenv("INQUISIGHT_WITNESS", "auto")
    get_settings.cache_clear()
    yield witness
    get_settings.cache_clear()


def test_boxes_answers_and_history(fake: FakeWitness, png: Png) -> None:
    app = open_page("interview")
    upload(app, ("orange.png", png("orange", (300, 200))))
    assert not app.toggle or all(one.label != "Show what was found" for one in app.toggle)
    start(app)
    [item] = desk(app).items.values()
    assert item.live is not None and item.live.options.witnesses == ("fake",)
    page = html_of(app)
    assert "answered by fake" in page and "A dog on the left." in page
    [switch] = [one for one in app.toggle if one.label == "Show what was found"]
    assert switch.value
    switch.set_value(False).run()
    assert item.view.id is not None and TranscriptStore().get(item.view.id).findings == item.view.findings
    assert item.state == "finished"


def test_a_witness_that_fails_is_named(fake: FakeWitness, png: Png) -> None:
    fake.fails = True
    app = open_page("interview")
    upload(app, ("orange.png", png()))
    start(app)
    assert "Without a witness: The witness &#x27;fake&#x27; failed: out of order." in html_of(app)


def test_the_choice_is_offered_and_a_stored_interview_keeps_its_own(fake: FakeWitness, png: Png) -> None:
    app = open_page("interview")
    [box] = app.multiselect
    assert (box.options, box.value) == (["fake"], ["fake"])
    box.set_value([]).run()
    upload(app, ("orange.png", png()))
    start(app)
    [item] = desk(app).items.values()
    assert fake.examined == [] and item.view.caption is not None and item.view.findings == ()
    assert InterviewSettings().options().witnesses == ("fake",)
    caption = item.view.caption
    stored = Caption.model_validate(caption.model_dump() | {"options": {**caption.options, "witnesses": ["fake"]}})
    desk(app).reopen(stored, item.upload, visitor_of(app))
    [item] = desk(app).items.values()
    assert item.live is not None and item.live.options.witnesses == ("fake",)


def test_boxes_fit_a_smaller_copy() -> None:
    image = Image.new("RGB", (300, 200), "white")
    box = Box(left=1500, top=1000, right=2700, bottom=1800)  # of a picture ten times as large
    findings = Findings(
        witness="w", revision="1", width=3000, height=2000, things=(Thing(name="dog", score=0.9, box=box),)
    )
    drawn = boxed(jpeg(image), (findings,))
    assert drawn is boxed(jpeg(image), (findings,)), "drawn once"
    pixels = Image.open(io.BytesIO(drawn)).convert("L")
    assert pixels.crop((0, 0, 140, 60)).getextrema()[0] > 200
    assert pixels.crop((150, 100, 271, 181)).getextrema()[0] < 160
