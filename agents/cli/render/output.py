"""Where printers write: plain lines for pipes and files, or rich text for a terminal.

Text from models, files and people goes through `tidy`, `printable` or rich's Text, never through markup.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, TextIO

from agents.chat.events import Rewritten
from agents.cli.errors import complain
from agents.cli.render.flow import Flow
from core.errors import InquisightError, printable

if TYPE_CHECKING:
    from rich.console import Console

SHORT_ID = 10
Parts = Sequence[tuple[str, str]]  # (text, style) after each other
Mark = tuple[int, int, str]  # a stretch of a text, from and to which character, and its style
REASONED = "(the above was the model's reasoning; its answer:)"
CUT = "(the above was cut at the limit of tokens; the answer:)"


def put_line(line: str, out: TextIO) -> None:
    """Write a line and its end in one go: `print` writes the end separately, so Ctrl-C can come before it."""
    out.write(f"{line}\n")
    out.flush()


def output_for(out: TextIO) -> Output:
    """The output for this stream."""
    return TerminalOutput(out) if out.isatty() else PlainOutput(out)


def transcript_line(id: str) -> str:
    """Where a transcript was saved."""
    return f"{id[:SHORT_ID]}: inquisight show {id[:SHORT_ID]}"


class PlainOutput:
    """Lines without styles. Notices go to standard error; `err` replaces it, and errors are not printed then."""

    rich = False

    def __init__(self, out: TextIO, err: TextIO | None = None) -> None:
        self.out, self.err = out, err
        self.flow = Flow(out)

    def line(self, *lines: str, style: str = "") -> None:
        for line in lines:
            put_line(line, self.out)

    dim = heading = line

    def prompt(self, text: str, *, typed: bool = True) -> None:
        """A person's words."""
        self.line(*(f"> {line}" for line in text.split("\n")))

    def notice(self, text: str, style: str = "yellow") -> None:
        print(f"inquisight: {text}", file=self.err or sys.stderr, flush=True)

    def error(self, error: InquisightError) -> None:
        if self.err is None:
            complain(error)

    def indented(self, text: str, left: int, style: str) -> None:
        self.line(*(" " * left + line for line in text.split("\n")))

    def entry(self, number: int | None, mark: str, text: str, style: str) -> None:
        """A numbered entry, or one without number below it; `mark` is printed instead of `style`."""
        self.line(f"{number or '':3} {mark}  {text}")

    def call(self, number: int, tool: str, arguments: str) -> None:
        """A tool call."""
        self.line(f"{number:3}  {tool}  {arguments}".rstrip())

    def exchange(self, question: str, answer: str) -> None:
        """A question and its answer inside a tool call."""
        self.line(f"       {question} {answer}")

    def labelled(self, rows: Sequence[tuple[str, str]], width: int) -> None:
        """Texts behind labels, which take `width` characters."""
        for label, text in rows:
            self.line(textwrap.fill(text, 100, initial_indent=f"{label}:".ljust(width), subsequent_indent=" " * width))

    def box(self, title: str, text: str, marks: Sequence[Mark] = ()) -> None:
        self.line(*text.split("\n"))

    def table(self, rows: Sequence[tuple[str, str]]) -> None:
        width = max(len(name) for name, _ in rows) + 2
        self.line(*(f"{printable(name)}".ljust(width) + printable(words) for name, words in rows))


class TerminalOutput:
    """Styles, boxes, and answers that are rewritten in place."""

    rich = True

    def __init__(self, out: TextIO, console: Console | None = None) -> None:
        from rich.console import Console

        self.console = console or Console(file=out, highlight=False, emoji=False, markup=False)
        erases = self.console.is_terminal and not (self.console.is_dumb_terminal or self.console.legacy_windows)
        self.flow = Flow(self.console.file, self.console.width, height=self.console.height if erases else 0)

    def line(self, *lines: str, style: str = "") -> None:
        from rich.text import Text

        for line in lines:
            self.console.print(Text(line, style=style))

    def dim(self, *lines: str) -> None:
        self.line(*lines, style="bright_black")

    def heading(self, *lines: str) -> None:
        from rich.rule import Rule
        from rich.text import Text

        for line in lines:
            self.console.print(Rule(Text(line, style="bold"), align="left", style="bright_black"))

    def prompt(self, text: str, *, typed: bool = True) -> None:
        self._grid([([(">", "bold magenta")], [(text, "bold magenta" if typed else "magenta")])], gap=0, width=2)

    def notice(self, text: str, style: str = "yellow") -> None:
        self.line(text, style=style)

    def error(self, error: InquisightError) -> None:
        self.line(printable(error, limit=1000), "", style="red")

    def indented(self, text: str, left: int, style: str) -> None:
        from rich.padding import Padding
        from rich.text import Text

        self.console.print(Padding(Text(text, style=style), (0, 0, 0, left)))

    def entry(self, number: int | None, mark: str, text: str, style: str) -> None:
        self._numbered(number, (text, style))

    def call(self, number: int, tool: str, arguments: str) -> None:
        self._numbered(number, (tool, "bold cyan"), (f"  {arguments}", "bold"))

    def exchange(self, question: str, answer: str) -> None:
        from rich.padding import Padding
        from rich.text import Text

        text = Text.assemble((question, "cyan"), (f" {answer}", "bright_black"))
        self.console.print(Padding(text, (0, 0, 0, 7)))

    def _numbered(self, number: int | None, *parts: tuple[str, str]) -> None:
        self._grid([([(str(number or ""), "bright_black")], parts)], width=3, justify="right")

    def labelled(self, rows: Sequence[tuple[str, str]], width: int) -> None:
        if rows:
            self._grid([([(label, "bright_black")], [(text, "")]) for label, text in rows], justify="right")

    def box(self, title: str, text: str, marks: Sequence[Mark] = ()) -> None:
        from rich.panel import Panel
        from rich.text import Text

        label, shown = Text(title, style="bold green"), Text(text)
        for start, end, style in marks:
            shown.stylize(style, start, end)
        self.console.print(Panel(shown, title=label, title_align="left", border_style="green", padding=(0, 1)))

    def table(self, rows: Sequence[tuple[str, str]]) -> None:
        self._grid([([(printable(name), "cyan")], [(printable(words), "")]) for name, words in rows], gap=3)

    def _grid(
        self,
        rows: Sequence[tuple[Parts, Parts]],
        *,
        gap: int = 2,
        width: int | None = None,
        justify: Literal["left", "right"] = "left",
    ) -> None:
        """Two columns."""
        from rich.table import Table
        from rich.text import Text

        grid = Table.grid(padding=(0, gap, 0, 0))
        grid.add_column(width=width, justify=justify, no_wrap=width is None)
        grid.add_column(overflow="fold")
        for row in rows:
            grid.add_row(*(Text.assemble(*parts) for parts in row))
        self.console.print(grid)


Output = PlainOutput | TerminalOutput


def rewrite(flow: Flow, event: Rewritten) -> None:
    """Replace the text shown so far; if it cannot be erased, write below it, after a line that says so."""
    if not flow.take_back():
        flow.end()
        flow.write(f"{CUT if event.cut else REASONED}\n")
    flow.write(event.text)
