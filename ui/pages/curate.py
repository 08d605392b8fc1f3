"""Curate: the review queue of a curation, how far two reviewers agree, rules on trial, progress and report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import streamlit as st

from core.errors import printable
from training.curation import toml, workspace
from training.curation.folder import CurationFolder
from training.curation.report import figures as curation_figures
from training.curation.report import report as curation_report
from training.curation.review import labels
from training.curation.review.review import measured
from training.curation.rules import rules as curation_rules
from ui.state.curation import CuratePageState
from ui.state.session import visitor
from ui.state.training_tools import may_enter, root_box, shown_path
from ui.text import count, label, plain, told
from ui.views.review_view import MOST, draw_agreement, letters, marked_change, picture_of
from ui.views.style import tag, text
from ui.widgets.curation_steps import draw_new, draw_steps

if TYPE_CHECKING:
    from training.curation.report.figures import Figures
    from training.curation.review.review import Review
    from training.curation.rules.rules import Rules, Verdict

PARTS: Final = {
    "steps": "Steps",
    "review": "Review",
    "agreement": "Agreement",
    "rules": "Rules",
    "report": "Progress and report",
    "new": "New",
}
STAGES: Final[dict[labels.Stage, str]] = {"repair": "Before the rules", "rules": "After the rules"}
LOOKS: Final = """<style>
.st-key-review-picture img { max-height: min(62vh, 36rem); object-fit: contain; object-position: left; }
@media (max-width: 640px) { .st-key-review-picture img { max-height: 38vh; } }
</style>"""


def page() -> None:
    """Draw it."""
    if not may_enter():
        return
    desk = visitor().keep("curate", CuratePageState)
    st.title("Curate")
    st.write("Look at what a model wrote about pictures, say what is wrong with it, and let rules do the rest.")
    with told():
        left, right = st.columns(2, gap="medium")
        with left:
            root = _root(desk)
        folder = _choose(desk, root, right)
        if folder is None:
            draw_new(desk, root)
            return
        part = st.segmented_control(
            "What to do", list(PARTS), default=desk.part, required=True, format_func=PARTS.__getitem__,
            key="curate-part", label_visibility="collapsed",
        )  # fmt: skip
        desk.part = part or desk.part
        if desk.part == "new":
            draw_new(desk, root)
        elif desk.part == "steps":
            draw_steps(desk, folder, lambda: _figures(desk, folder))
        else:
            {"review": _review, "agreement": _agreement, "rules": _rules, "report": _report}[desk.part](desk, folder)


def _root(desk: CuratePageState) -> Path:
    root = root_box("curate-root", desk.root, "curations")
    desk.root = st.session_state["curate-root"]
    return root


def _choose(desk: CuratePageState, root: Path, place: Any) -> CurationFolder | None:
    found: list[Path] = workspace.find_curations(root)
    if desk.path is not None and desk.message and desk.path not in found:
        found = [desk.path, *found]  # begun elsewhere, a moment ago
    if not found:
        st.info(
            "No curation lies there. Begin one here, or in a terminal with "
            "`inquisight curate generate FOLDER PICTURES`, or name another folder.",
            icon=":material/rule:",
        )
        return None
    with place:
        at = found.index(desk.path) if desk.path in found else 0
        chosen = st.selectbox(
            "Curation", found, index=at, format_func=lambda path: shown_path(path, root), key="curate-folder"
        )
    desk.open(chosen)
    return CurationFolder(chosen)


# --- the review queue ---------------------------------------------------------------------------------------------


def _review(desk: CuratePageState, folder: CurationFolder) -> None:
    title = f"{desk.reviewer}, {STAGES[desk.stage].lower()}" if desk.reviewer else "Who are you?"
    known = bool(desk.reviewer)
    # another key for another state: it closes, and lets go of the keys
    with st.expander(label(title), icon=":material/badge:", expanded=not known, key=f"curate-who-{known}"):
        left, right = st.columns(2, gap="medium")
        with left:
            reviewer = st.text_input(
                "Your name", desk.reviewer, key="curate-reviewer", max_chars=40, help="It stands beside your labels"
            ).strip()
            kinds = st.text_input(
                "Your own kinds of error",
                desk.kinds,
                key="curate-kinds",
                placeholder="kinds.toml",
                help="A file; `inquisight curate defaults kinds` prints one to start from",
            ).strip()
        with right:
            stage = _stage(desk, "review")
            desk.keys = st.toggle(
                "Keys", desk.keys, key="curate-keys", help="One key per button, as it stands on it; none while you type"
            )
    if (reviewer, stage, kinds) != (desk.reviewer, desk.stage, desk.kinds):
        desk.reviewer, desk.stage, desk.kinds, desk.review = reviewer, stage, kinds, None
        st.rerun()  # its title says whose turn it is
    if not reviewer:
        st.info("Write your name, and the first text comes.", icon=":material/badge:")
        return
    if desk.review is None and not workspace.is_drawn(folder, stage) and not _draw(desk, folder):
        return
    _queue(desk, folder)


def _stage(desk: CuratePageState, where: str) -> labels.Stage:
    key = f"curate-stage-{where}"
    chosen = st.segmented_control(
        "Sample", list(STAGES), default=desk.stage, required=True, format_func=STAGES.__getitem__, key=key
    )
    return chosen or desk.stage


def _draw(desk: CuratePageState, folder: CurationFolder) -> bool:
    """Ask which sample to draw, once per curation."""
    st.info("No sample is drawn yet. It is drawn once, and stays the same for all reviewers.", icon=":material/casino:")
    with st.form("draw"):
        left, right = st.columns(2)
        size = left.number_input("Texts", 1, 100_000, labels.SIZE, key="curate-size")
        seed = right.number_input("Seed", 0, 2**31, 0, key="curate-seed", help="Same seed, same sample")
        partly = st.checkbox("Draw it though not all texts are repaired", key="curate-partly")
        if not st.form_submit_button("Draw the sample", type="primary", icon=":material/casino:"):
            return False
    _sit_down(desk, folder, size=int(size), seed=int(seed), partly=partly)
    st.rerun()


def _sit_down(desk: CuratePageState, folder: CurationFolder, **drawn: Any) -> None:
    kinds = labels.Kinds.load(desk.kinds or None)
    desk.review = workspace.sit_down(folder, desk.reviewer, stage=desk.stage, kinds=kinds, **drawn)
    desk.stamp = workspace.stamp_of_texts(folder)


@st.fragment
def _queue(desk: CuratePageState, folder: CurationFolder) -> None:
    """One text, and the buttons below it. A fragment: a key redraws this part alone."""
    with told():
        _catch_up(desk, folder)
        review = desk.review
        assert review is not None
        _do(desk, folder, review)
        said, review.said = review.said, ""
        total = len(review.items)
        st.progress(review.done / total if total else 0.0, text=f"{review.done} of {count(total, 'text')} labelled")
        if review.item is None:
            st.success("That was all.", icon=":material/done_all:")
            _moves(desk, review)
            return
        st.html(LOOKS)
        left, right = st.columns([2, 3], gap="medium")
        with left, st.container(key="review-picture"):
            _picture(review)
        with right:
            _text(desk, review)
            if not desk.editing:
                _kinds(desk, review)
                _moves(desk, review)
        st.html(f'<p class="iq-sr" role="status" aria-live="polite">{text(said)}</p>')


def _catch_up(desk: CuratePageState, folder: CurationFolder) -> None:
    """Begin, or begin again where somebody else has changed a text since."""
    stamp = workspace.stamp_of_texts(folder)
    if desk.review is not None and desk.stamp == stamp:
        return
    before = desk.review.item.id if desk.review is not None and desk.review.item is not None else None
    _sit_down(desk, folder)
    assert desk.review is not None
    place = next((place for place, item in enumerate(desk.review.items) if item.id == before), None)
    if place is not None:
        desk.review.go_to(place)


def _do(desk: CuratePageState, folder: CurationFolder, review: Review) -> None:
    moves, desk.pressed = desk.pressed, set()
    review.note = st.session_state.get(_note_key(review), review.note)
    if moves & {"edit", "leave"}:
        desk.editing = "edit" in moves
    if "save" in moves:
        with told():
            review.edit(st.session_state.get(_edit_key(review), ""))
            desk.editing = False
        desk.stamp = workspace.stamp_of_texts(folder)
    for move in ("keep", "skip", "back"):
        if move in moves:
            getattr(review, move)()
            return
    if "undo" in moves:
        with told():
            review.undo()
        desk.stamp = workspace.stamp_of_texts(folder)


def _edit_key(review: Review) -> str:
    return f"edit-{review.place}-{review.item.of if review.item is not None else ''}"


def _note_key(review: Review) -> str:
    return f"note-{review.place}-{review.item.of if review.item is not None else ''}"


def _picture(review: Review) -> None:
    item = review.item
    assert item is not None
    shown = picture_of(item.picture)
    if isinstance(shown, bytes):
        st.image(shown, alt=f"Picture {item.id}, which the text beside it is about", width="stretch")
    else:
        st.warning(plain(shown), icon=":material/broken_image:")
    st.caption(f"{review.place + 1} of {len(review.items)}: {plain(item.id, 60)}")


def _text(desk: CuratePageState, review: Review) -> None:
    item = review.item
    assert item is not None
    if not desk.editing:
        st.html(
            f'<p class="iq-caption" style="height:auto">{text(printable(item.text, limit=None)) or "(no text)"}</p>'
        )
        st.caption(plain(measured(item.text)))
        return
    with st.form("edit", border=False):
        st.text_area("The text", item.text, height=220, key=_edit_key(review))
        with st.container(horizontal=True):
            st.form_submit_button(
                "Keep the change", type="primary", icon=":material/save:", on_click=desk.press, args=("save",)
            )
            st.form_submit_button("Leave it as it was", type="tertiary", on_click=desk.press, args=("leave",))


def _kinds(desk: CuratePageState, review: Review) -> None:
    keys = letters(review.kinds) if desk.keys else {}
    with st.container(horizontal=True, key="review-kinds", gap="small"):
        for kind in review.kinds.kind:
            ticked = kind.name in review.ticked
            st.button(
                kind.name,
                key=f"kind-{kind.name}",
                type="primary" if ticked else "secondary",
                icon=":material/check_box:" if ticked else ":material/check_box_outline_blank:",
                shortcut=keys.get(kind.name),
                help=kind.says,
                on_click=review.tick,
                args=(kind.key,),
            )
    st.text_input("Note", review.note, key=_note_key(review), max_chars=300)


def _moves(desk: CuratePageState, review: Review) -> None:
    keys = letters(review.kinds) if desk.keys else {}
    ended = review.item is None

    def button(move: str, words: str, **more: Any) -> None:
        more = {"shortcut": keys.get(move), "on_click": desk.press, "args": (move,), **more}
        st.button(words, key=f"review-{move}", **more)

    with st.container(horizontal=True, key="review-moves", gap="small"):
        if not ended:
            words = "Keep and go on" if review.ticked else "Fine, go on"
            button("keep", words, type="primary", icon=":material/arrow_forward:")
            button("skip", "Skip")
        button("back", "Back", disabled=not review.place)
        button("undo", "Undo", icon=":material/undo:", disabled=not review.can_undo)
        if not ended:
            button("edit", "Edit", icon=":material/edit:")


# --- agreement ----------------------------------------------------------------------------------------------------


def _agreement(desk: CuratePageState, folder: CurationFolder) -> None:
    stage = _stage(desk, "agreement")
    kinds = labels.Kinds.load(desk.kinds or None)
    pairs, differences = workspace.compare(folder, stage, kinds.names)
    if not pairs:
        st.info("Agreement needs two people who have labelled the same texts.", icon=":material/group:")
        return
    draw_agreement(pairs, differences)


# --- rules --------------------------------------------------------------------------------------------------------


def _rules(desk: CuratePageState, folder: CurationFolder) -> None:
    with st.expander("Write rules of your own", icon=":material/code:"):
        given = st.text_area(
            "Rules, as TOML",
            desk.rules or toml.default_file("rules").read_text("utf-8"),
            height=360,
            key="curate-rules",
            help="The hits are counted anew when you leave the field or press Ctrl+Enter",
        )
    desk.rules = given
    whole: Rules = curation_rules.Rules.parse(given)
    rules = whole.without(desk.off)
    verdict = _verdict(desk, folder, rules)
    total = len(verdict.kept) + len(verdict.dropped)
    with st.container(horizontal=True):
        st.metric("Texts", total)
        st.metric("Kept", len(verdict.kept))
        st.metric("Dropped", len(verdict.dropped))
    left, right = st.columns([2, 3], gap="large")
    with left:
        st.subheader("Rules in force", anchor=False)
        for rule in whole.rule:
            hits = len(verdict.hits.get(rule.name, ()))
            told_ = "off" if rule.name in desk.off else count(hits, "hit") if hits else "no hit"
            on = st.checkbox(
                f"{label(rule.name)} ({rule.action}): {told_}",
                rule.name not in desk.off,
                key=f"rule-{rule.name}",
                help=plain(rule.says) or None,
            )
            if on == (rule.name in desk.off):
                desk.off ^= {rule.name}
                st.rerun()
    with right:
        _hits(rules, verdict)
    _apply(folder, rules)


def _verdict(desk: CuratePageState, folder: CurationFolder, rules: Rules) -> Verdict:
    key = (str(folder.path), workspace.stamp(folder), json.dumps(rules.model_dump(mode="json")))
    if desk.verdict is None or desk.verdict[0] != key:
        with st.spinner("The rules are tried"):
            desk.verdict = (key, workspace.try_rules(folder, rules))
    return desk.verdict[1]


def _hits(rules: Rules, verdict: Verdict) -> None:
    st.subheader("Before and after", anchor=False)
    hit = [rule for rule in rules.rule if verdict.hits[rule.name]]
    if not hit:
        st.caption("No rule in force changes or drops a text.")
        return
    names = [rule.name for rule in hit]
    name = st.selectbox(
        "Rule", names, format_func=lambda name: f"{name} ({len(verdict.hits[name])})", key="curate-rule"
    )
    rule = next(rule for rule in hit if rule.name == name)
    st.caption(plain(rule.says))
    for one in verdict.hits[name][:MOST]:
        with st.container(border=True):
            st.caption(plain(one["id"], 60))
            if rule.action == "drop":
                st.html(f"<p>{tag('dropped', 'red')} {text(printable(one['before'], limit=None))}</p>")
            else:
                st.html(f"<p>{marked_change(one['before'], one['after'])}</p>")
    if len(verdict.hits[name]) > MOST:
        st.caption(f"These are the first {MOST}.")


def _apply(folder: CurationFolder, rules: Rules) -> None:
    st.divider()
    partly = st.checkbox("Leave out pictures that have no repaired text yet", key="curate-apply-partly")
    with st.container(horizontal=True):
        if st.button("Apply the rules", type="primary", key="curate-apply", icon=":material/rule:"):
            with told():
                done = workspace.apply_rules(folder, rules, partly=partly)
                st.success(f"{count(len(done.kept), 'text')} kept, {len(done.dropped)} dropped.")
        st.download_button(
            "These rules as a file",
            rules.to_toml,
            "rules.toml",
            "application/toml",
            key="curate-rules-file",
            on_click="ignore",
            icon=":material/download:",
        )
    st.caption("Applying writes what is kept and what is dropped; nothing is lost, and it can be done again.")


# --- progress and report ------------------------------------------------------------------------------------------


def _report(desk: CuratePageState, folder: CurationFolder) -> None:
    found = _figures(desk, folder)
    made = found.generated + sum(found.ungenerated.values())
    tried = found.repaired + sum(found.unrepaired.values())
    _bar("Described", made, found.pictures, "picture")
    _bar("Repaired", tried, found.generated, "text")
    if found.sample is not None:
        for name, done in found.sample.labelled.items():
            _bar(f"Labelled by {name}", done, found.sample.size, "text")
    if found.verdict is not None:
        _bar("Kept by the rules", int(found.verdict["kept"]), found.pictures, "picture")
    if found.stale:
        st.warning("Texts or labels came after the rules ran; apply them again.", icon=":material/update:")
    markdown = curation_report.markdown(folder, found, {})
    with st.container(horizontal=True):
        st.download_button(
            "Report as a file",
            markdown,
            "report.md",
            "text/markdown",
            key="curate-report-file",
            on_click="ignore",
            icon=":material/download:",
        )
        write = st.button(
            "Write it into the folder, with plots", key="curate-report-write", icon=":material/bar_chart:"
        )
    if write:
        file, missing = curation_report.write_report(folder, found, folder.path / "report")
        st.success(plain(f"Written to {file}."), icon=":material/check:")
        if missing:
            st.warning(plain(missing))
        for plot in sorted(file.parent.glob("*.png")):
            st.image(plot.read_bytes(), alt=f"Plot of the report: {plot.stem}")
    st.divider()
    with st.container(key="report"):
        st.markdown(markdown.partition("\n")[2])


def _figures(desk: CuratePageState, folder: CurationFolder) -> Figures:
    key = (str(folder.path), workspace.stamp(folder))
    if desk.figures is None or desk.figures[0] != key:
        with st.spinner("Everything is counted"):
            desk.figures = (key, curation_figures.count(folder))
    return desk.figures[1]


def _bar(what_of: str, done: int, total: int, what: str) -> None:
    st.progress(min(done / total, 1.0) if total else 0.0, text=f"{label(what_of)}: {done} of {count(total, what)}")
