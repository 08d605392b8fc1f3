"""The page Video: a film in, a dialogue about its frames, a timeline to jump in, the story to take home."""

from __future__ import annotations

import gc
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

pytest.importorskip("av", reason="videos are an optional part")

from agents.video.live import LiveVideo, VideoParameters
from core.entries import Entry
from core.errors import BackendError, UsageError
from core.registry import get_registry
from core.settings import get_settings
from core.store.transcripts import TranscriptStore
from core.video.clip import open_video
from plugins.scripted import ScriptedQuestioner
from tests.agents.video.clips import DrawnEye, film, grey, scene, tone
from tests.ui.app import LONG, assert_well, html_of, open_page, visitor_of, wait_for_jobs
from ui.state.jobs import Job
from ui.state.video_store import VideoStore, video_store
from ui.state.videos import VideoItem, begin, page_state


@pytest.fixture(autouse=True)
def drawn(monkeypatch: pytest.MonkeyPatch) -> DrawnEye:
    """The eye that knows what the films show, registered and set as the default."""
    made = DrawnEye()
    capabilities = {"follows_instructions": False, "streams": False, "max_images": 1, "languages": ("en",)}
    entry = Entry("vision backend", "drawn", lambda _=None: made, "Sees what is drawn.", capabilities, "test", "test")
    monkeypatch.setitem(get_registry().vision_backends, "drawn", entry)
    monkeypatch.setenv("INQUISIGHT_VISION", "drawn")
    get_settings.cache_clear()
    return made


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """An apple from the beginning to 4 s, a ball from 2 s; six seconds."""
    frames = scene(("apple", 0, 4), ("ball", 2, 9))
    return film(tmp_path_factory.mktemp("clips") / "clip.mp4", frames).read_bytes()


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Two seconds of an apple on grey, two seconds of a ball on white."""
    first = scene(("apple", 0, 9), seconds=2)
    second = scene(("ball", 0, 9), seconds=2, ground=(250, 250, 250))
    return film(tmp_path_factory.mktemp("clips") / "scenes.mp4", first + second).read_bytes()


def upload(app: AppTest, data: bytes, name: str = "clip.mp4") -> None:
    app.file_uploader[0].set_value((name, data, "video/mp4")).run()
    assert_well(app)


def item_of(app: AppTest) -> VideoItem:
    item = page_state(visitor_of(app)).item
    assert item is not None
    return item


def start(app: AppTest, **settings: Any) -> VideoItem:
    for name, value in settings.items():
        app.number_input(key=f"video-{name}").set_value(value)
    app.button(key="video-start").click().run()
    assert_well(app)
    wait_for_jobs(app)
    return item_of(app)


def files_there() -> list[Path]:
    return [one for one in video_store().folder.iterdir() if one.name != "claim"]


def strip_of(app: AppTest) -> dict[str, Any]:
    """What the timeline shows."""
    found = [one for one in app.get("bidi_component") if one.proto.component_name.endswith("inquisight_filmstrip")]
    return json.loads(found[0].proto.json) if found else {}


def test_an_empty_desk_says_what_to_do() -> None:
    app = open_page("video")
    assert app.title[0].value == "Video"
    assert any("Add a video" in one.value for one in app.info)
    assert app.button(key="video-start").disabled


@pytest.mark.slow
def test_from_upload_to_the_story(clip: bytes) -> None:
    app = open_page("video")
    upload(app, clip)
    item = start(app, frames=4)
    assert item.view.state == "complete" and len(item.view.times) == 4
    page = html_of(app)
    story = item.view.summary
    assert story in page and story.lower().index("apple") < story.lower().index("ball")
    assert "frame 1, 0:00.0" in page and "Describe" in page and "there is an apple" in page.lower()
    assert "data:image/jpeg;base64," in page, "the frame stands beside its question"
    assert item.view.id is not None and TranscriptStore().get(item.view.id).picture.source == "clip.mp4"
    assert item.view.id in visitor_of(app).transcripts


@pytest.mark.slow
def test_what_it_does_unasked_is_what_the_command_does(clip: bytes) -> None:
    app = open_page("video")
    upload(app, clip)
    caption = start(app).view.caption
    assert caption is not None and len(caption.options["video"]["frames"]) == 8
    assert caption.options["rounds"] == 30 and caption.options["video"]["sampling"] == "uniform"


@pytest.mark.slow
def test_every_so_many_seconds(clip: bytes) -> None:
    app = open_page("video")
    upload(app, clip)
    app.selectbox(key="video-sampling").set_value("time").run()
    item = start(app, every=2.0)
    assert [round(at) for at in item.view.times] == [0, 2, 4]


@pytest.mark.slow
def test_the_timeline_says_when_and_how_often(clip: bytes) -> None:
    app = open_page("video")
    upload(app, clip)
    item = start(app, frames=3, rounds=4)
    frames = strip_of(app)["frames"]
    assert [frame["number"] for frame in frames] == [1, 2, 3]
    assert [frame["seconds"] for frame in frames] == sorted(item.view.times)
    asked = [turn.question.partition(":")[0] for turn in item.view.turns]
    assert [frame["asked"] for frame in frames] == [asked.count(f"Frame {number}") for number in (1, 2, 3)]
    assert all(frame["picture"].startswith("data:image/jpeg") for frame in frames)
    assert "question" in frames[0]["words"] and "0:00.0" in frames[0]["words"]


@pytest.mark.slow
def test_a_turn_leads_to_its_frame(clip: bytes) -> None:
    app = open_page("video")
    upload(app, clip)
    item = start(app, frames=3)
    second = item.view.turns[1].question.partition(":")[0]
    before = strip_of(app)["jumps"]
    app.button(key=f"video-jump-{item.key}-2").click().run()
    assert_well(app)
    shown = strip_of(app)
    assert f"Frame {shown['chosen']}" == second and shown["jumps"] == before + 1
    assert f"{second} at 0:0" in html_of(app)
    large = next(one for one in app.get("image") if one.proto.imgs[0].alt)
    assert "there is a" in large.proto.imgs[0].alt.lower(), "those who do not see the frame hear what was said of it"
    app.button(key=f"video-jump-{item.key}-2").click().run()
    assert strip_of(app)["jumps"] == before + 2, "the player goes there again, wherever it is by now"


@pytest.mark.slow
def test_longer_ones_are_told_by_scenes(scenes: bytes) -> None:
    app = open_page("video")
    upload(app, scenes)
    item = start(app, scenes=2, frames=2)
    page = html_of(app)
    assert len(item.view.parts) == 2
    assert "Scene 1" in page and "Scene 2" in page and "0:02 to 0:04" in page
    assert "apple" in page.lower() and "ball" in page.lower() and item.view.summary in page
    assert sum(frame["first"] for frame in strip_of(app)["frames"]) == 2
    assert item.view.caption is not None and item.view.caption.options["rounds"] == 8, "as the command does"


def choose_frame(app: AppTest, question: int) -> None:
    app.button(key=f"video-jump-{item_of(app).key}-{question}").click().run()


def test_a_question_of_ones_own_about_a_frame(drawn: DrawnEye, clip: bytes) -> None:
    app = open_page("video")
    upload(app, clip)
    item = start(app, frames=3, rounds=1)
    assert item.view.summary and not app.text_input(key="video-language").value
    before, encoded = item.view, len(drawn.encoded)
    choose_frame(app, 1)
    key = f"video-question-{item.key}-1"
    app.text_input(key=key).set_value("Is there a ball?")
    app.button[[one.label for one in app.button].index("Ask")].click().run()
    assert_well(app)
    wait_for_jobs(app)
    assert item.view.state == "complete" and item.view.turns[:1] == before.turns
    [own] = item.view.turns[1:]
    assert (own.question, own.asked_by) == ("Frame 1: Is there a ball?", "person") and own.answer
    assert len(drawn.encoded) == encoded, "the dashboard knows the frame already"
    assert "your question" in html_of(app) and item.view.summary in html_of(app)
    assert item.view.id is not None and TranscriptStore().get(item.view.id).dialogue.turns == item.view.turns

    app.text_input(key=key).set_value("  ")
    app.button[[one.label for one in app.button].index("Ask")].click().run()
    assert any("Write a question first" in one.value for one in app.error) and item.view.state == "complete"


@pytest.mark.slow
def test_an_answer_put_right_is_told_anew(scenes: bytes) -> None:
    app = open_page("video")
    upload(app, scenes)
    item = start(app, scenes=2, frames=2, rounds=1)
    assert "apple" in item.view.summary.lower()
    app.button(key=f"video-change-{item.key}-1").click().run()
    assert_well(app)
    field = app.text_area(key=f"video-answer-{item.key}-1")
    assert "apple" in field.value
    field.set_value("there is a green pear.")
    app.button[[one.label for one in app.button].index("Save")].click().run()
    assert_well(app)
    wait_for_jobs(app)
    page = html_of(app)
    assert item.view.state == "complete" and "pear" in item.view.summary and "apple" not in item.view.summary.lower()
    assert "corrected by you" in page and "Scene 1" in page and item.view.summary in page
    assert [turn.question.startswith("Scene") for turn in item.view.turns] == [False, True, False, True]
    assert not [one for one in app.text_area if one.key.startswith("video-answer")], "the dialog is closed"


@pytest.mark.slow
def test_a_kept_interview_can_be_asked_once_its_video_is_there(clip: bytes) -> None:
    app = open_page("video")
    upload(app, clip)
    item = start(app, frames=3, rounds=1)
    kept = TranscriptStore().get(item.view.id or "")
    other = open_page("video")
    me = visitor_of(other)
    page_state(me).reopen(kept, me)
    other.run()
    keys = [one.key for one in other.button]
    assert not any("change" in (key or "") for key in keys), "not stored with this interview it can only be read"
    upload(other, clip)
    choose_frame(other, 1)
    mine = item_of(other)
    other.text_input(key=f"video-question-{mine.key}-1").set_value("Is there a ball?")
    other.button[[one.label for one in other.button].index("Ask")].click().run()
    wait_for_jobs(other)
    assert_well(other)
    assert [turn.asked_by for turn in mine.view.turns] == ["opening", "person"] and mine.view.state == "complete"


@pytest.mark.parametrize(
    ("name", "make", "word"),
    [
        ("notes.mp4", lambda path: path.write_text("these are notes"), "not a video"),
        ("empty.mp4", lambda path: path.write_bytes(b""), "is empty"),
        ("song.mp4", lambda path: tone(path), "song.mp4"),
        ("still.webp", lambda path: Image.new("RGB", (9, 9)).save(path, "PNG"), "not a video"),
    ],
)
def test_what_cannot_be_used_is_a_sentence_and_is_not_kept(
    name: str, make: Callable[[Path], Any], word: str, tmp_path: Path
) -> None:
    make(tmp_path / name)
    app = open_page("video")
    upload(app, (tmp_path / name).read_bytes(), name)
    [error] = app.error
    assert word in error.value and "Traceback" not in error.value and "/" not in error.value
    assert page_state(visitor_of(app)).item is None and files_there() == []


@pytest.mark.slow
def test_it_lies_under_a_name_of_ours_and_goes_with_its_visitor(clip: bytes, scenes: bytes) -> None:
    app = open_page("video")
    upload(app, clip, "../../me & my dog.mp4")
    [file] = files_there()
    assert "dog" not in file.name and file.parent.stat().st_mode & 0o077 == 0
    assert item_of(app).info.source == "me & my dog.mp4"
    upload(app, clip, "the same.mp4")
    assert len(files_there()) == 1 and files_there() != [file]
    upload(app, scenes)
    assert len(files_there()) == 1, "another one took its place"
    app.button(key="video-remove").click().run()
    assert_well(app)
    assert files_there() == [] and page_state(visitor_of(app)).item is None
    upload(app, clip)
    visitor_of(app)._kept.clear()
    gc.collect()
    assert files_there() == []


def test_there_is_room_for_so_many(clip: bytes, tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(clip)
    room = VideoStore(max_bytes=len(clip) + 10)
    with (tmp_path / "clip.mp4").open("rb") as one, (tmp_path / "clip.mp4").open("rb") as other:
        held = room.add(one, "clip.mp4")
        with pytest.raises(UsageError, match="as many videos as it may"):
            room.add(other, "clip.mp4")
    assert {one.name for one in room.folder.iterdir()} == {held.path.name, "claim"}


def test_what_a_killed_dashboard_left_is_swept_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    living, left, foreign = VideoStore(), tmp_path / "inquisight-videos-left", tmp_path / "inquisight-videos-other"
    for folder in (left, foreign):
        folder.mkdir()
        (folder / "film").write_bytes(b"film")
    (left / "claim").touch()
    VideoStore()
    assert not left.exists(), "nobody claims it"
    assert living.folder.is_dir() and foreign.is_dir(), "the one is at work, the other is not ours"


def test_a_video_that_is_too_large_is_a_sentence(clip: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    from ui.state.options import get_options

    monkeypatch.setenv("INQUISIGHT_UI_VIDEO_MB", "1")
    get_options.cache_clear()
    app = open_page("video")
    assert app.file_uploader[0].proto.max_upload_size_mb == 1
    upload(app, clip + bytes(1_000_000))
    assert any("larger than" in one.value for one in app.error)


@pytest.mark.slow
def test_a_failing_eye_is_a_sentence_and_it_goes_on(
    drawn: DrawnEye, clip: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed(questions: Any) -> list[str]:
        raise BackendError("the eye of *this* test is closed")

    monkeypatch.setattr(drawn, "answer", closed)
    app = open_page("video")
    upload(app, clip)
    item = start(app)
    assert item.view.state == "failed" and any("is closed" in one.value for one in app.error)
    monkeypatch.undo()
    app.button(key=f"resume-{item.key}").click().run()
    wait_for_jobs(app)
    assert item.view.state == "complete"


def test_stop_keeps_every_answer_and_it_goes_on(drawn: DrawnEye, clip: bytes, tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(clip)
    saved: list[Any] = []
    with open_video(tmp_path / "clip.mp4") as video:
        info = video.info()
    watched = LiveVideo(
        info,
        lambda: open_video(tmp_path / "clip.mp4"),
        lambda: drawn,
        ScriptedQuestioner,
        VideoParameters(frames=4),
        save=lambda caption: saved.append(caption) or "id",  # type: ignore[func-returns-value]
    )
    list(watched.run(lambda: len(watched.view.turns) >= 3))
    assert watched.view.state == "stopped" and saved[-1].status == "stopped"
    before, encoded = watched.view.turns, len(drawn.encoded)
    assert len(before) == 3
    list(watched.run())
    assert watched.view.state == "complete" and watched.view.turns[:3] == before
    assert encoded == 4, "each frame is looked at once"
    kept = LiveVideo(
        info, lambda: open_video(tmp_path / "clip.mp4"), lambda: drawn, ScriptedQuestioner, earlier=saved[2]
    )
    assert kept.view.times == watched.view.times and len(kept.view.turns) == len(saved[2].dialogue.turns)

    encoded = len(drawn.encoded)
    watched.ask(3, "Is there a ball?")
    watched.ask(2, "Is there a ball?")  # in its place
    running = watched.run()
    next(running)
    with pytest.raises(UsageError, match="is going on"):
        watched.correct(0, "a pear.")
    list(running)
    assert watched.view.state == "complete" and watched.view.turns[-1].question == "Frame 2: Is there a ball?"
    assert len(drawn.encoded) == encoded + 1, "of the frames, the one that the question is about"
    for index, answer, wrong in (
        (0, "", "write the right"),
        (0, watched.view.turns[0].answer, "already"),
        (99, "a", "100"),
    ):
        with pytest.raises(UsageError, match=wrong):
            watched.correct(index, answer)
    assert watched.view.state == "complete"


def test_the_stop_button_is_there_while_they_talk(drawn: DrawnEye, clip: bytes) -> None:
    app = open_page("video")
    upload(app, clip)
    me, item = visitor_of(app), item_of(app)
    begin(me, item, page_state(me).settings)
    assert item.job is not None
    item.job.stop()
    wait_for_jobs(app)
    assert item.view.state == "stopped"
    assert any("Stopped after" in one.value for one in app.info)
    item.job = Job("as if it were running", state="running")
    app.run()
    assert not app.button(key=f"video-stop-{item.key}").disabled
    app.button(key=f"video-stop-{item.key}").click().run()
    assert item.job.stop_requested


def test_a_file_goes_when_its_talk_has_ended(clip: bytes) -> None:
    app = open_page("video")
    upload(app, clip)
    me, item = visitor_of(app), item_of(app)
    begin(me, item, page_state(me).settings)
    page_state(me).remove()
    assert item.job is not None and item.job.wait(LONG)
    assert files_there() == []


@pytest.mark.slow
def test_two_visitors_never_meet(clip: bytes, scenes: bytes) -> None:
    one, other = open_page("video"), open_page("video")
    upload(one, clip, "mine.mp4")
    start(one, frames=2)
    other.run()
    assert visitor_of(one) is not visitor_of(other) and page_state(visitor_of(other)).item is None
    assert "mine.mp4" not in " ".join(caption.value for caption in other.caption) + html_of(other)


@pytest.mark.slow
def test_it_is_all_there_after_a_reload(clip: bytes) -> None:
    app = open_page("video")
    upload(app, clip)
    item = start(app, frames=3)
    again = AppTest.from_string(
        "import importlib; importlib.import_module('ui.pages.video').page()", default_timeout=LONG
    )
    again.session_state["inquisight.visitor"] = app.session_state["inquisight.visitor"]  # as the cookie does
    again.run()
    assert_well(again)
    assert item.view.summary in html_of(again) and len(strip_of(again)["frames"]) == 3


@pytest.mark.slow
def test_what_a_model_says_is_shown_and_never_run(
    drawn: DrawnEye, clip: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = "<script>alert(1)</script> <img src=x onerror=alert(2)> an apple"
    monkeypatch.setattr(drawn, "answer", lambda questions: [said for _ in questions])
    app = open_page("video")
    upload(app, clip)
    item = start(app, frames=2)
    app.button(key=f"video-jump-{item.key}-1").click().run()
    page = html_of(app)
    assert "<script>" not in page and "<img src=x" not in page and "&lt;script&gt;" in page


def test_files_to_take_home(clip: bytes) -> None:
    app = open_page("video")
    upload(app, clip, "my clip.mp4")
    item = start(app, frames=3)
    labels = [one.proto.label for one in app.get("download_button")]
    assert labels == [
        "Caption (TXT)",
        "Transcript (TXT)",
        "Transcript (JSON)",
        "Subtitles (WebVTT)",
        "Subtitles (SRT)",
        "Contact sheet",
    ]
    assert item.stem == "my-clip"
    from ui.pages.video import _sheet

    assert _sheet(item).startswith(b"\x89PNG")


def test_a_file_that_browsers_do_not_play_says_so_and_shows_its_frames(tmp_path: Path) -> None:
    app = open_page("video")
    upload(
        app,
        film(tmp_path / "old.avi", [grey(level * 12) for level in range(20)], codec="mpeg4").read_bytes(),
        "old.avi",
    )
    assert any("do not play AVI" in one.value for one in app.info) and not app.get("video")
    start(app, frames=2)
    assert len(strip_of(app)["frames"]) == 2


def test_an_animated_picture_is_a_video_too(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (40, 30), colour) for colour in ("red", "blue", "green")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:], duration=500)
    app = open_page("video")
    upload(app, (tmp_path / "a.gif").read_bytes(), "a.gif")
    assert start(app).view.state == "complete" and not app.get("video")


@pytest.mark.slow
def test_an_example_is_one_click_away() -> None:
    app = open_page("video")
    app.session_state["video-way"] = "Example"
    app.run()
    app.button(key="video-example").click().run()
    assert_well(app)
    item = item_of(app)
    assert item.info.source == "example.webm" and item.upload is not None and item.upload.path.stat().st_size < 400_000
    assert app.get("video"), "there is a player"


def test_settings_that_cannot_be_are_sentences(clip: bytes) -> None:
    app = open_page("video")
    upload(app, clip)
    app.text_input(key="video-seed").set_value("seven").run()
    assert any("seed must be a whole number" in one.value for one in app.error)
    app.text_input(key="video-seed").set_value("")
    app.number_input(key="video-from").set_value(5.0)
    app.number_input(key="video-to").set_value(2.0).run()
    assert any("later than the start" in one.value for one in app.error)
    assert app.button(key="video-start").disabled


@pytest.mark.slow
def test_history_opens_it_and_it_goes_on_here(clip: bytes) -> None:
    app = open_page("video")
    upload(app, clip)
    item = start(app, frames=3)
    kept = TranscriptStore().get(item.view.id or "")
    other = open_page("history")
    other.button(key=f"history-open-{kept.id[:16]}").click().run()
    assert_well(other)
    page = html_of(other)
    assert kept.summary in page and "frame 1, 0:00.0" in page and "Direct caption" not in page
    third = open_page("video")
    me = visitor_of(third)
    page_state(me).reopen(kept, me)
    third.run()
    assert_well(third)
    assert kept.summary in html_of(third) and any("not stored with this interview" in one.value for one in third.info)
    assert all(not frame["picture"] for frame in strip_of(third)["frames"])
    upload(third, clip)
    assert all(frame["picture"] for frame in strip_of(third)["frames"]), "the frames are found again in the file"
