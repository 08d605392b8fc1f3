"""Styles of an interview: who writes them, what is taken out, and that their limits hold for any questioner."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.interview.prompts import Prompts
from agents.llm.questioners import load_questioner
from agents.styles.options import LIMITS, StyleOptions, style_names
from agents.styles.own import StylePrompt
from agents.styles.vocabulary import vocabulary_of
from agents.styles.writing import LONG, UNSUPPORTED, WORK, Facts, Writers, missing_styles, write_styles
from core.errors import UsageError
from core.records import Claim, StyledText, Turn
from tests.agents.fakes import ListQuestioner

TURNS = (
    Turn(question="Describe this picture in detail.", answer="A brown dog on a red couch.", asked_by="opening"),
    Turn(question="What is the dog doing?", answer="It is sleeping."),
    Turn(question="Is it indoors or outdoors?", answer="It is indoors."),
    Turn(question="What else is there?", answer="There is also a white mug on a table."),
)
DESCRIPTION = "A brown dog is sleeping on a red couch. There is a white mug on a table. It is indoors."
PROMPTS = Prompts.load().styles
RULES = load_questioner("scripted")


def write(options: StyleOptions, *replies: Any, facts: Facts | None = None, **more: Any) -> dict[str, StyledText]:
    model = ListQuestioner(styles=replies) if replies else RULES
    writers = Writers(model, RULES if replies else None, not replies, lambda style, attempt: None)
    facts = facts or Facts(TURNS, DESCRIPTION, "questioner")
    return {one.style: one for one in write_styles(facts, options, more.pop("prompts", PROMPTS), writers, **more)}


def test_the_rules_write_every_style() -> None:
    found = write(StyleOptions(("description", "alt", "short", "tags", "prompt")))
    assert found["description"].text == DESCRIPTION
    assert found["alt"].text == "A brown dog sleeping on a red couch and a white mug on a table, indoors."
    assert found["tags"].tags == ("dog", "mug", "sleeping", "couch", "table", "indoors")
    assert found["prompt"].text.startswith("a brown dog sleeping on a red couch")
    assert {one.by for one in found.values()} == {"questioner"}, "scripted is the questioner here"


def test_what_matters_for_the_purpose_comes_first() -> None:
    [alt] = write(StyleOptions(("alt",), purpose="product page for a mug")).values()
    assert alt.text == "A white mug on a table."


@pytest.mark.parametrize(
    ("purpose", "text"),
    [("decorative", ""), ("Redundant.", ""), ("link to the shop's home page", "The shop's home page")],
)
def test_some_purposes_decide_the_alt_text_alone(purpose: str, text: str) -> None:
    [alt] = write(StyleOptions(("alt",), purpose=purpose)).values()
    assert (alt.text, alt.by) == (text, "fixed")


def test_a_draft_that_the_answers_support_is_taken() -> None:
    [alt] = write(StyleOptions(("alt",)), "Alt text: An image of a brown dog sleeping on a couch").values()
    assert (alt.text, alt.by, alt.refused) == ("A brown dog sleeping on a couch.", "questioner", ())


def test_what_no_answer_says_is_taken_out_asked_again_and_then_written_by_the_rules() -> None:
    [alt] = write(StyleOptions(("alt",)), "A dog on a couch. A horse is on the left. It is indoors.").values()
    assert alt.text == "A dog on a couch. It is indoors." and alt.removed == ("A horse is on the left.",)
    [alt] = write(StyleOptions(("alt",)), "A horse in a field.", "A dog on a couch.").values()
    assert (alt.text, alt.by, alt.refused) == ("A dog on a couch.", "questioner", (UNSUPPORTED,))
    [alt] = write(StyleOptions(("alt",)), "A horse in a field.", "Based on the notes, a dog.").values()
    assert alt.by == "rules" and alt.refused == (UNSUPPORTED, WORK) and alt.text.startswith("A brown dog")


def test_a_draft_that_is_too_long_is_asked_for_again_and_then_shortened() -> None:
    long = "A brown dog is sleeping on a red couch, with a white mug on a table beside it, " * 3
    options = StyleOptions(("alt",), max_chars=60)
    [alt] = write(options, long, "A brown dog on a red couch.").values()
    assert (alt.text, alt.refused) == ("A brown dog on a red couch.", (LONG,))
    [alt] = write(options, long, long).values()
    assert len(alt.text) <= 60 and alt.text.startswith("A brown dog is sleeping on a red couch")


def test_tags_are_checked_one_by_one() -> None:
    [tags] = write(StyleOptions(("tags",)), "Dogs, couch, horse, sleeping dog, dog").values()
    assert tags.tags == ("dog", "couch", "sleeping dog") and tags.removed == ("horse",)
    [tags] = write(StyleOptions(("tags",), vocabulary=vocabulary_of(["pet", "sofa"])), "dog, couch").values()
    assert tags.tags == ("pet", "sofa") or tags.tags == ("sofa",)
    [tags] = write(StyleOptions(("tags",)), "horse, cow", "unicorn").values()
    assert tags.by == "rules" and "dog" in tags.tags


def test_a_training_caption_gets_prefix_trigger_and_suffix() -> None:
    options = StyleOptions(("prompt",), prefix="photo of", trigger="ohwx", suffix=", masterpiece", max_chars=60)
    [prompt] = write(options, "A brown dog on a red couch.").values()
    assert prompt.text == "photo of ohwx, a brown dog on a red couch, masterpiece"
    [prompt] = write(options).values()
    assert len(prompt.text) <= 60 and prompt.text.startswith("photo of ohwx, a brown dog")
    with pytest.raises(UsageError, match="leave fewer"):
        StyleOptions(("prompt",), prefix="x" * 55, max_chars=60)


def test_what_an_audit_found_false_is_in_no_style() -> None:
    false = Claim(text="a white mug", kind="thing", start=0, end=1, about="mug", verdict="contradicted")
    facts = Facts(TURNS, "A brown dog is sleeping on a red couch.", "questioner", (false,))
    found = write(StyleOptions(("alt", "tags", "prompt")), facts=facts)
    assert not any("mug" in one.text for one in found.values())


def test_nothing_certain_is_said_as_such() -> None:
    found = write(StyleOptions(("alt", "tags", "short")), facts=Facts((), "Nothing could be made out."))
    assert (found["alt"].text, found["tags"].text, found["short"].by) == ("Content unclear", "", "fixed")


def test_only_what_is_missing_is_written() -> None:
    options = StyleOptions(("alt", "tags"))
    first = tuple(write(options).values())
    assert not missing_styles(options, PROMPTS, first)
    assert missing_styles(StyleOptions(("tags",)), PROMPTS, first), "it is to come first"
    assert missing_styles(StyleOptions(("alt",), max_chars=50), PROMPTS, first)
    again = write(StyleOptions(("tags", "alt"), max_chars=None), "never asked", done=first)
    assert again["alt"] == first[0] and again["tags"] == first[1]


def test_own_styles() -> None:
    own = {"catalogue": StylePrompt("catalogue", "{notes} In one line.", "text", 40)}
    draft = "A brown dog on a red couch. It is indoors."
    [one] = write(StyleOptions(("catalogue",)), draft, draft, prompts=own).values()
    assert one.text == "A brown dog on a red couch."
    [one] = write(StyleOptions(("catalogue",)), prompts=own).values()
    assert 0 < len(one.text) <= 40


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=300), st.text(max_size=300), st.integers(20, 200), st.sampled_from(["alt", "short", "prompt"]))
def test_any_questioner_keeps_the_limits(one: str, two: str, most: int, style: str) -> None:
    [found] = write(StyleOptions((style,), max_chars=most), one, two).values()
    assert 0 < len(found.text) <= min(most, LIMITS["alt"] if style == "alt" else most)
    assert not re.search(r"\b(?:image|picture|photo)s? of\b", found.text, re.IGNORECASE)


def test_bad_options_get_one_line() -> None:
    assert style_names(["alt, tags", "alt", "Prompt"]) == ("alt", "tags", "prompt")
    for options, line in (
        ({"styles": ("alt",), "max_chars": 5}, "between 20 and"),
        ({"styles": ("alt",), "trigger": "x"}, "--trigger only means something together with --style prompt"),
        ({"styles": (), "purpose": "x"}, "--purpose only means something"),
    ):
        with pytest.raises(UsageError, match=line):
            StyleOptions(**options)
    with pytest.raises(UsageError, match="there is no style 'poem'"):
        StyleOptions(("poem",)).check(PROMPTS)
