"""Changes of captions as pure functions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.captions.edits import Edit, Prefix, Replace, Suffix, Tags, Trim, cleaned
from core.errors import UsageError


@pytest.mark.parametrize(
    ("edit", "before", "after"),
    [
        (Replace("cat", "dog"), "cat, Cat, concat", "dog, Cat, condog"),
        (Replace("cat", "dog", ignore_case=True), "cat, Cat", "dog, dog"),
        (Replace("cat", "dog", whole_words=True), "cat concat cats cat.", "dog concat cats dog."),
        (Replace("a.c", r"\1"), "a.c abc", r"\1 abc"),  # not a pattern
        (Replace(r"(\w+) cat", r"\1 dog", regex=True), "black cat", "black dog"),
        (Replace(r"^", "> ", regex=True), "x", "> x"),
        (Replace(r"\d{4}-\d{2}-\d{2}{", "x", regex=True), "2026-03-04{", "x"),
        (Replace(r"(?:\w{1,20} ){3}\{2\}", "x", regex=True), "a b c {2}", "x"),
        (Replace(r"(?P<one>a)b", r"\g<one>", regex=True), "abab", "aa"),
        (Prefix("sks, "), "cat", "sks, cat"),
        (Prefix("sks, "), "sks, cat", "sks, cat"),
        (Suffix(", 4k"), "cat", "cat, 4k"),
        (Suffix(", 4k"), "cat, 4k", "cat, 4k"),
        (Trim(), "  two\t words \n  and  more \n", "two words\nand more"),
        (Tags(), "cat, dog,cat,  Dog , bird,", "cat, dog, bird"),
        (Tags(), "cat,dog", "cat,dog"),
        (Tags(add=("dog", "cat")), "cat,  bird", "cat, bird, dog"),
        (Tags(remove=("Cat",)), "cat, dog", "dog"),
        (Tags(separator=";"), "a; b; a", "a; b"),
    ],
)
def test_what_an_edit_does(edit: Edit, before: str, after: str) -> None:
    change = edit.check()
    assert change(before) == after
    assert edit.label


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (Replace("", "x"), "empty"),
        (Replace("(", "x", regex=True), "not valid"),
        (Replace("a", r"\2", regex=True), "not valid"),
        (Replace("a", r"\g<none>", regex=True), "not valid"),
        (Replace("a" * 3000, "x"), "2,000 characters"),
        (Replace(r"((a{1000}){1000}){1000}", "x", regex=True), "repeats too much"),
        (Replace(r"(?:(?:[ab]\d{99}){99,}){99}", "x", regex=True), "repeats too much"),
        (Replace("a{99999}", "x", regex=True), "repeats too much"),
        (Prefix(""), "empty"),
        (Suffix(""), "empty"),
        (Tags(separator=" "), "separator"),
    ],
)
def test_an_invalid_edit_is_refused_in_one_line(edit: Edit, reason: str) -> None:
    with pytest.raises(UsageError, match=reason) as caught:
        edit.check()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("pattern", [r"(a+)+$", r"(a|aa)+$", r"^(([a-z])+.)+[A-Z]([a-z])+$"])
def test_a_pattern_that_would_never_end_is_stopped(pattern: str) -> None:
    change = Replace(pattern, "x", regex=True).check()
    with pytest.raises(UsageError, match="takes too long"):
        for repeat in (40, 400, 4000, 40_000):
            change("a" * repeat + "!")


def test_a_caption_does_not_grow_without_limit() -> None:
    with pytest.raises(UsageError, match="longer than"):
        Replace("a", "b" * 2000).check()("a" * 10_000)


@given(st.text(), st.text(min_size=1, max_size=3), st.text(max_size=5))
def test_a_plain_replacement_is_that_of_python(text: str, find: str, by: str) -> None:
    assert Replace(find, by).check()(text) == text.replace(find, by)


@given(st.text())
def test_an_edit_leaves_nothing_that_a_form_cannot_hold(text: str) -> None:
    for edit in (Prefix("\x00\ud800p"), Trim(), Tags(add=("x\r\n",))):
        change = cleaned(edit.check())
        result = change(text)
        assert result == text or not any("\ud800" <= letter <= "\udfff" or letter in "\0\r" for letter in result)
