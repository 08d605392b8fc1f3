"""Questions about many images in batches, also where the vision model misbehaves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from core.errors import BackendError
from core.vision import VisualQuestion
from evaluation.asking import Ask, Asked, Talk, ask_many
from tests.evaluation.knowing import COLOURS, FailingVision, KnowingVision, write_images
from tests.pictures import saved


def talk(colour: str) -> Talk:
    """Two steps: the second question depends on the first answer."""
    [first] = yield [Ask("Is there a dog in the image?")]
    asks = [Ask("Is the dog on the left?", mirrored) for mirrored in (False, True)] if first.text != "No." else []
    if not asks:
        return {"colour": colour, "answers": [first.text]}
    replies = yield asks
    nothing = yield []
    return {"colour": colour, "answers": [first.text, *(reply.text for reply in replies)], "nothing": nothing}


def asked(folder: Path, vision: KnowingVision, batch: int = 2) -> dict[str, Asked]:
    write_images(folder)
    talks = ((colour, folder / f"{colour}.png", lambda colour=colour: talk(colour)) for colour in COLOURS)
    found = list(ask_many(talks, vision, batch=batch, max_pixels=10**6))
    assert len({one.key for one in found}) == len(found)
    return {one.key: one for one in found}


@pytest.mark.parametrize("batch", [1, 2, 32])
def test_every_image_gets_its_own_answers(tmp_path: Path, batch: int) -> None:
    found = asked(tmp_path, KnowingVision(), batch)
    sides = ["Yes, there is.", "It is on the left side.", "On the right."]
    assert {key: one.record and one.record["answers"] for key, one in found.items()} == {
        "red": sides, "lime": sides, "blue": ["No."], "yellow": ["No."],
    }  # fmt: skip
    assert found["red"].record == {"colour": "red", "answers": sides, "nothing": []}


def test_one_image_fails_alone(tmp_path: Path) -> None:
    found = asked(tmp_path, FailingVision(), batch=4)
    assert found["red"].error is None and found["red"].record is not None
    for colour in ("lime", "blue", "yellow"):
        error = found[colour].error
        assert isinstance(error, BackendError) and "\n" not in str(error), colour
    assert "a bug" in str(found["blue"].error)


def test_images_that_cannot_be_opened(tmp_path: Path) -> None:
    write_images(tmp_path)
    (tmp_path / "red.png").write_bytes(b"no image")
    (tmp_path / "lime.png").unlink()
    saved(tmp_path / "blue.png", "blue", (4000, 3000))  # a PNG of 10 million would be scaled down
    talks = ((colour, tmp_path / f"{colour}.png", lambda colour=colour: talk(colour)) for colour in COLOURS)
    found = {one.key: one for one in ask_many(talks, KnowingVision(), batch=2, max_pixels=10**6)}
    assert {key for key, one in found.items() if one.error} == {"red", "lime", "blue"}


def test_an_error_that_all_would_meet_ends_the_work(tmp_path: Path) -> None:
    class NoServer(KnowingVision):
        def answer(self, questions: Sequence[VisualQuestion]) -> list[str]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        asked(tmp_path, NoServer())
