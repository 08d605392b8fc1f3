"""Read a video's interview from its Caption.

`picture` is the video, `options["video"]` holds the frames' times and the parts, turns are labelled ("Frame 3: What is
it?"), and the summary of a part is a separate turn. So transcripts of videos are stored, searched and resumed like all
others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from agents.styles.owner import find_conflicts
from agents.video.interview import SCENE, VideoPart, frame_of, without_label
from core.records import Caption, Conflict, Turn


@dataclass(frozen=True, slots=True)
class FrameTurns:
    """A frame with questions."""

    number: int  # from 1
    seconds: float
    turns: tuple[Turn, ...]  # their questions without the label


@dataclass(frozen=True, slots=True)
class Scene:
    """A part of a video and its summary; a short video has one part."""

    begin: float
    end: float
    text: str


def video_options(
    times: Sequence[float], parts: Sequence[VideoPart], numbers: Sequence[int], sampling: str
) -> dict[str, Any]:
    """The value of `options["video"]`. `numbers` are positions of the frames in the video, from 0."""
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
    """Whether this is an interview about a video."""
    return isinstance(caption.options.get("video"), dict)


def frame_turns(caption: Caption) -> list[FrameTurns]:
    """The frames with questions, in the order of the video. Empty for a picture's caption."""
    if not is_video(caption):
        return []
    frames = caption.options["video"]["frames"]
    found: dict[int, list[Turn]] = {}
    for turn in caption.dialogue.turns:
        number = frame_of(turn.question)
        if number is not None and 1 <= number <= len(frames):
            bare = turn.model_copy(update={"question": without_label(turn.question)})
            found.setdefault(number, []).append(bare)
    return [FrameTurns(number, float(frames[number - 1]["seconds"]), tuple(found[number])) for number in sorted(found)]


def conflicts_in(turns: Sequence[Turn]) -> tuple[Conflict, ...]:
    """Where answers contradict what the owner told; a thing need not be in every frame."""
    bare = [turn.model_copy(update={"question": without_label(turn.question)}) for turn in turns]
    found = find_conflicts(bare, moments=True)
    return tuple(one for one in found if turns[one.turn - 1].asked_by != SCENE)


def scenes(caption: Caption) -> list[Scene]:
    """The summarised parts with their times. Empty for a picture's caption."""
    if not is_video(caption):
        return []
    parts = caption.options["video"]["parts"]
    texts = [turn.answer for turn in caption.dialogue.turns if turn.asked_by == SCENE]
    if len(parts) == 1:
        texts = [caption.text if caption.summary else ""]
    both = zip(parts, texts, strict=False)  # the text is empty while the summary is outdated
    return [Scene(float(part["begin"]), float(part["end"]), text) for part, text in both if text]
