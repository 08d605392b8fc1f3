"""The loop over the turns of a chat: lines become questions and commands, and these become events.

    for event in converse(chat, lines, outside):
        show(event)

No input or output here: `lines` is any iterable, and files are opened and written by `outside`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from agents.chat.conversation import Conversation
from agents.chat.events import ChatAnswered, Event, Notice, PictureAdded, Silenced, passing
from agents.chat.html_answer import find_page
from core.errors import InquisightError, UsageError, printable
from core.records import Chat as ChatRecord
from core.records import ChatTurn, PictureInfo

if TYPE_CHECKING:
    from core.images.picture import Picture
    from core.vision import EncodedImage

COMMANDS: Final[dict[str, tuple[str, str]]] = {
    "image": ("PATH", "add a picture at this place of the conversation"),
    "task": ("NAME [WORDS]", "a ready prompt, with words of yours after it; without a name: list them"),
    "retry": ("", "the last question again, with another seed"),
    "undo": ("", "take back the last turn, or a picture that was just added"),
    "save": ("FILE", "write the conversation to a new file: JSON for .json, else text"),
    "help": ("", "this list"),
    "quit": ("", "leave (Ctrl-D does, too)"),
}


class Outside(Protocol):
    """Files that a chat reads and writes. Every method raises InquisightError."""

    def open(self, path: str) -> Picture: ...

    def save(self, path: str, record: ChatRecord) -> Path: ...

    def write_page(self, html: str, picture: PictureInfo) -> Path: ...


# --- events, besides those of a turn ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ChatFailed:
    """Something failed; the chat continues."""

    error: InquisightError


@dataclass(frozen=True, slots=True)
class Undone:
    """A turn, or a picture without a question, was removed."""

    what: ChatTurn | Picture | EncodedImage


@dataclass(frozen=True, slots=True)
class Written:
    """A file was written: a "web page" or the "conversation"."""

    what: str
    path: Path


@dataclass(frozen=True, slots=True)
class ChatListing:
    """Rows of (name, text) that the person requested."""

    title: str
    rows: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class ChatEnded:
    """The last event. `id` is None if nothing was said or saved; `save_error` says why saving failed."""

    record: ChatRecord
    id: str | None = None
    save_error: InquisightError | None = None
    interrupted: bool = False


LoopEvent = Event | ChatFailed | Undone | Written | ChatListing | ChatEnded


# --- what a person says -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ask:
    """A question, never read as a command."""

    text: str


@dataclass(frozen=True, slots=True)
class Do:
    """A command of `COMMANDS` with the words after it."""

    command: str
    words: str = ""


Said = Ask | Do


def parse(line: str) -> Said | None:
    """Parse a typed line; None if it is empty. "//" begins a question with one "/". Raises UsageError."""
    line = line.strip()
    if not line:
        return None
    if not line.startswith("/") or line.startswith("//"):
        return Ask(line[1:] if line.startswith("//") else line)
    name, _, words = line[1:].partition(" ")
    name, words = name.casefold(), words.strip()
    name = {"exit": "quit", "q": "quit", "?": "help", "img": "image", "tasks": "task"}.get(name, name)
    if name in COMMANDS:
        return Do(name, words)
    close = difflib.get_close_matches(name, COMMANDS, n=1)
    hint = f"did you mean /{close[0]}?" if close else f"there is {', '.join(f'/{one}' for one in COMMANDS)}."
    raise UsageError(f"there is no command '/{printable(name, limit=40)}': {hint}")


# --- the loop -----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Loop:
    chat: Conversation
    outside: Outside
    goes_on: bool = True  # more may be said, so another try can be offered
    ended: bool = False
    save_error_reported: bool = False

    def serve(self, said: Said) -> Iterator[LoopEvent]:
        match said:
            case Ask(text):
                yield from self._after(self.chat.ask(text))
            case Do("image", words):
                yield self._add(words)
            case Do("task", words) if not words:
                yield ChatListing("tasks", tuple(self.chat.tasks.titles.items()))
            case Do("task", words):
                name, _, more = words.partition(" ")
                yield from self._after(self.chat.ask(more, task=name))
            case Do("retry"):
                yield from self._after(self.chat.retry())
            case Do("undo"):
                yield Undone(self.chat.undo())
            case Do("save", words):
                yield self._save(words)
            case Do("help"):
                rows = ((f"/{name} {words}".strip(), about) for name, (words, about) in COMMANDS.items())
                yield ChatListing("commands", tuple(rows))
            case Do("quit"):
                self.ended = True

    def _add(self, words: str) -> PictureAdded:
        if not words:
            raise UsageError("name the picture: /image PATH")
        picture = self.outside.open(_unquoted(words))
        return PictureAdded(self.chat.add(picture), picture.info())

    def _save(self, words: str) -> Written:
        if not words:
            raise UsageError("name the file: /save FILE")
        if not self.chat.turns:
            raise UsageError("there is nothing to save yet")
        return Written("conversation", self.outside.save(_unquoted(words), self.chat.record))

    def _after(self, events: Iterator[Event]) -> Iterator[LoopEvent]:
        """The events of a turn, and the web page in its answer."""
        before = self.chat.turns[-1:]
        yield from events
        after = self.chat.turns[-1:]
        if not after or (before and after[0] is before[0]):
            return
        if after[0].task and self.chat.tasks.get(after[0].task).writes == "html":
            yield from self._page(after[0])
        if self.chat.save_error is not None and not self.save_error_reported:
            self.save_error_reported = True
            yield Notice(f"this conversation is not saved: {self.chat.save_error}")

    def _page(self, turn: ChatTurn) -> Iterator[LoopEvent]:
        page = find_page(turn.answer)
        if page is None:
            raise UsageError(
                "the answer holds no HTML, so no web page is written; "
                f"{'/retry or ' if self.goes_on else ''}another vision model may do better."
            )
        if not page.whole:
            yield Notice("the page is not whole: it breaks off, or is a part of one; --max-new-tokens allows more.")
        yield Written("web page", self.outside.write_page(page.html, self.chat.pictures[-1].info()))


def converse(
    chat: Conversation, lines: Iterable[str | Said], outside: Outside, *, goes_on: bool = True
) -> Iterator[LoopEvent]:
    """Serve `lines` one after the other; an error is reported, and the next line follows. The last event is ChatEnded.

    KeyboardInterrupt, also one thrown into the generator, ends the current answer; without `goes_on` also the chat.
    """
    loop = _Loop(chat, outside, goes_on)
    stopped = False

    def look(event: LoopEvent) -> None:
        nonlocal stopped
        if isinstance(event, Silenced) or (isinstance(event, ChatAnswered) and event.turn.status == "stopped"):
            stopped = True

    yield chat.started()
    for line in lines:
        stopped = False
        try:
            said = parse(line) if isinstance(line, str) else line
            if said is not None:
                yield from passing(loop.serve(said), look)
        except InquisightError as error:
            yield ChatFailed(error)
        except KeyboardInterrupt:
            stopped = True
        if loop.ended or (stopped and not goes_on):
            break
    interrupted = stopped and not goes_on
    yield ChatEnded(chat.record, chat.saved_as if chat.turns else None, chat.save_error, interrupted)


def _unquoted(words: str) -> str:
    """A path as shells and file managers paste it: with quotes, or with blanks escaped."""
    if len(words) > 1 and words[0] == words[-1] and words[0] in "'\"":
        return words[1:-1]
    return words.replace("\\ ", " ")
