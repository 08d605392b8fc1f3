"""Write a video's summary with times: WebVTT, SubRip, and FFmpeg chapters.

    write_timeline(caption, Path("clip.vtt"))     # or .srt; clip.ffmetadata holds chapters

Each scene is a cue. In a video without scenes, each frame with questions is one, until a frame with another text.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agents.interview.protocol import END_FAILED
from agents.text.cleaning import certain_part
from agents.video.records import frame_turns, scenes
from core.errors import UsageError, printable
from core.records import Caption, Turn
from core.text import sentences

CUE_CHARS: Final = 240
TITLE_CHARS: Final = 60
SHORTEST: Final = 0.001  # seconds; players reject cues without a length
_NEGATION: Final = re.compile(r"^\W*(?:no|nope|yes)\b|\b(?:there (?:is|are) no|i see no|nothing)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Cue:
    """The text for the time from `begin` to `end`, in seconds."""

    begin: float
    end: float
    text: str

    @property
    def title(self) -> str:
        """The first sentence, short enough for a list of chapters."""
        first = next(iter(sentences(self.text)), self.text).rstrip(".")
        return first if len(first) <= TITLE_CHARS else first[: first.rfind(" ", 0, TITLE_CHARS)].rstrip(",;: ") + " …"


def cues(caption: Caption) -> list[Cue]:
    """The timeline of a video's caption, in order, without gaps; empty if nothing certain is known."""
    parts = scenes(caption)
    if len(caption.options.get("video", {}).get("parts", ())) > 1:
        return [Cue(scene.begin, scene.end, scene.text) for scene in parts]
    known = [(one.seconds, text) for one in frame_turns(caption) if (text := learned(one.turns))]
    if not known:
        return [Cue(scene.begin, scene.end, scene.text) for scene in parts]
    [part] = caption.options["video"]["parts"]
    ends = [seconds for seconds, _ in known[1:]] + [float(part["end"])]
    found: list[Cue] = []
    for (seconds, text), end in zip(known, ends, strict=True):
        if found and found[-1].text == text:
            found[-1] = Cue(found[-1].begin, end, text)
        else:
            found.append(Cue(seconds, max(end, seconds + SHORTEST), text))
    return found


def learned(turns: Sequence[Turn]) -> str:
    """The text for one frame: its longest certain answer, or ""."""
    answers = [certain_part(turn.answer) for turn in turns if turn.certainty == "sure"]
    descriptive = [answer for answer in answers if not _NEGATION.search(answer)] or answers
    text = max(descriptive, key=len, default="")
    short = ""
    for sentence in sentences(text):
        if short and len(short) + len(sentence) >= CUE_CHARS:
            break
        short = f"{short} {sentence[:1].upper()}{sentence[1:]}".strip()
    return short if len(short) <= CUE_CHARS else short[: CUE_CHARS - 1].rstrip() + "…"


# --- formats ----------------------------------------------------------------------------------------------------------


def to_webvtt(timeline: Sequence[Cue]) -> str:
    """https://www.w3.org/TR/webvtt1/: in the text, &, < and > are written as entities."""
    blocks = [
        f"{number}\n{_stamp(cue.begin, '.')} --> {_stamp(cue.end, '.')}\n{html.escape(_line(cue.text), quote=False)}\n"
        for number, cue in enumerate(timeline, start=1)
    ]
    return "\n".join(["WEBVTT\n", *blocks])


def to_subrip(timeline: Sequence[Cue]) -> str:
    """SubRip has no escapes and players read <...> as tags, so angle brackets are replaced."""
    cleaned = [_line(cue.text).replace("<", "‹").replace(">", "›") for cue in timeline]
    return "\n".join(
        f"{number}\n{_stamp(cue.begin, ',')} --> {_stamp(cue.end, ',')}\n{text}\n"
        for number, (cue, text) in enumerate(zip(timeline, cleaned, strict=True), start=1)
    )


def to_ffmetadata(timeline: Sequence[Cue]) -> str:
    """Chapters; `ffmpeg -i clip.mp4 -i clip.ffmetadata -map_chapters 1 -c copy with-chapters.mp4` puts them in.

    https://ffmpeg.org/ffmpeg-formats.html#Metadata-2: =, ;, #, \\ and line breaks are escaped.
    """
    blocks = []
    for cue in timeline:
        title = re.sub(r"([=;#\\])", r"\\\1", _line(cue.title))
        blocks.append(
            f"[CHAPTER]\nTIMEBASE=1/1000\nSTART={round(cue.begin * 1000)}\nEND={round(cue.end * 1000)}\ntitle={title}\n"
        )
    return "\n".join([";FFMETADATA1\n", *blocks])


FORMATS: Final[dict[str, Callable[[Sequence[Cue]], str]]] = {
    ".vtt": to_webvtt,
    ".srt": to_subrip,
    ".ffmetadata": to_ffmetadata,
}


def check_timeline(path: Path) -> None:
    """Raise UsageError if the suffix is no known format."""
    if path.suffix.lower() not in FORMATS:
        raise UsageError(
            f"--timeline '{printable(path)}' must end in .vtt (WebVTT), .srt (SubRip) or .ffmetadata (chapters)"
        )


def timeline_text(caption: Caption, path: Path) -> str:
    """The timeline in the format of `path`'s suffix. Raises UsageError if it is empty."""
    timeline = cues(caption)
    if not timeline:
        why = "the interview failed" if caption.ended_because == END_FAILED else "nothing certain was learned"
        raise UsageError(f"there is nothing to write to '{printable(path)}': {why}")
    return FORMATS[path.suffix.lower()](timeline)


def _line(text: str) -> str:
    """`text` on one line: an empty line would end the cue."""
    return " ".join(printable(text, limit=None).split())


def _stamp(seconds: float, mark: str) -> str:
    """ "00:01:02.500" """
    thousandths = round(max(0.0, seconds) * 1000)
    whole, rest = divmod(thousandths, 1000)
    minutes, secs = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{secs:02}{mark}{rest:03}"
