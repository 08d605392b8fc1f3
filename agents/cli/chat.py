"""`inquisight chat`: check the options, load the vision model, read lines, read and write files.

The conversation is `agents.chat.conversation`, what a person types `agents.chat.repl`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TextIO

from agents.chat.conversation import ChatOptions, Conversation
from agents.chat.events import drive
from agents.chat.html_answer import check_out, write_beside, write_new
from agents.chat.presets import Tasks
from agents.chat.repl import COMMANDS, Ask, ChatEnded, ChatFailed, Do, LoopEvent, Said, converse
from agents.cli.errors import EXIT_INTERRUPTED, common_exit_code, complain
from agents.cli.models import check_vision, load_vision
from agents.cli.render.chat import as_text, make_chat_printer
from agents.cli.requests import ChatRequest
from core.console.silence import hush_libraries
from core.errors import UsageError
from core.images.picture import Picture, open_picture
from core.records import Chat as ChatRecord
from core.records import PictureInfo
from core.settings import Settings, get_settings
from core.store.transcripts import TranscriptStore

if TYPE_CHECKING:
    from prompt_toolkit import PromptSession
    from prompt_toolkit.completion import Completer
    from prompt_toolkit.history import History
    from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

HISTORY = "chat_history"


@dataclass(frozen=True, slots=True)
class ChatPlan:
    """A checked request."""

    pictures: tuple[Picture, ...]
    vision: str
    options: ChatOptions
    tasks: Tasks
    said: tuple[Said, ...]  # empty: read from standard input
    out: Path | None
    settings: Settings


@dataclass(slots=True)
class ChatFiles:
    """Files that a chat reads and writes (`agents.chat.repl.Outside`)."""

    settings: Settings
    out: Path | None = None
    _used: bool = field(default=False, init=False)

    def open(self, path: str) -> Picture:
        if path == "-":
            raise UsageError("standard input is what you type here; name a file")
        return open_picture(Path(path).expanduser(), max_pixels=self.settings.max_pixels)

    def save(self, path: str, record: ChatRecord) -> Path:
        file = Path(path).expanduser()
        as_json = file.suffix.casefold() == ".json"
        return write_new(file, record.to_json(indent=2) + "\n" if as_json else as_text(record))

    def write_page(self, html: str, picture: PictureInfo) -> Path:
        if self.out is not None and not self._used:
            self._used = True
            return write_new(self.out, html)
        return write_beside(Path(picture.source).stem, html)


def run_chat(request: ChatRequest) -> int:
    """Hold the conversation. Returns the exit code. Raises InquisightError for errors before its start."""
    plan = make_plan(request)
    hush_libraries()
    typing = not plan.said and not request.json and sys.stdin.isatty() and sys.stdout.isatty()
    vision = load_vision(plan.vision)
    codes: list[int] = []
    try:
        store = TranscriptStore(plan.settings.database_url)
        chat = Conversation(vision, plan.pictures, plan.options, tasks=plan.tasks, save=store.add)
        lines: Iterable[str | Said] = plan.said or (
            typed_lines(plan.settings.home, plan.tasks.task) if typing else plain_lines()
        )
        printer = make_chat_printer(json=request.json, typing=typing)

        def show(event: LoopEvent) -> None:
            if isinstance(event, ChatFailed):
                codes.append(event.error.exit_code)
            printer.event(event)

        last = drive(converse(chat, lines, ChatFiles(plan.settings, plan.out), goes_on=typing), show)
    finally:
        vision.close()
    if not isinstance(last, ChatEnded) or last.interrupted:
        return EXIT_INTERRUPTED
    if typing:
        return 0
    if last.save_error is not None:
        codes.append(complain(last.save_error))
    return common_exit_code(codes)


def make_plan(request: ChatRequest) -> ChatPlan:
    """Check the request. Raises InquisightError, one line."""
    settings = get_settings()
    if not request.pictures:
        raise UsageError("name at least one picture to talk about, or - for standard input (see --help)")
    if request.short and request.long:
        raise UsageError("--short and --long contradict each other; choose one")
    seed = request.seed if request.seed is not None else settings.seed
    form: Literal["short", "long"] | None = "short" if request.short else "long" if request.long else None
    options = ChatOptions(request.max_new_tokens, request.temperature, seed=seed, form=form)
    tasks = Tasks.load(request.task_file)
    chosen = [tasks.get(name) for name in request.tasks]
    if any(not ask.strip() for ask in request.asks):
        raise UsageError("--ask is empty; write a question")
    if request.out is not None:
        if (chosen or request.asks) and not any(task.writes for task in chosen):
            raise UsageError("--out only means something together with a task that writes a file, such as webpage")
        check_out(request.out)
    said: list[Said] = [Do("task", name) for name in request.tasks]
    said += [Ask(text) for text in request.asks]
    if "-" in request.pictures and not said:
        raise UsageError("with the picture on standard input nothing can be typed; ask with --ask or --task")
    vision = request.vision if request.vision is not None else settings.vision
    check_vision(vision, len(request.pictures))
    pictures = tuple(open_picture(source, max_pixels=settings.max_pixels) for source in request.pictures)
    return ChatPlan(pictures, vision, options, tasks, tuple(said), request.out, settings)


# --- what a person types ----------------------------------------------------------------------------------------------


def plain_lines(stream: TextIO | None = None) -> Iterator[str]:
    """Lines of a file or pipe; a backslash at the end continues a line. Prints a prompt if a person types."""
    stream = stream if stream is not None else sys.stdin
    held = ""
    while True:
        if stream.isatty():  # only the output is redirected
            print("> ", end="", file=sys.stderr, flush=True)
        line = stream.readline()
        if not line:
            break
        text = line.rstrip("\r\n")
        if text.endswith("\\"):
            held += text[:-1] + "\n"
            continue
        yield held + text
        held = ""
    if held:
        yield held.rstrip("\n")


def typed_lines(home: Path, tasks: Iterable[str]) -> Iterator[str]:
    """Lines typed at a prompt, until Ctrl-D. Ctrl-C empties the line.

    Enter sends; Alt-Enter, or a backslash before Enter, begins a new line. Arrow keys recall earlier lines, also of
    earlier chats (saved in `home`). Tab completes commands, tasks and paths.
    """
    session = _session(home, tuple(tasks))
    while True:
        try:
            yield session.prompt()
        except KeyboardInterrupt:
            continue
        except EOFError:
            return


def _session(home: Path, tasks: tuple[str, ...]) -> PromptSession[str]:
    from prompt_toolkit import PromptSession
    from prompt_toolkit.formatted_text import FormattedText

    return PromptSession(
        FormattedText([("bold ansimagenta", "> ")]),
        multiline=True,
        prompt_continuation=lambda width, number, is_soft_wrap: " " * width,
        history=_history(home),
        completer=_completer(tasks),
        complete_while_typing=False,
        key_bindings=_keys(),
        enable_open_in_editor=False,
    )


def _keys() -> KeyBindings:
    from prompt_toolkit.key_binding import KeyBindings

    keys = KeyBindings()

    @keys.add("enter")
    def _(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if buffer.document.char_before_cursor == "\\":
            buffer.delete_before_cursor()
            buffer.insert_text("\n")
        else:
            buffer.validate_and_handle()

    @keys.add("escape", "enter")
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    return keys


def _completer(tasks: tuple[str, ...]) -> Completer:
    from prompt_toolkit.completion import NestedCompleter, PathCompleter, WordCompleter

    after: dict[str, Completer | None] = {
        "image": PathCompleter(expanduser=True),
        "save": PathCompleter(expanduser=True),
        "task": WordCompleter(list(tasks)),
    }
    return NestedCompleter({f"/{name}": after.get(name) for name in COMMANDS})


def _history(home: Path) -> History:
    """History in a file that only its owner can read; in memory if it cannot be written."""
    from prompt_toolkit.history import FileHistory, InMemoryHistory

    path = home / HISTORY
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600))
    except OSError:
        return InMemoryHistory()
    return FileHistory(path)
