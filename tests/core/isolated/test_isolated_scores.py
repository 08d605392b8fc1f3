"""Scores of a model in a process of its own: its own numbers where it has some, else by its words."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core.errors import BackendError
from core.isolated.backend import IsolatedVision
from core.testing import VisionBackendTests, make_picture
from core.vision import EncodedImage, VisualQuestion

MODELS = Path(__file__).with_name("isolated_models.py")
COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}
CHOICES = ("red", "blue", "\N{CJK UNIFIED IDEOGRAPH-9752}")


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., IsolatedVision]]:
    """make(model, keep=...) -> the model in its process, with notes in `notes`; all are closed at the end."""
    made: list[IsolatedVision] = []

    def build(model: str, keep: int = 16) -> IsolatedVision:
        argument = json.dumps({"notes": str(tmp_path / "notes")})
        vision = f"{MODELS}:{model}"
        made.append(
            IsolatedVision(
                "test", python=sys.executable, vision=vision, argument=argument, keep=keep, logs=tmp_path / "logs"
            )
        )
        return made[-1]

    yield build
    for backend in made:
        backend.close()


class TestScoring(VisionBackendTests):
    """What every backend must do, with a model that scores."""

    def make_backend(self) -> IsolatedVision:
        return IsolatedVision("isolated", python=sys.executable, vision=f"{MODELS}:Scoring")


def see(backend: IsolatedVision, *names: str) -> list[EncodedImage]:
    return backend.encode([make_picture(colour=COLOURS[name]) for name in names])


def test_the_models_own_numbers_come_back(make: Callable[..., IsolatedVision], tmp_path: Path) -> None:
    backend = make("Scoring", keep=1)
    images = see(backend, "red", "blue", "green")
    asked = [VisualQuestion(image, f"colour {at}") for at, image in enumerate(images)]
    assert backend.score(asked, [CHOICES, CHOICES[:2], CHOICES]) == [
        (-0.25, -2.5, -math.inf), (-2.5, -0.25), (-2.5, -2.5, -math.inf),
    ]  # fmt: skip
    notes = (tmp_path / "notes").read_text().splitlines()
    assert [note for note in notes if note.startswith("score")] == [
        "score colour 0",
        "score colour 1",
        "score colour 2",
    ]
    assert not any(note.startswith("answer") for note in notes)


def test_a_model_without_scores_is_scored_by_its_words(make: Callable[..., IsolatedVision]) -> None:
    backend = make("Model")
    [red, green] = see(backend, "red", "green")
    scores = backend.score([VisualQuestion(red, "What?"), VisualQuestion(green, "What?")], [CHOICES, CHOICES])
    assert scores[0][0] == pytest.approx(math.log(0.9)) and len(set(scores[1])) == 1


def test_a_process_that_dies_is_asked_again(make: Callable[..., IsolatedVision], tmp_path: Path) -> None:
    backend = make("Scoring")
    [red] = see(backend, "red")
    question = VisualQuestion(red, f"die {tmp_path / 'once'}")
    assert backend.score([question], [("red",)]) == [(-0.25,)]


def test_numbers_that_do_not_fit_are_refused_in_one_line(make: Callable[..., IsolatedVision]) -> None:
    backend = make("FewScores")
    with pytest.raises(BackendError, match="one number for each choice") as refused:
        backend.score([VisualQuestion(see(backend, "red")[0], "What?")], [CHOICES])
    assert "\n" not in str(refused.value)
