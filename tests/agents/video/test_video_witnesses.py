"""Witnesses in interviews about videos: what they say, that a failing one costs nothing, and the command."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("av", reason="videos are an optional part")

from agents.interview.events import Done, Examined
from agents.video.driver import interview_video, plan_video
from agents.video.examination import MOST, frames_for_things
from agents.video.interview import VideoOptions
from agents.video.sampling import between
from core.errors import BackendError
from core.findings import Box, Findings, TextLine, Thing
from core.images.picture import Picture
from core.records import Caption
from core.video.base import Video
from core.video.clip import open_video
from core.witness import Witness
from plugins.scripted import ScriptedQuestioner
from tests.agents.fakes import ListQuestioner
from tests.agents.plugin_on_disk import Shell
from tests.agents.video.clips import DrawnEye, film, scene


class Counting(Witness):
    """Finds a dog that walks from the left edge to the right one, or a line of text; counts the frames."""

    def __init__(self, name: str = "dogs", *, broken: bool = False) -> None:
        self._name, self.broken, self.examined = name, broken, 0

    @property
    def name(self) -> str:
        return self._name

    @property
    def revision(self) -> str:
        return "1"

    def examine(self, pictures: Sequence[Picture]) -> list[Findings]:
        if self.broken:
            raise BackendError(f"the witness '{self._name}' has no memory left.")
        self.examined += len(pictures)
        return [self._found(picture) for picture in pictures]

    def _found(self, picture: Picture) -> Findings:
        about: dict[str, Any] = {"witness": self._name, "revision": "1", "width": 96, "height": 64}
        if self._name == "signs":
            line = TextLine(text="EXIT", score=0.99, box=Box(left=1, top=1, right=9, bottom=5))
            return Findings(**about, lines=(line,), looked_for=("text",))
        x = 16.0 * float(picture.source.rpartition(":")[2]) - 16  # one width a second
        dog = Thing(name="dog", score=0.9, box=Box(left=x, top=20, right=x + 16, bottom=36))
        return Findings(**about, things=(dog,) if 0 <= x <= 80 else (), looked_for=("things",))


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    frames = scene(("apple", 0, 9), seconds=9)
    return film(tmp_path_factory.mktemp("clips") / "clip.mp4", frames)


@pytest.fixture
def video(clip: Path) -> Iterator[Video]:
    with open_video(clip, name="clip.mp4") as opened:
        yield opened


def told(
    video: Video, *witnesses: Witness, scenes: int = 1, questioner: Any = None, **more: Any
) -> tuple[Caption, list[Any]]:
    named = {witness.name: witness for witness in witnesses}
    events = list(
        interview_video(
            video,
            plan_video(video, most_scenes=scenes),
            DrawnEye(),
            questioner or ScriptedQuestioner(),
            VideoOptions(rounds=4, witnesses=tuple(named)),
            find_witness=named.__getitem__,
            **more,
        )
    )
    assert isinstance(events[-1], Done)
    return events[-1].caption, events


def test_the_story_tells_what_witnesses_followed(video: Video) -> None:
    dogs, signs = Counting(), Counting("signs")
    caption, events = told(video, dogs, signs)
    things, text = (turn for turn in caption.dialogue.turns if turn.answered_by)
    assert (things.question, things.asked_by, things.answered_by) == (
        "Which things can be made out, and when?",
        "witness",
        "dogs",
    )
    assert things.answer == (
        "A dog can be made out from 0:01 to 0:05. The dog comes into view from the left at 0:01. "
        "The dog goes out of view to the right at 0:05. The dog moves from left to right."
    )
    assert (text.question, text.answer) == ("What is written in the video?", 'It says "EXIT".')
    assert caption.summary.endswith(f'{things.answer} In the video one can read "EXIT".') and "apple" in caption.summary
    assert signs.examined == 8 and 18 <= dogs.examined <= 20  # two frames a second for things, 8 frames for text
    assert any(isinstance(event, Examined) for event in events) and caption.seconds["witnesses"] >= 0
    assert sum(not turn.answered_by for turn in caption.dialogue.turns) == 4  # witnesses use up no question


def test_each_scene_has_its_own_facts(clip: Path, tmp_path: Path) -> None:
    frames = [*scene(("apple", 0, 9), seconds=4), *scene(("lemon", 0, 9), seconds=5, ground=(250, 250, 250))]
    with open_video(film(tmp_path / "two.mp4", frames), name="two.mp4") as video:
        caption, _ = told(video, Counting(), scenes=2)
    asked = [turn.question for turn in caption.dialogue.turns if turn.answered_by]
    assert asked == [
        "Scene 1, 0:00 to 0:04: Which things can be made out, and when?",
        "Scene 2, 0:04 to 0:09: Which things can be made out, and when?",
    ]
    first, second = (turn.answer for turn in caption.dialogue.turns if turn.asked_by == "scene")
    assert "from the left at 0:01" in first and "out of view" not in first
    assert "to the right at 0:05" in second and "comes into view" not in second


def test_a_failing_witness_loses_no_video(video: Video) -> None:
    caption, events = told(video, Counting("broken", broken=True), Counting())
    assert caption.status == "complete" and "The dog comes into view" in caption.summary
    assert caption.problems == ("the witness 'broken' has no memory left",)
    assert [event.problems for event in events if isinstance(event, Examined)] == [caption.problems]


def test_a_resumed_interview_examines_nothing_again(video: Video) -> None:
    dogs = Counting()
    caption, _ = told(video, dogs)
    stopped = caption.model_copy(update={"status": "stopped", "summary": ""})
    before = dogs.examined
    again, _ = told(video, dogs, earlier=stopped)
    assert dogs.examined == before and again.dialogue == caption.dialogue and again.summary == caption.summary


def test_language_models_get_the_facts(video: Video) -> None:
    questioner = ListQuestioner(questions=["Frame 2: Is it red?"])
    told(video, Counting(), questioner=questioner)
    requests = ["\n".join(str(message.content) for message in messages) for messages, _ in questioner.calls]
    assert all("The dog comes into view from the left at 0:01." in request for request in requests)
    assert "All in all:\n- Which things can be made out, and when? A dog can be made out" in requests[-1]


def test_frames_for_things_are_dense_and_limited() -> None:
    times = [number / 10 for number in range(6000)]
    short = frames_for_things(times[:100], between(times[:100], 10.0, None, None))
    assert len(short) == 20 and short[0] == 0 and short[-1] == 99
    assert len(frames_for_things(times, between(times, 600.0, None, None))) == MOST


def test_the_command_takes_witnesses(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell.environment["INQUISIGHT_QUESTIONER"] = "scripted"
    film(tmp_path / "clip.mp4", scene(("apple", 0, 9), seconds=1))
    done = shell.run("video", "clip.mp4", "--witness", "nobody")
    assert done.returncode == 3 and "nobody" in done.stderr and len(done.stderr.splitlines()) == 1
    done = shell.run("video", "clip.mp4", "--witness", "detector", "--frames", "2", "--rounds", "2", "--json")
    caption = Caption.from_json(done.stdout)
    assert caption.options["witnesses"] == ["detector"] and done.returncode == 0
    assert [turn.answered_by for turn in caption.dialogue.turns] == ["", "detector", ""]
