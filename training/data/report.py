"""A check's Report for people: on the terminal, as Markdown, as one HTML file, and its histogram as a picture."""

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
from training.data.findings import DataFinding, Report, Spread

if TYPE_CHECKING:
    from rich.console import Console

FORMATS: Final = (".html", ".htm", ".md")
BARS: Final = 60
_COLUMNS: Final = ("data", "kind", "looked at", "broken", "left out")
_MARKS: Final = {"stops": "stops a run", "warning": "warning", "note": "note"}
_STYLES: Final = {"stops": "bold red", "warning": "yellow", "note": "dim"}
_LANGUAGES_SHOWN: Final = 8


def print_report(report: Report, console: Console) -> None:
    """Figures, then what is wrong, then the verdict. Texts of the data are never taken for markup."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in _COLUMNS:
        table.add_column(name, justify="left" if name in ("data", "kind") else "right", overflow="fold")
    for row in _sources(report):
        table.add_row(*(Text(cell) for cell in row))
    console.print(table)
    figures = Table(box=None, pad_edge=False, show_header=False)
    for name, value in _figures(report):
        figures.add_row(Text(name), Text(value, overflow="fold"))
    console.print()
    console.print(figures)
    for finding in report.findings:
        console.print()
        console.print(Text(f"{_MARKS[finding.level]}: ", style=_STYLES[finding.level]).append(finding.text, "default"))
        for example in finding.examples:
            console.print(Text(f"    {example}", style="dim"))
    console.print()
    console.print(Text(_verdict(report), style="bold"))


def write_report(report: Report, path: Path) -> list[Path]:
    """Write PATH (.html with the histogram inside, or .md with a picture beside it). Raises UsageError, DataError."""
    check_report(path)
    picture = histogram(report)
    if path.suffix.lower() == ".md":
        beside = path.with_suffix(".png")
        if picture:
            _write(beside, picture)
        _write(path, _markdown(report, beside.name if picture else None).encode(errors="replace"))
        return [path, beside] if picture else [path]
    _write(path, _html(report, picture).encode(errors="replace"))
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
    """Raise UsageError where it cannot be written, before the work begins."""
    if path.suffix.lower() not in FORMATS:
        raise UsageError(f"--report {printable(path)}: end it in .html or .md.")
    _check_folder("--report", path)


def check_histogram(path: Path) -> None:
    """Raise UsageError where it cannot be written, before the work begins."""
    if path.suffix.lower() != ".png":
        raise UsageError(f"--histogram {printable(path)}: end it in .png.")
    _check_folder("--histogram", path)
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise UsageError("--histogram needs matplotlib: pip install 'inquisight[train]'.") from None


def histogram(report: Report) -> bytes | None:
    """The lengths of captions as PNG; None without captions or without matplotlib."""
    if not report.histogram:
        return None
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return None
    figure = Figure(figsize=(8, 4), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)  # without pyplot there is no window and no global state
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
        yield "languages", ", ".join(f"{_language(name)} {times / total:.1%}" for name, times in shown)
    rate = report.looked_at / report.seconds if report.seconds else 0.0
    yield "looked at", f"{report.looked_at:,} samples in {report.seconds:.1f} s ({rate:.0f}/s)"


def _language(name: str) -> str:
    return "unsure" if name == "?" else name


def _spread(spread: Spread) -> str:
    middle = f"{spread.tenth:,} / {spread.median:,} / {spread.ninetieth:,}"
    return f"{spread.least:,} to {spread.most:,}, mean {spread.mean:,}; 10 / 50 / 90 %: {middle}"


def _verdict(report: Report) -> str:
    seen = "all samples were looked at" if report.complete else "not all samples were looked at"
    if report.stops:
        return f"A training run on this would stop ({seen})."
    return f"Nothing here would stop a training run ({seen})."


def _markdown(report: Report, picture: str | None) -> str:
    lines = [
        "# Data check",
        "",
        f"**{_verdict(report)}**",
        "",
        f"| {' | '.join(_COLUMNS)} |",
        "|---|---|---:|---:|---:|",
    ]
    lines += [f"| {' | '.join(map(_cell, row))} |" for row in _sources(report)]
    lines += ["", "| figure | value |", "|---|---|"]
    lines += [f"| {_cell(name)} | {_cell(value)} |" for name, value in _figures(report)]
    if picture:
        lines += ["", f"![lengths of captions]({picture})"]
    for finding in report.findings:
        lines += ["", f"## {_MARKS[finding.level]}: {_plain(finding.text)}", ""]
        lines += [f"- {_plain(example)}" for example in finding.examples]
    return "\n".join(lines).rstrip() + "\n"


def _cell(text: str) -> str:
    return _plain(text).replace("|", "\\|")


def _plain(text: str) -> str:
    """Text of the data in Markdown: as it is, never as markup."""
    return html.escape("".join(f"\\{one}" if one in "\\`*_[]#" else one for one in text), quote=False)


_STYLE: Final = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse;margin:1rem 0}td,th{padding:.2rem .8rem .2rem 0;text-align:left;vertical-align:top}"
    "img{max-width:100%}.stops{color:#b00020}.warning{color:#8a5a00}.note{color:#555}li{font-family:monospace}"
)


def _html(report: Report, picture: bytes | None) -> str:
    def row(cells: tuple[str, ...], tag: str = "td") -> str:
        return f"<tr>{''.join(f'<{tag}>{html.escape(cell)}</{tag}>' for cell in cells)}</tr>"

    def section(finding: DataFinding) -> str:
        items = "".join(f"<li>{html.escape(example)}</li>" for example in finding.examples)
        title = f"<h2 class={finding.level}>{_MARKS[finding.level]}: {html.escape(finding.text)}</h2>"
        return title + (f"<ul>{items}</ul>" if items else "")

    encoded = base64.b64encode(picture).decode() if picture else ""
    body = [
        "<h1>Data check</h1>",
        f"<p><strong>{html.escape(_verdict(report))}</strong></p>",
        f"<table>{row(_COLUMNS, 'th')}{''.join(map(row, _sources(report)))}</table>",
        f"<table>{''.join(map(row, _figures(report)))}</table>",
        f'<img alt="lengths of captions" src="data:image/png;base64,{encoded}">' if picture else "",
        *map(section, report.findings),
    ]
    head = f"<meta charset=utf-8><title>Data check</title><style>{_STYLE}</style>"
    return f"<!doctype html><html lang=en><head>{head}</head><body>{''.join(body)}</body></html>\n"


def _check_folder(option: str, path: Path) -> None:
    if path.is_dir() or not path.absolute().parent.is_dir():
        what = "is a folder" if path.is_dir() else "lies in a folder that does not exist"
        raise UsageError(f"{option} {printable(path)} {what}: name a file.")


def _write(path: Path, data: bytes) -> None:
    with replacing(path, DataError) as file:
        file.write(data)
