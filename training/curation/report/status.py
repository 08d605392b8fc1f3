"""`inquisight curate status`: how far each step is, on one screen."""

from __future__ import annotations

from typing import Any

from core.files.journal import Record
from training.curation.report.figures import Figures, LabelledSample
from training.curation.steps.repair import COUNTED


def lines(found: Figures) -> list[str]:
    """One line per step, and one per reason why something was set aside."""
    made = found.generated + sum(found.ungenerated.values())
    told = [f"generate  {made} of {found.pictures} pictures{_state(made, found.pictures)}"]
    if found.generated:
        told[0] += f"; {found.generated} texts, {found.continued} of them continued"
        told[0] += _truncated(found, "generated")
    told += _aside(found.ungenerated)
    told += [f"          {found.left_out['line']}"] if found.left_out.get("count") else []
    tried = found.repaired + sum(found.unrepaired.values())
    told.append(f"repair    {tried} of {found.generated} texts{_state(tried, found.generated)}")
    told[-1] += _truncated(found, "repaired")
    if found.usage.calls:
        usage = found.usage
        told[-1] += f"; {usage.calls} calls, {usage.input_tokens:,} tokens in, {usage.output_tokens:,} out"
        told[-1] += f", cost {found.cost:.2f}" if found.cost else ""
        told[-1] += f" ({usage.guessed} calls estimated)" if usage.guessed else ""
    told += _aside(found.unrepaired)
    told.append(f"verify    {_sample(found.sample)}")
    if found.sample_after:
        told.append(f"          after the rules: {_sample(found.sample_after)}")
    if found.verdict is None:
        told.append("rules     not run")
    else:
        stale = "; texts or labels came since, run them again" if found.stale else ""
        told.append(f"rules     {found.verdict['kept']} kept, {found.verdict['dropped']} dropped{stale}")
        told += _aside(found.dropped)
    return told


def as_record(found: Figures) -> Record:
    """The same for programs."""
    after: dict[str, Any] = {
        step: {"texts": rate.texts, "failed": rate.failed, "kinds": dict(rate.kinds)}
        for step, rate in found.failures().items()
    }
    return {
        "pictures": found.pictures,
        "left_out": {name: found.left_out.get(name) or empty for name, empty in (("count", 0), ("reasons", {}))},
        "generated": {
            "texts": found.generated,
            "continued": found.continued,
            "truncated": found.truncated.get("generated", 0),
            "failed": found.ungenerated,
        },
        "repaired": {
            "texts": found.repaired,
            "truncated": found.truncated.get("repaired", 0),
            "failed": found.unrepaired,
            **found.usage.model_dump(include=COUNTED),
            "cost": found.cost,
        },
        "labelled": found.sample.labelled if found.sample else {},
        "rules": found.verdict
        and {
            "kept": found.verdict["kept"],
            "dropped": found.verdict["dropped"],
            "reasons": found.dropped,
            "stale": found.stale,
            "hits": {rule["name"]: rule["hits"] for rule in found.verdict["rules"]},
        },
        "failures": after,
    }


def _state(done: int, total: int) -> str:
    return "" if done >= total else ", unfinished"


def _truncated(found: Figures, step: str) -> str:
    count = found.truncated.get(step, 0)
    return f", {count} truncated" if count else ""


def _aside(reasons: dict[str, int]) -> list[str]:
    return [f"          {count:5d}  {reason}" for reason, count in reasons.items()]


def _sample(sample: LabelledSample | None) -> str:
    if sample is None:
        return "no sample drawn"
    who = ", ".join(f"{count} by {name}" for name, count in sample.labelled.items()) or "none labelled yet"
    faulty = f"; {sample.faulty} of {sample.seen} with an error" if sample.seen else ""
    kappas = [
        f"kappa {one.faulty:.2f} ({one.reviewers[0]} and {one.reviewers[1]}, {one.texts} texts)"
        for one in sample.agreements
        if one.faulty is not None
    ]
    return f"sample of {sample.size}: {who}{faulty}{''.join(f'; {kappa}' for kappa in kappas)}"
