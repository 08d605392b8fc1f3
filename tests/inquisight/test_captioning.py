"""Captions from Python: one picture, many, as events and in an event loop."""

from __future__ import annotations

import asyncio
import io
import itertools
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import inquisight as iq
from core.vision import VisualQuestion
from tests.agents.fakes import CountingVision, ListQuestioner
from tests.pictures import encoded, saved

DOWN = iq.QuestionerError("the questioner is down")
QUESTIONS = ["Is it day or night?", "Is there any writing?"]


class Batches(CountingVision):
    """Remembers how many questions each call had, and says which picture it was asked about."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []
        self.closed = 0

    def keep(self, picture: iq.Picture) -> str:
        return picture.source

    def answer(self, questions: Sequence[VisualQuestion]) -> list[str]:
        self.sizes.append(len(questions))
        super().answer(questions)
        return [f"it is {Path(question.image.data).stem}" for question in questions]

    def close(self) -> None:
        self.closed += 1


def without_times(caption: iq.Caption) -> dict[str, Any]:
    turns = [(turn.question, turn.answer) for turn in caption.dialogue.turns]
    return caption.model_dump(exclude={"created", "seconds", "dialogue"}) | {"turns": turns}


# --- one picture --------------------------------------------------------------------------------------------------


def test_every_kind_of_picture_is_captioned(tmp_path: Path) -> None:
    path = saved(tmp_path / "duck.png")
    image = Image.open(path)
    vision = Batches()
    sources: list[Any] = [path, str(path), path.read_bytes(), io.BytesIO(path.read_bytes()), image, np.asarray(image)]
    sources += [iq.open_picture(path), vision.encode_image(path)]
    captions = [iq.caption(source, vision=vision, questioner=ListQuestioner(), rounds=2) for source in sources]
    assert all(caption.status == "complete" and caption.text for caption in captions)
    assert {(caption.picture.width, caption.picture.height) for caption in captions} == {(64, 48)}
    digests = [caption.picture.sha256 for caption in captions]
    assert len({*digests[:4], *digests[6:]}) == 1, "of the file's bytes"
    assert digests[4] == digests[5], "of the pixels"
    assert captions[-1].picture.source == str(path)


def test_arguments_reach_the_interview() -> None:
    questioner = ListQuestioner(questions=QUESTIONS)
    caption = iq.caption(encoded(), vision=Batches(), questioner=questioner, rounds=3, history=-1, seed=7)
    assert caption.seed == 7 and caption.options["rounds"] == 3 and caption.options["history"] == -1
    assert [turn.question for turn in caption.dialogue.turns][1:] == QUESTIONS
    with pytest.raises(
        TypeError, match="unexpected keyword argument 'round'; there is vision, questioner, witnesses, rounds"
    ):
        iq.caption(encoded(), vision=Batches(), round=3)  # type: ignore[call-arg]
    with pytest.raises(iq.UsageError, match="rounds must be 1 or more"):
        iq.caption(encoded(), vision=Batches(), rounds=0)
    with pytest.raises(iq.ImageError, match="is empty"):
        iq.caption(b"", vision="a model that would not be found")


def test_what_is_left_out_is_taken_from_the_settings(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INQUISIGHT_ROUNDS", "2")
    monkeypatch.setenv("INQUISIGHT_SEED", "5")
    caption = iq.caption(encoded(), vision=Batches(), rounds=None)
    assert caption.options["rounds"] == 2 and caption.seed == 5 and caption.questioner["name"] == "scripted"


def test_a_failure_raises_and_its_partial_caption_is_continued() -> None:
    vision = Batches()
    image = vision.encode_image(encoded())
    with pytest.raises(iq.QuestionerError, match="is down") as failed:
        iq.caption(image, vision=vision, questioner=ListQuestioner(questions=[QUESTIONS[0], DOWN]), rounds=3)
    partial = failed.value.partial
    assert partial is not None and partial.status == "failed" and len(partial.dialogue.turns) == 2
    before = len(vision.asked)
    questioner = ListQuestioner(questions=QUESTIONS)
    caption = iq.caption(image, vision=vision, questioner=questioner, rounds=3, earlier=partial)
    assert caption.status == "complete" and caption.dialogue.turns[:2] == partial.dialogue.turns
    assert len(vision.asked) == before + 1 and vision.encoded == 1


def test_events(tmp_path: Path) -> None:
    kept: list[iq.Caption] = []

    def save(caption: iq.Caption) -> str:
        kept.append(caption)
        return caption.id

    events = list(iq.interview(encoded(), vision=Batches(), questioner=ListQuestioner(), rounds=2, save=save))
    answers = [event for event in events if isinstance(event, iq.events.Answered)]
    last = events[-1]
    assert isinstance(last, iq.events.Done) and last.id == kept[-1].id
    assert [event.turn for event in answers] == list(last.caption.dialogue.turns) and len(kept) == 3
    failed = list(iq.interview(encoded(), vision=Batches(), questioner=ListQuestioner(questions=[DOWN])))[-1]
    assert isinstance(failed, iq.events.Failed) and failed.error is DOWN


def test_a_model_that_was_named_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Batches] = []

    def load(spec: str | None) -> Batches:
        made.append(Batches())
        return made[-1]

    monkeypatch.setattr("inquisight.captioning.load_vision", load)
    iq.caption(encoded(), vision="batches", rounds=1)
    with pytest.raises(iq.QuestionerError):
        iq.caption(encoded(), questioner=ListQuestioner(questions=[DOWN]))
    events = iq.interview(encoded(), rounds=1)
    next(events)
    events.close()  # type: ignore[attr-defined]
    list(iq.caption_many([encoded()], rounds=1))
    assert [vision.closed for vision in made] == [1, 1, 1, 1]
    mine = Batches()
    iq.caption(encoded(), vision=mine, rounds=1)
    assert mine.closed == 0


# --- many ---------------------------------------------------------------------------------------------------------


def test_many_are_captioned_in_order_and_in_batches(tmp_path: Path) -> None:
    paths = [saved(tmp_path / f"{number}.png", (number, 0, 0)) for number in range(40)]
    vision, questioner = Batches(), iq.load_questioner("scripted")
    images: list[Any] = [*paths]
    images[3] = vision.encode_image(paths[3])
    captions = list(iq.caption_many(images, vision=vision, questioner=questioner, rounds=4, seed=1))
    assert [caption.picture.source for caption in captions] == [str(path) for path in paths]
    assert sum(vision.sizes) == 40 * 5 and max(vision.sizes) > 8 and vision.encoded == 40
    alone = iq.caption(paths[7], vision=Batches(), questioner=questioner, rounds=4, seed=1)
    assert without_times(captions[7]) == without_times(alone)


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    """Four, the third of which is empty."""
    made = [saved(tmp_path / f"{number}.png", (number, 0, 0)) for number in range(4)]
    made[2].write_bytes(b"")
    return made


def test_a_picture_that_cannot_be_opened_raises_in_its_turn(pictures: list[Path]) -> None:
    captions = iq.caption_many(pictures, vision=Batches(), rounds=1)
    assert [next(captions).picture.source for _ in range(2)] == [str(path) for path in pictures[:2]]
    with pytest.raises(iq.ImageError, match=r"2\.png' is empty"):
        next(captions)
    assert list(captions) == []


def test_errors_are_returned_in_their_place_where_that_is_wanted(pictures: list[Path]) -> None:
    foreign = iq.EncodedImage("0" * 64, "another revision", None)
    results = list(iq.caption_many([*pictures, foreign], vision=Batches(), rounds=1, return_exceptions=True))
    assert [type(result).__name__ for result in results] == ["Caption"] * 2 + ["ImageError", "Caption", "UsageError"]


def test_a_failed_interview_is_an_error_with_its_partial_caption(pictures: list[Path]) -> None:
    questioner = ListQuestioner(questions=[DOWN])
    [error] = iq.caption_many(pictures[:1], vision=Batches(), questioner=questioner, rounds=3, return_exceptions=True)
    assert isinstance(error, iq.QuestionerError) and error.partial is not None
    assert error.partial.picture.source == str(pictures[0]) and error.partial.status == "failed"
    with pytest.raises(iq.QuestionerError, match="is down"):
        list(iq.caption_many(pictures[:1], vision=Batches(), questioner=questioner, rounds=3))


@pytest.mark.parametrize("slow", [False, True])
def test_an_endless_source_is_read_no_faster_than_captions_are_taken(slow: bool) -> None:
    """Also where one picture takes long and all others are finished before it."""
    read = 0
    free = threading.Event()

    class Slow(Batches):
        def answer(self, questions: Sequence[VisualQuestion]) -> list[str]:
            if slow and any(question.image.sha256 == first for question in questions):
                free.wait(10)
            return super().answer(questions)

        @property
        def concurrent_batches(self) -> int:
            return 2

    def source() -> Iterator[bytes]:
        nonlocal read
        for number in itertools.count():
            read += 1
            yield encoded((number % 256, number // 256, 0), (8, 8))

    first = iq.open_picture(encoded((0, 0, 0), (8, 8))).sha256
    threads = threading.active_count()
    captions = iq.caption_many(source(), vision=Slow(), rounds=1, batch_size=1)
    time.sleep(0.2)
    assert read == 0
    threading.Timer(1.0, free.set).start()
    taken = [next(captions) for _ in range(5)]
    most = 2 * (32 + 1 * (2 + 4)) + 2
    assert len(taken) == 5 and read <= 5 + most
    captions.close()  # type: ignore[attr-defined]
    until = time.monotonic() + 10
    while threading.active_count() > threads + 1 and time.monotonic() < until:
        time.sleep(0.05)
    assert threading.active_count() <= threads + 1, "no thread is left behind"
    stopped_at = read
    time.sleep(0.2)
    assert read == stopped_at


# --- in an event loop ---------------------------------------------------------------------------------------------


class Careful(Batches):
    """Fails where two threads call it at once."""

    def __init__(self) -> None:
        super().__init__()
        self.busy = threading.Lock()
        self.begun = threading.Event()

    def answer(self, questions: Sequence[VisualQuestion]) -> list[str]:
        assert self.busy.acquire(blocking=False), "called from two threads at once"
        self.begun.set()
        time.sleep(0.01)
        try:
            return super().answer(questions)
        finally:
            self.busy.release()


def test_async_forms_give_the_same() -> None:
    vision = Careful()
    images = [encoded((number, 0, 0)) for number in range(4)]
    questioner = iq.load_questioner("scripted")

    async def all_at_once() -> tuple[list[iq.Caption], list[str]]:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0.001)

        ticking = asyncio.create_task(tick())
        captions = await asyncio.gather(
            *(iq.acaption(image, vision=vision, questioner=questioner, rounds=2, seed=1) for image in images)
        )
        answers = await asyncio.gather(*(vision.aask(image, "What is it?") for image in images))
        ticking.cancel()
        assert ticks > 10, "the event loop is free"
        return captions, answers

    captions, answers = asyncio.run(all_at_once())
    alone = [iq.caption(image, vision=vision, questioner=questioner, rounds=2, seed=1) for image in images]
    assert [without_times(caption) for caption in captions] == [without_times(caption) for caption in alone]
    assert answers == [vision.ask(image, "What is it?") for image in images]

    async def failing() -> None:
        await iq.acaption(images[0], vision=vision, questioner=ListQuestioner(questions=[DOWN]))

    with pytest.raises(iq.QuestionerError) as failed:
        asyncio.run(failing())
    assert failed.value.partial is not None


def test_after_a_cancellation_no_model_is_called() -> None:
    vision = Careful()

    async def cancelled() -> None:
        calls = [asyncio.create_task(iq.acaption(encoded(), vision=vision, rounds=500)) for _ in range(3)]
        await asyncio.to_thread(vision.begun.wait, 10)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)

    asyncio.run(cancelled())  # waits for the threads
    asked = len(vision.asked)
    assert 1 <= asked < 10
    time.sleep(0.1)
    assert len(vision.asked) == asked
