"""The checks every plugin must pass, and a few of our own."""

from __future__ import annotations

import pytest
from core import BackendError, QuestionerError, VisualQuestion, get_registry
from core.testing import QuestionerTests, VisionBackendTests, make_picture


class TestEcho(VisionBackendTests):
    spec = "echo"


class TestEchoLoud(VisionBackendTests):
    spec = "echo:loud"


class TestEchoQuestioner(QuestionerTests):
    spec = "echo"


def test_it_measures() -> None:
    backend = get_registry().create_vision("echo")
    [image] = backend.encode([make_picture(30, 20, (10, 10, 10))])
    assert backend.answer([VisualQuestion(image, "What colour is it?"), VisualQuestion(image, "Who is it?")]) == [
        "it is mostly black.",
        "i do not know.",
    ]


def test_wrong_arguments_are_explained() -> None:
    with pytest.raises(BackendError, match="echo:quiet"):
        get_registry().create_vision("echo:quiet")
    with pytest.raises(QuestionerError, match="takes no argument"):
        get_registry().create_questioner("echo:x")
