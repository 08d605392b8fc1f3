"""Every regular expression of the product takes time in proportion to the text, whatever the text is.

What models say, files hold and visitors type is not ours. Patterns are found in the source (`product.py`), texts are
made for each of them (`attacks.py`) and steps are counted (`machine.py`). A new pattern is tested without being listed;
one that is put together while the program runs has to be named in `MADE`, with what it may become.

(The analysers on PyPI, regexploit 1.0.0 and redoctor 0.1.5, find nothing in the patterns of `KNOWN` but the first.)
"""

from __future__ import annotations

import ast
import re
from typing import Final

import pytest

from tests.patterns import product
from tests.patterns.attacks import slow

EVERY: Final = [found for path in product.sources() for found in product.found_in(path)]
WRITTEN: Final = {
    (found.pattern, found.flags, found.once): found.where for found in EVERY if isinstance(found.pattern, str)
}


def _topics() -> list[str]:
    from plugins.scripted.topics import _COMPILED

    return [compiled.pattern for _, compiled in _COMPILED]


def _leads() -> list[str]:
    from agents.styles.forms import _LEADS

    return [lead.pattern for lead in _LEADS]


def _marks() -> list[str]:
    from plugins.minigpt4.runtime.conversation import _marks

    return [_marks(("</s>", "<0x0A>", "<|im_end|>")).pattern]


# Where a pattern is put together from names and other texts: what it looks like then.
MADE: Final = {
    "agents/audit/checks.py::_Name.of": [r"\bducks\b"],
    "agents/audit/checks.py::_predicate": [r"\bin\ front\ of\b"],
    "benchmarks/audit/falsehoods.py::_side.change": [r"\bleft\b"],
    "agents/styles/forms.py": _leads(),
    "agents/batch/shard_output.py::existing_shards": [r"out\-put-\d{6}\.tar"],
    "benchmarks/paper_effect/said.py::_pattern": [r"\b(?:rubber\ duck|ducks|duck)\b"],
    "benchmarks/video_clips.py::mentioned_at": [r"\bred\ car(?:s|es)?\b"],
    "plugins/hf/batching.py::without": [r"</s>|<s>|\b(?:human|assistant)\s*:"],
    "plugins/minigpt4/runtime/conversation.py::_marks": _marks(),
    "plugins/pocket/lookup.py::Lookup.__init__": [r"\b(rubber duck|duck|dog|box)(?:e?s)?\b"],
    "plugins/scripted/topics.py::_compiled": _topics(),
    "plugins/scripted/writing.py::Summary._noun": [r"\bduck\b"],
    "plugins/scripted/writing.py::Summary._inner": [
        r"\b(?:(an?|one) )?rubber\ duck\b",
        r"\b(?:an?|one) rubber\ duck\b",
    ],
    "training/pocket/evaluate.py::first": [r"\bred\b"],
    "training/pocket/evaluate.py::score_single_things": [r"\bducks?\b"],
    "ui/text.py::label": [r"\*", r"(?<!\w)_|_(?!\w)"],
}
PHRASE: Final = r"((?:(?!(?:in|on|of|is|are)\b)[a-z][a-z'-]*\s*){1,4})"
KNOWN: Final = {
    "exponential": r"(?:a|aa)+b",
    "the fourth power": rf"\bno {PHRASE}\s*(?:is|are|can be)\b",
    "the fourth power, another": rf"\bthe {PHRASE}\s*\b(?:is|are)\s+([a-z ,-]+)",
    "a row of blanks before something": r"\s+$",
    "a row of letters before something": r"[a-z.]*:",
    "blanks, perhaps a word, blanks": r"^\s*(?:role)?\s*:",
    "an opening mark that is never closed": r"(?s)<think>.*?</think>",
    "an opening quotation mark": r"“[^”]*”",
    "a bracket with a word in it": r"\([^()]*\bframe\b[^()]*\)",
    "a run that is bounded, but high": r"(?:.{0,40}x){2}y",
    "a back reference": r"(a+)\1b",
}


@pytest.mark.parametrize("kind", KNOWN)
def test_what_is_slow_is_found(kind: str) -> None:
    assert slow(KNOWN[kind])


@pytest.mark.parametrize(
    "pattern",
    [
        r"(?<!\s)\s++$",
        r"(?s)<think>.*?(?:</think>|\Z)",
        r"\bno ((?:(?!(?:in|on|of|is|are)\b)[a-z][a-z'-]*+\s*+){1,4}+)(?:is|are|can be)\b",
        r"“[^“”]*”",
        r"(?:red|green|blue)(?: (?:and|or) (?:red|green|blue))*",
    ],
)
def test_what_is_linear_is_not(pattern: str) -> None:
    assert not slow(pattern)


@pytest.mark.parametrize(
    ("pattern", "flags", "once"),
    [pytest.param(*key, id=where) for key, where in WRITTEN.items()],
)
def test_a_pattern_takes_time_in_proportion_to_the_text(pattern: str, flags: int, once: bool) -> None:
    assert not slow(pattern, flags, once=once)


@pytest.mark.parametrize("within", MADE)
def test_a_pattern_that_is_put_together_does_so_too(within: str) -> None:
    for pattern in MADE[within]:
        assert not slow(pattern, re.DOTALL if "topics" in within else re.IGNORECASE)


def test_every_pattern_is_known() -> None:
    assert len(WRITTEN) > 100
    made = {found.within for found in EVERY if found.pattern is None}
    assert made == set(MADE), "patterns that are put together while the program runs need an example in MADE"


# Patterns that users write for their own captions (tests/core/captions/test_caption_edits.py).
TIMED: Final = product.ROOT / "core/captions/edits.py"


def test_patterns_of_users_have_a_time_limit() -> None:
    calls = [node for node in ast.walk(ast.parse(TIMED.read_text("utf-8"))) if isinstance(node, ast.Call)]
    matching = [one for one in calls if isinstance(one.func, ast.Attribute) and one.func.attr == "sub"]
    assert matching and all("timeout" in {word.arg for word in one.keywords} for one in matching)
    other = {"search", "match", "fullmatch", "findall", "finditer", "subn", "subf", "subfn", "splititer"}
    assert not [one for one in calls if isinstance(one.func, ast.Attribute) and one.func.attr in other]


def test_patterns_come_from_re_alone() -> None:
    for path, source in product.sources().items():
        if path == TIMED:
            continue
        for node in ast.walk(ast.parse(source)) if re.search(r"\b(?:re|regex|sre_\w+)\b", source) else ():
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert "regex" not in names, f"{path}: the tests read `re` alone"
            assert not (isinstance(node, ast.ImportFrom) and node.module in ("re", "regex")), f"{path}: write `re.x`"
            assert not (isinstance(node, ast.Import) and any(a.name == "re" and a.asname for a in node.names)), path
