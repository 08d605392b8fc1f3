"""`inquisight curate report`: the results of a curation as Markdown with figures and plots."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from agents.text.text_metrics import FAILURES, METRICS
from core.errors import UsageError, printable, why
from core.files.journal import write_whole
from training.curation.folder import CurationFolder
from training.curation.report.figures import Figures, LabelledSample
from training.curation.report.plots import NO_MATPLOTLIB, draw

LENGTH = 300  # characters of an example
_ESCAPES = {ord(sign): f"&#{ord(sign)};" for sign in "\\`*[]<>|#&"}


def write_report(folder: CurationFolder, found: Figures, to: Path) -> tuple[Path, str]:
    """Write report.md and its plots to `to`; returns the file and a note if plots are missing. Raises UsageError."""
    try:
        to.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"'{printable(to)}' cannot be made: {why(error)}.") from None
    try:
        plots, missing = draw(found, to), ""
    except ImportError:
        plots, missing = {}, NO_MATPLOTLIB
    file = to / "report.md"
    write_whole(file, markdown(folder, found, plots))
    return file, missing


def markdown(folder: CurationFolder, found: Figures, plots: dict[str, str]) -> str:
    """The report as Markdown. `plots` maps a section to the file of its plot."""
    made = folder.settings("generate")
    mended = folder.settings("repair")
    parts = [f"# Curation of {_cell(folder.path.resolve().name)}", _funnel(found, plots)]
    parts.append(
        _table(
            ("", ""),
            [
                ("vision model", f"{made.get('vision', '')} ({made.get('revision', '')})"),
                ("instructions", " / ".join(made.get("instructions", ()))),
                ("continued below", f"{made.get('min_tokens', '')} tokens, {made.get('continues', '')} times at most"),
                (
                    "sampling",
                    f"temperature {made.get('temperature')}, top_p {made.get('top_p')}, seed {made.get('seed')}",
                ),
                ("repairer", f"{mended.get('repairer', 'none yet')}"),
                ("calls", _account(found)),
                ("truncated", ", ".join(f"{count} {step}" for step, count in found.truncated.items())),
            ],
        )
    )
    parts += [_failures(found), _metrics(found, plots), _failed(found)]
    for title, sample in (("before the rules", found.sample), ("after the rules", found.sample_after)):
        if sample is not None:
            parts.append(_sample(title, sample))
    if found.matches:
        parts.append(_matches(found))
    if found.verdict is not None:
        parts.append(_rules(found, plots))
    return "\n\n".join(part for part in parts if part) + "\n"


def _funnel(found: Figures, plots: dict[str, str]) -> str:
    rows = [("pictures", found.pictures), ("described", found.generated), ("repaired", found.repaired)]
    if found.verdict is not None:
        rows.append(("kept", int(found.verdict["kept"])))
    shown = [(name, str(count), _share(count, found.pictures)) for name, count in rows]
    warning = "\n\nTexts or labels have changed since the rules ran: run them again." if found.stale else ""
    return _table(("", "pairs", "share"), shown) + _plot(plots, "funnel") + warning


def _account(found: Figures) -> str:
    usage = found.usage
    if not usage.calls:
        return "none"
    estimated = f"; {usage.guessed} calls without token counts, estimated" if usage.guessed else ""
    cost = f", cost {found.cost:.2f}" if found.cost else ""
    return f"{usage.calls} calls, {usage.input_tokens:,} tokens in, {usage.output_tokens:,} tokens out{cost}{estimated}"


def _failures(found: Figures) -> str:
    rates = {step: rate for step, rate in found.failures().items() if rate.texts}
    if not rates:
        return ""
    rows = [
        (
            step,
            str(rate.texts),
            _share(rate.failed, rate.texts),
            *(str(rate.kinds[kind]) for kind in FAILURES),
        )
        for step, rate in rates.items()
    ]
    return "## Failures\n\n" + _table(("texts", "number", "failed", *FAILURES), rows)


def _metrics(found: Figures, plots: dict[str, str]) -> str:
    means = {step: values for step, values in found.mean_metrics().items() if values}
    if not means:
        return ""
    rows = [(name, says, *(f"{values[name]:.3g}" for values in means.values())) for name, (_, says) in METRICS.items()]
    head = "## Metrics\n\nThe mean of each metric over all texts of a step.\n\n"
    return head + _table(("metric", "meaning", *means), rows) + _plot(plots, "lengths") + _plot(plots, "metrics")


def _failed(found: Figures) -> str:
    rows = [("generate", reason, str(count)) for reason, count in found.ungenerated.items()]
    rows += [("repair", reason, str(count)) for reason, count in found.unrepaired.items()]
    return "## Failed before the rules\n\n" + _table(("step", "reason", "texts"), rows) if rows else ""


def _sample(title: str, sample: LabelledSample) -> str:
    who = ", ".join(f"{count} by {name}" for name, count in sample.labelled.items()) or "none yet"
    head = f"## Sample {title}\n\n{sample.size} texts, labelled: {who}. "
    head += f"{sample.faulty} of {sample.seen} have an error." if sample.seen else ""
    rows = [(kind, str(count), _share(count, sample.seen)) for kind, count in sample.kinds.items()]
    parts = [head, _table(("kind of error", "texts", "share"), rows) if rows else ""]
    for one in sample.agreements:
        kappas = [("any error", one.faulty), *one.kinds.items()]
        shown = [(name, "not defined" if value is None else f"{value:.2f}") for name, value in kappas]
        names = f"{one.reviewers[0]} and {one.reviewers[1]}"
        parts.append(f"{names}, {one.texts} texts in common, {one.equal} with equal labels. Cohen's kappa:")
        parts.append(_table(("kind of error", "kappa"), shown))
    return "\n\n".join(part for part in parts if part)


def _matches(found: Figures) -> str:
    rows = [
        (one.kind, str(one.labelled), str(one.found), _share(one.found, one.labelled), str(one.alarms))
        for one in found.matches
    ]
    head = "## Rules compared with labels\n\n"
    return head + _table(("kind of error", "texts with it", "hit by its rules", "share", "hit, but not labelled"), rows)


def _rules(found: Figures, plots: dict[str, str]) -> str:
    assert found.verdict is not None
    rules = found.verdict["rules"]
    rows = [
        (rule["name"], rule["action"], rule["kind"] or "", str(rule["hits"]), f"{rule['share']:.1%}", rule["says"])
        for rule in rules
    ]
    parts = ["## Rules", _table(("rule", "action", "kind", "hits", "share", "finds"), rows) + _plot(plots, "rules")]
    reasons = [(reason, str(count)) for reason, count in found.dropped.items()]
    if reasons:
        parts.append("### Dropped, all steps\n\n" + _table(("reason", "texts"), reasons))
    for rule in rules:
        if not rule["examples"]:
            continue
        parts.append(f"### {rule['name']}: {rule['hits']} {'hit' if rule['hits'] == 1 else 'hits'}")
        if rule["action"] == "drop":
            shown = [(example["id"], _short(example["before"])) for example in rule["examples"]]
            parts.append(_table(("picture", "dropped text"), shown))
        else:
            changed = [(one["id"], _short(one["before"]), _short(one["after"])) for one in rule["examples"]]
            parts.append(_table(("picture", "before", "after"), changed))
    return "\n\n".join(parts)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return ""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(_cell(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def _cell(value: object) -> str:
    """Untrusted text for a table cell: printable, on one line, with Markdown and HTML escaped."""
    return printable(value, limit=1000).translate(_ESCAPES)


def _short(text: str) -> str:
    return text if len(text) <= LENGTH else f"{text[: LENGTH // 2]} … {text[-LENGTH // 2 :]}"


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else ""


def _plot(plots: dict[str, str], name: str) -> str:
    return f"\n\n![{name}]({plots[name]})" if name in plots else ""
