"""Test classes for plugin authors: inherit, name your plugin, run pytest.

    from core.testing import VisionBackendTests

    class TestMine(VisionBackendTests):
        spec = "mine"          # what a user would write after --vision

They check what everything else in Inquisight relies on. Needs pytest, and is the only module of
`core` that does.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
from PIL import Image

from core.images import Picture, open_picture
from core.records import Turn
from core.registry import get_registry
from core.tasks import QUESTION, SUMMARY, Task, TaskName, is_nothing_new
from core.vision import EncodedImage, GenerationOptions, VisionBackend, VisualQuestion


def make_picture(
    width: int = 64, height: int = 48, colour: tuple[int, int, int] = (200, 30, 30), name: str = "test picture"
) -> Picture:
    """A real Picture of one colour, through the real decoder."""
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(buffer, "PNG")
    return open_picture(buffer.getvalue(), name=name)


class VisionBackendTests:
    """What every vision backend must do. Set `spec`; override `make_backend` to build it otherwise."""

    spec: ClassVar[str] = ""
    question: ClassVar[str] = "What colour is it?"

    def make_backend(self) -> VisionBackend:
        """The backend under test, by default through the registry as a user would get it."""
        return get_registry().create_vision(self.spec)

    @pytest.fixture(scope="class")
    @classmethod
    def backend(cls) -> Iterator[VisionBackend]:
        """One backend for the whole class, closed at its end."""
        backend = cls().make_backend()
        yield backend
        backend.close()

    def ask(self, image: EncodedImage, question: str | None = None, **fields: Any) -> VisualQuestion:
        """A question with greedy decoding, so that answers can be compared."""
        return VisualQuestion(image, question or self.question, options=GenerationOptions(max_new_tokens=20), **fields)

    def test_is_a_vision_backend(self, backend: VisionBackend) -> None:
        assert isinstance(backend, VisionBackend)
        assert backend.name and backend.name.isprintable()
        assert backend.revision and backend.revision == backend.revision

    def test_capabilities_have_the_agreed_types(self, backend: VisionBackend) -> None:
        assert isinstance(backend.follows_instructions, bool) and isinstance(backend.streams, bool)
        assert isinstance(backend.max_images, int) and backend.max_images >= 1
        assert backend.languages and all(isinstance(language, str) for language in backend.languages)

    def test_registered_capabilities_are_true(self, backend: VisionBackend) -> None:
        if not self.spec:
            pytest.skip("no spec: the backend is not tested through the registry")
        entry = get_registry().find("vision backend", self.spec.partition(":")[0])
        assert entry.description, "a one-line description is what `inquisight plugins` shows"
        for name, value in entry.capabilities.items():
            assert getattr(backend, name) == value, f"registered {name}={value!r}, but the class says otherwise"

    def test_describes_itself_in_words(self, backend: VisionBackend) -> None:
        description = backend.describe()
        assert description["name"] == backend.name and description["revision"] == backend.revision
        assert all(isinstance(key, str) and isinstance(value, str) for key, value in description.items())

    def test_encodes_each_picture_in_order(self, backend: VisionBackend) -> None:
        pictures = [make_picture(colour=colour) for colour in ((255, 0, 0), (0, 0, 255), (255, 255, 255))]
        encoded = backend.encode(pictures)
        assert [one.sha256 for one in encoded] == [picture.sha256 for picture in pictures]
        assert {one.revision for one in encoded} == {backend.revision}
        assert len({one.key for one in encoded}) == 3

    def test_encodes_pictures_of_any_shape(self, backend: VisionBackend) -> None:
        sizes = [(1, 1), (1, 50), (50, 1), (3, 3), (500, 20)]
        encoded = backend.encode([make_picture(*size) for size in sizes])
        answers = backend.answer([self.ask(image) for image in encoded])
        assert len(encoded) == len(answers) == len(sizes)

    def test_nothing_in_nothing_out(self, backend: VisionBackend) -> None:
        assert backend.encode([]) == [] and backend.answer([]) == []

    def test_answers_every_question_of_a_batch(self, backend: VisionBackend) -> None:
        red, blue = backend.encode([make_picture(colour=(255, 0, 0)), make_picture(colour=(0, 0, 255))])
        history = (("Is it large?", "i do not know."),)
        batch = [
            self.ask(red),
            self.ask(blue, "Describe this picture in detail."),
            self.ask(red, history=history),
            self.ask(blue, "Wie heißt die Katze? 猫"),
        ]
        answers = backend.answer(batch)
        assert len(answers) == len(batch) and all(isinstance(answer, str) for answer in answers)

    def test_a_batch_answers_as_single_questions_do(self, backend: VisionBackend) -> None:
        images = backend.encode([make_picture(colour=(255, 0, 0)), make_picture(width=20, colour=(0, 0, 255))])
        questions = [self.ask(image) for image in images]
        assert backend.answer(questions) == [backend.answer([question])[0] for question in questions]

    def test_gives_a_plain_caption(self, backend: VisionBackend) -> None:
        [image] = backend.encode([make_picture()])
        [caption] = backend.answer([VisualQuestion(image, None, options=GenerationOptions(max_new_tokens=20))])
        assert isinstance(caption, str)

    def test_asking_twice_gives_the_same_answer(self, backend: VisionBackend) -> None:
        [image] = backend.encode([make_picture()])
        assert backend.answer([self.ask(image)]) == backend.answer([self.ask(image)])

    def test_streamed_pieces_make_the_answer(self, backend: VisionBackend) -> None:
        [image] = backend.encode([make_picture()])
        assert "".join(backend.stream(self.ask(image))) == backend.answer([self.ask(image)])[0]


class QuestionerTests:
    """What every questioner must do. Set `spec`; override `make_questioner` to build it otherwise."""

    spec: ClassVar[str] = ""
    deterministic: ClassVar[bool] = True  # False: replies to the same messages may differ
    turns: ClassVar[tuple[Turn, ...]] = (
        Turn(
            question="Describe this picture in detail.", answer="there is a yellow duck on a pond.", asked_by="opening"
        ),
        Turn(question="Who owns the duck?", answer="perhaps a quxbar, i am not sure.", certainty="unsure"),
    )

    def make_questioner(self) -> Any:
        """The chat model under test, by default through the registry as a user would get it."""
        return get_registry().create_questioner(self.spec)

    @pytest.fixture(scope="class")
    @classmethod
    def questioner(cls) -> Any:
        """One chat model for the whole class."""
        return cls().make_questioner()

    def messages(self, task: TaskName, **fields: Any) -> list[Any]:
        """The conversation as the interview sends it: a system message, the dialogue, the request."""
        from langchain_core.messages import AIMessage, HumanMessage, SystemMessage

        talk: list[Any] = [SystemMessage("You cannot see a picture and ask about it, one question at a time.")]
        sure = [turn for turn in self.turns if turn.certainty == "sure"]
        for turn in self.turns if task == QUESTION else sure:
            talk += [AIMessage(turn.question), HumanMessage(turn.answer)]
        request = "Ask your next question." if task == QUESTION else "Describe the picture in a few sentences."
        kwargs = Task.of(task, self.turns, **fields).to_kwargs()
        return [*talk, HumanMessage(request, additional_kwargs=kwargs)]

    def test_is_a_langchain_chat_model(self, questioner: Any) -> None:
        from langchain_core.language_models import BaseChatModel

        assert isinstance(questioner, BaseChatModel)

    def test_asks_a_question(self, questioner: Any) -> None:
        question = questioner.invoke(self.messages(QUESTION)).text
        assert question.strip()

    def test_does_not_ask_what_was_asked(self, questioner: Any) -> None:
        question = questioner.invoke(self.messages(QUESTION)).text
        asked = {turn.question.casefold().strip() for turn in self.turns}
        assert is_nothing_new(question) or question.casefold().strip() not in asked

    def test_does_not_insist_on_a_refused_question(self, questioner: Any) -> None:
        first = questioner.invoke(self.messages(QUESTION)).text
        second = questioner.invoke(self.messages(QUESTION, refused=[first])).text
        assert is_nothing_new(second) or second != first

    def test_summarises_the_certain_turns_only(self, questioner: Any) -> None:
        summary = questioner.invoke(self.messages(SUMMARY)).text
        assert summary.strip() and "quxbar" not in summary

    def test_same_messages_same_reply(self, questioner: Any) -> None:
        if not self.deterministic:
            pytest.skip("declared as not deterministic")
        messages = self.messages(QUESTION)
        first = questioner.invoke(messages).text
        assert questioner.invoke(messages).text == first
        assert "".join(piece.text for piece in questioner.stream(messages)) == first
        assert asyncio.run(questioner.ainvoke(messages)).text == first
        assert [reply.text for reply in questioner.batch([messages, messages])] == [first, first]
