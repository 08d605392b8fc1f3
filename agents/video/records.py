"""A video's interview as a Caption: what stands where, and how to read it again.

The picture is the video, its options hold the frames' times and the parts (`options["video"]`), turns are labelled
("Frame 3: What is it?"), and the summary of a part is a turn of its own. So transcripts of videos are kept, listed,
searched, shown and gone on with like all others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from agents.video.interview import SCENE, VideoPart, frame_of, without_label
from core.records import Caption, Turn


@dataclass(frozen=True, slots=True)
class AskedAbout:
    """One frame that was asked about."""

    number: int  # from 1
    seconds: float
    turns: tuple[Turn, ...]  # their questions without the label


@dataclass(frozen=True, slots=True)
class Scene:
    """A part of a video and what was told of it; a video that was told as a whole has one."""

    begin: float
    end: float
    text: str


def video_options(
    times: Sequence[float], parts: Sequence[VideoPart], numbers: Sequence[int], sampling: str
) -> dict[str, Any]:
    """What `options["video"]` holds. `numbers` are those of the frames in the video, from 0."""
    return {
        "sampling": sampling,
        "frames": [
            {"seconds": round(seconds, 3), "number": number} for seconds, number in zip(times, numbers, strict=True)
        ],
        "parts": [
            {"first": p.first, "last": p.last, "begin": round(p.begin, 3), "end": round(p.end, 3)} for p in parts
        ],
    }


def is_video(caption: Caption) -> bool:
    """Whether this is the interview about a video."""
    return isinstance(caption.options.get("video"), dict)


def looked_at(caption: Caption) -> list[AskedAbout]:
    """The frames that were asked about, in the order of the video. Empty for a picture's caption."""
    if not is_video(caption):
        return []
    frames = caption.options["video"]["frames"]
    found: dict[int, list[Turn]] = {}
    for turn in caption.dialogue.turns:
        number = frame_of(turn.question)
        if number is not None and 1 <= number <= len(frames):
            bare = turn.model_copy(update={"question": without_label(turn.question)})
            found.setdefault(number, []).append(bare)
    return [AskedAbout(number, float(frames[number - 1]["seconds"]), tuple(found[number])) for number in sorted(found)]


def scenes(caption: Caption) -> list[Scene]:
    """The parts that have been told, with their times. Empty for a picture's caption."""
    if not is_video(caption):
        return []
    parts = caption.options["video"]["parts"]
    told = [turn.answer for turn in caption.dialogue.turns if turn.asked_by == SCENE]
    if len(parts) == 1:
        told = [caption.summary] if caption.summary else []
    both = zip(parts, told, strict=False)  # the text is empty while a scene waits to be told anew
    return [Scene(float(part["begin"]), float(part["end"]), text) for part, text in both if text]
