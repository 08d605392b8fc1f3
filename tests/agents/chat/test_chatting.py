"""A conversation turn by turn: what the eye is asked, what happens, and that nothing gets lost or doubled."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.chat.conversation import RETRY_TEMPERATURE, ChatOptions, Conversation, answer
from agents.chat.events import Asked, ChatAnswered, Notice, Piece, Silenced, tidy
from agents.chat.presets import Tasks
from agents.interview.events import Waiting
from core.errors import BackendError, StoreError, UsageError
from core.records import Chat as ChatRecord
from tests.agents.fakes import picture
from tests.agents.talking import Parrot, Starer, collect

GREEDY = ChatOptions(temperature=0, seed=1)
RED, BLUE, GREEN = picture("red"), picture("blue"), picture("green")


def test_each_question_carries_what_was_said_before() -> None:
    eye = Parrot()
    chat = Conversation(eye, [RED], GREEDY)
    first = answer(chat.ask("What is it?"))
    assert first == "I see [red], and heard: What is it?"
    answer(chat.ask("  Where?\n"))
    assert eye.asked[1].history == (("What is it?", first),) and eye.asked[1].question == "Where?"
    assert eye.encoded == ["red.png"], "looked at once"


def test_the_events_of_a_turn_come_in_order_and_the_pieces_make_the_answer() -> None:
    events = list(Conversation(Parrot(), [RED], GREEDY).ask("What is it?"))
    kinds = [type(event).__name__ for event in events if not isinstance(event, Piece)]
    assert kinds == ["Asked", "Waiting", "Waiting", "ChatAnswered"]
    assert [event.doing for event in collect(iter(events), Waiting)] == ["looking", "answering"]
    pieces = [event.text for event in collect(iter(events), Piece)]
    assert len(pieces) > 1 and "".join(pieces) == events[-1].turn.answer


def test_pictures_come_up_where_they_were_added() -> None:
    eye = Parrot()
    chat = Conversation(eye, [RED, BLUE], GREEDY)
    answer(chat.ask("What differs?"))
    assert chat.add(GREEN) == 3
    assert answer(chat.ask("And now?")) == "I see [red,blue; green], and heard: And now?"
    assert answer(chat.ask("And?")) == "I see [red,blue; green; ], and heard: And?"
    assert [len(turn.pictures) for turn in chat.turns] == [2, 1, 0]
    assert [one.source for one in chat.record.pictures] == ["red.png", "blue.png", "green.png"]
    assert eye.encoded == ["red.png", "blue.png", "green.png"]


def test_an_eye_that_cannot_interleave_gets_all_pictures_first_and_the_person_is_told() -> None:
    class Simple(Parrot):
        interleaves = False

    chat = Conversation(Simple(), [RED], GREEDY)
    answer(chat.ask("What?"))
    chat.add(BLUE)
    events = list(chat.ask("And now?"))
    assert events[-1].turn.answer == "I see [red,blue; ], and heard: And now?"
    assert "before the first question" in collect(iter(events), Notice)[0].text


def test_more_pictures_than_the_eye_takes_are_refused_before_anything_is_looked_at() -> None:
    starer, parrot = Starer(), Parrot()
    with pytest.raises(UsageError, match="starer takes one picture in a conversation"):
        Conversation(starer, [RED, BLUE])
    chat = Conversation(parrot, [RED] * 4)
    with pytest.raises(UsageError, match="at most 4 pictures"):
        chat.add(BLUE)
    with pytest.raises(UsageError, match="at least one picture"):
        Conversation(parrot, [])
    assert starer.encoded == parrot.encoded == []


# --- stopping, failing --------------------------------------------------------------------------------------------


def test_ctrl_c_keeps_what_was_said() -> None:
    chat = Conversation(Parrot(), [RED], GREEDY)
    *_, last = chat.ask("stop there")
    assert isinstance(last, ChatAnswered) and last.turn.status == "stopped"
    assert last.turn.answer == "I see [red],"
    assert answer(chat.ask("Go on.")).endswith("heard: Go on."), "the chat goes on"


def test_ctrl_c_before_the_first_word_is_as_if_never_asked() -> None:
    chat = Conversation(Parrot(), [RED], GREEDY)
    assert isinstance(list(chat.ask("silent stop"))[-1], Silenced)
    assert chat.turns == () and chat.pictures == (RED,)
    assert answer(chat.ask("What?")) == "I see [red], and heard: What?"


@pytest.mark.parametrize(("words", "says"), [("fail", "lost its voice"), ("crash", "ZeroDivisionError: a bug")])
def test_a_failing_eye_loses_nothing(words: str, says: str) -> None:
    chat = Conversation(Parrot(), [RED], GREEDY)
    answer(chat.ask("What?"))
    chat.add(BLUE)
    with pytest.raises(BackendError, match=says) as caught:
        list(chat.ask(words))
    assert "\n" not in str(caught.value)
    assert len(chat.turns) == 1 and chat.pictures == (RED, BLUE)
    assert answer(chat.ask("And?")) == "I see [red; blue], and heard: And?"


def test_what_the_eye_warns_about_is_told_and_recorded_once() -> None:
    chat = Conversation(Parrot(), [RED], GREEDY)
    events = list(chat.ask("warn me"))
    assert [event.text for event in collect(iter(events), Notice)] == ["the oldest exchange was left out"]
    assert events[-1].turn.notices == ("the oldest exchange was left out",)
    assert chat.ask("What?") and list(chat.ask("What?"))[-1].turn.notices == ()


def test_control_characters_of_a_model_reach_nobody() -> None:
    class Hacker(Parrot):
        def _pieces(self, question: Any) -> Any:
            yield from ("a\x1b[2Jb", "\r\x07c\u202e", "\n\td")

    chat = Conversation(Hacker(), [RED], GREEDY)
    assert answer(chat.ask("What?")) == "a[2Jbc\n    d"


@pytest.mark.slow
@settings(deadline=None)
@given(st.text())
def test_tidy_text_is_safe_and_stays_so(text: str) -> None:
    clean = tidy(text)
    assert tidy(clean) == clean and "\x1b" not in clean and "\r" not in clean
    clean.encode("utf-8")


# --- again, and back ----------------------------------------------------------------------------------------------


def test_retry_asks_the_same_with_another_seed() -> None:
    eye = Parrot()
    chat = Conversation(eye, [RED], ChatOptions(temperature=0.7, seed=1))
    first = answer(chat.ask("What?"))
    chat.add(BLUE)
    events = list(chat.retry())
    second = events[-1].turn.answer
    assert first != second and second.startswith("I see [red], by seed")
    assert not collect(iter(events), Asked)[0].typed
    assert [turn.answer for turn in chat.turns] == [second] and chat.pictures == (RED, BLUE)
    assert eye.asked[1].history == () and eye.asked[0].options.seed != eye.asked[1].options.seed
    third = answer(chat.retry())
    assert third not in (first, second)


def test_retry_of_a_greedy_answer_is_drawn_and_says_so() -> None:
    chat = Conversation(Parrot(), [RED], GREEDY)
    answer(chat.ask("What?"))
    events = list(chat.retry())
    assert str(RETRY_TEMPERATURE) in collect(iter(events), Notice)[0].text
    assert events[-1].turn.options["temperature"] == RETRY_TEMPERATURE
    assert answer(chat.ask("And?")) == "I see [red; ], and heard: And?", "only that one"


@pytest.mark.parametrize("trouble", ["fail", "silent stop"])
def test_the_earlier_answer_stays_where_the_new_one_does_not_come(trouble: str) -> None:
    class Moody(Parrot):
        calls = 0

        def _pieces(self, question: Any) -> Any:
            self.calls += 1
            if self.calls == 2:
                return super()._pieces(question.__class__(question.image, trouble, question.history, question.options))
            return super()._pieces(question)

    chat = Conversation(Moody(), [RED], GREEDY)
    first = answer(chat.ask("What?"))
    chat.add(BLUE)
    try:
        list(chat.retry())
    except BackendError:
        assert trouble == "fail"
    assert [turn.answer for turn in chat.turns] == [first] and chat.pictures == (RED, BLUE)


def test_undo_takes_back_one_thing_after_the_other() -> None:
    chat = Conversation(Parrot(), [RED], GREEDY)
    answer(chat.ask("One?"))
    chat.add(BLUE)
    answer(chat.ask("Two?"))
    chat.add(GREEN)
    assert chat.undo() is GREEN
    two = chat.undo()
    assert getattr(two, "question", "") == "Two?" and chat.pictures == (RED, BLUE), "its picture waits"
    assert chat.undo() is BLUE
    assert getattr(chat.undo(), "question", "") == "One?"
    with pytest.raises(UsageError, match="nothing to take back"):
        chat.undo()
    assert answer(chat.ask("Again?")) == "I see [red], and heard: Again?"


def test_retry_needs_a_question() -> None:
    with pytest.raises(UsageError, match="no question yet"):
        list(Conversation(Parrot(), [RED]).retry())


# --- how answers are made -----------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_conversation() -> None:
    def talk(seed: int | None) -> list[str]:
        chat = Conversation(Parrot(), [RED], ChatOptions(seed=seed))
        texts = [answer(chat.ask("What?")), answer(chat.ask("Where?"))]
        return [*texts, answer(chat.retry())]

    assert talk(4) == talk(4) != talk(5)
    chat = Conversation(Parrot(), [RED])
    text = answer(chat.ask("What?"))
    assert answer(Conversation(Parrot(), [RED], ChatOptions(seed=chat.record.seed)).ask("What?")) == text, (
        "a drawn seed is kept"
    )


def test_defaults_follow_the_eye() -> None:
    parrot, starer = Parrot(), Starer()
    answer(Conversation(parrot, [RED]).ask("What?"))
    answer(Conversation(starer, [RED]).ask("What?"))
    assert (parrot.asked[0].options.temperature, parrot.asked[0].options.max_new_tokens) == (1.0, 300)
    assert (starer.asked[0].options.temperature, starer.asked[0].options.max_new_tokens) == (0.0, 60)


def test_an_eye_for_questions_is_reminded_of_the_last_turn_only() -> None:
    eye = Starer()
    chat = Conversation(eye, [RED])
    for words in ("One?", "Two?", "Three?"):
        answer(chat.ask(words))
    assert [asked for asked, _ in eye.asked[2].history] == ["Two?"]
    eye = Starer()
    chat = Conversation(eye, [RED], ChatOptions(context=-1))
    for words in ("One?", "Two?", "Three?"):
        answer(chat.ask(words))
    assert [asked for asked, _ in eye.asked[2].history] == ["One?", "Two?"]


def test_tasks_and_forms_become_prompts() -> None:
    tasks = Tasks.load()
    eye = Parrot()
    for form in (None, "short", "long"):
        chat = Conversation(eye, [RED], ChatOptions(form=form))  # type: ignore[arg-type]
        answer(chat.ask("for a lamp shop", task="advert"))
        answer(chat.ask("What is it?"))
    plain, question, short, short_question, long, long_question = (one.question or "" for one in eye.asked)
    advert = tasks.get("advert")
    assert plain == f"{advert.prompt} for a lamp shop" and question == "What is it?"
    assert short == f"{advert.short} for a lamp shop", "its own short form"
    assert long == f"{advert.prompt} for a lamp shop {tasks.forms.long}", "none of its own: the general one"
    assert short_question == f"What is it? {tasks.forms.short}" and long_question.endswith(tasks.forms.long)
    rooms = [one.options.max_new_tokens for one in eye.asked]
    assert rooms[1] == 300 and rooms[3] == tasks.forms.short_tokens and rooms[5] == tasks.forms.long_tokens


def test_a_page_gets_its_room_whatever_the_form_and_options_win() -> None:
    eye = Parrot()
    for options in (ChatOptions(), ChatOptions(form="short"), ChatOptions(max_new_tokens=7, form="long")):
        list(Conversation(eye, [RED], options).ask(task="webpage"))
    assert [one.options.max_new_tokens for one in eye.asked] == [1500, 1500, 7]


def test_an_eye_for_questions_gets_the_question_of_a_task_and_the_person_is_told() -> None:
    eye = Starer()
    events = list(Conversation(eye, [RED], ChatOptions(form="long")).ask(task="poem"))
    assert eye.asked[0].question == Tasks.load().get("poem").question
    assert "follows no instructions" in collect(iter(events), Notice)[0].text
    assert not Conversation(eye, [RED]).started().follows


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"max_new_tokens": 0}, "max-new-tokens must be between 1 and 100000, not 0"),
        ({"temperature": -1.0}, "temperature .* not -1"),
        ({"temperature": float("nan")}, "temperature"),
        ({"top_p": 0.0}, "top_p"),
        ({"seed": -1}, "seed .* not -1"),
        ({"context": -2}, "context"),
    ],
)
def test_options_that_cannot_work_are_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        ChatOptions(**options)


@pytest.mark.parametrize("words", ["", " \n "])
def test_an_empty_question_is_refused(words: str) -> None:
    with pytest.raises(UsageError, match="no question"):
        Conversation(Parrot(), [RED]).ask(words)


# --- what is kept -------------------------------------------------------------------------------------------------


def test_every_turn_is_kept_and_taken_back_there_too() -> None:
    kept: list[ChatRecord] = []

    def save(record: ChatRecord) -> str:
        kept.append(record)
        return record.id

    chat = Conversation(Parrot(), [RED], GREEDY, save=save)
    answer(chat.ask("One?"))
    answer(chat.ask("Two?"))
    chat.undo()
    assert [len(record.turns) for record in kept] == [1, 2, 1]
    assert len({record.run_key for record in kept}) == 1 and chat.saved_as == kept[-1].id == chat.record.id
    turn = kept[0].turns[0]
    assert turn.pictures == (RED.info(),) and turn.options["seed"] is not None
    assert kept[0].vision["name"] == "parrot" and kept[0].seed == 1


def test_a_store_that_fails_does_not_end_the_chat() -> None:
    def save(record: ChatRecord) -> str:
        raise StoreError("the disk is full.")

    chat = Conversation(Parrot(), [RED], GREEDY, save=save)
    answer(chat.ask("One?"))
    assert chat.saved_as is None and "full" in str(chat.save_error)


STEPS = st.sampled_from(["ask", "add", "retry", "undo", "fail", "stop", "silent stop"])


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(steps=st.lists(STEPS, max_size=12), interleaves=st.booleans())
def test_whatever_is_done_the_eye_is_told_what_the_record_says(steps: list[str], interleaves: bool) -> None:
    class Eye(Parrot):
        @staticmethod
        def interrupt() -> None:
            raise KeyboardInterrupt

    eye = Eye()
    Eye.interleaves = interleaves
    chat = Conversation(eye, [RED], GREEDY)
    pool = iter([BLUE, GREEN, picture("white")] * 9)
    for step in steps:
        before = chat.turns, chat.pictures
        try:
            if step == "add":
                chat.add(next(pool))
            elif step == "undo":
                chat.undo()
            elif step == "retry":
                list(chat.retry())
            else:
                list(chat.ask("What?" if step == "ask" else step))
        except (UsageError, BackendError):
            assert (chat.turns, chat.pictures) == before
        assert 1 <= len(chat.pictures) <= eye.max_images and chat.pictures[0] == RED
        known = [info.source for info in chat.record.pictures]
        assert known == [one.source for one in chat.pictures][: len(known)]
    history = tuple((turn.question, turn.answer) for turn in chat.turns)
    list(chat.ask("Last?"))
    assert eye.asked[-1].history == history
    given = [name for turn in range(len(history) + 1) for one in eye.asked[-1].entering(turn) for name in one.data]
    assert [f"{name}.png" for name in given] == [one.source for one in chat.record.pictures]
