"""What witnesses found on the page Video: their answers, the choice, and one that fails."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

pytest.importorskip("av", reason="videos are an optional part")

from core.settings import get_settings
from core.testing import FakeWitness, make_line, make_thing
from tests.fakes import register_witness
from tests.ui.app import html_of, open_page
from tests.ui.pages.video.helpers import start, upload


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeWitness]:
    """The only witness, which the settings choose."""
    witness = FakeWitness(things=[make_thing("dog")], lines=[make_line("EXIT")])
    register_witness(monkeypatch, witness)
    monkeypatch.setenv("INQUISIGHT_WITNESS", "auto")
    get_settings.cache_clear()
    yield witness
    get_settings.cache_clear()


def test_the_answers_of_witnesses_are_shown(fake: FakeWitness, clip: bytes) -> None:
    app = open_page("video")
    [box] = app.multiselect
    assert (box.options, box.value) == (["fake"], ["fake"])
    upload(app, clip)
    item = start(app, frames=2, rounds=2)
    assert [turn.answered_by for turn in item.view.turns].count("fake") == 2
    page = html_of(app)
    assert "answered by fake" in page and "There is a dog on the left the whole time." in page and "EXIT" in page


def test_a_witness_that_fails_on_a_video_is_named(fake: FakeWitness, clip: bytes) -> None:
    fake.fails = True
    app = open_page("video")
    upload(app, clip)
    item = start(app, frames=2, rounds=2)
    assert item.view.state == "complete"
    assert "Without a witness: The witness &#x27;fake&#x27; failed: out of order." in html_of(app)
