"""The claims of a caption as a real language model of 135 million parameters reads them: useless ones do no harm."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agents.claims.extract import extract_claims
from agents.interview.calls import read_claims
from agents.llm.questioners import load_questioner
from core.text import sentences
from tests.servers import llama_cpp

CAPTION = "A man in a red hat rides a horse. Two dogs run."


@pytest.fixture(scope="module")
def served(gguf: Path) -> Iterator[str]:
    with llama_cpp(gguf, context=4096, name="smollm2") as (url, _):
        yield f"openai:smollm2?base_url={url}"


def test_the_claims_are_valid_and_no_fewer_than_those_of_the_rules(served: str) -> None:
    model = load_questioner(served)
    found = read_claims(CAPTION, model, seed=1)
    rules = extract_claims(CAPTION)
    assert found.counts is not None and found.counts.sentences == len(sentences(CAPTION))
    assert len(found.claims) >= len(rules)
    for at, claim in enumerate(found.claims):
        assert CAPTION[claim.start : claim.end].strip()
        assert claim.parent is None or (claim.parent < at and found.claims[claim.parent].kind == "thing")
    if found.counts.by_rules == found.counts.sentences:
        assert found.claims == rules
    assert {claim.claims_by for claim in found.claims} <= {"rules", "questioner"}
