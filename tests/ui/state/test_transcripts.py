"""Transcripts as files."""

from __future__ import annotations

from typing import Any

from core.records import Caption, PictureInfo
from ui.state.transcripts import as_archive, as_text


def caption(summary: str) -> Caption:
    info = PictureInfo(sha256="0" * 64, source="cat.png", width=2, height=2)
    return Caption(picture=info, plain="a cat", summary=summary)


def test_downloads_are_what_the_command_line_writes() -> None:
    one = caption("A cat sits.")
    assert "A cat sits." in as_text(one) and "cat.png" in as_text(one)


def test_an_archive_holds_every_description_once() -> None:
    import io
    import zipfile

    with zipfile.ZipFile(io.BytesIO(as_archive([("cat", caption("one")), ("cat", caption("two"))]))) as archive:
        assert archive.read("cat.txt") == b"one\n" and archive.read("cat-2.txt") == b"two\n"
        lines: list[Any] = archive.read("interviews.jsonl").decode().splitlines()
    assert [Caption.from_json(line).summary for line in lines] == ["one", "two"]
