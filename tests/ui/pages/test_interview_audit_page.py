"""The audit on the page Interview: chosen in the settings, shown with each claim's question, score and answers."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from core.errors import BackendError
from core.records import Caption, Claim, PictureInfo
from tests.agents.fakes import CountingVision
from tests.ui.app import html_of, open_page, visitor_of, wait_for_jobs
from tests.ui.pages.test_interview_page import desk, start, upload
from ui.views.claims_view import claims_html, marked_parts

pytestmark = pytest.mark.usefixtures("eye")
Png = Callable[..., bytes]
CLAIMS = (
    Claim(
        text="a dog", kind="thing", start=0, end=5, about="dog", verdict="supported", score=0.98,
        question="Is there a dog?", turns=(1, 3), evidence="pocket, detector",
    ),
    Claim(text="a <b> cat", kind="thing", start=10, end=19, about="cat", verdict="contradicted", score=0.02,
          question="Is there a cat?", evidence="pocket"),
    Claim(text="a white cat", kind="attribute", start=12, end=15, about="cat", verdict="contradicted", score=0.02),
)  # fmt: skip
CAPTION = Caption(
    picture=PictureInfo(sha256="0" * 64, source="x.png", width=3, height=2),
    summary="A dog and a <b> cat.",
    audited="There is a dog.",
    claims=CLAIMS,
)


def test_every_claim_tells_how_it_was_checked() -> None:
    shown = claims_html(CAPTION)
    assert "3 claims: 1 supported, 2 contradicted" in shown
    assert "Asked: Is there a dog? Checked by pocket, detector. Said in answer 1, 3." in shown
    assert '<span class="iq-tag red">contradicted 0.02</span>' in shown
    assert "Not asked, since what it depends on is not there." in shown
    assert "Before the check: " in shown and "<b>" not in shown


def test_what_is_false_is_marked_once() -> None:
    assert "".join(marked_parts(CAPTION.summary, CLAIMS)) == (
        'A dog and <mark title="contradicted">a &lt;b&gt; cat</mark>.'
    )


def test_a_check_that_failed_is_told_and_tried_again(
    eye: CountingVision, png: Png, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise BackendError("no scores <today>.")

    eye.answers["Describe this picture in detail."] = "There is a brown dog."
    app = open_page("interview")
    next(one for one in app.selectbox if one.label == "Check the caption").set_value("mark").run()
    upload(app, ("orange.png", png("orange", (300, 200))))
    with monkeypatch.context() as patch:
        patch.setattr(type(eye), "score", fail)
        start(app)
    [item] = desk(app).items.values()
    caption = item.view.caption
    assert item.view.state == "complete" and caption is not None and caption.unaudited
    assert "The claims of the caption were not checked: No scores &lt;today&gt;." in html_of(app)
    next(one for one in app.button if one.label == "Check the caption").click().run()
    wait_for_jobs(app)
    again = item.view.caption
    assert again is not None and again.finished and again.claims and again.summary == caption.summary
    assert "were not checked" not in html_of(app)
    assert "Check the caption" not in [one.label for one in app.button]


def test_the_page_offers_it_and_a_stored_interview_keeps_its_own(png: Png) -> None:
    app = open_page("interview")
    [box] = [one for one in app.selectbox if one.label == "Check the caption"]
    assert (box.options, box.value) == (["Off", "Mark false claims", "Remove false claims"], "none")
    box.set_value("mark").run()
    upload(app, ("orange.png", png("orange", (300, 200))))
    start(app)
    [item] = desk(app).items.values()
    caption = item.view.caption
    assert caption is not None and caption.options["audit"] == "mark"
    if caption.claims:
        assert "Checked claims" in html_of(app)
    desk(app).reopen(caption, item.upload, visitor_of(app))
    [item] = desk(app).items.values()
    assert item.live is not None and item.live.options.audit == "mark"
