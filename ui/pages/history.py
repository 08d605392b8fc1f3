"""History: every transcript of the store; searched, opened again and gone on with, exported, deleted."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import date
from functools import partial
from typing import Final

import streamlit as st

from agents.text.export import KINDS, MIME, Kind, exported
from core.errors import StoreError, UsageError, printable
from core.settings import get_settings
from core.store.query import Names, TranscriptQuery, after, first_moment
from core.store.transcripts import StoredCaption
from ui.state.session import Visitor, visitor
from ui.state.transcripts import store
from ui.text import count, label, plain, told
from ui.views.style import tag, text
from ui.views.transcript_view import draw_go_on, draw_heading, draw_record, name_of
from ui.widgets.attention import lead_to

SHOWN: Final = 20  # transcripts on one page of the list
MOST_EXPORTED: Final = 20_000  # at once: the file is made in memory
ADDRESS: Final = "id"  # of a transcript, in the page's address: history?id=...
STATES: Final = {
    "complete": "Interview, complete",
    "stopped": "Interview, stopped",
    "failed": "Interview, failed",
    "chat": "Chat",
    "ask": "Assistant with tools",
}
_CSS: Final = """
<style>
.iq-item p { margin: 0; overflow-wrap: anywhere; }
.iq-item .what { display: -webkit-box; -webkit-line-clamp: 2; -webkit-box-orient: vertical; overflow: hidden; }
.iq-item .iq-tag { margin: 0 .35rem 0 0; }
</style>
"""


@dataclass
class Search:
    """What one visitor looks for; it outlives a reload."""

    words: str = ""
    vision: str = ""
    questioner: str = ""
    status: str = ""
    since: date | None = None
    until: date | None = None
    place: int = 0
    """How many come before the first one on the page."""
    picked: dict[str, str] = field(default_factory=dict)
    """Ids that were selected, with what they are called."""

    def wanted(self, me: Visitor) -> TranscriptQuery:
        """As the store knows it; only one's own where not all may be seen. Raises UsageError."""
        return TranscriptQuery(
            self.words,
            self.vision,
            self.questioner,
            self.status,
            first_moment(self.since),
            after(self.until),
            own(me),
        )

    @property
    def narrowed(self) -> bool:
        """Whether anything is asked for."""
        return bool(self.words.strip() or self.vision or self.questioner or self.status or self.since or self.until)


def own(me: Visitor) -> frozenset[str] | None:
    """The ids among which a visitor may look; None: among all."""
    return None if me.may_see("") else frozenset(me.transcripts)


def page() -> None:
    """Draw it."""
    me = visitor()
    search = me.keep("history", Search)
    st.html(_CSS)
    st.title("History")
    if ADDRESS in st.query_params:
        with told():
            _opened(me, search, st.query_params[ADDRESS])
        return
    there = store().count(TranscriptQuery(ids=own(me)))
    if not there:
        st.info(
            "There is no transcript yet. Interviews and chats are kept here by themselves.", icon=":material/history:"
        )
        return
    st.write(f"{count(there, 'transcript')}, each kept when it was made. Open one to read it or to go on with it.")
    _filters(me, search)
    _list(me, search)
    _delete_dialog(me, search)


# --- looking for some ---------------------------------------------------------------------------------------------


@st.cache_data(ttl=20, max_entries=4, show_spinner=False)
def _names(url: str) -> Names:
    return store().names()


def _filters(me: Visitor, search: Search) -> None:
    names = _names(get_settings().database_url) if own(me) is None else Names(states=tuple(STATES))
    before = replace(search)
    search.words = st.text_input(
        "Search",
        search.words,
        key="history-words",
        placeholder="words of the dialogue, the description or the file's name",
        icon=":material/search:",
        max_chars=200,
    )
    more = any((search.vision, search.questioner, search.status, search.since, search.until))
    with st.expander("Filters", icon=":material/filter_list:", expanded=more):
        one, two, three = st.columns(3)
        with one:
            search.vision = _one_of("Vision model", names.visions, search.vision, "history-vision")
        with two:
            search.questioner = _one_of("Questioner", names.questioners, search.questioner, "history-questioner")
        with three:
            search.status = _one_of("Kind and status", names.states, search.status, "history-status", STATES)
        first, last = st.columns(2)
        with first:
            search.since = st.date_input("From", search.since, key="history-since", format="YYYY-MM-DD")
        with last:
            search.until = st.date_input("Until", search.until, key="history-until", format="YYYY-MM-DD")
    if replace(search, place=before.place) != before:
        search.place = 0


def _one_of(label: str, names: tuple[str, ...], chosen: str, key: str, words: dict[str, str] | None = None) -> str:
    options = ["", *names, *([chosen] if chosen and chosen not in names else [])]
    picked = st.selectbox(
        label,
        options,
        index=options.index(chosen),
        format_func=lambda name: (words or {}).get(name, name) if name else "any",
        key=key,
    )
    return picked or ""


# --- the list -----------------------------------------------------------------------------------------------------


def _list(me: Visitor, search: Search) -> None:
    with told():
        wanted = search.wanted(me)
        total = store().count(wanted)
        if search.place >= total:
            search.place = max(0, (total - 1) // SHOWN * SHOWN)
        found = store().find(wanted, SHOWN, search.place)
        if not found:
            st.info("Nothing fits. Take a word or a filter away.", icon=":material/search_off:")
            return
        _actions(search, wanted, total, found)
        for one in found:
            _item(search, one)
        _pages(search, total)


def _item(search: Search, one: StoredCaption) -> None:
    name = one.source or "no picture"
    with st.container(border=True, gap="small", key=_place_of(one.id)):
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            key = f"history-pick-{one.id[:16]}"
            st.session_state.setdefault(key, one.id in search.picked)
            st.checkbox(label(name, 60), key=key, on_change=_pick, args=(search, key, {one.id: name}))
            with st.container(key=f"{_place_of(one.id)}-open", width="content"):
                st.button(
                    f"Open {label(name, 24)}",
                    key=f"history-open-{one.id[:16]}",
                    icon=":material/open_in_full:",
                    on_click=_open,
                    args=(one.id,),
                )
        st.html(f'<div class="iq-item"><p class="what">{text(one.text) or "(nothing)"}</p>{_facts_html(one)}</div>')


def _place_of(id: str) -> str:
    """The container of a transcript in the list."""
    return f"history-item-{id[:16]}"


def _open(id: str) -> None:
    st.query_params[ADDRESS] = id
    lead_to("history-opened")


def _back(id: str) -> None:
    """To the list, and to the place of the transcript in it."""
    st.query_params.pop(ADDRESS, None)
    lead_to(f"{_place_of(id)}-open", control=True)


def _facts_html(one: StoredCaption) -> str:
    when = one.created.astimezone().strftime("%Y-%m-%d %H:%M")
    kind = STATES.get(one.status, one.status)
    who = f"{one.vision} saw, {one.questioner} asked" if one.vision else f"{one.questioner} asked"
    bad = "red" if one.status == "failed" else ""
    return (
        f'<p class="iq-note">{tag(kind, bad)}<time datetime="{one.created.isoformat()}">{when}</time>, '
        f"{count(one.turns, 'answer')}, {text(who)}</p>"
    )


def _pick(search: Search, key: str, them: dict[str, str]) -> None:
    for id, name in them.items():
        if st.session_state.get(key):
            search.picked[id] = name
        else:
            search.picked.pop(id, None)


def _pick_all(search: Search, key: str, them: dict[str, str]) -> None:
    _pick(search, key, them)
    for id in them:
        st.session_state[f"history-pick-{id[:16]}"] = id in search.picked


def _pick_none(search: Search) -> None:
    for id in search.picked:
        st.session_state.pop(f"history-pick-{id[:16]}", None)
    search.picked.clear()


def _actions(search: Search, wanted: TranscriptQuery, total: int, found: list[StoredCaption]) -> None:
    picked = len(search.picked)
    here = {one.id: one.source or "no picture" for one in found}
    with st.container(horizontal=True, vertical_alignment="center", key="history-actions"):
        all_key = f"history-all-{search.place}"
        st.session_state[all_key] = all(id in search.picked for id in here)
        st.checkbox("Select this page", key=all_key, on_change=_pick_all, args=(search, all_key, here))
        if picked:
            st.button(
                f"Select none ({picked})",
                key="history-none",
                icon=":material/deselect:",
                on_click=_pick_none,
                args=(search,),
                type="tertiary",
            )
        what = f"{picked} selected" if picked else "it" if total == 1 else f"all {total:,}"
        with st.popover(f"Export {what}", icon=":material/download:"):
            _exports(search, wanted, picked or total)
        if st.button(
            f"Delete {picked} selected" if picked else "Delete",
            key="history-delete",
            icon=":material/delete:",
            disabled=not picked,
            help=None if picked else "Select some first",
        ):
            st.session_state["history.delete"] = True


def _exports(search: Search, wanted: TranscriptQuery, number: int) -> None:
    if number > MOST_EXPORTED:
        st.info(f"More than {MOST_EXPORTED:,} at once are too many for a browser; narrow the search by a date.")
        return
    # What was selected counts, however it was found.
    chosen = TranscriptQuery(ids=_within(wanted, search)) if search.picked else wanted
    for kind, title in KINDS.items():
        st.download_button(
            title,
            partial(_file, chosen, kind),
            f"transcripts.{kind}",
            MIME[kind],
            key=f"history-export-{kind}",
            on_click="ignore",
            width="stretch",
        )
    st.caption("JSON Lines loses nothing; CSV and Parquet are tables with one row for each.")


def _file(chosen: TranscriptQuery, kind: Kind) -> bytes:
    return exported(store().records(chosen), kind)


def _within(wanted: TranscriptQuery, search: Search) -> frozenset[str]:
    """What is selected, and may be seen."""
    return frozenset(search.picked) if wanted.ids is None else frozenset(search.picked) & wanted.ids


def _pages(search: Search, total: int) -> None:
    if total <= SHOWN:
        return
    last = (total - 1) // SHOWN * SHOWN
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="center"):
        for label, icon, place in (
            ("Newest", ":material/first_page:", 0),
            ("Newer", ":material/chevron_left:", max(0, search.place - SHOWN)),
        ):
            _turn_to(search, label, icon, place)
        words = f"{search.place + 1:,} to {min(total, search.place + SHOWN):,} of {total:,}"
        st.html(f'<p class="iq-note" role="status">{words}</p>', width="content")
        for label, icon, place in (
            ("Older", ":material/chevron_right:", min(last, search.place + SHOWN)),
            ("Oldest", ":material/last_page:", last),
        ):
            _turn_to(search, label, icon, place)


def _turn_to(search: Search, label: str, icon: str, place: int) -> None:
    if st.button(label, key=f"history-{label.lower()}", icon=icon, disabled=place == search.place):
        search.place = place
        st.rerun()


# --- deleting -----------------------------------------------------------------------------------------------------


def _forget_delete() -> None:
    st.session_state.pop("history.delete", None)


def _delete_dialog(me: Visitor, search: Search) -> None:
    if not st.session_state.get("history.delete"):
        return
    if not search.picked:
        _forget_delete()
        return

    @st.dialog("Delete for good?", on_dismiss=_forget_delete)
    def ask() -> None:
        names = list(search.picked.values())
        few = ", ".join(plain(name, 40) for name in names[:5]) + (f" and {len(names) - 5} more" if names[5:] else "")
        st.write(f"{count(len(names), 'transcript')}: {few}. This cannot be undone; export them first if in doubt.")
        with st.container(horizontal=True):
            if st.button("Delete", type="primary", key="history-delete-yes", icon=":material/delete_forever:"):
                with told():
                    mine = _within(TranscriptQuery(ids=own(me)), search)
                    gone = store().delete_all(mine)
                    _pick_none(search)
                    _forget_delete()
                    if st.query_params.get(ADDRESS, "") in mine:
                        st.query_params.pop(ADDRESS, None)
                    st.toast(f"{count(gone, 'transcript')} deleted.", icon=":material/delete:")
                    st.rerun()
            if st.button("Keep", key="history-delete-no"):
                _forget_delete()
                st.rerun()

    ask()


# --- one of them --------------------------------------------------------------------------------------------------


def _opened(me: Visitor, search: Search, given: str) -> None:
    id = _id_of(me, given)
    st.button("Back to the list", key="history-back", icon=":material/arrow_back:", on_click=_back, args=(id or given,))
    if id is None:
        raise UsageError(f"there is no transcript '{printable(given, 80)}' that you may read; choose one in the list")
    record = store().get_record(id)
    name = name_of(record) or "no picture"
    st.set_page_config(page_title=f"{printable(name, 60)} · Inquisight")
    with st.container(key="history-opened"):
        draw_heading(record)
        with st.container(horizontal=True):
            draw_go_on(me, record)
            if st.button("Delete", key="history-delete-this", icon=":material/delete:"):
                _pick_none(search)
                search.picked[record.id] = name
                st.session_state["history.delete"] = True
        draw_record(me, record)
    _delete_dialog(me, search)


def _id_of(me: Visitor, given: str) -> str | None:
    """The whole id that begins so, among those that the visitor may see; None where there is none, or several."""
    beginning = given.strip().lower()
    if not re.fullmatch(r"[0-9a-f]{1,64}", beginning):
        return None
    mine = own(me)
    if mine is None:
        with suppress(StoreError):
            return store().get_record(beginning).id
        return None
    found = [id for id in mine if id.startswith(beginning)]
    return found[0] if len(found) == 1 else None
