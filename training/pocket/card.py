"""Write pocket's model card from the results of `training.pocket.evaluate` and the logs of the training runs.

    python -m training.pocket.card docs/pocket-table.json RUN [RUN ...] --to plugins/pocket/model/README.md \\
        --real docs/photographs-table.json

Steps and minutes of stages that none of the runs holds are those of the shipped model (data/shipped.json).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from core.datasets.text_lines import split_lines
from training.pocket.evaluate import BARS
from training.pocket.foundation import known_names
from training.pocket.sight.measure import real_table

TEMPLATE = Path(__file__).with_name("data") / "card.md"
SHIPPED = Path(__file__).with_name("data") / "shipped.json"


def trained(runs: Sequence[Path], stage: int) -> dict[str, float]:
    """Steps and minutes of a stage in all runs that have it. Raises FileNotFoundError if nobody knows them."""
    logs = [log for run in runs if (log := run / f"stage{stage}.jsonl").is_file()]
    if not logs:
        shipped: dict[str, float] = json.loads(SHIPPED.read_text(encoding="utf-8"))
        if f"steps{stage}" in shipped:
            return {name: shipped[name] for name in (f"steps{stage}", f"minutes{stage}")}
        raise FileNotFoundError(f"none of {', '.join(map(str, runs))} holds stage{stage}.jsonl")
    last = [json.loads(split_lines(log.read_text(encoding="utf-8"))[-1]) for log in logs]
    return {
        f"steps{stage}": sum(one["step"] + 1 for one in last),
        f"minutes{stage}": sum(one["seconds"] for one in last) / 60,
    }


def figures(report: dict[str, Any]) -> dict[str, Any]:
    """The numbers and tables of the report of `training.pocket.evaluate`."""
    table = ["| figure | value | at least | n |", "|---|---|---|---|"]
    for name, entry in sorted(report["scenes"].items()):
        bar = f"{BARS[name]:.2f}" if name in BARS else ""
        limit = f"at most {bar}" if name.startswith("invented") else bar
        table.append(f"| {name} | {entry['value']:.3f} | {limit} | {entry['n']} |")
    photographs = ["| photograph | classifier | description |", "|---|---|---|"]
    for row in report["free photographs"]["rows"]:
        photographs.append(f"| {row['photograph']} | {row['head']}, {row['sure']:.2f} | {row['says']} |")
    held = report["held-out photographs"]["figures"]
    single = report["photographs of single things"]["figures"]
    return {
        "n": report["scenes"]["background colour"]["n"],
        "table": "\n".join(table),
        "photographs_table": "\n".join(photographs),
        "held_n": held["photographs"],
        "held_sure": held["head at least half sure"],
        "held_named": held["of these named"],
        "held_unsure": held["head knows nothing (under 0.2)"],
        "held_admits": held["of these admits it, or names only the group"],
        "held_invented": held["photographs on which a thing is invented"],
        "single_n": single["photographs"],
        **{f"single_{name}": single[name] for name in ("right", "admits", "wrong")},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", type=Path, help="JSON written by training.pocket.evaluate")
    parser.add_argument("runs", type=Path, nargs="+", help="folders of the training runs")
    parser.add_argument("--scenes", type=int, default=48_000)
    parser.add_argument("--photographs", type=int, default=8_000)
    parser.add_argument("--to", type=Path, default=Path("plugins/pocket/model/README.md"))
    parser.add_argument("--real", type=Path, required=True, help="JSON written by training.pocket.sight.measure")
    parser.add_argument("--note", default="", help="a sentence about this run, for the training section")
    options = parser.parse_args()
    weights = options.to.parent / "model.safetensors"
    config = json.loads((options.to.parent / "config.json").read_text(encoding="utf-8"))
    tensors = load_file(weights).values()
    text = TEMPLATE.read_text(encoding="utf-8").format(
        parameters=sum(tensor.numel() for tensor in tensors if tensor.is_floating_point()) / 1e6,
        megabytes=weights.stat().st_size / 1e6,
        known=len(known_names()),
        vocabulary=config["text_config"]["vocab_size"],
        note=options.note,
        scenes=f"{options.scenes:,}",
        photographs=f"{options.photographs:,}",
        **trained(options.runs, 1),
        **trained(options.runs, 2),
        **trained(options.runs, 3),
        real_table=real_table(json.loads(options.real.read_text(encoding="utf-8"))),
        **figures(json.loads(options.report.read_text(encoding="utf-8"))),
    )
    options.to.write_text(text, encoding="utf-8")
    print(f"written to {options.to}")


if __name__ == "__main__":
    main()
