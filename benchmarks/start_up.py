"""Measure the start-up time of commands, beside Python and its libraries; the last two answer about one photograph.

    python -m benchmarks.start_up                 about a minute
    python -m benchmarks.start_up --repeats 30

Each command runs as a fresh process, in alternating order; the table shows medians and the ratio to `python -c pass`.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COMMAND = "from inquisight.__main__ import main; main()"
WAYS = {
    "python -c pass": ["-c", "pass"],
    "import typer, rich": ["-c", "import typer, rich.console"],
    "inquisight --help": ["-c", COMMAND, "--help"],
    "inquisight caption --help": ["-c", COMMAND, "caption", "--help"],
    "inquisight plugins": ["-c", COMMAND, "plugins"],
    "import torch": ["-c", "import torch"],
    "inquisight examine cat.jpg": ["-c", COMMAND, "examine", "examples/photos/cat.jpg"],
    "inquisight caption cat.jpg": ["-c", COMMAND, "caption", "--quiet", "examples/photos/cat.jpg"],
}


def seconds(arguments: list[str], environment: dict[str, str]) -> float:
    """Wall time of one fresh process."""
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--repeats", type=int, default=7, help="fresh processes per command [7]")
    repeats = parser.parse_args().repeats
    with tempfile.TemporaryDirectory() as home:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("INQUISIGHT_")}
        environment = kept | {"INQUISIGHT_HOME": str(Path(home))}
        found: dict[str, list[float]] = {name: [] for name in WAYS}
        for number in range(repeats + 1):
            for name, arguments in WAYS.items():
                taken = seconds(arguments, environment)
                if number:  # the first one brings the files into memory
                    found[name].append(taken)
    medians = {name: statistics.median(values) for name, values in found.items()}
    bare = medians["python -c pass"]
    print(f"{'command':28} {'median, s':>10} {'times bare':>11}")
    for name, value in medians.items():
        print(f"{name:28} {value:10.2f} {value / bare:11.1f}")


if __name__ == "__main__":
    main()
