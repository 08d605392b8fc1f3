"""What the full view shows beside the caption: boxes as shares of the picture, uncertain writing left out."""

from __future__ import annotations

from core.findings import Box, Findings, TextLine, Thing
from core.records import Caption, PictureInfo
from ui.gallery.details import _described


def test_boxes_are_shares_and_uncertain_writing_has_none() -> None:
    box = Box(left=10, top=20, right=50, bottom=40)
    found = Findings(
        witness="both", revision="1", width=100, height=200, things=(Thing(name="cat", score=0.8, box=box),),
        lines=(TextLine(text="OPEN", score=0.95, box=box), TextLine(text="0", score=0.61, box=box)),
    )  # fmt: skip
    info = PictureInfo(sha256="0" * 64, source="a.jpg", width=100, height=200)
    boxes = _described(Caption(picture=info, summary="A cat.", findings=(found,)))["boxes"]
    assert [(one["words"], one["kind"]) for one in boxes] == [("cat 0.80", "thing"), ("OPEN 0.95", "line")]
    assert boxes[0]["place"] == [0.1, 0.1, 0.5, 0.2]
