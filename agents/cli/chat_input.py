"""Read a person's lines for a chat: with an editor in a terminal, plainly elsewhere."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from agents.chat.repl import COMMANDS

if TYPE_CHECKING:
    from prompt_toolkit import PromptSession
    from prompt_toolkit.completion import Completer
    from prompt_toolkit.history import History
    from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

HISTORY = "chat_history"


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
