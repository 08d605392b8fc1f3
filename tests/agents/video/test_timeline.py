"""Timelines that players can read, checked with FFmpeg's own readers; and the contact sheet."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("av", reason="videos are an optional part")

import av

from agents.video.driver import interview_video, plan_video
from agents.video.interview import SCENE, VideoOptions
from agents.video.sheet import as_png, contact_sheet
from agents.video.timeline import Cue, check_timeline, cues, timeline_text, to_ffmetadata, to_subrip, to_webvtt
from core.errors import UsageError
from core.records import Caption, Dialogue, PictureInfo, Turn
from core.video.clip import open_video
from plugins.scripted import ScriptedQuestioner
from tests.agents.fakes import ListQuestioner
from tests.agents.video.clips import DrawnEye, film, scene

CUES = [
    Cue(0.0, 61.5, "A cat & a dog <asleep> --> for now."),
    Cue(61.5, 3725.04, "They wake up; #1 = the cat.\nAnd more \\ words."),
]


def subtitles(path: Path) -> list[tuple[float, float, str]]:
    """(begin, end, text) as FFmpeg reads them."""
    found = []
    with av.open(str(path)) as container:
        stream: Any = container.streams.subtitles[0]
        for packet in container.demux(stream):
            if packet.size:
                begin = float(packet.pts * packet.time_base)
                found.append((begin, begin + float(packet.duration * packet.time_base), bytes(packet).decode()))
    return found


def test_webvtt(tmp_path: Path) -> None:
    (tmp_path / "clip.vtt").write_text(to_webvtt(CUES), "utf-8")
    text = (tmp_path / "clip.vtt").read_text("utf-8")
    assert text.startswith("WEBVTT\n\n1\n00:00:00.000 --> 00:01:01.500\n")
    assert "A cat &amp; a dog &lt;asleep&gt; --&gt; for now." in text
    found = subtitles(tmp_path / "clip.vtt")
    assert [(begin, end) for begin, end, _ in found] == [(0.0, 61.5), (61.5, 3725.04)]
    assert "They wake up" in found[1][2] and "And more" in found[1][2], "a line break would end it early"


def test_subrip(tmp_path: Path) -> None:
    (tmp_path / "clip.srt").write_text(to_subrip(CUES), "utf-8")
    assert "00:01:01,500 --> 01:02:05,040" in to_subrip(CUES)
    found = subtitles(tmp_path / "clip.srt")
    assert [(begin, end) for begin, end, _ in found] == [(0.0, 61.5), (61.5, 3725.04)]
    assert "‹asleep›" in found[0][2] and "And more" in found[1][2]


def test_chapters_get_into_a_video(tmp_path: Path) -> None:
    (tmp_path / "clip.ffmetadata").write_text(to_ffmetadata(CUES), "utf-8")
    with av.open(str(tmp_path / "clip.ffmetadata"), format="ffmetadata") as container:
        chapters = container.chapters()
    assert [chapter["metadata"]["title"] for chapter in chapters] == [
        "A cat & a dog <asleep> --> for now",
        "They wake up; #1 = the cat",
    ]
    assert [(chapter["start"], chapter["end"]) for chapter in chapters] == [(0, 61500), (61500, 3725040)]


def test_suffixes() -> None:
    for name in ("clip.vtt", "CLIP.SRT", "clip.ffmetadata"):
        check_timeline(Path(name))
    with pytest.raises(UsageError, match=r"must end in \.vtt"):
        check_timeline(Path("clip.txt"))


def video_caption(turns: list[Turn], parts: list[dict[str, float]], summary: str = "A story.") -> Caption:
    frames = [{"seconds": 2.0 * number, "number": 20 * number} for number in range(4)]
    return Caption(
        picture=PictureInfo(sha256="0", source="clip.mp4", width=1, height=1),
        summary=summary,
        dialogue=Dialogue(turns=tuple(turns)),
        options={"video": {"sampling": "uniform", "frames": frames, "parts": parts}},
    )


WHOLE = [{"first": 1, "last": 4, "begin": 0.0, "end": 8.0}]


def test_told_as_a_whole_each_frame_that_was_asked_about_is_a_cue() -> None:
    caption = video_caption(
        [
            Turn(question="Frame 3: What is there?", answer="a ball on the grass."),
            Turn(question="Frame 1: What is there?", answer="a duck."),
            Turn(question="Frame 3: Is there a dog?", answer="no, there is no dog in this picture at all."),
            Turn(question="Frame 2: What is there?", answer="i do not know.", certainty="unsure"),
        ],
        WHOLE,
    )
    assert cues(caption) == [Cue(0.0, 4.0, "A duck."), Cue(4.0, 8.0, "A ball on the grass.")]


def test_what_stays_the_same_is_one_cue() -> None:
    turns = [Turn(question=f"Frame {n}: What is there?", answer="a duck." if n < 4 else "a dog.") for n in (1, 2, 3, 4)]
    assert cues(video_caption(turns, WHOLE)) == [Cue(0.0, 6.0, "A duck."), Cue(6.0, 8.0, "A dog.")]


def test_told_by_scenes_each_scene_is_a_cue() -> None:
    parts = [{"first": 1, "last": 2, "begin": 0.0, "end": 4.0}, {"first": 3, "last": 4, "begin": 4.0, "end": 8.0}]
    caption = video_caption(
        [
            Turn(question="Frame 1: What is there?", answer="a duck."),
            Turn(question="Scene 1, 0:00 to 0:04:", answer="A duck swims.", asked_by=SCENE),
            Turn(question="Scene 2, 0:04 to 0:08:", answer="A dog barks.", asked_by=SCENE),
        ],
        parts,
    )
    assert cues(caption) == [Cue(0.0, 4.0, "A duck swims."), Cue(4.0, 8.0, "A dog barks.")]
    first, second = caption.dialogue.turns[-2:]
    outdated = video_caption([first.model_copy(update={"answer": ""}), second], parts)
    assert cues(outdated) == [Cue(4.0, 8.0, "A dog barks.")], "stopped before the first scene was told anew"


def test_long_answers_are_cut_at_a_sentence() -> None:
    long = " ".join(["there is a small duck on the pond."] * 20)
    [cue] = cues(video_caption([Turn(question="Frame 1: What is there?", answer=long)], WHOLE))
    assert len(cue.text) <= 240 and cue.text.endswith("pond.")
    assert len(Cue(0, 1, "word " * 40).title) <= 62


def test_nothing_to_write() -> None:
    with pytest.raises(UsageError, match="nothing certain was learned"):
        timeline_text(video_caption([], WHOLE, summary=""), Path("clip.vtt"))


def test_the_contact_sheet_shows_the_frames_that_were_asked_about(tmp_path: Path) -> None:
    path = film(tmp_path / "clip.mp4", scene(("apple", 0, 3), ("lemon", 3, 9)))
    questioner = ListQuestioner(questions=["Frame 8: What is there?", "Frame 8: Where is it?"])
    with open_video(path) as video:
        *_, last = interview_video(video, plan_video(video), DrawnEye(), questioner, VideoOptions(rounds=3))
        sheet = contact_sheet(video, last.caption)  # type: ignore[attr-defined]
    with Image.open(io.BytesIO(as_png(sheet))) as image:
        assert image.format == "PNG" and image.width == 12 + 2 * (96 + 12), "two frames of eight"
        left, right = (
            image.crop((0, 0, image.width // 2, image.height)),
            image.crop((image.width // 2, 0, image.width, 80)),
        )
    assert has(left, (220, 30, 30)) and not has(left, (240, 220, 40))
    assert has(right, (240, 220, 40)) and not has(right, (220, 30, 30))


def has(image: Image.Image, colour: tuple[int, int, int]) -> bool:
    pixels = np.asarray(image.convert("RGB"), dtype=np.int32)
    return int((np.abs(pixels - np.array(colour)).sum(-1) < 80).sum()) > 50


def test_no_contact_sheet_of_nothing(tmp_path: Path) -> None:
    path = film(tmp_path / "clip.mp4", scene(("apple", 0, 3), seconds=0.3))
    with open_video(path) as video, pytest.raises(UsageError, match="no frame was asked about"):
        contact_sheet(video, video_caption([], WHOLE))


def test_a_picture_has_no_timeline() -> None:
    caption = Caption(picture=PictureInfo(sha256="0", source="cat.jpg", width=1, height=1), summary="A cat.")
    assert cues(caption) == []


def test_a_real_run_gives_a_timeline_for_the_whole_length(tmp_path: Path) -> None:
    path = film(tmp_path / "clip.mp4", scene(("apple", 0, 3), ("lemon", 3, 9)))
    with open_video(path) as video:
        *_, last = interview_video(video, plan_video(video), DrawnEye(), ScriptedQuestioner())
    timeline = cues(last.caption)  # type: ignore[attr-defined]
    assert timeline[0].begin == 0.0 and timeline[-1].end == pytest.approx(6.0)
    assert [one.end for one in timeline[:-1]] == [two.begin for two in timeline[1:]]
    assert "apple" in timeline[0].text and "lemon" in timeline[-1].text
