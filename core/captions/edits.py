"""Changes of many captions: find and replace, prefix, suffix, trim, tags. Each is a pure function of one caption.

    Replace(r"(\\w+) cat", r"\\1 dog", regex=True).check()(text)

A pattern of a user may take for ever, so each text has a time limit, and so have all together.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from core.captions.forms import LARGEST_TEXT, clean
from core.captions.pattern_size import LARGEST_PATTERN, written_out
from core.errors import UsageError, printable

if TYPE_CHECKING:
    import regex

LONGEST_PATTERN: Final = 2000  # characters
SECONDS: Final = 1.0  # of one pattern on one caption
SECONDS_IN_ALL: Final = 120.0
Change = Callable[[str], str]


class Edit:
    """A change of one caption, the same for all."""

    @property
    def label(self) -> str:
        """The change in words, for lists of versions."""
        raise NotImplementedError

    def check(self) -> Change:
        """The change as a function of a caption. Raises UsageError; the function does, too."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Replace(Edit):
    """Replace text; `regex` patterns are those of the package of this name, and `by` may name groups: \\1."""

    find: str
    by: str
    regex: bool = False
    ignore_case: bool = False
    whole_words: bool = False

    @property
    def label(self) -> str:
        return f"replace '{printable(self.find, 60)}' by '{printable(self.by, 60)}'"

    def check(self) -> Change:
        import regex

        if not self.find:
            raise UsageError("the text to find is empty; write what is to be replaced")
        if max(len(self.find), len(self.by)) > LONGEST_PATTERN:
            raise UsageError(f"find and replace take at most {LONGEST_PATTERN:,} characters")
        pattern = self.find if self.regex else regex.escape(self.find)
        if self.whole_words:
            pattern = rf"(?<!\w)(?:{pattern})(?!\w)"
        by = self.by if self.regex else self.by.replace("\\", r"\\")
        shown = printable(self.find, 60)
        if self.regex and written_out(self.find) > LARGEST_PATTERN:
            raise UsageError(f"the regular expression '{shown}' repeats too much; write smaller counts in {{}}")
        try:
            compiled = regex.compile(pattern, (regex.IGNORECASE if self.ignore_case else 0) | regex.VERSION0)
            regex.compile(f"{pattern}|", compiled.flags).sub(by, "", timeout=SECONDS)  # also where nothing matches
        except TimeoutError:
            raise UsageError(_slow(shown)) from None
        except (regex.error, IndexError, ValueError, OverflowError, RecursionError, MemoryError) as error:
            reason = printable(str(error) or type(error).__name__, 80)
            raise UsageError(
                f"the regular expression '{shown}' by '{printable(by, 60)}' is not valid: {reason}"
            ) from None
        return _timed(compiled, by, shown)


def _timed(compiled: regex.Pattern[str], by: str, shown: str) -> Change:
    import regex

    spent = 0.0

    def change(text: str) -> str:
        nonlocal spent
        began = time.monotonic()
        try:
            result = str(compiled.sub(by, text, timeout=SECONDS))
        except TimeoutError:
            raise UsageError(_slow(shown)) from None
        except (regex.error, IndexError, MemoryError) as error:
            raise UsageError(f"'{shown}' cannot be replaced: {printable(error, 80)}") from None
        spent += time.monotonic() - began
        if spent > SECONDS_IN_ALL:
            raise UsageError(_slow(shown))
        return _bounded(result)

    return change


def _slow(shown: str) -> str:
    return (
        f"the regular expression '{shown}' takes too long; write it without repeats inside repeats. Nothing was changed"
    )


def _bounded(text: str) -> str:
    if len(text) > LARGEST_TEXT // 4:
        raise UsageError(f"a caption would become longer than {LARGEST_TEXT // 4:,} characters; nothing was changed")
    return text


@dataclass(frozen=True, slots=True)
class Prefix(Edit):
    """Put text before captions that do not begin with it yet, such as a trigger word and a comma."""

    text: str

    @property
    def label(self) -> str:
        return f"prefix '{printable(self.text, 60)}'"

    def check(self) -> Change:
        if not self.text:
            raise UsageError("the prefix is empty; write what is to stand before each caption")
        return lambda text: text if text.startswith(self.text) else _bounded(self.text + text)


@dataclass(frozen=True, slots=True)
class Suffix(Edit):
    """Put text after captions that do not end in it yet."""

    text: str

    @property
    def label(self) -> str:
        return f"suffix '{printable(self.text, 60)}'"

    def check(self) -> Change:
        if not self.text:
            raise UsageError("the suffix is empty; write what is to stand after each caption")
        return lambda text: text if text.endswith(self.text) else _bounded(text + self.text)


@dataclass(frozen=True, slots=True)
class Trim(Edit):
    """Remove white space around captions and repeated spaces in them."""

    @property
    def label(self) -> str:
        return "trim"

    def check(self) -> Change:
        return lambda text: "\n".join(" ".join(line.split()) for line in text.strip().split("\n"))


@dataclass(frozen=True, slots=True)
class Tags(Edit):
    """Add and remove tags, and keep one of equal ones. Upper and lower case count as equal."""

    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    separator: str = ","

    @property
    def label(self) -> str:
        named = [f"{word} {', '.join(tags)}" for word, tags in (("add", self.add), ("remove", self.remove)) if tags]
        return printable("; ".join(named) or "remove duplicate tags", 120)

    def check(self) -> Change:
        if not self.separator.strip():
            raise UsageError("the separator of tags is empty; take a comma, for instance")
        gone = {tag.strip().casefold() for tag in self.remove}
        added = [tag.strip() for tag in self.add if tag.strip()]
        between = f"{self.separator.strip()} "

        def change(text: str) -> str:
            tags = [" ".join(tag.split()) for tag in text.split(self.separator.strip())]
            kept: dict[str, str] = {}
            for tag in [*tags, *added]:
                if tag and tag.casefold() not in gone:
                    kept.setdefault(tag.casefold(), tag)
            if len(kept) == len(tags) and not added:
                return text  # nothing to remove: white space stays as it is
            return _bounded(between.join(kept.values()))

        return change


@dataclass(frozen=True, slots=True)
class SetText(Edit):
    """The same text for every caption."""

    text: str

    @property
    def label(self) -> str:
        return "edit"

    def check(self) -> Change:
        text = _bounded(clean(self.text))
        return lambda _: text


def cleaned(change: Change) -> Change:
    """`change`, with a result that every form can hold; a caption that it leaves alone stays as it is."""

    def both(text: str) -> str:
        result = change(text)
        return text if result == text else clean(result)

    return both
