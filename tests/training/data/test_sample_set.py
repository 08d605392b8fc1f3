"""`inquisight data sample`: pictures with captions that say what is there, the same ones for the same seed."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.cli.main import run
from core.datasets.samples.spec import DataSpec
from core.errors import UsageError
from core.images.picture import open_picture
from training.data.sample_set import PICTURES, THINGS, write_sample
from training.data.stream import count, open_stream


def test_the_command_writes_a_folder_that_the_trainer_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "sample"
    assert run(["data", "sample", str(folder)]) == 0
    assert capsys.readouterr().out.strip() == str(folder)
    specs = [DataSpec(path=str(folder))]
    assert count(specs) == [PICTURES]
    with open_stream(specs, seed=0, epochs=1) as stream:
        texts = {sample.text for sample in stream}
        assert not stream.broken.broken
    assert all(any(f" {thing}." in text for text in texts) for thing in THINGS)


def test_the_caption_names_the_colours_and_the_place(tmp_path: Path) -> None:
    folder = write_sample(tmp_path / "sample", 40)
    known = {"red": (206, 32, 38), "blue": (50, 100, 200), "green": (52, 150, 70), "yellow": (245, 222, 50)}
    third = {"on the left": 65, "in the middle": 130, "on the right": 195}
    checked = 0
    for file in sorted(folder.glob("*.txt")):
        text = file.read_text("utf-8").lower()
        colour = next((name for name in known if f" {name} star" in text), None)
        if colour is None:
            continue
        place = next(place for place in third if place in text)
        image = open_picture(file.with_suffix(".png")).image
        around = [image.getpixel((x, 130)) for x in range(third[place] - 12, third[place] + 13)]
        assert any(sum(abs(a - b) for a, b in zip(pixel, known[colour], strict=True)) < 12 for pixel in around), text
        checked += 1
    assert checked


def test_the_seed_decides_the_pictures(tmp_path: Path) -> None:
    def contents(name: str, seed: int) -> dict[str, bytes]:
        folder = write_sample(tmp_path / name, 6, seed=seed)
        return {file.name: file.read_bytes() for file in folder.iterdir()}

    assert contents("a", 1) == contents("b", 1) != contents("c", 2)


@pytest.mark.parametrize("pictures", [0, -1, 100_001])
def test_a_number_that_cannot_be(tmp_path: Path, pictures: int) -> None:
    with pytest.raises(UsageError, match="1 to 100,000 pictures"):
        write_sample(tmp_path / "sample", pictures)
    assert not (tmp_path / "sample").exists()


def test_files_that_are_there_stay_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    assert run(["data", "sample", str(tmp_path)]) == 2
    assert "holds files already" in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["mine.txt"]
    (tmp_path / "a file").write_text("")
    with pytest.raises(UsageError, match="cannot be written"):
        write_sample(tmp_path / "a file" / "below")
