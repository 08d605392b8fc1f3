"""Write a check's Report for people: on the terminal, as Markdown, as one HTML file, and its histogram as a picture."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Final

from core.datasets.samples.sample import DataError
from core.errors import UsageError, printable
from core.files.atomic import replacing
from training.data.findings import Report, Spread

if TYPE_CHECKING:
    from rich.console import Console

FORMATS: Final = (".html", ".htm", ".md")
BARS: Final = 60
_COLUMNS: Final = ("data", "kind", "checked", "broken", "left out")
_MARKS: Final = {"stops": "stops a run", "warning": "warning", "note": "note"}
_STYLES: Final = {"stops": "bold red", "warning": "yellow", "note": "dim"}
_LANGUAGES_SHOWN: Final = 8
_PAGE: Final = (
    "<!doctype html><html lang=en><meta charset=utf-8><title>Data check</title><style>"
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse;margin:1rem 0}td,th{padding:.2rem .8rem .2rem 0;text-align:left;vertical-align:top}"
    "img{max-width:100%%}li{font-family:monospace}</style>%s</html>\n"
)


def print_report(report: Report, console: Console) -> None:
    """Print figures, then what is wrong, then the verdict. Texts of the data are never taken for markup."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in _COLUMNS:
        table.add_column(name, justify="left" if name in ("data", "kind") else "right", overflow="fold")
    for row in _sources(report):
        table.add_row(*map(Text, row))
    figures = Table(box=None, pad_edge=False, show_header=False)
    for name, value in _figures(report):
        figures.add_row(Text(name), Text(value, overflow="fold"))
    console.print(table, "", figures, sep="\n")
    for finding in report.findings:
        console.print()
        console.print(Text(f"{_MARKS[finding.level]}: ", style=_STYLES[finding.level]).append(finding.text, "default"))
        for example in finding.examples:
            console.print(Text(f"    {example}", style="dim"))
    console.print()
    console.print(Text(_verdict(report), style="bold"))


def write_report(report: Report, path: Path) -> list[Path]:
    """Write PATH: .html with the histogram inside, or .md with a picture beside it. Raises UsageError, DataError."""
    check_report(path)
    picture = histogram(report)
    if path.suffix.lower() == ".md":
        beside = path.with_suffix(".png")
        if picture:
            _write(beside, picture)
        _write(path, _markdown(report, beside.name if picture else "").encode(errors="replace"))
        return [path, beside] if picture else [path]
    from markdown_it import MarkdownIt

    source = f"data:image/png;base64,{base64.b64encode(picture).decode()}" if picture else ""
    page = MarkdownIt("commonmark").enable("table").render(_markdown(report, source))
    _write(path, (_PAGE % page).encode(errors="replace"))
    return [path]


def write_histogram(report: Report, path: Path) -> Path:
    """Write the lengths as a PNG. Raises UsageError, DataError."""
    check_histogram(path)
    picture = histogram(report)
    if picture is None:
        raise DataError("there is no histogram to write: not one caption was read.")
    _write(path, picture)
    return path


def check_report(path: Path) -> None:
    """Raise UsageError, before the work begins, if the report cannot be written."""
    _check_file("--report", path, FORMATS, ".html or .md")


def check_histogram(path: Path) -> None:
    """Raise UsageError, before the work begins, if the histogram cannot be written."""
    _check_file("--histogram", path, (".png",), ".png")
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise UsageError("--histogram needs matplotlib: pip install 'inquisight[train]'.") from None


def _check_file(option: str, path: Path, suffixes: tuple[str, ...], shown: str) -> None:
    if path.suffix.lower() not in suffixes:
        raise UsageError(f"{option} {printable(path)}: end it in {shown}.")
    if path.is_dir() or not path.absolute().parent.is_dir():
        what = "is a folder" if path.is_dir() else "is in a folder that does not exist"
        raise UsageError(f"{option} {printable(path)} {what}: name a file.")


def histogram(report: Report) -> bytes | None:
    """Return the lengths of captions as PNG; None without captions or without matplotlib."""
    if not report.histogram:
        return None
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return None
    figure = Figure(figsize=(8, 4), dpi=120, layout="constrained")  # without pyplot: no window, no global state
    axes = figure.add_subplot()
    lengths, counts = list(report.histogram), list(report.histogram.values())
    # The few longest would squeeze all others to the left: they share the last bar.
    end = max(min(lengths[-1], 4 * (report.lengths.ninetieth if report.lengths else 1)), report.longest, 1) + 1
    clipped = [min(length, end) for length in lengths]
    step = -(-end // BARS)
    axes.hist(clipped, bins=range(0, end + step + 1, step), weights=counts, color="#1f4e79")
    axes.axvline(report.longest, color="#c46a2b", linestyle="--", label=f"cut above {report.longest}")
    axes.set(xlabel=f"{report.unit} per caption", ylabel="captions", title=f"{sum(counts):,} captions")
    axes.legend(frameon=False)
    buffer = BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _sources(report: Report) -> Iterator[tuple[str, ...]]:
    for one in report.sources:
        of = "" if one.samples is None or one.samples == one.looked_at else f" of {one.samples:,}"
        left_out = one.left_out.get("count", 0)
        yield printable(one.path), one.kind or "-", f"{one.looked_at:,}{of}", f"{one.broken:,}", f"{left_out:,}"


def _figures(report: Report) -> Iterator[tuple[str, str]]:
    for name, spread in (
        (f"{report.unit} per caption", report.lengths),
        ("width in pixels", report.widths),
        ("height in pixels", report.heights),
        ("kilobytes per picture", report.file_kilobytes),
    ):
        if spread is not None:
            yield name, _spread(spread)
    if report.languages:
        total = sum(report.languages.values())
        shown = list(report.languages.items())[:_LANGUAGES_SHOWN]
        named = (f"{'unsure' if name == '?' else name} {times / total:.1%}" for name, times in shown)
        yield "languages", ", ".join(named)
    rate = report.looked_at / report.seconds if report.seconds else 0.0
    yield "checked", f"{report.looked_at:,} samples in {report.seconds:.1f} s ({rate:.0f}/s)"


def _spread(spread: Spread) -> str:
    middle = f"{spread.tenth:,} / {spread.median:,} / {spread.ninetieth:,}"
    return f"{spread.least:,} to {spread.most:,}, mean {spread.mean:,}; 10 / 50 / 90 %: {middle}"


def _verdict(report: Report) -> str:
    seen = "all samples were checked" if report.complete else "not all samples were checked"
    if report.stops:
        return f"A training run on this would stop ({seen})."
    return f"Nothing here would stop a training run ({seen})."


def _markdown(report: Report, picture: str) -> str:
    """Return the report; `picture` is the address of the histogram, or ""."""
    lines = ["# Data check", "", f"**{_verdict(report)}**"]
    for titles, rows in ((_COLUMNS, _sources(report)), (("figure", "value"), _figures(report))):
        lines += ["", f"| {' | '.join(titles)} |", f"|{'---|' * len(titles)}"]
        lines += [f"| {' | '.join(map(_plain, row))} |" for row in rows]
    if picture:
        lines += ["", f"![lengths of captions]({picture})"]
    for finding in report.findings:
        lines += ["", f"## {_MARKS[finding.level]}: {_plain(finding.text)}", ""]
        lines += [f"- {_plain(example)}" for example in finding.examples]
    return "\n".join(lines).rstrip() + "\n"


def _plain(text: str) -> str:
    """Escape text of the data for Markdown: it is never taken for markup."""
    return html.escape("".join(f"\\{one}" if one in "\\`*_[]#|" else one for one in text), quote=False)


def _write(path: Path, data: bytes) -> None:
    with replacing(path, DataError) as file:
        file.write(data)
