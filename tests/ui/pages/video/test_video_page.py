"""The page Video: settings, the dialogue about frames, the timeline, exports."""

from __future__ import annotations

import pytest

pytest.importorskip("av", reason="videos are an optional part")

from core.store.transcripts import TranscriptStore
from tests.agents.video.clips import DrawnEye
from tests.ui.app import assert_well, html_of, open_page, visitor_of
from tests.ui.pages.video.helpers import start, strip_of, upload


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
