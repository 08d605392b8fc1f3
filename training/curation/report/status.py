"""`inquisight curate status`: the progress of each step, on one screen."""

from __future__ import annotations

from dataclasses import asdict

from core.files.journal import Record
from training.curation.report.figures import Figures, LabelledSample
from training.curation.steps.repair import COUNTED


def lines(found: Figures) -> list[str]:
    """One line per step, and one per reason for a failed or dropped text."""
    made = found.generated + sum(found.ungenerated.values())
    shown = [f"generate  {made} of {found.pictures} pictures{_state(made, found.pictures)}"]
    if found.generated:
        shown[0] += f"; {found.generated} texts, {found.continued} of them continued"
        shown[0] += _truncated(found, "generated")
    shown += _aside(found.ungenerated)
    shown += [f"          {found.left_out['line']}"] if found.left_out.get("count") else []
    tried = found.repaired + sum(found.unrepaired.values())
    shown.append(f"repair    {tried} of {found.generated} texts{_state(tried, found.generated)}")
    shown[-1] += _truncated(found, "repaired")
    if found.usage.calls:
        usage = found.usage
        shown[-1] += f"; {usage.calls} calls, {usage.input_tokens:,} tokens in, {usage.output_tokens:,} out"
        shown[-1] += f", cost {found.cost:.2f}" if found.cost else ""
        shown[-1] += f" ({usage.guessed} calls estimated)" if usage.guessed else ""
    shown += _aside(found.unrepaired)
    shown.append(f"verify    {_sample(found.sample)}")
    if found.sample_after:
        shown.append(f"          after the rules: {_sample(found.sample_after)}")
    if found.verdict is None:
        shown.append("rules     not run")
    else:
        stale = "; texts or labels have changed since, run them again" if found.stale else ""
        shown.append(f"rules     {found.verdict['kept']} kept, {found.verdict['dropped']} dropped{stale}")
        shown += _aside(found.dropped)
    return shown


def as_record(found: Figures) -> Record:
    """The same as a JSON object."""
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
            **{name: found.verdict[name] for name in ("kept", "dropped")},
            "reasons": found.dropped,
            "stale": found.stale,
            "hits": {rule["name"]: rule["hits"] for rule in found.verdict["rules"]},
        },
        "failures": {step: asdict(rate) for step, rate in found.failures().items()},
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
