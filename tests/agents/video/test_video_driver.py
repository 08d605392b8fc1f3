"""One video from its file to its story: what is encoded, what is asked, what is kept when something fails."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("av", reason="videos are an optional part")

from agents.interview.calls import resume_key
from agents.interview.events import Answered, Done, Encoded, Failed, InterviewStopped, QuestionAsked, SummaryWritten
from agents.video.driver import VideoPlan, interview_video, plan_video, video_options_of
from agents.video.example import make_example
from agents.video.interview import VideoOptions
from agents.video.prompts import load_prompts
from agents.video.records import frame_turns, is_video, scenes
from core.errors import BackendError, QuestionerError, UsageError
from core.records import Caption
from core.registry import get_registry
from core.store.transcripts import TranscriptStore
from core.video.base import Video
from core.video.clip import open_video
from plugins.scripted import ScriptedQuestioner
from tests.agents.fakes import ListQuestioner, walk
from tests.agents.video.clips import DrawnEye, film, grey, scene


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An apple from the beginning to 4 s, a ball from 2 s, a lemon from 4 s; six seconds."""
    frames = scene(("apple", 0, 4), ("ball", 2, 9), ("lemon", 4, 9))
    return film(tmp_path_factory.mktemp("clips") / "clip.mp4", frames)


@pytest.fixture
def video(clip: Path) -> Any:
    with open_video(clip, name="clip.mp4") as opened:
        yield opened


def told(video: Video, plan: VideoPlan, eye: DrawnEye, questioner: Any, **more: Any) -> tuple[Caption, list[Any]]:
    events = list(interview_video(video, plan, eye, questioner, **more))
    assert isinstance(events[-1], Done)
    return events[-1].caption, events


def test_the_story_tells_what_comes_and_goes_in_order(video: Video) -> None:
    eye = DrawnEye()
    caption, events = told(video, plan_video(video), eye, ScriptedQuestioner())
    assert caption.status == "complete"
    story = caption.summary.lower()
    assert 0 <= story.index("apple") < story.index("ball") < story.index("lemon")
    assert "the apple can no longer be seen" in story and "frog" not in story and "frame" not in story
    assert [type(event) for event in events].count(Encoded) == 1
    assert any(isinstance(event, SummaryWritten) for event in events)


@pytest.mark.slow
def test_the_embedded_models_tell_the_example_as_it_is(tmp_path: Path) -> None:
    with open_video(make_example(tmp_path / "example.webm")) as example:
        pocket = get_registry().create_vision("pocket")
        *_, last = interview_video(example, plan_video(example), pocket, ScriptedQuestioner())
    assert isinstance(last, Done)
    story = last.caption.summary.lower()
    assert 0 <= story.index("egyptian cat") < story.index("cup appears") < story.index("no longer be seen")


def test_frames_are_encoded_once_and_in_batches(video: Video) -> None:
    eye = DrawnEye()
    caption, _ = told(video, plan_video(video, frames=20), eye, ScriptedQuestioner(), options=VideoOptions(rounds=30))
    assert eye.batches == [16, 4] and len(set(eye.encoded)) == 20
    assert len(eye.asked) == len(caption.dialogue.turns) == 30


def test_an_answer_comes_from_the_frame_that_was_named(video: Video) -> None:
    eye = DrawnEye()
    questioner = ListQuestioner(questions=["Frame 8: Is there a lemon?", "Frame 1: Is there a lemon?"])
    caption, events = told(video, plan_video(video), eye, questioner, options=VideoOptions(rounds=3))
    assert [(turn.question, turn.answer) for turn in caption.dialogue.turns[1:]] == [
        ("Frame 8: Is there a lemon?", "yes, there is a lemon."),
        ("Frame 1: Is there a lemon?", "no, there is no lemon."),
    ]
    shown = [event.question for event in events if isinstance(event, QuestionAsked)]
    assert shown == [turn.question for turn in caption.dialogue.turns]
    assert [question.question for question in eye.asked[1:]] == ["Is there a lemon?"] * 2, "no label for the expert"


def test_what_the_record_holds(video: Video) -> None:
    caption, _ = told(video, plan_video(video, frames=3), DrawnEye(), ScriptedQuestioner(), seed=4)
    assert is_video(caption) and caption.picture.source == "clip.mp4" and caption.picture.sha256 == video.sha256
    assert caption.picture.note == "video of 0:06.0, 60 frames"
    assert [frame["seconds"] for frame in caption.options["video"]["frames"]] == [0.0, 3.0, 5.9]
    looked = frame_turns(caption)
    assert [one.number for one in looked] == [1, 2, 3] and looked[1].seconds == 3.0
    assert looked[0].turns[0].question == "Describe this picture in detail."
    assert Caption.from_json(caption.to_json()) == caption
    [one] = scenes(caption)
    assert (one.begin, one.end, one.text) == (0.0, 6.0, caption.summary)


def test_the_same_seed_gives_the_same_dialogue(video: Video) -> None:
    plan = plan_video(video)
    one, _ = told(video, plan, DrawnEye(), ScriptedQuestioner(), seed=4)
    two, _ = told(video, plan, DrawnEye(), ScriptedQuestioner(), seed=4)
    assert [turn.answer for turn in one.dialogue.turns] == [turn.answer for turn in two.dialogue.turns]
    assert one.summary == two.summary


def test_scene_by_scene(tmp_path: Path) -> None:
    grounds = ((128, 128, 128), (250, 250, 250), (10, 10, 10))
    shots = zip(("apple", "ball", "frog"), grounds, strict=True)
    frames = [image for name, ground in shots for image in scene((name, 0, 9), seconds=2.0, ground=ground)]
    path = film(tmp_path / "scenes.mp4", frames)
    eye = DrawnEye()
    with open_video(path) as video:
        plan = plan_video(video, most_scenes=5)
        caption, events = told(video, plan, eye, ScriptedQuestioner(), options=VideoOptions(rounds=4))
    assert [(round(part.begin, 1), round(part.end, 1)) for part in plan.parts] == [(0.0, 2.0), (2.0, 4.0), (4.0, 6.0)]
    assert [part.first for part in plan.parts] == [1, 5, 9] and len(plan.numbers) == 12
    assert eye.batches == [4, 4, 4]
    assert caption.status == "complete"
    assert caption.summary.startswith("From 0:00 to 0:02: ") and "From 0:04 to 0:06: " in caption.summary
    assert "apple" in scenes(caption)[0].text and "frog" in scenes(caption)[2].text
    shown = [event.question for event in events if isinstance(event, QuestionAsked)]
    assert "Scene 2, 0:02 to 0:04:" in shown


def test_a_part_of_a_video(video: Video) -> None:
    plan = plan_video(video, begin=2.0, until=4.0, frames=2)
    caption, _ = told(video, plan, DrawnEye(), ScriptedQuestioner())
    assert plan.times[0] >= 2.0 and plan.times[-1] < 4.0
    assert "apple" in caption.summary and "ball" in caption.summary and "lemon" not in caption.summary


@pytest.mark.parametrize(
    ("how", "times"),
    [
        ({"sampling": "time", "every": 2.0}, [0.0, 2.0, 4.0]),
        ({"sampling": "key", "frames": 3}, [0.0, 3.0, 5.0]),
        ({"sampling": "uniform", "frames": 2}, [0.0, 5.9]),
        ({"sampling": "scene", "frames": 2}, [0.0, 5.9]),
    ],
)
def test_ways_of_choosing(video: Video, how: dict[str, Any], times: list[float]) -> None:
    plan = plan_video(video, **how)
    assert [round(when, 1) for when in plan.times] == times


def test_choices_that_cannot_work(video: Video) -> None:
    for how in ({"sampling": "time"}, {"sampling": "time", "every": 0.001}, {"frames": 0}, {"most_scenes": 0}):
        with pytest.raises(UsageError):
            plan_video(video, **how)  # type: ignore[arg-type]


def test_an_hour_is_told_in_scenes_and_progress_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agents.video.driver.WATCHED", 0.0)
    path = film(tmp_path / "hour.mp4", scene(("apple", 0, 99), seconds=18.0), stamps=range(0, 36000, 200))
    reached: list[float] = []
    with open_video(path) as video:
        plan = plan_video(video, watch=reached.append)
    assert len(plan.parts) == 12 and len(plan.numbers) == 48
    assert all(part.end - part.begin == pytest.approx(300, abs=20) for part in plan.parts)
    assert reached == sorted(reached) and reached[-1] == pytest.approx(3580)


def test_one_frame(tmp_path: Path) -> None:
    path = film(tmp_path / "still.mp4", scene(("frog", 0, 1), seconds=0.1))
    with open_video(path) as video:
        caption, _ = told(video, plan_video(video), DrawnEye(), ScriptedQuestioner())
    assert "frog" in caption.summary and caption.status == "complete"


def test_a_failing_questioner_keeps_what_was_learned_and_is_gone_on_with(video: Video, tmp_path: Path) -> None:
    store = TranscriptStore(tmp_path / "transcripts.sqlite")
    plan, options, prompts = plan_video(video), VideoOptions(rounds=4), load_prompts()
    broken = ListQuestioner(questions=["Frame 5: What is there?", QuestionerError("the server is away")])
    eye = DrawnEye()
    *_, last = interview_video(video, plan, eye, broken, options, prompts=prompts, save=store.add)
    assert isinstance(last, Failed) and str(last.error) == "the server is away"
    assert len(last.caption.dialogue.turns) == 2

    key = resume_key(video.sha256, eye, broken, video_options_of(options, prompts, plan), None)
    earlier = store.find_partial(key)
    assert earlier is not None and earlier.dialogue == last.caption.dialogue
    whole = ListQuestioner(questions=["Frame 5: What is there?", "Frame 6: Is there a ball?", "Frame 7: Is it big?"])
    before = len(eye.asked)
    *_, end = interview_video(video, plan, eye, whole, options, prompts=prompts, save=store.add, earlier=earlier)
    assert isinstance(end, Done) and end.caption.status == "complete"
    assert len(eye.asked) - before == 2, "what was answered is not asked again"
    assert store.find_partial(key) is None and store.get(end.caption.id) == end.caption


def test_a_failing_eye(video: Video) -> None:
    class Blind(DrawnEye):
        def encode(self, pictures: Any) -> Any:
            raise BackendError("out of memory")

    *_, last = interview_video(video, plan_video(video), Blind(), ScriptedQuestioner())
    assert isinstance(last, Failed) and last.caption.status == "failed" and "out of memory" in str(last.error)


def test_ctrl_c_keeps_what_was_learned(video: Video, tmp_path: Path) -> None:
    store = TranscriptStore(tmp_path / "transcripts.sqlite")
    stopped = ListQuestioner(questions=["Frame 5: What is there?", KeyboardInterrupt()])
    *_, last = interview_video(video, plan_video(video), DrawnEye(), stopped, save=store.add)
    assert isinstance(last, InterviewStopped) and last.id is not None
    assert len(store.get(last.id).dialogue.turns) == 2


def test_going_away_in_the_middle_keeps_it_too(video: Video, tmp_path: Path) -> None:
    store = TranscriptStore(tmp_path / "transcripts.sqlite")
    events = interview_video(video, plan_video(video), DrawnEye(), ScriptedQuestioner(), save=store.add)
    walk(events, lambda event: isinstance(event, Answered))
    events.close()  # type: ignore[attr-defined]
    [kept] = store.recent()
    assert kept.status == "stopped" and kept.turns == 1


def test_no_certain_answer(tmp_path: Path) -> None:
    path = film(tmp_path / "fog.mp4", [grey(128)] * 4)

    class Unsure(DrawnEye):
        def answer(self, questions: Any) -> list[str]:
            return ["i am not sure what this is."] * len(questions)

    with open_video(path) as video:
        caption, _ = told(video, plan_video(video), Unsure(), ScriptedQuestioner())
    assert caption.summary == load_prompts().text("summary.nothing_certain")
