"""`inquisight doctor`: print the report as text to paste into an issue, or as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from agents.doctor.packages import PROGRAMS, Extra, TorchBuild, own_version, unmet
from agents.doctor.request import DoctorRequest
from core.console.silence import hush_libraries
from core.entries import one_line

if TYPE_CHECKING:
    from agents.doctor.models import ModelState
    from agents.doctor.report import Plugin, Report
    from agents.doctor.servers import Server

BROKEN: Final = 1
"""The exit code if something is broken that commands rely on."""


def run_doctor(request: DoctorRequest) -> int:
    """Print the report; the exit code is 1 if it names a problem, else 0."""
    hush_libraries()
    try:
        from agents.doctor.report import make_report

        report = make_report(connect=request.connect)
    except ImportError as error:  # a required package is missing or broken: no more can be told
        problems = unmet() or [one_line(error)]
        short = {"version": own_version(), "problems": problems}
        print(json.dumps(short) if request.json else "\n".join((f"Inquisight {own_version()}", *_problems(problems))))
        return BROKEN
    print(json.dumps(asdict(report), ensure_ascii=False) if request.json else "\n".join(lines(report)))
    return BROKEN if report.problems else 0


def lines(report: Report) -> Iterator[str]:
    """The report as plain text."""
    machine = report.machine
    gpus = [f"{card.name}, {_gb(card.total)}, {_gb(card.free)} free" for card in machine.gpus]
    yield f"Inquisight {report.version}"
    yield from _table(
        ("python", report.python),
        ("system", report.system),
        ("cpu", f"{machine.cores} core{'s' if machine.cores != 1 else ''}"),
        ("memory", f"{_gb(machine.total)}, {_gb(machine.free)} free"),
        *(("gpu", gpu) for gpu in gpus or ["none found by nvidia-smi"]),
        ("disk", f"{_gb(machine.disk_free)} free for {report.home}"),
        ("network", "offline (HF_HUB_OFFLINE)" if report.offline else "models of the hub may be downloaded"),
        ("cache", _cache(report)),
        ("keys", ", ".join(name for name, is_set in report.keys.items() if is_set) or "none set"),
    )
    yield "\nPackages and programs"
    yield from _table(
        *((name, _package(name, version, report.torch)) for name, version in report.packages.items()),
        *(
            (name, "found" if is_there else f"not found; for {PROGRAMS[name]}")
            for name, is_there in report.programs.items()
        ),
    )
    yield "\nExtras"
    yield from _table(*map(_extra, report.extras))
    for title, models in (
        ("Vision models", report.vision),
        ("Language models that ask", report.questioners),
        ("Witnesses", report.witnesses),
    ):
        yield f"\n{title}"
        yield from _models(models)
    if report.servers:
        yield "\nServers"
        yield from _table(*map(_server, report.servers))
    if report.plugins:
        yield "\nPlugins"
        yield from _table(*map(_plugin, report.plugins))
    if report.settings:
        yield "\nVariables"
        yield from _table(*report.settings.items())
    if report.notes:
        yield "\nNotes"
        yield from (f"  {note}" for note in report.notes)
    yield from _problems(report.problems)


def _problems(problems: Sequence[str]) -> Iterator[str]:
    yield "\nProblems"
    yield from (f"  {problem}" for problem in problems or ("none",))


def _package(name: str, version: str, torch: TorchBuild | None) -> str:
    if name != "torch" or torch is None:
        return version or "missing"
    build = f"CUDA {torch.cuda}" if torch.cuda else f"HIP {torch.hip}" if torch.hip else "CPUs"
    return f"{version} for {build}"


def _extra(one: Extra) -> tuple[str, str, str]:
    if not one.missing:
        return one.name, "installed", one.adds
    return one.name, "missing", f"{one.adds}: {one.command}"


def _server(one: Server) -> tuple[str, str, str]:
    said = one.problem or f"answers, with {one.models} model{'' if one.models == 1 else 's'}"
    return f"{one.purpose}{' (default)' if one.chosen else ''}", one.address, said


def _plugin(one: Plugin) -> tuple[str, str, str]:
    return one.name, one.package, one.error or "loaded"


def _models(models: Iterable[ModelState]) -> Iterator[str]:
    return _table(*((f"{one.name}{' (default)' if one.chosen else ''}", one.state, one.about) for one in models))


def _cache(report: Report) -> str:
    if report.cache is None or not report.cache.models:
        return "no downloaded models"
    return f"{report.cache.models} downloaded model{'s' if report.cache.models > 1 else ''}, {_gb(report.cache.nbytes)}"


def _gb(nbytes: float) -> str:
    return f"{nbytes / 1e9:.1f} GB"


def _table(*rows: tuple[str, ...]) -> Iterator[str]:
    """Rows with aligned columns; the last one is as long as it is."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)][:-1]
    for row in rows:
        yield "  " + "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]])
