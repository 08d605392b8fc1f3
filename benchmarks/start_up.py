"""Measure the start-up time of commands, beside Python and its libraries; the last two answer about one photograph.

    python -m benchmarks.start_up                 about a minute
    python -m benchmarks.start_up --repeats 30

Each command runs as a fresh process, in alternating order; the table shows medians, the ratio to `python -c pass`, and
the most memory that a process held.
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


def run(arguments: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """Wall time in seconds and peak memory in MB of one fresh process. Raises CalledProcessError where it fails."""
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, *arguments], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if code := os.waitstatus_to_exitcode(status):
        raise subprocess.CalledProcessError(code, arguments)
    return time.perf_counter() - start, usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--repeats", type=int, default=7, help="fresh processes per command [7]")
    repeats = parser.parse_args().repeats
    with tempfile.TemporaryDirectory() as home:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("INQUISIGHT_")}
        environment = kept | {"INQUISIGHT_HOME": str(Path(home))}
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in WAYS}
        for number in range(repeats + 1):
            for name, arguments in WAYS.items():
                taken = run(arguments, environment)
                if number:  # the first one brings the files into memory
                    found[name].append(taken)
    medians = {name: statistics.median(seconds for seconds, _ in values) for name, values in found.items()}
    bare = medians["python -c pass"]
    print(f"{'command':28} {'median, s':>10} {'times bare':>11} {'peak, MB':>9}")
    for name, value in medians.items():
        print(f"{name:28} {value:10.2f} {value / bare:11.1f} {max(memory for _, memory in found[name]):9.0f}")


if __name__ == "__main__":
    main()
