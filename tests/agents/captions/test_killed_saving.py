"""`inquisight batch --xmp --existing append`, killed -9 while it writes: nothing lost, nothing twice."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from core.captions.xmp.sidecars import CaptionFields, caption_of, read_xmp, write_fields
from tests.agents.batch.making import lines, make_pictures
from tests.processes import ROOT

COUNT, KILLS = 24, 12


@pytest.mark.slow
def test_captions_are_added_once_however_often_the_batch_is_killed(tmp_path: Path) -> None:
    photos = make_pictures(tmp_path / "photos", COUNT)
    for number in range(0, COUNT, 3):
        (photos / f"p{number:03d}.txt").write_text("mine\n", "utf-8")
        write_fields(photos / f"p{number:03d}.png.xmp", CaptionFields("mine", keywords=("kept",)))
    command = [sys.executable, "-m", "tests.agents.batch.kill_loop", str(photos), str(tmp_path / "captions.jsonl")]
    done = subprocess.run(
        [*command, str(KILLS), "3", "append"], cwd=ROOT, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.splitlines()[-1]) == KILLS, "the batch is too short to be killed that often"
    found = lines(tmp_path / "captions.jsonl")
    assert len(found) == COUNT
    for number, line in enumerate(found):
        expected = line["caption"] if number % 3 else f"mine, {line['caption']}"
        xmp = read_xmp(Path(f"{line['key']}.xmp"))
        assert xmp is not None and caption_of(xmp) == expected
        assert xmp.items("dc:subject") == ([] if number % 3 else ["kept"])
        assert Path(line["key"]).with_suffix(".txt").read_text("utf-8") == f"{expected}\n"
    names = {path.suffix for path in photos.iterdir()}
    assert names == {".png", ".txt", ".xmp"}, "nothing is left lying about"
    journal = (tmp_path / "captions.jsonl.work" / "journal.jsonl").read_text("utf-8").splitlines()
    settled = [record["key"] for record in map(json.loads, journal) if record["kind"] == "done"]
    assert len(settled) == len(set(settled)) == COUNT
