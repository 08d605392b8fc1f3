"""Pictures examined by all witnesses of an interview. A witness that fails loses no picture: the others go on."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

from core.entries import one_line
from core.errors import BackendError, InquisightError, printable
from core.findings import Findings
from core.images.picture import Picture
from core.registry import get_registry
from core.witness import Witness

Find = Callable[[str], Witness]
"""Returns the witness of a name; raises InquisightError if it cannot be loaded."""

NO_PIXELS = "the picture came encoded, without its pixels, so no witness could examine it"


@dataclass(frozen=True, slots=True)
class Examined:
    """One picture's findings, one per witness that worked; one line for each that failed; the seconds it took."""

    findings: tuple[Findings, ...] = ()
    problems: tuple[str, ...] = ()
    seconds: float = 0.0


def examine_pictures(names: Sequence[str], pictures: Sequence[Picture], find: Find | None = None) -> list[Examined]:
    """What the witnesses of these names find in each picture, as records keep it. Never raises an Exception."""
    start = time.perf_counter()
    found: list[list[Findings]] = [[] for _ in pictures]
    problems: list[list[str]] = [[] for _ in pictures]
    for name in names:
        for number, result in enumerate(_examined(name, pictures, find or get_registry().create_witness)):
            if isinstance(result, Findings):
                found[number].append(result.kept())
            else:
                problems[number].append(result)
    share = (time.perf_counter() - start) / max(len(pictures), 1)
    return [Examined(tuple(one), tuple(lines), share) for one, lines in zip(found, problems, strict=True)]


def load(names: Sequence[str], find: Find | None = None) -> None:
    """Load the witnesses in this thread: several threads that import the same libraries at once meet half of them.

    A failure is reported when a picture is examined.
    """
    for name in names:
        with suppress(Exception):
            (find or get_registry().create_witness)(name)


def start_early(names: Sequence[str], picture: Picture) -> Future[list[Examined]] | None:
    """Let the witnesses that declare `starts_early` examine a picture in a thread, while models are loaded.

    They are loaded in this thread. The registry's witnesses remember what they found, so `examine_pictures` has their
    findings at once, or waits for them; a failure is reported there. None if no witness of these names declares it.
    """
    registry = get_registry()
    early = []
    for name in names:
        with suppress(InquisightError):
            if registry.find("witness", name.partition(":")[0]).capabilities.get("starts_early"):
                registry.check("witness", name)
                early.append(name)
    if not early:
        return None
    load(early)
    thread = ThreadPoolExecutor(1, thread_name_prefix="early-witnesses")
    started = thread.submit(examine_pictures, early, [picture])
    thread.shutdown(wait=False)
    return started


def _examined(name: str, pictures: Sequence[Picture], find: Find) -> list[Findings | str]:
    """Findings or the reason of a failure; after a failure of several pictures, each is examined alone."""
    try:
        witness = find(name)
    except Exception as error:  # noqa: BLE001 - becomes a line in the record
        return [_reason(name, error)] * len(pictures)
    try:
        return _checked(witness.examine(pictures), pictures)
    except Exception as error:  # noqa: BLE001
        if len(pictures) == 1:
            return [_reason(name, error)]
    return [result for picture in pictures for result in _examined(name, [picture], lambda _: witness)]


def _checked(found: Sequence[Findings], pictures: Sequence[Picture]) -> list[Findings | str]:
    if len(found) != len(pictures) or not all(isinstance(one, Findings) for one in found):
        raise BackendError(f"it gave {len(found)} results for {len(pictures)} pictures, or results of another kind.")
    return list(found)


def _reason(name: str, error: Exception) -> str:
    line = str(error) if isinstance(error, InquisightError) else one_line(error)
    named = f"witness '{printable(name)}'"
    return (line if named in line else f"the {named} failed: {line}").rstrip(". ")
