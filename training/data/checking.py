"""Run `inquisight data check`: options are checked first, progress goes to standard error, the report to output."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from core.datasets.samples.sample import DataError
from core.datasets.samples.spec import DataSpec
from core.errors import UsageError, printable
from core.settings import get_settings
from training.data.check import CheckOptions, CheckProgress, check
from training.data.findings import Report
from training.data.report import check_histogram, check_report, print_report, write_histogram, write_report
from training.terminal import follow, stop_signal


def run_data_check(
    paths: Sequence[str],
    fields: Mapping[str, str | None],
    options: CheckOptions,
    *,
    tokenizer: Path | None = None,
    report: Path | None = None,
    histogram: Path | None = None,
    json: bool = False,
) -> int:
    """Check, print and write; `fields` are those of every DataSpec. Returns the exit code.

    Raises UsageError or DataError, one line.
    """
    if not paths:
        raise UsageError("name what to check: `inquisight data check PATH`, a folder, a table or shards.")
    if "" in paths:
        raise UsageError("one of the paths is empty; check the command.")
    if not 0 <= options.max_share <= 1:
        raise UsageError(f"--max-broken is a share from 0 to 1, not {options.max_share}.")
    specs = [DataSpec.model_validate({"path": path, **fields}) for path in paths]
    if report is not None:
        check_report(report)
    if histogram is not None:
        check_histogram(histogram)
    count_tokens = _tokenizer(tokenizer) if tokenizer else None
    with stop_signal() as stop:
        options = replace(options, count_tokens=count_tokens, max_pixels=get_settings().max_pixels, stop=stop)
        found = follow(check(specs, options), lambda event: _describe(event, options))
    assert isinstance(found, Report)
    if json:
        print(found.model_dump_json(indent=2))
    else:
        from rich.console import Console

        print_report(found, Console(highlight=False, soft_wrap=not sys.stdout.isatty()))
    written = write_report(found, report) if report else []
    if histogram and found.histogram:
        written.append(write_histogram(found, histogram))
    for path in written:
        print(f"written: {printable(path)}", file=sys.stderr)
    return 128 + stop.number if stop.is_set() else DataError.exit_code if found.stops else 0


def _tokenizer(directory: Path) -> Callable[[str], int]:
    """Return a function that counts the tokens of a text, without begin and end marks. Raises UsageError."""
    if not directory.is_dir():
        raise UsageError(f"--tokenizer {printable(directory)} is no folder: name a model's directory.")
    from transformers import AutoTokenizer

    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(directory, local_files_only=True, trust_remote_code=False)
    except Exception:  # noqa: BLE001 - a file of another model can fail in any way
        raise UsageError(f"--tokenizer {printable(directory)} holds no tokenizer that can be opened.") from None
    tokenizer.model_max_length = sys.maxsize  # or it warns of every long text
    return lambda text: len(tokenizer(text, add_special_tokens=False).input_ids)


def _describe(event: CheckProgress | Report, options: CheckOptions) -> tuple[str, int, int | None]:
    """Return (text, done, total)."""
    if isinstance(event, Report):
        return "", event.looked_at, event.looked_at
    total = event.total if options.sample is None else min(options.sample, event.total or options.sample)
    of = "" if event.total is None or options.sample else f" of {event.total:,}"
    text = f"{printable(event.path, 60)}: {event.here:,}{of} samples, {event.broken:,} broken"
    return text, event.here, total
