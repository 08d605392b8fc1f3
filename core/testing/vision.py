"""Tests for vision backends."""

from __future__ import annotations

import asyncio
import io
import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, ClassVar, get_args

import pytest
from PIL import Image

from core.errors import UsageError
from core.images.picture import Picture, open_picture
from core.registry import get_registry
from core.vision import Aspect, EncodedImage, GenerationOptions, Reply, VisionBackend, VisualQuestion


def make_picture(
    width: int = 64, height: int = 48, colour: tuple[int, int, int] = (200, 30, 30), name: str = "test picture"
) -> Picture:
    """A Picture of one colour, decoded from a PNG."""
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(buffer, "PNG")
    return open_picture(buffer.getvalue(), name=name)


class VisionBackendTests:
    """Tests for every vision backend. Set `spec`, or override `make_backend`."""

    spec: ClassVar[str] = ""
    question: ClassVar[str] = "What colour is it?"
    yes_or_no: ClassVar[str] = "Is it red? Answer yes or no."
    score_tolerance: ClassVar[float] = 1e-3  # difference of log-probabilities between batches

    def make_backend(self) -> VisionBackend:
        """The backend under test, by default from the registry."""
        return get_registry().create_vision(self.spec)

    @pytest.fixture(scope="class")
    @classmethod
    def backend(cls) -> Iterator[VisionBackend]:
        """One backend for the whole class, closed at its end."""
        backend = cls().make_backend()
        yield backend
        backend.close()

    def ask(self, image: EncodedImage, question: str | None = None, **fields: Any) -> VisualQuestion:
        """A question with greedy decoding."""
        return VisualQuestion(image, question or self.question, options=GenerationOptions(max_new_tokens=20), **fields)

    def test_is_a_vision_backend(self, backend: VisionBackend) -> None:
        assert isinstance(backend, VisionBackend)
        assert backend.name and backend.name.isprintable()
        assert backend.revision and backend.revision == backend.revision

    def test_capabilities_have_the_agreed_types(self, backend: VisionBackend) -> None:
        assert isinstance(backend.follows_instructions, bool) and isinstance(backend.streams, bool)
        assert isinstance(backend.max_images, int) and backend.max_images >= 1
        assert isinstance(backend.interleaves, bool)
        assert backend.max_images > 1 or not backend.interleaves, "a picture at a later turn is a second picture"
        assert backend.cannot_tell <= {*get_args(Aspect)}
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

    def test_one_question_about_one_picture(self, backend: VisionBackend) -> None:
        picture, options = make_picture(colour=(255, 0, 0)), GenerationOptions(max_new_tokens=20)
        image = backend.encode_image(picture)
        assert image.info() == picture.info() and backend.encode_image(image) is image
        [answer] = backend.answer([self.ask(image)])
        assert answer == backend.ask(image, self.question, options=options)
        assert answer == asyncio.run(backend.aask(picture, self.question, options=options))
        with pytest.raises(UsageError):
            backend.encode_image(EncodedImage(image.sha256, f"not {image.revision}", None))

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

    def test_replies_are_the_answers_with_reason_and_counts(self, backend: VisionBackend) -> None:
        [image] = backend.encode([make_picture()])
        questions = [self.ask(image), self.ask(image, "What is it?")]
        replies = backend.replies(questions)
        assert [reply.text for reply in replies] == backend.answer(questions)
        for reply in replies:
            assert isinstance(reply.reason, str)
            for count in (reply.input_tokens, reply.output_tokens):
                assert count is None or (isinstance(count, int) and count >= 0)
        *pieces, last = backend.pieces(questions[0])
        assert isinstance(last, Reply) and last.reason == replies[0].reason
        assert "".join(piece for piece in pieces if isinstance(piece, str)) == last.text == replies[0].text
        assert (last.input_tokens, last.output_tokens) == (replies[0].input_tokens, replies[0].output_tokens)

    def test_reported_tokens_belong_to_the_answer(self, backend: VisionBackend) -> None:
        assert isinstance(backend.reports_tokens, bool)
        [image] = backend.encode([make_picture()])
        question = self.ask(image)
        scored = replace(question, options=replace(question.options, token_scores=3))
        [reply] = backend.replies([scored])
        assert reply.text == backend.answer([question])[0]
        assert bool(reply.tokens) == (backend.reports_tokens and bool(reply.text))
        for token in reply.tokens:
            odds = [value for _, value in token.likeliest]
            assert token.logprob <= 1e-4 and 1 <= len(odds) <= 3 and odds == sorted(odds, reverse=True)
            assert sum(map(math.exp, odds)) <= 1 + 1e-4, "these tokens exclude each other"
        *_, last = backend.pieces(scored)
        assert isinstance(last, Reply) and [one.text for one in last.tokens] == [one.text for one in reply.tokens]

    # ---- scores ---------------------------------------------------------------------------------------------------

    def test_scores_one_number_for_each_choice(self, backend: VisionBackend) -> None:
        assert isinstance(backend.scores, bool) and backend.score([], []) == []
        red, blue = backend.encode([make_picture(colour=(255, 0, 0)), make_picture(colour=(0, 0, 255))])
        questions = [self.ask(red, self.yes_or_no), self.ask(blue), self.ask(red, self.yes_or_no), self.ask(blue)]
        choices = [("yes", "no"), ("red", "blue", "a very dark shade of green"), ("no", "yes"), ("red",)]
        scored = backend.score(questions, choices)
        assert [len(scores) for scores in scored] == [2, 3, 2, 1]
        for score in (score for scores in scored for score in scores):
            assert isinstance(score, float) and score <= 1e-4, "the logarithm of a probability"
            assert math.isfinite(score) or score == -math.inf
        if backend.scores:
            assert sum(math.exp(score) for score in scored[1]) <= 1 + 1e-4, "these answers exclude each other"

    def test_scores_depend_neither_on_the_order_nor_on_the_batch(self, backend: VisionBackend) -> None:
        images = backend.encode([make_picture(colour=(255, 0, 0)), make_picture(width=20, colour=(0, 0, 255))])
        history = (("Is it large?", "i do not know."),)
        questions = [
            self.ask(images[0], self.yes_or_no),
            self.ask(images[1], self.yes_or_no),
            self.ask(images[0], "How many things are there on the left of this picture?"),
            self.ask(images[1], history=history),
        ]
        choices = [("yes", "no"), ("yes", "no"), ("0", "one", "more than two"), ("red", "blue", "white")]
        scored = backend.score(questions, choices)
        backwards = backend.score(questions[::-1], [each[::-1] for each in choices[::-1]])
        for scores, again, question, each in zip(scored, backwards[::-1], questions, choices, strict=True):
            assert again[::-1] == pytest.approx(scores, abs=self.score_tolerance)
            [alone] = backend.score([question], [each])
            assert alone == pytest.approx(scores, abs=self.score_tolerance), "a batch scores as single questions do"

    def test_scoring_encodes_no_picture_again(self, backend: VisionBackend, monkeypatch: pytest.MonkeyPatch) -> None:
        [image] = backend.encode([make_picture(colour=(255, 0, 0))])
        monkeypatch.setattr(type(backend), "encode", lambda *_: pytest.fail("the picture was encoded before"))
        assert len(backend.score([self.ask(image, self.yes_or_no)] * 2, [("yes", "no")] * 2)) == 2

    def test_choices_that_cannot_be_scored_are_refused(self, backend: VisionBackend) -> None:
        [image] = backend.encode([make_picture()])
        for choices in ([], [()], [("yes", " ")]):
            with pytest.raises(UsageError) as refused:
                backend.score([self.ask(image)], choices)
            assert "\n" not in str(refused.value)

    def test_concurrent_batches_are_answered_as_one_after_the_other(self, backend: VisionBackend) -> None:
        assert isinstance(backend.concurrent_batches, int) and backend.concurrent_batches >= 1
        colours = [(255, 0, 0), (0, 0, 255), (255, 255, 255), (40, 160, 40)]
        pictures = [make_picture(colour=colour) for colour in colours[: backend.concurrent_batches]]

        def one(picture: Picture) -> list[str]:
            with backend.batch_worker(backend.concurrent_batches):
                [image] = backend.encode([picture])
                return backend.answer([self.ask(image), self.ask(image, "What is it?")])

        with ThreadPoolExecutor(backend.concurrent_batches) as threads:
            together = list(threads.map(one, pictures))
        assert together == [one(picture) for picture in pictures]

    # ---- several pictures, as the capabilities declare ------------------------------------------------------------

    @pytest.fixture
    def images(self, backend: VisionBackend) -> list[EncodedImage]:
        """A red, a blue and a white picture."""
        return backend.encode([make_picture(colour=colour) for colour in ((255, 0, 0), (0, 0, 255), (255, 255, 255))])

    def test_one_picture_joined_is_that_picture(self, backend: VisionBackend, images: list[EncodedImage]) -> None:
        joined = backend.together(images[:1])
        assert joined.key == images[0].key
        assert backend.answer([self.ask(joined)]) == backend.answer([self.ask(images[0])])

    def test_more_pictures_than_it_takes_are_refused(self, backend: VisionBackend, images: list[EncodedImage]) -> None:
        too_many = [images[0]] * (backend.max_images + 1)
        with pytest.raises(UsageError) as refused:
            backend.together(too_many)
        assert str(len(too_many)) in str(refused.value) and "\n" not in str(refused.value)

    def test_several_pictures_in_one_question(self, backend: VisionBackend, images: list[EncodedImage]) -> None:
        if backend.max_images == 1:
            return  # that it refuses two is tested above
        red, blue, _ = images
        both = backend.together([red, blue])
        assert both.revision == backend.revision
        assert len({red.key, blue.key, both.key, backend.together([blue, red]).key}) == 4, "their order counts"
        questions = [self.ask(both), self.ask(red), self.ask(both, history=(("What is it?", "two colours."),))]
        answers = backend.answer(questions)
        assert answers == [backend.answer([question])[0] for question in questions]
        assert "".join(backend.stream(questions[0])) == answers[0]

    def test_pictures_in_the_middle_of_the_text(self, backend: VisionBackend, images: list[EncodedImage]) -> None:
        red, blue, white = images
        history = (("What is it?", "a red wall."), ("Is it large?", "i do not know."))
        if not backend.interleaves:  # then it reads none of them, rather than confuse the first with the last
            later = self.ask(red, history=history, images=((2, blue),))
            assert backend.answer([later]) == backend.answer([self.ask(red, history=history)])
            return
        questions = [
            self.ask(red, history=history, images=((2, blue),)),
            self.ask(red, history=history, images=((1, white), (2, blue), (2, white))),
            self.ask(red),
            self.ask(backend.together([red, white]), history=history[:1], images=((1, blue),)),
        ]
        answers = backend.answer(questions)
        assert answers == [backend.answer([question])[0] for question in questions]
        assert "".join(backend.stream(questions[1])) == answers[1]
        beside = self.ask(red, images=((0, blue),))
        assert backend.answer([beside]) == backend.answer([self.ask(backend.together([red, blue]))]), "the same place"
        too_many = tuple((1, blue) for _ in range(backend.max_images))
        with pytest.raises(UsageError) as refused:
            backend.answer([self.ask(red, history=history, images=too_many)])
        assert str(backend.max_images) in str(refused.value) and "\n" not in str(refused.value)

    def test_words_alone(self, backend: VisionBackend, images: list[EncodedImage]) -> None:
        try:
            nothing = backend.together([])
        except UsageError as refused:  # it cannot talk without a picture, and says so
            assert str(refused) and "\n" not in str(refused)
            return
        assert nothing.revision == backend.revision and nothing.key not in {image.key for image in images}
        batch = [self.ask(nothing, "Hello?"), self.ask(images[0])]
        answers = backend.answer(batch)
        assert answers == [backend.answer([question])[0] for question in batch]
        assert "".join(backend.stream(batch[0])) == answers[0]
        if backend.interleaves:
            [answer] = backend.answer([self.ask(nothing, history=(("Hello?", "Hello."),), images=((1, images[0]),))])
            assert isinstance(answer, str)
