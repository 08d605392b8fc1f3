"""Talk with a seeing model about pictures.

    python -m agents.chat photo.jpg                          # the same as: inquisight chat photo.jpg
    python -m agents.chat a.jpg b.jpg --ask "What differs?"
    python -m agents.chat sketch.png --task webpage --out page.html

The conversation itself is in `chatting.py` and `chat_loop.py`; this file checks what was asked for, loads the eye and
opens and writes files.
"""

from __future__ import annotations

if __name__ == "__main__":  # before the imports, which Ctrl-C may break off
    from core.launch import guard

    guard()

import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from core.errors import UsageError, printable

if TYPE_CHECKING:
    from agents.chat_loop import LoopEvent, Said
    from agents.chatting import ChatOptions
    from agents.tasks import Tasks
    from core.images import Picture
    from core.records import Chat as ChatRecord
    from core.records import PictureInfo
    from core.settings import Settings
    from core.vision import VisionBackend


@dataclass(frozen=True, slots=True)
class Request:
    """The command's options; None means: as set in the environment, or the default."""

    pictures: tuple[str, ...] = ()
    asks: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    task_file: Path | None = None
    vision: str | None = None
    out: Path | None = None
    seed: int | None = None
    temperature: float | None = None
    max_new_tokens: int | None = None
    short: bool = False
    long: bool = False
    json: bool = False
    list_tasks: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """A request that was checked before a model is loaded."""

    pictures: tuple[Picture, ...]
    vision: str
    options: ChatOptions
    tasks: Tasks
    said: tuple[Said, ...]  # empty: what is typed
    out: Path | None
    settings: Settings


@dataclass(slots=True)
class Files:
    """The world outside of the chat (`chat_loop.Outside`)."""

    settings: Settings
    out: Path | None = None
    _used: bool = field(default=False, init=False)

    def open(self, path: str) -> Picture:
        from core.images import open_picture

        if path == "-":
            raise UsageError("standard input is what you type here; name a file")
        return open_picture(Path(path).expanduser(), max_pixels=self.settings.max_pixels)

    def save(self, path: str, record: ChatRecord) -> Path:
        from agents.chat_printing import as_text
        from agents.webpage import write_new

        file = Path(path).expanduser()
        as_json = file.suffix.casefold() == ".json"
        return write_new(file, record.to_json(indent=2) + "\n" if as_json else as_text(record))

    def write_page(self, html: str, picture: PictureInfo) -> Path:
        from agents.webpage import write_beside, write_new

        if self.out is not None and not self._used:
            self._used = True
            return write_new(self.out, html)
        return write_beside(Path(picture.source).stem, html)


def run(request: Request) -> int:
    """Hold the conversation. Gives back the exit code. Raises InquisightError for what stops it before it begins."""
    if request.list_tasks:
        return print_tasks(request.task_file)
    plan = make_plan(request)
    from agents.chat_events import drive
    from agents.chat_input import plain_lines, typed_lines
    from agents.chat_loop import Ended, Failed, converse
    from agents.chat_printing import make_chat_printer
    from agents.chatting import Chat
    from agents.cli import EXIT_INTERRUPTED, complain
    from core.quiet import hush_libraries
    from core.store import TranscriptStore

    hush_libraries()
    typing = not plan.said and not request.json and sys.stdin.isatty() and sys.stdout.isatty()
    vision = load_vision(plan.vision)
    codes: list[int] = []
    try:
        store = TranscriptStore(plan.settings.database_url)
        chat = Chat(vision, plan.pictures, plan.options, tasks=plan.tasks, save=store.add)
        lines: Iterable[str | Said] = plan.said or (
            typed_lines(plan.settings.home, plan.tasks.task) if typing else plain_lines()
        )
        printer = make_chat_printer(json=request.json, typing=typing)

        def show(event: LoopEvent) -> None:
            if isinstance(event, Failed):
                codes.append(event.error.exit_code)
            printer.event(event)

        last = drive(converse(chat, lines, Files(plan.settings, plan.out), goes_on=typing), show)
    finally:
        vision.close()
    if not isinstance(last, Ended) or last.interrupted:
        return EXIT_INTERRUPTED
    if last.save_error is not None and not typing:
        codes.append(complain(last.save_error))
    if typing or not codes:
        return 0
    return codes[0] if len(set(codes)) == 1 else 1


def make_plan(request: Request) -> Plan:
    """Check the request. Raises InquisightError, one line."""
    from agents.chat_loop import Ask, Do
    from agents.chatting import ChatOptions
    from agents.tasks import Tasks
    from agents.webpage import check_out
    from core.images import open_picture
    from core.settings import get_settings

    settings = get_settings()
    if not request.pictures:
        raise UsageError("name at least one picture to talk about, or - for standard input (see --help)")
    if request.short and request.long:
        raise UsageError("--short and --long contradict each other; choose one")
    form: Literal["short", "long"] | None = "short" if request.short else "long" if request.long else None
    seed = request.seed if request.seed is not None else settings.seed
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
    return Plan(pictures, vision, options, tasks, tuple(said), request.out, settings)


def check_vision(spec: str, pictures: int) -> None:
    """Raise InquisightError where the eye is unknown, or says that it does not take so many pictures."""
    from core.registry import get_registry

    entry = get_registry().find("vision backend", spec.split(":", 1)[0])
    most = entry.capabilities.get("max_images")
    if isinstance(most, int) and pictures > most:
        takes = "one picture" if most == 1 else f"at most {most} pictures"
        raise UsageError(
            f"{printable(spec)} takes {takes} in a conversation, not {pictures}; choose an eye that takes more with "
            "--vision (see `inquisight plugins`)"
        )


def load_vision(spec: str) -> VisionBackend:
    """The eye, with a word on a terminal while it is loaded. Raises InquisightError."""
    from agents.printing import Status
    from core.registry import get_registry

    status = Status()
    status.show(f"loading {printable(spec)}")
    try:
        return get_registry().create_vision(spec)
    finally:
        status.clear()


def print_tasks(file: Path | None = None) -> int:
    """List the ready prompts."""
    from agents.listing import print_table
    from agents.tasks import Tasks

    tasks = Tasks.load(file)
    print_table(("task", "what it asks for"), list(tasks.titles.items()))
    return 0


if __name__ == "__main__":
    from core.launch import launch

    launch("agents.cli:run", command="chat", program="python -m agents.chat")
