"""Text for people: sentences, escaping, numbers."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ui.text import error_message, plain, seconds, sentence, size


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("the picture is empty", "The picture is empty."),
        ("photo.jpg is no picture.", "photo.jpg is no picture."),
        ("openai:gpt-4o answered with nothing", "openai:gpt-4o answered with nothing."),
        ("", "Something went wrong."),
        ("why?", "Why?"),
    ],
)
def test_errors_are_sentences(said: str, shown: str) -> None:
    assert sentence(said) == shown


def test_what_is_unexpected_gets_a_number_and_no_details() -> None:
    said = error_message(ValueError("/home/somebody/secret"))
    assert "secret" not in said and "ValueError" not in said and "number" in said


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(st.text(max_size=100))
def test_nothing_a_model_says_is_markdown(said: str) -> None:
    shown = plain(said)
    for character in "*_`[]<>$~|":
        assert shown.count(character) == shown.count(f"\\{character}")


def test_figures_are_short() -> None:
    assert [seconds(value) for value in (0.44, 12, 60, 185, 7800)] == [
        "0.4 s",
        "12 s",
        "1 min",
        "3 min 5 s",
        "2 h 10 min",
    ]
    assert [size(value) for value in (512, 24_500_000, 1.3e9)] == ["512 B", "24.5 MB", "1.3 GB"]
