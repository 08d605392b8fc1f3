"""A result as JSON, as a table in Markdown with its recipe, and as a plot."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from core.errors import printable
from core.files.journal import replaced, write_json, write_whole
from evaluation.measures.statistics import Figure
from evaluation.tasks.base import Row

FILES: Final = ("result.json", "result.md", "result.png")
NO_PLOT: Final = "no plot: it needs matplotlib (pip install 'inquisight[train]')"


@dataclass(frozen=True, slots=True)
class Result:
    """The figures of a task, and everything that they depend on."""

    task: str
    rows: Sequence[Row]
    recipe: Mapping[str, str]
    left_out: Mapping[str, Any]
    shown: Sequence[str]  # the figures of the plot

    def as_json(self) -> dict[str, Any]:
        """One JSON object."""
        return {
            "task": self.task,
            "rows": [
                {
                    "group": row.group,
                    "name": row.name,
                    "images": row.images,
                    "figures": {name: figure.as_json() for name, figure in row.figures.items()},
                }
                for row in self.rows
            ],
            "recipe": dict(self.recipe),
            "left_out": dict(self.left_out),
        }

    def as_text(self) -> str:
        """The table, and the recipe below it."""
        figures = list(self.rows[0].figures) if self.rows else []
        grouped = any(row.group for row in self.rows)
        head = [self.task, *([""] if grouped else []), "images"]
        head += [f"{name}{' %' if self.rows[0].figures[name].share else ''}" for name in figures]
        lines = [_line(head), _line(["---"] * (1 + grouped) + ["---:"] * (1 + len(figures)))]
        for row in self.rows:
            names = [row.group, row.name] if grouped else [row.name]
            cells = [printable(name, 60).replace("|", "\\|") for name in names]
            lines.append(_line([*cells, f"{row.images:,}", *(str(row.figures[name]) for name in figures)]))
        recipe = [f"- {name}: {printable(text, None)}" for name, text in self.recipe.items()]
        return "\n".join([*lines, "", "Recipe", "", *recipe])

    def write(self, folder: Path) -> list[str]:
        """Write the files; returns notices. Raises StoreError."""
        write_json(folder / FILES[0], self.as_json())
        write_whole(folder / FILES[1], self.as_text() + "\n")
        if importlib.util.find_spec("matplotlib") is None:
            return [NO_PLOT]
        self.draw(folder / FILES[2])
        return []

    def draw(self, path: Path) -> None:
        """Draw the main figures of each row as bars with their intervals."""
        from matplotlib.figure import Figure as Canvas

        canvas = Canvas(figsize=(8, 0.9 + 0.34 * len(self.rows) * len(self.shown)), dpi=120, layout="constrained")
        panels = canvas.subplots(len(self.shown), 1, sharex=False, squeeze=False)[:, 0]
        names = [", ".join(part for part in (row.group, printable(row.name, 40)) if part) for row in self.rows]
        for axes, shown in zip(panels, self.shown, strict=True):
            found = [row.figures[shown] for row in self.rows]
            values, errors = _bars(found)
            colours = ["#b0b0b0" if row.name.startswith("baseline") else "#6699cc" for row in self.rows]
            axes.barh(range(len(names)), values, xerr=errors, color=colours, error_kw={"lw": 1})
            axes.set_yticks(range(len(names)), names, fontsize=8)
            axes.invert_yaxis()
            axes.set_title(f"{shown}{', %' if found and found[0].share else ''}", fontsize=10, loc="left")
            axes.spines[["top", "right"]].set_visible(False)
        with replaced(path) as file:
            canvas.savefig(file, format="png")


def _bars(found: Sequence[Figure]) -> tuple[list[float], list[list[float]]]:
    """Values and the lengths of both halves of their intervals; 0 where a figure is not defined."""
    factors = [100 if figure.share else 1 for figure in found]
    values = [0.0 if math.isnan(one.value) else one.value * by for one, by in zip(found, factors, strict=True)]
    ends = [
        (0.0, 0.0) if math.isnan(one.low) or math.isnan(one.value) else ((one.value - one.low), (one.high - one.value))
        for one in found
    ]
    halves = [[max(end[side], 0.0) * by for end, by in zip(ends, factors, strict=True)] for side in (0, 1)]
    return values, halves


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
