"""The loss of a run as a picture."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from core.files.atomic import replacing
from training.checkpoints import PLOT, RunError, log_lines

MISSING = "note: no loss plot: it needs matplotlib (`pip install 'inquisight[train]'`)"


def can_plot() -> bool:
    """Whether matplotlib is there."""
    return importlib.util.find_spec("matplotlib") is not None


def draw_loss(run: Path, *, title: str = "") -> Path | None:
    """Draw RUN/loss.png from the log: every step, and a running mean. None where there is nothing, or no matplotlib."""
    lines = list(log_lines(run))
    if not lines or not can_plot():
        return None
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    steps = [line["step"] for line in lines]
    losses = [line["loss"] for line in lines]
    figure = Figure(figsize=(8, 4.5), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)  # without pyplot there is no window and no global state
    axes = figure.add_subplot()
    axes.plot(steps, losses, color="#9bb8d3", linewidth=0.8, label="each step")
    axes.plot(steps, _smooth(losses), color="#1f4e79", linewidth=1.6, label="running mean")
    axes.set(xlabel="step", ylabel="loss per target token (nats)", title=title)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    other = axes.twinx()
    other.plot(steps, [line["lr"] for line in lines], color="#c46a2b", linewidth=0.8, linestyle="--")
    other.set_ylabel("learning rate", color="#c46a2b")
    with replacing(run / PLOT, RunError) as file:
        figure.savefig(file, format="png")
    return run / PLOT


def _smooth(values: list[float], keep: float = 0.97) -> list[float]:
    """Exponential mean, corrected for its beginning."""
    mean, weight, smooth = 0.0, 0.0, []
    for value in values:
        mean = keep * mean + (1 - keep) * value
        weight = keep * weight + (1 - keep)
        smooth.append(mean / weight)
    return smooth
