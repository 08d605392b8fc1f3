"""Shared parts of the batch benchmarks: progress messages, and a file of figures."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

from core import InquisightError
from core.errors import printable


def add_out(parser: argparse.ArgumentParser) -> None:
    """The option that every one of them has."""
    parser.add_argument("--out", type=Path, metavar="FILE", help="also write options and figures as JSON")


def check_out(options: argparse.Namespace) -> None:
    """Before an hour of work: whether its figures can be kept. Raises InquisightError."""
    if options.out is None:
        return
    try:
        with options.out.open("a"):
            pass
    except OSError as error:
        reason = (error.strerror or "unknown error").lower()
        raise InquisightError(f"--out '{printable(options.out)}' cannot be written: {reason}; name another") from None


def keep(options: argparse.Namespace, **figures: Any) -> None:
    """Write them where `--out` says; a figure that there is none for (inf, nan) is null."""
    if options.out is None:
        return
    chosen = {name: str(value) if isinstance(value, Path) else value for name, value in vars(options).items()}
    chosen.pop("out")
    machine = {"cores": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version()}
    value = _plain({"options": chosen, "machine": machine, **figures})
    options.out.write_text(json.dumps(value, indent=1, default=str) + "\n", "utf-8")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and not abs(value) < float("inf") else value


def say(text: str) -> None:
    """Progress, on standard error."""
    print(f"{text} ...", file=sys.stderr, flush=True)
