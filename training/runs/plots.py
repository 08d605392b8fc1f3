"""Draw the loss of a run."""

from __future__ import annotations

import importlib.util
from itertools import accumulate
from pathlib import Path

from core.files.journal import replaced
from training.checkpoints import PLOT, log_lines

MISSING = "note: no loss plot: it needs matplotlib (`pip install 'inquisight[train]'`)"
_KEEP = 0.97  # share of the mean that stays at each step


def can_plot() -> bool:
    """Whether matplotlib is installed."""
    return importlib.util.find_spec("matplotlib") is not None


def draw_loss(run: Path, *, title: str = "") -> Path | None:
    """Draw RUN/loss.png from the log: every step, and an exponential mean. None without a log or matplotlib."""
    lines = list(log_lines(run))
    if not lines or not can_plot():
        return None
    from matplotlib.figure import Figure

    steps = [line["step"] for line in lines]
    losses = [line["loss"] for line in lines]
    means = accumulate(losses, lambda mean, loss: _KEEP * mean + (1 - _KEEP) * loss)
    figure = Figure(figsize=(8, 4.5), dpi=120, layout="constrained")  # without pyplot: no window, no global state
    axes = figure.add_subplot()
    axes.plot(steps, losses, color="#9bb8d3", linewidth=0.8, label="each step")
    axes.plot(steps, list(means), color="#1f4e79", linewidth=1.6, label="running mean")
    axes.set(xlabel="step", ylabel="loss per target token (nats)", title=title)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    other = axes.twinx()
    other.plot(steps, [line["lr"] for line in lines], color="#c46a2b", linewidth=0.8, linestyle="--")
    other.set_ylabel("learning rate", color="#c46a2b")
    with replaced(run / PLOT) as file:
        figure.savefig(file, format="png")
    return run / PLOT
