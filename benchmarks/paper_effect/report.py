"""Write what is finished as JSON, loss curves, and the tables of `docs/paper-effect.md`.

python -m benchmarks.paper_effect SOURCES PHOTOGRAPHS OUT --docs docs
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from itertools import product, zip_longest
from pathlib import Path
from typing import Any, Final

from benchmarks.paper_effect.plan import Run, Size, needs, runs
from benchmarks.paper_effect.said import FAILURES, FORM
from benchmarks.pocket_small.report import fill, quoted
from core.datasets.text_lines import split_lines
from core.files.journal import read_json

ALONE: Final = (
    Run("told", "the language model alone, told the truth in words", 0),
    Run("untrained", "before training: each name is its word", 0),
)
KINDS: Final = ("scenes", "photographs")
MANNERS: Final = ("sampled", "greedy")
AFTER: Final = {  # on what each stage 2 was trained
    "stage2": "its own curated texts",
    "stage2-faster": "its own curated texts, four times the rate",
    "stage2-true": "true descriptions",
    "stage2-long": "true descriptions",
    "stage2-longer": "true descriptions, longer",
}
Z: Final = 1.96  # of 95 %


def collect(out: Path, size: Size) -> dict[str, Any]:
    """Everything that the page shows. What is not finished has no entry."""
    rows: list[dict[str, Any]] = []
    for run in (*ALONE, *runs(size)):
        row: dict[str, Any] = {"name": run.name, "title": run.title, "after": needs(run)}
        row |= {kind: found for kind in KINDS if (found := read_json(out / "measured" / f"{run.name}-{kind}.json"))}
        facts = read_json(out / "runs" / run.name / "finished.json")
        if facts:
            names = ("stage", "steps", "samples", "target_tokens", "loss", "seconds", "dtype", "versions")
            row["run"] = {name: facts.get(name) for name in names}
            row["losses"] = losses(out / "runs" / run.name / "log.jsonl")
        rows.append(row)
    return {"rows": rows, "curation": curated(out), "told": told(out)}


def losses(log: Path) -> list[list[float]]:
    """[samples, loss] of every step."""
    entries = [json.loads(line) for line in split_lines(log.read_text("utf-8"))] if log.is_file() else []
    return [[entry["samples"], round(entry["loss"], 4)] for entry in entries]


def curated(out: Path) -> dict[str, Any] | None:
    """What became of the texts of stage 1."""
    from benchmarks.pocket_small.curation import figures

    return figures(out / "curation") if (out / "curated" / "filter_cap.json").is_file() else None


def told(out: Path) -> list[str]:
    """The truth of the scenes whose descriptions are shown."""
    return list((read_json(out / "measured" / "truth.json") or {}).get("told", []))


# --- statistics ------------------------------------------------------------------------------------------------------


def interval(part: int, whole: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share (Wilson 1927, https://doi.org/10.1080/01621459.1927.10502953)."""
    if not whole:
        return 0.0, 1.0
    share, z2 = part / whole, Z * Z
    middle = (share + z2 / (2 * whole)) / (1 + z2 / whole)
    half = Z * math.sqrt(share * (1 - share) / whole + z2 / (4 * whole * whole)) / (1 + z2 / whole)
    return max(0.0, middle - half), min(1.0, middle + half)


def paired(before: Sequence[bool], after: Sequence[bool]) -> tuple[int, int, float]:
    """Pictures that fail only before, only after, and the exact p-value of McNemar's test, two-sided.

    The same pictures are described twice, so only those whose outcome changes tell (McNemar 1947,
    https://doi.org/10.1007/BF02295996).
    """
    fixed = sum(one and not other for one, other in zip(before, after, strict=True))
    spoilt = sum(other and not one for one, other in zip(before, after, strict=True))
    changed, least = fixed + spoilt, min(fixed, spoilt)
    tail = sum(math.comb(changed, k) for k in range(least + 1)) / 2**changed if changed else 1.0
    return fixed, spoilt, min(1.0, 2 * tail)


# --- tables ----------------------------------------------------------------------------------------------------------


def tables(report: dict[str, Any]) -> dict[str, str]:
    """Every part of the page by its marker."""
    parts = {f"{kind}-{manner}": results(report, kind, manner) for kind in KINDS for manner in MANNERS}
    return parts | {
        "effect": effect(report),
        "runs": trainings(report),
        "curation": curation(report),
        "examples": examples(report),
        "missing": missing(report),
    }


def results(report: dict[str, Any], kind: str, manner: str) -> str:
    """One line per model that was measured."""
    columns = ("failed", "failed in form", *FAILURES, "recall", "invented per picture", "wrong place", "words")
    lines = [f"| model | {' | '.join(columns)} |", f"|---|{'---:|' * len(columns)}"]
    for row in report["rows"]:
        if manner in row.get(kind, {}):
            cells = [_cell(name, row[kind][manner][name]) for name in columns]
            lines.append(f"| {row['title']} | {' | '.join(cells)} |")
    return "\n".join(lines) if len(lines) > 2 else "Not measured yet."


def _cell(name: str, value: Any) -> str:
    if not isinstance(value, list):
        return f"{value:g}"
    part, whole = value
    if not whole:
        return "-"
    share = f"{100 * part / whole:.1f} %"
    if name in ("failed", "failed in form", "recall"):
        low, high = interval(part, whole)
        return f"{share} ({100 * low:.0f} to {100 * high:.0f})"
    return share


def effect(report: dict[str, Any]) -> str:
    """Failures after stage 1 and after each stage 2, with the p-value of each difference."""
    found = {row["name"]: row for row in report["rows"]}
    columns = ("after stage 1", "after stage 2", "mended", "spoilt", "p", "recall 1", "recall 2")
    head = f"| pictures | decoding | stage 1 | stage 2 on | failures | {' | '.join(columns)} |"
    lines = [head, f"|---|---|---:|---|---|{'---:|' * 7}"]
    for kind, manner, (name, texts) in product(KINDS, MANNERS, AFTER.items()):
        first = found[name]["after"]
        one, other = (found[run].get(kind, {}).get(manner) for run in (first, name))
        if not one or not other:
            continue
        for which, counted in (("failed", FAILURES), ("failed in form", FORM)):
            fixed, spoilt, p = paired(*([_counts(each, counted) for each in run["failures"]] for run in (one, other)))
            cells = [_cell(which, one[which]), _cell(which, other[which]), fixed, spoilt, f"{p:.2g}"]
            cells += [_cell("recall", one["recall"]), _cell("recall", other["recall"])]
            of = "all" if which == "failed" else "form alone"
            lines.append(
                f"| {kind} | {manner} | {_seen(found, first):,} | {texts} | {of} | {' | '.join(map(str, cells))} |"
            )
    return "\n".join(lines) if len(lines) > 2 else "Not measured yet."


def _seen(found: dict[str, dict[str, Any]], name: str | None) -> int:
    """Samples of a training and of those that it goes on from."""
    return found[name].get("run", {}).get("samples", 0) + _seen(found, found[name].get("after")) if name else 0


def _counts(failures: str, counted: Sequence[str]) -> bool:
    return any(one in counted for one in failures.split("+"))


def trainings(report: dict[str, Any]) -> str:
    """What was trained."""
    lines = ["| run | stage | steps | samples | loss at the end | seconds |", "|---|---:|---:|---:|---:|---:|"]
    for row in report["rows"]:
        if run := row.get("run"):
            figures = (run["stage"], run["steps"], f"{run['samples']:,}", f"{run['loss']:.3f}", f"{run['seconds']:.0f}")
            lines.append(f"| {row['title']} | {' | '.join(map(str, figures))} |")
    return "\n".join(lines)


def curation(report: dict[str, Any]) -> str:
    """What became of the texts of stage 1."""
    from benchmarks.pocket_small.report import curation as table

    return table(report) if report["curation"] else "Not done yet."


def examples(report: dict[str, Any]) -> str:
    """What the models say of the first scenes, unedited."""
    lines = ["| model | scene | sampled | greedy |", "|---|---:|---|---|"]
    lines += [f"| the truth | {number} | {quoted(text)} | |" for number, text in enumerate(report["told"], 1)]
    for row in report["rows"]:
        said = [row.get("scenes", {}).get(manner, {}).get("examples", []) for manner in MANNERS]
        for number, texts in enumerate(zip_longest(*said, fillvalue=""), 1):
            if number <= len(report["told"]):
                lines.append(f"| {row['title']} | {number} | {' | '.join(map(quoted, texts))} |")
    return "\n".join(lines)


def missing(report: dict[str, Any]) -> str:
    """What the plan holds and nobody has done yet."""
    lines = []
    for row in report["rows"]:
        open_ = ["training"] if "run" not in row and row["name"] not in [one.name for one in ALONE] else []
        open_ += [f"{kind} {manner}" for kind in KINDS for manner in MANNERS if manner not in row.get(kind, {})]
        if open_:
            lines.append(f"- {row['title']} (`--only {row['name']}`): {', '.join(open_)}")
    return "\n".join(lines) or "Nothing."


def curves(report: dict[str, Any], to: Path) -> None:
    """Draw the mean loss of ten steps over the samples of every run."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    plot = figure.subplots()
    for row in report["rows"]:
        if points := row.get("losses"):
            groups = [points[at : at + 10] for at in range(0, len(points), 10)]
            ends = [group[-1][0] for group in groups]
            plot.plot(ends, [sum(loss for _, loss in group) / len(group) for group in groups], label=row["title"])
    plot.set(xlabel="samples", ylabel="loss per target token")
    plot.legend(fontsize="small")
    figure.savefig(to, metadata={"Date": None})


def write(out: Path, docs: Path, size: Size) -> None:
    """Write JSON, curves and page from what is finished in `out`."""
    report = collect(out, size)
    (docs / "paper-effect.json").write_text(json.dumps(report, ensure_ascii=False) + "\n", encoding="utf-8")
    curves(report, docs / "paper-effect.svg")
    page = docs / "paper-effect.md"
    page.write_text(fill(page.read_text("utf-8"), tables(report)), encoding="utf-8")
