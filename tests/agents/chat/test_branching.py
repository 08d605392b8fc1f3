"""A chat with branches: each stays, is remembered by itself, and is a transcript of its own."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.chat.conversation import ChatOptions
from agents.chat.presets import Tasks
from agents.chat.tree import ChatTree, check_pictures, page_of
from core.errors import BackendError, UsageError
from core.images.picture import Picture
from core.records import Chat, ChatTurn, PictureInfo
from core.store.transcripts import TranscriptStore
from tests.agents.fakes import picture
from tests.agents.talking import PAGE, Parrot


def begun(eye: Parrot, *questions: str, save: object = None, seed: int | None = 7) -> ChatTree:
    talk = ChatTree(ChatOptions(seed=seed), save=save)  # type: ignore[arg-type]
    talk.add(picture())
    for question in questions:
        talk.ask(question)
        talk.run(lambda: eye)
    return talk


def questions(talk: ChatTree) -> list[str]:
    return [node.turn.question for node in talk.view.path]


def test_a_branch_remembers_only_itself() -> None:
    eye = Parrot()
    talk = begun(eye, "one", "two")
    talk.edit(2, "another two")
    talk.run(lambda: eye)
    talk.ask("three")
    talk.run(lambda: eye)
    assert questions(talk) == ["one", "another two", "three"]
    assert [asked for asked, _ in eye.asked[-1].history] == ["one", "another two"]
    talk.choose(2)
    assert questions(talk) == ["one", "two"]
    talk.choose(3)
    assert questions(talk) == ["one", "another two", "three"], "to where it was left"


def test_again_draws_another_answer_each_time_and_keeps_all() -> None:
    eye = Parrot()
    talk = begun(eye, "one")
    for _ in range(3):
        talk.again(1)
        talk.run(lambda: eye)
    answers = [node.turn.answer for node in talk.siblings(talk.view.path[0])]
    assert len(answers) == len(set(answers)) == 4


def test_pictures_stay_with_the_turn_that_is_tried_otherwise() -> None:
    eye = Parrot()
    talk = begun(eye, "one")
    talk.add(picture("green"))
    talk.ask("two")
    talk.run(lambda: eye)
    talk.edit(2, "another two")
    talk.run(lambda: eye)
    assert "I see [orange; green]" in talk.view.path[-1].turn.answer and not talk.waiting


def test_every_branch_is_a_transcript_and_grows_as_one(tmp_path: object) -> None:
    store = TranscriptStore(f"{tmp_path}/t.sqlite")
    eye = Parrot()
    talk = begun(eye, "one", "two", save=store.add)
    assert store.count() == 1
    talk.edit(2, "another two")
    talk.run(lambda: eye)
    talk.ask("three")
    talk.run(lambda: eye)
    assert sorted(one.turns for one in store.recent()) == [2, 3]
    talk.choose(2)
    talk.ask("three after two")
    talk.run(lambda: eye)
    assert sorted(one.turns for one in store.recent()) == [3, 3]
    assert talk.record is not None and store.get_record(talk.record.id) == talk.record


def test_stopping_keeps_what_was_said() -> None:
    eye = Parrot()
    seen: list[str] = []
    talk = begun(eye)
    talk.ask("what is it?")

    def halted() -> bool:
        seen.append(talk.view.growing.written if talk.view.growing else "")
        return bool(seen[-1])

    talk.run(lambda: eye, halted)
    [node] = talk.view.path
    assert node.turn.status == "stopped" and node.turn.answer == seen[-1].rstrip() and not talk.pending


def test_stopped_before_the_first_word_is_as_if_never_asked() -> None:
    eye = Parrot()
    talk = begun(eye, "one")
    talk.ask("two")
    with pytest.raises(KeyboardInterrupt):
        talk.run(lambda: eye, lambda: True)
    assert questions(talk) == ["one"] and talk.view.unanswered == "two" and not talk.pending


def test_a_failure_leaves_the_conversation_as_it_was() -> None:
    eye = Parrot()
    talk = begun(eye, "one")
    talk.ask("fail")
    with pytest.raises(BackendError):
        talk.run(lambda: eye)
    assert questions(talk) == ["one"] and "lost its voice" in talk.view.error and talk.view.unanswered == "fail"
    talk.again(1)
    talk.run(lambda: eye)
    assert talk.view.error == "" and len(talk.siblings(talk.view.path[0])) == 2


def test_while_an_answer_is_given_nothing_else_is_wished() -> None:
    talk = begun(Parrot(), "one")
    talk.ask("two")
    for wish in (lambda: talk.ask("x"), lambda: talk.again(1), lambda: talk.edit(1, "x"), lambda: talk.choose(1)):
        with pytest.raises(UsageError, match="wait for it"):
            wish()
    talk.forget()
    assert not talk.pending and talk.view.growing is None
    talk.choose(1)


@pytest.mark.parametrize("words", ["", "  \n"])
def test_nothing_is_no_question(words: str) -> None:
    with pytest.raises(UsageError, match="write a question"):
        begun(Parrot()).ask(words)


def test_without_a_picture_there_is_no_conversation() -> None:
    with pytest.raises(UsageError, match="add a picture first"):
        ChatTree().ask("one")


def test_a_kept_conversation_goes_on_as_if_it_had_never_ended(tmp_path: object) -> None:
    store, eye = TranscriptStore(f"{tmp_path}/t.sqlite"), Parrot()
    talk = begun(eye, "one", save=store.add)
    talk.again(1)
    talk.run(lambda: eye)
    assert talk.record is not None
    kept = store.get_record(talk.record.id)
    assert isinstance(kept, Chat)
    opened = ChatTree.opened(kept, lambda info: picture(info.source.partition(".")[0]), save=store.add)
    assert questions(opened) == ["one"] and opened.record == kept
    opened.ask("two")
    opened.run(lambda: eye)
    assert [asked for asked, _ in eye.asked[-1].history] == ["one"]
    assert sorted(one.turns for one in store.recent()) == [1, 2], "it has grown, and is no second one"
    opened.again(1)
    opened.run(lambda: eye)
    assert opened.view.path[0].turn.answer not in {node.turn.answer for node in talk.siblings(talk.view.path[0])}


def test_what_an_assistant_answered_does_not_go_on() -> None:
    def never(info: PictureInfo) -> Picture:
        raise AssertionError

    with pytest.raises(UsageError, match="can be read"):
        ChatTree.opened(Chat(kind="ask"), never)


def test_a_page_is_found_where_there_is_one() -> None:
    tasks = Tasks.load()
    whole = ChatTurn(question="x", answer=f"Here:\n```html\n{PAGE}\n```")
    part = ChatTurn(question="x", answer="<p>half a page")
    assert page_of(whole, tasks) is not None and page_of(part, tasks) is None
    assert page_of(part.model_copy(update={"task": "webpage"}), tasks) is not None


def test_too_many_pictures_are_known_before_the_eye_is_loaded() -> None:
    check_pictures("pocket", [1])
    with pytest.raises(UsageError, match="with pocket can be about one picture, and there are 2"):
        check_pictures("pocket", [1, 2])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["ask", "again", "edit", "choose"]), st.integers(1, 12)), max_size=14))
def test_nothing_that_was_answered_is_ever_lost(steps: list[tuple[str, int]]) -> None:
    eye = Parrot()
    kept: dict[str, Chat] = {}

    def save(record: Chat) -> str:
        kept[record.run_key] = record
        return record.id

    talk = begun(eye, "begin", save=save)
    number = 1
    for count, (step, node) in enumerate(steps):
        node = 1 + node % number
        if step == "choose":
            talk.choose(node)
            assert node in [one.number for one in talk.view.path]
            continue
        if step == "ask":
            talk.ask(f"ask {count}")
        elif step == "again":
            talk.again(node)
        else:
            talk.edit(node, f"edit {count}")
        talk.run(lambda: eye)
        number += 1
        assert talk.view.path[-1].number == number
        history = eye.asked[-1].history
        assert [one.turn.question for one in talk.view.path[:-1]] == [asked for asked, _ in history]
    answers = {turn.answer for record in kept.values() for turn in record.turns}
    for one in range(1, number + 1):
        talk.choose(one)
        assert {node.turn.answer for node in talk.view.path} <= answers
