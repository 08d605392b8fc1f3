"""The plots of the report as PNG files, drawn with matplotlib."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from agents.text.text_metrics import METRICS, REPEATING, words_of
from training.curation.report.figures import Figures

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NO_MATPLOTLIB = "the plots need matplotlib: pip install matplotlib; the report was written without them"
COLOURS = {"generated": "#b0b0b0", "repaired": "#6699cc", "kept": "#33aa66"}
# metric -> the value above which a text counts
SHOWN = {
    "repeated_share": REPEATING,
    "repeated_sentences": 0,
    "foreign_sentences": 0,
    "foreign_symbols": 0,
    "broken_end": 0,
    "apology": 0,
    "orders": 0,
}


def draw(found: Figures, to: Path) -> dict[str, str]:
    """Draw the plots that have data; returns name -> file. Raises ImportError without matplotlib."""
    from matplotlib.figure import Figure  # not pyplot, which looks for a display

    drawn = {"funnel": _funnel(Figure, found)}
    if any(found.texts.values()):
        drawn["lengths"] = _lengths(Figure, found)
        drawn["metrics"] = _metrics(Figure, found)
    if found.verdict is not None and any(rule["hits"] for rule in found.verdict["rules"]):
        drawn["rules"] = _rules(Figure, found.verdict["rules"])
    for name, figure in drawn.items():
        figure.savefig(to / f"{name}.png", dpi=120, bbox_inches="tight")
    return {name: f"{name}.png" for name in drawn}


def _axes(kind: type[Figure], title: str, height: float = 3.0) -> tuple[Figure, Any]:
    figure = kind(figsize=(7, height))
    axes = figure.subplots()
    axes.set_title(title, fontsize=10, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _funnel(kind: type[Figure], found: Figures) -> Figure:
    figure, axes = _axes(kind, "pictures with a text after each step", 2.2)
    steps = [("pictures", found.pictures), ("described", found.generated), ("repaired", found.repaired)]
    if found.verdict is not None:
        steps.append(("kept", int(found.verdict["kept"])))
    bars = axes.barh([name for name, _ in steps], [count for _, count in steps], color="#6699cc")
    axes.bar_label(bars, padding=3, fontsize=8)
    axes.invert_yaxis()
    return figure


def _lengths(kind: type[Figure], found: Figures) -> Figure:
    figure, axes = _axes(kind, "words per text")
    counts = {step: [len(words_of(text)) for text in texts] for step, texts in found.texts.items() if texts}
    longest = max(max(values) for values in counts.values())
    bins = [longest * at / 30 for at in range(31)] if longest else [0.0, 1.0]
    for step, values in counts.items():
        axes.hist(values, bins=bins, histtype="step", linewidth=1.5, label=step, color=COLOURS[step])
    axes.legend(frameon=False, fontsize=8)
    axes.set_ylabel("texts", fontsize=8)
    return figure


def _metrics(kind: type[Figure], found: Figures) -> Figure:
    figure, axes = _axes(kind, f"share of texts with the metric above 0 (repeated share: above {REPEATING})")
    steps = [step for step, texts in found.texts.items() if texts]
    width = 0.8 / len(steps)
    for number, step in enumerate(steps):
        texts = found.texts[step]
        shares = [sum(METRICS[name][0](text) > least for text in texts) / len(texts) for name, least in SHOWN.items()]
        places = [place + number * width for place in range(len(SHOWN))]
        axes.bar(places, shares, width, label=step, color=COLOURS[step])
    middle = 0.4 - width / 2
    axes.set_xticks(
        [place + middle for place in range(len(SHOWN))], [name.replace("_", "\n") for name in SHOWN], fontsize=8
    )
    axes.legend(frameon=False, fontsize=8)
    return figure


def _rules(kind: type[Figure], rules: list[dict[str, Any]]) -> Figure:
    hit = [rule for rule in rules if rule["hits"]]
    figure, axes = _axes(kind, "texts that each rule hit", 0.8 + 0.3 * len(hit))
    colours = ["#cc6655" if rule["action"] == "drop" else "#6699cc" for rule in hit]
    bars = axes.barh(
        [f"{rule['name']} ({rule['action']})" for rule in hit], [rule["hits"] for rule in hit], color=colours
    )
    axes.bar_label(bars, padding=3, fontsize=8)
    axes.invert_yaxis()
    axes.tick_params(labelsize=8)
    return figure
