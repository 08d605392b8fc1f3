"""A short run of the fuzzer, `python -m benchmarks.fuzz_pictures`: damaged files of every format."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks import fuzz_pictures
from benchmarks.fuzz_pictures import FORMATS, inputs, judge, run, seeds
from core.images.decode import can_decode
from core.images.file_type import NAMES, Kind


@pytest.mark.parametrize("kind", NAMES)
def test_the_seeds_are_intact(kind: Kind) -> None:
    assert [judge(seed) for seed in seeds(kind)] == ["opened"] * len(seeds(kind))


@pytest.mark.slow
@pytest.mark.parametrize("kind", NAMES)
def test_damaged_files_of_every_kind_open_or_are_refused(kind: Kind, capsys: pytest.CaptureFixture[str]) -> None:
    if not can_decode(kind):
        pytest.skip(f"no decoder for {kind}")
    assert not run(kind, 150, seed=7, keep=None), capsys.readouterr().out
    assert "150 inputs" in capsys.readouterr().out


def test_inputs_are_repeatable() -> None:
    one, two = inputs("HEIF", 3), inputs("HEIF", 3)
    assert [next(one) for _ in range(20)] == [next(two) for _ in range(20)]


@pytest.mark.slow
def test_a_decoder_that_crashes_or_hangs_is_found(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a fake decoder: a child process that ends by a signal at its third input."""
    command = "import json, os, sys; [print(json.dumps('opened')) for _ in range(2)]; sys.stdout.flush(); os.abort()"
    popen = fuzz_pictures.subprocess.Popen
    fakes: Iterator[object] = iter([["-c", command], None])

    def fake(arguments: list[str], **options: object) -> object:
        replaced = next(fakes, None)
        return popen([arguments[0], *replaced] if replaced else arguments, **options)  # type: ignore[call-overload, misc]

    monkeypatch.setattr(fuzz_pictures.subprocess, "Popen", fake)
    assert run("PNG", 6, seed=1, keep=None)
    said = capsys.readouterr().out
    assert "input 2 of seed 1: exit status -6" in said and "6 inputs" in said and "1 wrong" in said


def test_the_fixtures_cover_the_formats_that_pillow_cannot_write() -> None:
    assert {path.suffix for path in FORMATS.iterdir()} >= {".heic", ".jxl", ".avif"}
