"""The rule-based baseline `scripted` on videos: every frame is described, changes are asked about and summarised."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage

from core.tasks import NOTHING_NEW, QUESTION, SUMMARY, Task, TaskTurn, is_nothing_new
from plugins.scripted import ScriptedQuestioner
from plugins.scripted.reading import UNSURE
from plugins.scripted.topics import topic_of

Frames = dict[int, list[str]]  # what each frame shows: "yellow duck", "ball"


def eye(truth: Frames) -> Callable[[int, str], str]:
    """Answers as a small describing model does."""

    def answer(frame: int, question: str) -> str:
        topic = topic_of(question)
        things = truth[frame]
        names = [thing.split()[-1] for thing in things]
        if topic.kind == "describe":
            return (
                f"there is {' and '.join(f'a {thing}' for thing in things)}." if things else "there is nothing on it."
            )
        if topic.kind == "presence":
            name = topic.subject.split()[-1]
            return f"yes, there is a {name}." if name in names else f"no, there is no {name}."
        return "i do not know."

    return answer


def play(
    truth: Frames, rounds: int = 30, answer: Callable[[int, str], str] | None = None
) -> tuple[list[TaskTurn], str]:
    """A whole game through the chat model, as the interview plays it: (turns, story)."""
    model, answer = ScriptedQuestioner(), answer or eye(truth)
    frames = tuple((number, float(number - 1)) for number in truth)
    turns: list[TaskTurn] = []

    def reply(task: Task) -> str:
        messages = [SystemMessage("..."), HumanMessage("...", additional_kwargs=task.to_kwargs())]
        return str(model.invoke(messages).text)

    first = min(truth)
    said = f"Frame {first}: Describe this picture in detail."
    while len(turns) < rounds and not is_nothing_new(said):
        label, question = said.split(": ", 1)
        heard = answer(int(label.removeprefix("Frame ")), question)
        turns.append(TaskTurn(said, heard, not UNSURE.search(heard)))
        said = reply(Task(QUESTION, tuple(turns), frames=frames))
    return turns, reply(Task(SUMMARY, tuple(turn for turn in turns if turn.sure), frames=frames))


EIGHT: Frames = {number: ["yellow duck"] for number in range(1, 9)}


def test_every_frame_is_described_before_anything_else_the_far_ones_first() -> None:
    turns, _ = play(EIGHT, rounds=8)
    asked = [turn.question for turn in turns]
    assert all("Describe" in question for question in asked)
    assert asked[1].startswith("Frame 8:") and {question.split(":")[0] for question in asked} == {
        f"Frame {number}" for number in range(1, 9)
    }


def test_no_question_twice_about_a_frame() -> None:
    turns, _ = play({number: ["yellow duck", "ball"][: 1 + number // 4] for number in range(1, 9)})
    questions = [turn.question.lower() for turn in turns]
    assert len(set(questions)) == len(questions) > 8


def test_what_appears_is_told_in_order_and_not_before() -> None:
    truth: Frames = {n: ["yellow duck"] + ["ball"] * (n > 3) + ["red apple"] * (n > 6) for n in range(1, 9)}
    turns, story = play(truth)
    assert story.startswith("At first there is a yellow duck. Then a ball appears.")
    assert story.index("ball") < story.index("a red apple appears")
    assert "frame" not in story.lower()
    asked = {turn.question for turn in turns}
    assert "Frame 3: Is there a ball?" in asked and "Frame 6: Is there an apple?" in asked


def test_what_goes_away_is_told() -> None:
    _, story = play({n: ["dog"] * (n < 5) + ["lamp"] for n in range(1, 9)})
    assert story == "At first there is a dog and a lamp. Then the dog can no longer be seen."


def test_a_thing_that_description_missed_is_found_by_asking() -> None:
    truth: Frames = {1: ["duck"], 2: ["duck", "ball"], 3: ["duck", "ball"]}
    answer = eye(truth)

    def forgetful(frame: int, question: str) -> str:
        return "there is a duck." if frame == 2 and "Describe" in question else answer(frame, question)

    turns = [
        TaskTurn(f"Frame {frame}: {question}", forgetful(frame, question))
        for frame in truth
        for question in ("Describe this picture in detail.", "Is there a ball?")
    ]
    frames = ((1, 0.0), (2, 1.0), (3, 2.0))
    [story] = [tell_through_model(Task(SUMMARY, tuple(turns), frames=frames))]
    assert "Then a ball appears" in story and "at the end" not in story.lower()


def tell_through_model(task: Task) -> str:
    return str(ScriptedQuestioner().invoke([HumanMessage("...", additional_kwargs=task.to_kwargs())]).text)


def test_what_was_named_once_and_denied_around_it_is_only_a_maybe() -> None:
    truth: Frames = {n: ["duck"] + ["zebu"] * (n == 4) for n in range(1, 9)}
    _, story = play(truth)
    assert "For a moment there seems to be a zebu." in story
    assert "zebu appears" not in story


def test_a_thing_that_changes_sides() -> None:
    turns = tuple(
        TaskTurn(f"Frame {frame}: Describe this picture in detail.", f"there is a red ball {place}.")
        for frame, place in ((1, "on the left"), (2, "in the middle"), (3, "on the right"))
    )
    story = tell_through_model(Task(SUMMARY, turns, frames=((1, 0.0), (2, 1.0), (3, 2.0))))
    assert story == "At first there is a red ball on the left. The ball is on the left first and on the right later."


@pytest.mark.parametrize(
    ("colours", "told"),
    [
        (["red", "red", "blue"], " The ball is red first and blue later."),
        (["red", "blue", "red", "blue"], ""),
    ],
)
def test_a_thing_that_changes_its_colour_and_an_eye_in_two_minds(colours: list[str], told: str) -> None:
    turns = tuple(
        TaskTurn(f"Frame {frame}: Describe this picture in detail.", f"there is a {colour} ball.")
        for frame, colour in enumerate(colours, start=1)
    )
    story = tell_through_model(Task(SUMMARY, turns, frames=tuple((n, float(n)) for n in range(1, len(colours) + 1))))
    assert story == f"At first there is a red ball.{told}"


@pytest.mark.parametrize("count", [1, 2])
def test_short_ones(count: int) -> None:
    turns, story = play({number: ["yellow duck"] for number in range(1, count + 1)})
    assert "a yellow duck" in story and len({turn.question for turn in turns}) == len(turns)
    if count == 1:
        assert story == "In this video there is a yellow duck."


def test_nothing_that_can_be_named() -> None:
    turns = tuple(
        TaskTurn(f"Frame {n}: Describe this picture in detail.", "i am not sure what this is.", False) for n in (1, 2)
    )
    story = tell_through_model(Task(SUMMARY, turns, frames=((1, 0.0), (2, 1.0))))
    assert "could not be told" in story and "video" in story


def test_scenes_are_joined_with_their_times() -> None:
    turns = (
        TaskTurn("Scene 1, 0:00 to 0:12:", "At first there is a duck."),
        TaskTurn("Scene 2, 0:12 to 1:02:03:", "At first there is a dog. Then it is gone."),
    )
    assert tell_through_model(Task(SUMMARY, turns, frames=((1, 0.0), (2, 12.0)))) == (
        "From 0:00 to 0:12: At first there is a duck. From 0:12 to 1:02:03: At first there is a dog. Then it is gone."
    )


def test_a_frame_that_was_refused_is_not_insisted_on() -> None:
    frames = ((1, 0.0), (2, 1.0))
    turns = (TaskTurn("Frame 1: Describe this picture in detail.", "there is a duck."),)
    first = Task(QUESTION, turns, frames=frames)
    asked = (
        ScriptedQuestioner().invoke([AIMessage("hm"), HumanMessage("...", additional_kwargs=first.to_kwargs())]).text
    )
    again = Task(QUESTION, turns, refused=(str(asked),), frames=frames)
    second = ScriptedQuestioner().invoke([HumanMessage("...", additional_kwargs=again.to_kwargs())]).text
    assert asked.startswith("Frame 2: ") and second not in (asked, "") and (second == NOTHING_NEW or "Frame" in second)


def test_an_eye_that_says_yes_to_everything_does_not_put_all_into_the_first_frame() -> None:
    truth: Frames = {n: ["yellow duck"] + ["ball"] * (n > 4) for n in range(1, 9)}
    honest = eye(truth)

    def yes(frame: int, question: str) -> str:
        return "yes." if topic_of(question).kind == "presence" else honest(frame, question)

    _, story = play(truth, answer=yes)
    assert story.startswith("At first there is a yellow duck. Then a ball appears.")


def test_what_an_eye_cannot_answer_is_not_asked_of_every_frame() -> None:
    turns, _ = play({n: ["yellow duck"] for n in range(1, 9)})
    kinds = [topic_of(turn.question.split(": ", 1)[1]).kind for turn in turns if not turn.sure]
    assert kinds and all(kinds.count(kind) <= 2 for kind in kinds)
    assert len(turns) < 24
