"""Write `tests/slow.txt`, the tests that `make check` leaves out, from a run's durations.

    python -m pytest -q -n auto --durations=0 --durations-min=0.02 > durations.txt
    python -m tests.list_slow durations.txt

A test is slow where setup, call and teardown of any of its cases took more than LIMIT seconds.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path

LIMIT = 0.1
LIST = Path(__file__).with_name("slow.txt")
_LINE = re.compile(r"([\d.]+)s (?:call|setup|teardown) +(tests/.+)")


def slow_tests(printed: str) -> list[str]:
    """Names of the slow test functions, without parameters, in the durations that pytest `printed`."""
    seconds: Counter[str] = Counter()
    for line in printed.splitlines():
        if found := _LINE.match(line):
            seconds[found[2]] += float(found[1])
    return sorted({name.partition("[")[0] for name, took in seconds.items() if took > LIMIT})


if __name__ == "__main__":
    LIST.write_text("\n".join(slow_tests(Path(sys.argv[1]).read_text("utf-8"))) + "\n", encoding="utf-8")
