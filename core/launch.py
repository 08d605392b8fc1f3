"""The console command: checks that the packages Python finds are ours before it imports any of them."""

from __future__ import annotations

import importlib
import sys

from core.errors import InquisightError
from core.shadow import check_not_shadowed


def main() -> None:
    """Entry point of `inquisight`. The command line lives floors above, so it is named and not imported."""
    try:
        check_not_shadowed()
    except InquisightError as error:
        print(f"inquisight: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    importlib.import_module("agents.cli").main()
