"""One picture with its text; broken samples are counted, reported and skipped."""

from __future__ import annotations

import codecs
import hashlib
import json
import random
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal

from core.errors import ImageError, InquisightError, printable
from core.images.picture import MAX_PIXELS, Picture, open_picture

MAX_SHARE: Final = 0.05
PATIENCE: Final = 200


class DataError(InquisightError):
    """A data set or a feature cache that cannot be used as it is; the message is one line for a person."""

    exit_code = 7


Fault = Literal[
    "broken picture", "missing picture", "picture on the web", "missing caption", "empty caption",
    "unreadable caption", "damaged shard", "broken row",
]  # fmt: skip


class BrokenSample(Exception):  # noqa: N818 - it names what was found; nobody catches it but the reader
    """A sample to be skipped, with the reason, which ends without a full stop."""

    def __init__(self, key: str, reason: str, fault: Fault = "broken picture") -> None:
        super().__init__(f"{key}: {reason}")
        self.key = key
        self.reason = reason
        self.fault = fault


@dataclass(frozen=True, slots=True)
class Sample:
    """A picture and the text that belongs to it."""

    key: str  # unique in its source: "00012.tar/000000123", "cats/one.jpg", "table.csv:17"
    source: str  # the path of the data set, as the user wrote it
    picture: bytes = field(repr=False)  # the original file
    text: str  # the caption or description to be learned; never empty
    instruction: str | None = None  # the instruction, if the data give one
    opened: Picture | None = field(default=None, repr=False, compare=False)  # decoded by the stream
    answers: tuple[str, ...] = ()  # to a question, one per person who was asked; `text` is the most frequent one

    @property
    def sha256(self) -> str:
        """The digest of the original file, hex."""
        return self.opened.sha256 if self.opened is not None else hashlib.sha256(self.picture).hexdigest()

    def drawn_text(self, draw: str) -> str:
        """Return the text to learn: one of the answers, each as often as it was given; `draw` decides which."""
        return random.Random(draw).choice(self.answers) if len(self.answers) > 1 else self.text

    def open(self, max_pixels: int = MAX_PIXELS) -> Picture:
        """Return the decoded picture, without decoding it again if the stream did. Raises ImageError."""
        if self.opened is not None:
            return self.opened
        return open_picture(self.picture, max_pixels=max_pixels, name=self.key)

    def decoded(self, max_pixels: int = MAX_PIXELS) -> Sample:
        """Return the same sample with its picture opened. Raises BrokenSample."""
        try:
            return replace(self, opened=self.open(max_pixels))
        except ImageError as error:
            reason = str(error).removeprefix(f"'{printable(self.key)}' ").rstrip(".")
            raise BrokenSample(self.key, reason) from None


def caption_of(value: Any, key: str, what: str = "its caption") -> str:
    """Return a text without blanks around it. Raises BrokenSample if there is none."""
    if isinstance(value, bytes):
        try:
            value = value.decode("utf-16" if value[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig")
        except UnicodeDecodeError:
            raise BrokenSample(key, f"{what} is not written in UTF-8", "unreadable caption") from None
    if value is None:
        raise BrokenSample(key, f"{what} is missing", "missing caption")
    if not isinstance(value, str):
        raise BrokenSample(key, f"{what} is a {type(value).__name__}, not a text", "unreadable caption")
    try:
        value.encode()
    except UnicodeEncodeError:  # a lone surrogate: bytes of a table that are not UTF-8, or an escape of JSON
        raise BrokenSample(key, f"{what} is not written in UTF-8", "unreadable caption") from None
    text = value.strip()
    if not text:
        raise BrokenSample(key, f"{what} is empty", "empty caption")
    return text


def answers_of(value: Any, key: str, what: str = "its answers") -> tuple[str, ...]:
    """Return the answers in a cell: a text, or a list of texts or of VQA's {"answer": ...}, also written as JSON.

    Raises BrokenSample if there is none.
    """
    if isinstance(value, str) and value.lstrip().startswith("["):
        with suppress(ValueError):  # a text that begins with a bracket
            value = json.loads(value)
    values = value if isinstance(value, list | tuple) else [value]
    found = [one.get("answer") if isinstance(one, dict) else one for one in values]
    numbers = [str(one) if isinstance(one, int | float) and not isinstance(one, bool) else one for one in found]
    if not numbers:
        raise BrokenSample(key, f"{what} are missing", "missing caption")
    return tuple(caption_of(one, key, what) for one in numbers)


class BrokenLog:
    """Count broken samples and name them in a JSON Lines report; too large a share of them stops the run.

    The share is checked once `PATIENCE` samples were read, and at the end of the data. A sample that comes again in a
    later epoch or after a restart is counted again, but is in the report once.
    """

    def __init__(self, report: Path | None = None, *, max_share: float = MAX_SHARE) -> None:
        self.report = report
        self.max_share = max_share
        self.total = 0
        self.broken = 0
        self.first: str | None = None
        self._named: set[int] = set()  # 64 bits per broken sample instead of its name
        if report is not None:
            self._read(report)

    def good(self) -> None:
        """Count a whole sample."""
        self.total += 1

    def add(self, source: str, sample: BrokenSample, *, counted: bool = False) -> None:
        """Name a broken sample; `counted`: it was counted as whole before. Raises DataError if there are too many."""
        self.total += not counted
        self.broken += 1
        self.first = self.first or f"{printable(sample.key, 80)}: {printable(sample.reason, 160)}"
        self._write(source, sample)
        if self.total >= PATIENCE:
            self.check()

    def check(self) -> None:
        """Raise DataError if the share of broken samples is too large."""
        share = self.broken / self.total if self.total else 0.0
        if share <= self.max_share:
            return
        where = f"; see {printable(self.report)}" if self.report else ""
        raise DataError(
            f"{self.broken} of {self.total} samples are broken ({share:.1%}, {self.max_share:.1%} are allowed), "
            f"the first is {self.first}{where}; run `inquisight data check` on the data, or allow a larger share."
        )

    def state_dict(self) -> dict[str, Any]:
        """Return the counts, to resume with."""
        return {"total": self.total, "broken": self.broken, "first": self.first}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the counts of `state_dict`."""
        self.total, self.broken, self.first = int(state["total"]), int(state["broken"]), state["first"]

    def _read(self, report: Path) -> None:
        try:
            with report.open(encoding="utf-8") as file:
                for line in file:
                    try:
                        entry = json.loads(line)
                        self._named.add(_short(entry["source"], entry["key"]))
                    except (ValueError, KeyError, TypeError):  # a line that a kill truncated
                        continue
        except FileNotFoundError:
            return
        except OSError as error:
            raise DataError(f"{printable(report)} cannot be read: {error.strerror}.") from None

    def _write(self, source: str, sample: BrokenSample) -> None:
        name = _short(source, sample.key)
        if self.report is None or name in self._named:
            return
        self._named.add(name)
        entry = {"source": source, "key": sample.key, "fault": sample.fault, "reason": sample.reason}
        line = json.dumps(entry, ensure_ascii=True) + "\n"
        try:
            self.report.parent.mkdir(parents=True, exist_ok=True)
            # One unbuffered write in append mode: lines of several processes do not mix.
            with open(self.report, "ab", buffering=0) as file:
                file.write(line.encode())
        except OSError as error:
            raise DataError(f"{printable(self.report)} cannot be written: {error.strerror}.") from None


def _short(source: str, key: str) -> int:
    name = f"{source}\0{key}".encode(errors="surrogatepass")
    return int.from_bytes(hashlib.blake2b(name, digest_size=8).digest())
