"""The page History: every transcript found, opened, gone on with, exported, deleted."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from core.records import Caption, Chat, ChatTurn, Dialogue, PictureInfo, Turn
from core.store.transcripts import TranscriptStore
from tests.ui.app import assert_well, html_of, open_page, visitor_of
from ui.pages.history import PAGE_SIZE, Search
from ui.state.chats import page_state as chat_state
from ui.state.interviews import page_state as interview_state
from ui.state.options import UiOptions

pytestmark = pytest.mark.usefixtures("eye")
Png = Callable[..., bytes]
NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)


def interview(number: int = 0, **fields: Any) -> Caption:
    """The one of day `number` of May 2024."""
    return Caption.model_validate(
        {
            "picture": PictureInfo(sha256=f"{number:064x}", source=f"photo{number}.jpg", width=4, height=3),
            "summary": f"A yellow duck, number {number}.",
            "opening": "there is a duck.",
            "dialogue": Dialogue(turns=(Turn(question="What is it?", answer="a duck", asked_by="opening"),)),
            "vision": {"name": "counting", "revision": "1"},
            "questioner": {"name": "scripted"},
            "options": {"rounds": 3, "history": 1},
            "seed": 1,
            "created": NOON + timedelta(days=number),
            **fields,
        }
    )


def conversation(**fields: Any) -> Chat:
    picture = PictureInfo(sha256="c" * 64, source="cat.png", width=4, height=3)
    said = ChatTurn(question="Who sits there?", answer="A tabby cat.", pictures=(picture,), options={"seed": 3})
    return Chat.model_validate(
        {"turns": (said,), "vision": {"name": "counting"}, "seed": 5, "created": NOON + timedelta(days=40), **fields}
    )


def keep(*records: Caption | Chat) -> list[str]:
    store = TranscriptStore()
    return [store.add(record) for record in records]


def names(app: AppTest) -> list[str]:
    """What is listed, in order."""
    return [one.label for one in app.checkbox if one.label != "Select this page"]


def press(app: AppTest, label: str, number: int = 0) -> None:
    [one for one in app.button if one.label == label][number].click().run()
    assert_well(app)


def second_page(app: AppTest) -> None:
    """What a click on the page number does; AppTest has no such element."""
    visitor_of(app).keep("history", Search).page = 2
    app.run()
    assert_well(app)


def opened(app: AppTest, number: int = 0) -> None:
    press(app, [one.label for one in app.button if one.label.startswith("Open ")][number])


def test_an_empty_history_says_so() -> None:
    app = open_page("history")
    assert app.title[0].value == "History" and any("no transcript yet" in one.value for one in app.info)


def test_every_kind_is_listed_newest_first() -> None:
    keep(interview(1), interview(2, status="failed", error="it broke"), conversation())
    app = open_page("history")
    assert names(app) == ["cat.png", "photo2.jpg", "photo1.jpg"]
    page = html_of(app)
    assert "Interview, failed" in page and ">Chat<" in page and "A tabby cat." in page and "number 1" in page


@pytest.mark.parametrize(
    ("words", "found"),
    [("tabby", ["cat.png"]), ("duck number 2", ["photo2.jpg"]), ("photo1.jpg", ["photo1.jpg"]), ('" OR *', [])],
)
def test_full_text_search(words: str, found: list[str]) -> None:
    keep(interview(1), interview(2), conversation())
    app = open_page("history")
    app.text_input(key="history-words").set_value(words).run()
    assert_well(app)
    assert names(app) == found
    assert bool(found) or any("No matching" in one.value for one in app.info)


@pytest.mark.slow
def test_filters_narrow_and_go_together() -> None:
    other = {"name": "pocket", "revision": "1"}
    keep(interview(1), interview(2, vision=other), interview(3, vision=other, status="stopped"), conversation())
    app = open_page("history")
    app.selectbox(key="history-vision").set_value("pocket").run()
    assert names(app) == ["photo3.jpg", "photo2.jpg"]
    app.selectbox(key="history-status").set_value("complete").run()
    assert names(app) == ["photo2.jpg"]
    app.selectbox(key="history-vision").set_value("").run()
    assert names(app) == ["photo2.jpg", "photo1.jpg"]
    app.selectbox(key="history-questioner").set_value("a person").run()
    assert names(app) == []


def test_from_day_to_day_both_included() -> None:
    keep(*(interview(number) for number in range(5)))
    app = open_page("history")
    app.date_input(key="history-since").set_value(date(2024, 5, 2)).run()
    app.date_input(key="history-until").set_value(date(2024, 5, 4)).run()
    assert_well(app)
    assert names(app) == ["photo3.jpg", "photo2.jpg", "photo1.jpg"]
    app.date_input(key="history-until").set_value(date(2024, 5, 1)).run()
    assert [one.value for one in app.error] == ["The first day lies after the last one; change one of them."]


@pytest.mark.slow
def test_a_large_store_comes_in_pages() -> None:
    keep(*(interview(number) for number in range(PAGE_SIZE + 3)))
    app = open_page("history")
    assert len(names(app)) == PAGE_SIZE and names(app)[0] == f"photo{PAGE_SIZE + 2}.jpg"
    assert f"1 to {PAGE_SIZE} of {PAGE_SIZE + 3}" in html_of(app)
    second_page(app)
    assert names(app) == ["photo2.jpg", "photo1.jpg", "photo0.jpg"] and f"21 to 23 of {PAGE_SIZE + 3}" in html_of(app)
    app.text_input(key="history-words").set_value("duck").run()
    assert len(names(app)) == PAGE_SIZE, "another search begins at its first page"


def test_an_interview_is_opened_read_and_gone_on_with(png: Png) -> None:
    keep(interview(1))
    app = open_page("history")
    opened(app)
    page = html_of(app)
    for words in (
        "Direct caption",
        "from all certain answers",
        "What is it?",
        "a duck",
        "vision model counting, language model scripted",
    ):
        assert words in page
    press(app, "Resume in Interview")
    item = interview_state(visitor_of(app)).item
    assert item is not None and item.view.turns[0].answer == "a duck"
    press(app, "Back to the list")
    assert names(app) == ["photo1.jpg"]


def test_a_chat_is_opened_and_gone_on_with() -> None:
    keep(conversation())
    app = open_page("history")
    opened(app)
    assert "Who sits there?" in html_of(app) and "A tabby cat." in html_of(app)
    press(app, "Resume in Chat")
    [node] = chat_state(visitor_of(app)).chat.tree.view.path
    assert node.turn.answer == "A tabby cat."


def test_what_an_assistant_answered_can_be_read_only() -> None:
    keep(conversation(kind="ask", assistant={"name": "scripted"}))
    app = open_page("history")
    opened(app)
    assert "A tabby cat." in html_of(app) and not [one for one in app.button if one.label.startswith("Resume")]


@pytest.mark.slow
def test_an_interview_with_prompts_of_ones_own_is_a_sentence() -> None:
    keep(interview(1, options={"rounds": 3, "history": 1, "prompts": "another"}))
    app = open_page("history")
    opened(app)
    press(app, "Resume in Interview")
    assert any("your own prompts" in one.value for one in app.error)


@pytest.mark.slow
def test_versions_of_a_conversation_are_one_entry_and_each_can_be_opened() -> None:
    ids = []
    for number, answer in enumerate(("a cat", "a lion")):
        turn = ChatTurn(question="What is it?", answer=answer)
        created = NOON + timedelta(minutes=number)
        ids.append(TranscriptStore().add(Chat(turns=(turn,), conversation="x", created=created)))
    app = open_page("history")
    assert "a lion" in html_of(app) and "a cat" not in html_of(app)
    app.button(key=f"history-open-{ids[1][:16]}").click().run()
    app.button(key=f"history-version-{ids[0][:16]}").click().run()
    assert_well(app)
    assert "a cat" in html_of(app) and "a lion" not in html_of(app)


def test_the_list_shows_thumbnails() -> None:
    TranscriptStore().add(interview(1))
    TranscriptStore().add_thumbnail(f"{1:064x}", b"jpeg")
    assert 'src="data:image/jpeg;base64,anBlZw=="' in html_of(open_page("history"))


def test_a_caption_is_edited_in_the_history() -> None:
    id = TranscriptStore().add(interview(1))
    app = open_page("history")
    app.query_params["id"] = id
    app.run()
    app.button(key=f"edit-{id[:16]}").click().run()
    app.text_area[0].set_value("A plastic duck.")
    next(button for button in app.button if button.label == "Save").click().run()
    assert_well(app)
    [stored] = TranscriptStore().recent()
    assert stored.text == "A plastic duck." and stored.id != id
    assert "A plastic duck." in html_of(app) and "edited by you" in html_of(app)


def test_delete_asks_first() -> None:
    keep(*(interview(number) for number in range(3)))
    app = open_page("history")
    assert app.button(key="history-delete").disabled
    app.checkbox[1].check().run()
    press(app, "Delete 1 selected")
    assert TranscriptStore().count() == 3, "nothing is gone yet"
    app.button(key="history-delete-no").click().run()
    assert TranscriptStore().count() == 3
    press(app, "Delete 1 selected")
    app.button(key="history-delete-yes").click().run()
    assert_well(app)
    assert names(app) == ["photo1.jpg", "photo0.jpg"] and TranscriptStore().count() == 2


@pytest.mark.slow
def test_a_whole_page_is_selected_at_once() -> None:
    keep(*(interview(number) for number in range(PAGE_SIZE + 1)))
    app = open_page("history")
    next(one for one in app.checkbox if one.label == "Select this page").check().run()
    assert_well(app)
    second_page(app)
    assert not app.checkbox[1].value, "only that page"
    press(app, f"Delete {PAGE_SIZE} selected")
    app.button(key="history-delete-yes").click().run()
    assert names(app) == ["photo0.jpg"]


def test_the_opened_one_is_deleted_alone() -> None:
    keep(interview(1), interview(2))
    app = open_page("history")
    app.checkbox[1].check().run()
    opened(app, 1)
    app.button(key="history-delete-this").click().run()
    app.button(key="history-delete-yes").click().run()
    assert_well(app)
    assert names(app) == ["photo2.jpg"]


def test_one_that_is_gone_meanwhile_is_a_sentence_and_the_way_back_is_there() -> None:
    [id] = keep(interview(1))
    app = open_page("history")
    TranscriptStore().delete(id)
    app.query_params["id"] = id  # deleted by another tab, say
    app.run()
    assert_well(app)
    assert any("no transcript" in one.value for one in app.error)
    press(app, "Back to the list")
    assert any("no transcript yet" in one.value for one in app.info)


def test_the_file_is_offered_in_three_kinds() -> None:
    keep(interview(1), conversation())
    app = open_page("history")
    assert [one.label for one in app.get("download_button")][:3] == ["JSON Lines", "CSV", "Parquet"]


def test_where_everybody_may_enter_one_sees_only_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    mine, theirs = keep(interview(1), interview(2))
    open_to_all = UiOptions(host="0.0.0.0")
    monkeypatch.setattr("ui.state.session.get_options", lambda: open_to_all)
    app = open_page("history")
    assert names(app) == []
    me = visitor_of(app)
    me.transcripts.add(mine)
    app.run()
    assert names(app) == ["photo1.jpg"] and "photo2" not in html_of(app)
    for address in (theirs, theirs[:12], theirs[:1]):
        app.query_params["id"] = address
        app.run()
        assert_well(app)
        assert any("that you may read" in one.value for one in app.error) == (not mine.startswith(address))
        assert "number 2" not in html_of(app), "neither by its address nor by the beginning of it"
    app.query_params["id"] = mine[:12]
    app.run()
    assert "number 1" in html_of(app) and not app.error


def test_what_a_model_said_is_shown_and_never_run() -> None:
    keep(interview(1, summary="<script>alert(1)</script> **duck** <img src=x>"))
    app = open_page("history")
    assert "<script>" not in html_of(app) and "<img" not in html_of(app) and "&lt;script&gt;" in html_of(app)
    opened(app)
    assert "<script>" not in html_of(app) and "<img" not in html_of(app)


def test_each_has_an_address_that_opens_it_directly() -> None:
    ids = keep(interview(1), conversation())
    for id in (*ids, ids[0][:12]):
        app = open_page("history")
        app.query_params["id"] = id
        app.run()
        assert_well(app)
        assert app.button(key="history-back") and not app.error
    app = open_page("history")
    opened(app, 1)
    assert app.query_params["id"] == ids[0]
    press(app, "Back to the list")
    assert "id" not in app.query_params and names(app) == ["cat.png", "photo1.jpg"]


@pytest.mark.parametrize("address", ["f" * 64, "", "no hex", "../../etc", "<b>x</b>", "a" * 5000, "%", "0x"])
def test_an_address_that_means_nothing_is_one_clear_line(address: str) -> None:
    keep(interview(1))
    app = open_page("history")
    app.query_params["id"] = address
    app.run()
    assert_well(app)
    [error] = app.error
    assert error.value.startswith("There is no transcript") and len(error.value) < 400
    press(app, "Back to the list")
    assert names(app) == ["photo1.jpg"] and not app.error


def test_the_list_is_where_it_was_when_one_comes_back() -> None:
    keep(*(interview(number) for number in range(PAGE_SIZE + 5)))
    app = open_page("history")
    app.text_input(key="history-words").set_value("photo").run()
    second_page(app)
    before = names(app)
    assert len(before) == 5
    app.checkbox[1].check().run()
    opened(app, 3)
    press(app, "Back to the list")
    assert names(app) == before and app.text_input(key="history-words").value == "photo"
    assert app.checkbox[1].value, "what was selected is selected"
    lead = app.session_state["inquisight.lead"]
    assert lead["key"].startswith("history-item-") and lead["key"].endswith("-open") and lead["control"]


def test_names_are_read_out_as_they_are() -> None:
    keep(interview(1, picture=PictureInfo(sha256="0" * 64, source="my_cat_1.jpg", width=2, height=2)))
    app = open_page("history")
    assert names(app) == ["my_cat_1.jpg"]
    assert any(one.label == "Open my_cat_1.jpg" for one in app.button)
