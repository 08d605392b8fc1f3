"""History: search, open, resume, export and delete stored transcripts."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import date
from functools import partial
from typing import Final

import streamlit as st

from agents.interview.live import edited
from agents.text.export import KINDS, Kind, exported
from core.errors import StoreError, UsageError, printable
from core.records import Caption, Chat
from core.settings import get_settings
from core.store.query import Names, TranscriptQuery, after, first_moment
from core.store.transcripts import StoredCaption
from ui.controls import act_button, button, close_dialog, dialog, dialog_value, download, header, note, open_dialog
from ui.state.session import Visitor, visitor
from ui.state.transcripts import saver, store
from ui.text import count, data_url, escape, label, plain, show_errors, tag
from ui.views.transcript_view import draw_heading, draw_record, draw_resume, name_of
from ui.widgets.attention import focus_on
from ui.widgets.description import draw_edit

PAGE_SIZE: Final = 20
MAX_VERSIONS: Final = 20  # of a conversation
MAX_EXPORTED: Final = 20_000  # the file is made in memory
ADDRESS: Final = "id"  # the parameter of a transcript's address, history?id=...
TYPES: Final = {
    "complete": "Interview, complete",
    "stopped": "Interview, stopped",
    "failed": "Interview, failed",
    "chat": "Chat",
    "ask": "Assistant with tools",
}


@dataclass
class Search:
    """One visitor's search and selection; they survive a reload."""

    words: str = ""
    vision: str = ""
    questioner: str = ""
    status: str = ""
    since: date | None = None
    until: date | None = None
    page: int = 1
    picked: dict[str, str] = field(default_factory=dict)
    """Names of the selected transcripts by id."""

    def query(self, me: Visitor) -> TranscriptQuery:
        """The search, within the transcripts that the visitor may see. Raises UsageError."""
        begin, end = first_moment(self.since), after(self.until)
        return TranscriptQuery(
            self.words, self.vision, self.questioner, self.status, begin, end, visible_ids(me), newest=not self.words
        )


def visible_ids(me: Visitor) -> frozenset[str] | None:
    """The ids that a visitor may see; None: all."""
    return None if me.may_see("") else frozenset(me.transcripts)


def page() -> None:
    """Draw the page."""
    me = visitor()
    search = me.keep("history", Search)
    total = store().count(TranscriptQuery(ids=visible_ids(me)))
    header("History", f"{count(total, 'transcript')}, saved automatically. Open one to read or resume it.")
    if ADDRESS in st.query_params:
        with show_errors():
            _opened(me, search, st.query_params[ADDRESS])
    elif total:
        _filters(me, search)
        with show_errors():
            _list(me, search)
        _delete_dialog(me, search)
    else:
        note("There is no transcript yet. Interviews and chats are saved here automatically.", "history")


# --- search -------------------------------------------------------------------------------------------------------


@st.cache_data(ttl=20, max_entries=4, show_spinner=False)
def _names(url: str) -> Names:
    return store().names()


def _filters(me: Visitor, search: Search) -> None:
    names = _names(get_settings().database_url) if me.may_see("") else Names(states=tuple(TYPES))
    before = replace(search)
    search.words = st.text_input(
        "Search",
        search.words,
        key="history-words",
        placeholder="words in the dialogue, the caption or the file name",
        icon=":material/search:",
        max_chars=200,
    )
    filtered = any((search.vision, search.questioner, search.status, search.since, search.until))
    with st.expander("Filters", icon=":material/filter_list:", expanded=filtered):
        one, two, three = st.columns(3)
        with one:
            search.vision = _filter("Vision model", names.visions, search.vision, "history-vision")
        with two:
            search.questioner = _filter("Language model", names.questioners, search.questioner, "history-questioner")
        with three:
            search.status = _filter("Type and status", names.states, search.status, "history-status")
        first, last = st.columns(2)
        with first:
            search.since = st.date_input("From", search.since, key="history-since", format="YYYY-MM-DD")
        with last:
            search.until = st.date_input("To", search.until, key="history-until", format="YYYY-MM-DD")
    if search != before:
        search.page = 1


def _filter(label: str, names: tuple[str, ...], chosen: str, key: str) -> str:
    options = list(dict.fromkeys(["", *names, chosen]))
    place = options.index(chosen)
    picked = st.selectbox(label, options, place, format_func=lambda name: TYPES.get(name, name) or "any", key=key)
    return picked or ""


# --- the list -----------------------------------------------------------------------------------------------------


def _list(me: Visitor, search: Search) -> None:
    query = search.query(me)
    total = store().count(query)
    pages = max(1, -(-total // PAGE_SIZE))
    search.page = min(search.page, pages)
    found = store().find(query, PAGE_SIZE, (search.page - 1) * PAGE_SIZE)
    thumbnails = store().thumbnails({one.picture_sha256 for one in found})
    if not found:
        note("No matching transcript. Remove a word or a filter.", "search_off")
        return
    _actions(search, query, total, found)
    for one in found:
        _item(search, one, thumbnails.get(one.picture_sha256))
    if pages > 1:
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="center"):
            st.session_state["history-page"] = search.page
            st.pagination(pages, key="history-page", on_change=_turn, args=(search,))
            first, last = (search.page - 1) * PAGE_SIZE + 1, min(total, search.page * PAGE_SIZE)
            st.html(f'<p class="iq-note" role="status">{first:,} to {last:,} of {total:,}</p>', width="content")


def _turn(search: Search) -> None:
    search.page = st.session_state["history-page"]


def _item(search: Search, one: StoredCaption, thumbnail: bytes | None) -> None:
    name, key = one.source or "no image", f"history-pick-{one.id[:16]}"
    with st.container(border=True, gap="small", key=_container(one.id)):
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            st.session_state.setdefault(key, one.id in search.picked)
            st.checkbox(label(name, 60), key=key, on_change=_pick, args=(search, key, {one.id: name}))
            with st.container(key=f"{_container(one.id)}-open", width="content"):
                text = f"Open {label(name, 24)}"
                act_button(text, f"history-open-{one.id[:16]}", _open, one.id, icon="open_in_full")
        when = one.created.astimezone().strftime("%Y-%m-%d %H:%M")
        kind = tag(TYPES.get(one.status, one.status), "red" if one.status == "failed" else "")
        models = ", ".join(filter(None, (one.vision, one.questioner)))
        image = f'<img class="iq-thumb" src="{data_url(thumbnail)}" alt="">' if thumbnail else ""
        st.html(
            f'<div class="iq-item">{image}<div><p class="what">{escape(one.text) or "(nothing)"}</p>'
            f'<p class="iq-note">{kind}<time datetime="{one.created.isoformat()}">{when}</time>, '
            f"{count(one.turns, 'answer')}, {escape(models)}</p></div></div>"
        )


def _container(id: str) -> str:
    """The key of a transcript's container in the list."""
    return f"history-item-{id[:16]}"


def _open(id: str) -> None:
    st.query_params[ADDRESS] = id
    focus_on("history-opened")


def _back(id: str) -> None:
    """Return to the transcript's place in the list."""
    st.query_params.pop(ADDRESS, None)
    focus_on(f"{_container(id)}-open", control=True)


def _pick(search: Search, key: str, names: dict[str, str]) -> None:
    """Select or deselect transcripts, as the checkbox `key` says."""
    for id, name in names.items():
        search.picked.pop(id, None)
        if st.session_state[key]:
            search.picked[id] = name
        st.session_state[f"history-pick-{id[:16]}"] = bool(st.session_state[key])


def _pick_none(search: Search) -> None:
    for id in search.picked:
        st.session_state.pop(f"history-pick-{id[:16]}", None)
    search.picked.clear()


def _actions(search: Search, query: TranscriptQuery, total: int, found: list[StoredCaption]) -> None:
    picked = len(search.picked)
    here = {one.id: one.source or "no image" for one in found}
    with st.container(horizontal=True, vertical_alignment="center", key="history-actions"):
        key = f"history-all-{search.page}"
        st.session_state[key] = all(id in search.picked for id in here)
        st.checkbox("Select this page", key=key, on_change=_pick, args=(search, key, here))
        if picked:
            text = f"Clear selection ({picked})"
            act_button(text, "history-none", _pick_none, search, icon="deselect", type="tertiary")
        with st.popover(f"Export {picked} selected" if picked else f"Export all {total:,}", icon=":material/download:"):
            _exports(search, query, picked or total)
        text, about = (f"Delete {picked} selected", None) if picked else ("Delete", "Select transcripts first")
        act_button(text, "history-delete", open_dialog, "delete", icon="delete", disabled=not picked, help=about)


def _exports(search: Search, query: TranscriptQuery, number: int) -> None:
    if number > MAX_EXPORTED:
        note(f"At most {MAX_EXPORTED:,} can be exported at once; narrow the search, for example by date.", "download")
        return
    chosen = TranscriptQuery(ids=_visible_picked(query.ids, search)) if search.picked else query
    for kind, title in KINDS.items():
        download(title, partial(_file, chosen, kind), f"transcripts.{kind}", f"history-export-{kind}", width="stretch")
    st.caption("JSON Lines is lossless; CSV and Parquet have one row per transcript.")


def _file(chosen: TranscriptQuery, kind: Kind) -> bytes:
    return exported(store().records(chosen), kind)


def _visible_picked(visible: frozenset[str] | None, search: Search) -> frozenset[str]:
    """The selected transcripts that the visitor may see."""
    return frozenset(search.picked) if visible is None else visible & search.picked.keys()


def _delete_dialog(me: Visitor, search: Search) -> None:
    if not dialog_value("delete") or not search.picked:
        close_dialog("delete")
        return

    def ask() -> None:
        names = list(search.picked.values())
        few = ", ".join(plain(name, 40) for name in names[:5]) + (f" and {len(names) - 5} more" if names[5:] else "")
        st.write(f"{count(len(names), 'transcript')}: {few}. This cannot be undone; export them first if in doubt.")
        with st.container(horizontal=True):
            if button("Delete", "history-delete-yes", icon="delete_forever", type="primary"):
                with show_errors():
                    mine = _visible_picked(visible_ids(me), search)
                    deleted = store().delete_all(mine)
                    _pick_none(search)
                    close_dialog("delete")
                    if st.query_params.get(ADDRESS, "") in mine:
                        st.query_params.pop(ADDRESS, None)
                    st.toast(f"{count(deleted, 'transcript')} deleted.", icon=":material/delete:")
                    st.rerun()
            if button("Cancel", "history-delete-no"):
                close_dialog("delete")
                st.rerun()

    dialog("delete", "Delete permanently?", ask)


# --- one transcript -----------------------------------------------------------------------------------------------


def _opened(me: Visitor, search: Search, address: str) -> None:
    id = _id_of(me, address)
    act_button("Back to the list", "history-back", _back, id or address, icon="arrow_back")
    if id is None:
        shown = printable(address, 80)
        raise UsageError(f"there is no transcript '{shown}' that you may read; choose one in the list")
    record = store().get_record(id)
    name = name_of(record) or "no image"
    st.set_page_config(page_title=f"{printable(name, 60)} · Inquisight")
    with st.container(key="history-opened"):
        draw_heading(record)
        with st.container(horizontal=True), show_errors():
            draw_resume(me, record)
            if button("Delete", "history-delete-this", icon="delete"):
                _pick_none(search)
                search.picked[record.id] = name
                open_dialog("delete")
            if isinstance(record, Caption):
                draw_edit("history", record, record.id[:16], partial(_edit, me, record))
            if isinstance(record, Chat):
                _versions(me, record)
        draw_record(me, record)
    _delete_dialog(me, search)


def _versions(me: Visitor, record: Chat) -> None:
    """Buttons that open the other versions of the conversation."""
    if not record.conversation:
        return
    query = TranscriptQuery(ids=visible_ids(me), conversation=record.conversation)
    found = sorted(store().find(query, MAX_VERSIONS), key=lambda one: one.created)
    for number, one in enumerate(found, start=1):
        if one.id != record.id:
            text = f"Version {number} of {len(found)}"
            act_button(text, f"history-version-{one.id[:16]}", _open, one.id, icon="alt_route", type="tertiary")


def _edit(me: Visitor, record: Caption, text: str) -> None:
    """Save a person's version of the text, and open that transcript; it has another id."""
    st.query_params[ADDRESS] = saver(me)(edited(record, text))


def _id_of(me: Visitor, address: str) -> str | None:
    """The id that starts with `address`, among those the visitor may see; None if there is none, or several."""
    start = address.strip().lower()
    if not re.fullmatch(r"[0-9a-f]{1,64}", start):
        return None
    visible = visible_ids(me)
    if visible is None:
        with suppress(StoreError):
            return store().get_record(start).id
        return None
    found = [id for id in visible if id.startswith(start)]
    return found[0] if len(found) == 1 else None
