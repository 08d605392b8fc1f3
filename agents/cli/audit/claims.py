"""Who finds the claims of captions for `inquisight audit`: the rules, or a questioner."""

from __future__ import annotations

import queue
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from agents.claims.extract import extract_claims
from agents.claims.questioner import ReadClaims
from agents.cli.audit.request import AuditRequest
from core.errors import InquisightError, UsageError
from core.settings import get_settings
from core.stopping import CalledOff

Found = ReadClaims | InquisightError


def claim_reader(request: AuditRequest) -> Callable[[Sequence[str]], list[Found]]:
    """What gives each caption its claims, or the questioner's error about it. Raises InquisightError.

    The questioner's calls about a group of captions run at the same time. What every call would meet is raised.
    """
    if request.claims == "rules":
        for option, given in (("--questioner", request.questioner), ("--seed", request.seed)):
            if given is not None:
                raise UsageError(f"{option} only means something together with --claims questioner")
        return lambda texts: [ReadClaims(extract_claims(text)) for text in texts]
    from agents.interview.calls import follows_rules, read_claims
    from agents.interview.seeds import check_seed
    from agents.llm.calls import Callers, ends_all, may_overlap, metered
    from agents.llm.questioners import load_questioner
    from agents.llm.usage import Meter

    settings = get_settings()
    seed = check_seed(settings.seed if request.seed is None else request.seed)
    model = load_questioner(request.questioner or settings.questioner, settings, seed=seed)
    if follows_rules(model):
        print("inquisight: this questioner follows rules: it finds the claims as --claims rules does", file=sys.stderr)
    metered(model, Meter(), rate=settings.requests_per_second)

    def read(texts: Sequence[str]) -> list[Found]:
        done: queue.SimpleQueue[tuple[int, Any]] = queue.SimpleQueue()
        callers = Callers(lambda number, result, _: done.put((number, result)), len(texts) if may_overlap(model) else 1)
        try:
            for number, text in enumerate(texts):
                callers.put(number, partial(read_claims, text, model, seed=seed))
            found = dict(done.get() for _ in texts)
        finally:
            callers.close()
        for result in found.values():
            failed = isinstance(result, BaseException) and not isinstance(result, CalledOff)  # after another's error
            if failed and (ends_all(result) or not isinstance(result, InquisightError)):
                raise result
        return [found[number] for number in range(len(texts))]

    return read
