"""Write the figures of finished runs as tables to the screen and to `docs/pocket-small.md`.

python -m benchmarks.pocket_small.report docs/pocket-small.json --to docs/pocket-small.md
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any, Final

MARK: Final = "<!-- {name}:{edge} -->"
COLUMNS: Final = (
    "failure rate", "broken off", "repeating", "foreign symbols", "recall", "invented per picture",
    "wrong place or colour", "words",
)  # fmt: skip
SHARES: Final = frozenset(COLUMNS[:5]) | {"wrong place or colour"}


def tables(report: dict[str, Any]) -> dict[str, str]:
    """Every table by its marker's name, as Markdown."""
    return {
        "sampled": results(report, "sampled"),
        "greedy": results(report, "greedy"),
        "curation": curation(report),
        "runs": runs(report),
        "examples": examples(report),
        "how": how(report),
    }


def results(report: dict[str, Any], manner: str) -> str:
    """One line per projection."""
    lines = [f"| projection | {' | '.join(COLUMNS)} |", f"|---|{'---:|' * len(COLUMNS)}"]
    for row in report["rows"]:
        cells = [_cell(name, row[manner][name]) for name in COLUMNS]
        lines.append(f"| {row['title']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(name: str, value: float) -> str:
    if name in SHARES:
        return f"{100 * value:.1f} %"
    return f"{value:.0f}" if name == "words" else f"{value:.2f}"


def curation(report: dict[str, Any]) -> str:
    """What became of the texts of stage 1."""
    found = report["curation"]
    lines = ["| | texts |", "|---|---:|", f"| described by stage 1 | {found['described']} |"]
    lines += [f"| dropped: {stage} | {number} |" for stage, number in found["dropped"].items()]
    lines += [f"| kept for stage 2 | {found['kept']} |", f"| checked against the truth | {found['checked']} |"]
    lines += [f"| of these without an error | {found['without an error']} |"]
    lines += [f"| of these {kind} | {number} |" for kind, number in found["labels"].items() if number]
    lines += [f"| hits of the rule {rule} | {hits} |" for rule, hits in found["rules"].items()]
    return "\n".join(lines)


def runs(report: dict[str, Any]) -> str:
    """What was trained."""
    lines = ["| run | recipe | steps | samples | last loss | seconds |", "|---|---|---:|---:|---:|---:|"]
    for name, run in report["runs"].items():
        changes = ", ".join(f"`{change}`" for change in run["changes"])
        lines.append(
            f"| {name} | `{run['recipe']}` {changes} | {run['steps']} | {run['samples']:,} | {run['loss']:.3f} | "
            f"{run['seconds']:.0f} |"
        )
    return "\n".join(lines)


def examples(report: dict[str, Any]) -> str:
    """What is said of one picture."""
    lines = ["| projection | sampled | greedy |", "|---|---|---|"]
    lines += [f"| the truth | {report['example']['truth']} | |"]
    for row in report["rows"]:
        texts = [quoted(row[manner]["example"]) for manner in ("sampled", "greedy")]
        lines.append(f"| {row['title']} | {' | '.join(texts)} |")
    return "\n".join(lines)


def quoted(text: str) -> str:
    """A model's words in a cell of a table; what it writes must not become markup."""
    text = " ".join(text.split())
    for sign in "\\|<>*_`#[]":
        text = text.replace(sign, f"\\{sign}")
    return text if len(text) <= 400 else f"{text[:400]} ..."


def how(report: dict[str, Any]) -> str:
    """One sentence of sizes."""
    size = report["size"]
    return (
        f"{size['pictures']:,} composed pictures with captions, {size['described']:,} others to be described, of which "
        f"{size['checked']} are checked, {report['rows'][0]['greedy']['pictures']} held-out ones to measure. All runs "
        f"together trained for {sum(run['seconds'] for run in report['runs'].values()) / 60:.0f} minutes on "
        f"{report['threads']} CPU threads. Model: `{report['model']}`."
    )


def fill(page: str, parts: dict[str, str]) -> str:
    """`page` with every part between its markers. Raises ValueError where one is missing."""
    for name, text in parts.items():
        begin, end = (MARK.format(name=name, edge=edge) for edge in ("begin", "end"))
        head, _, rest = page.partition(begin)
        _, closed, tail = rest.partition(end)
        if not closed or page.count(begin) != 1:
            raise ValueError(f"the page needs {begin} and {end} once each, not {page.count(begin)} times")
        page = f"{head}{begin}\n{text}\n{end}{tail}"
    return page


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", type=Path, help="JSON written by benchmarks.pocket_small")
    parser.add_argument("--to", type=Path, default=Path("docs/pocket-small.md"), help="page whose tables are replaced")
    options = parser.parse_args(argv)
    page = options.to.read_text("utf-8")
    options.to.write_text(fill(page, tables(json.loads(options.report.read_text("utf-8")))), encoding="utf-8")
    print(f"written to {options.to}")


if __name__ == "__main__":
    main()
