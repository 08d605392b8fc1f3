"""Curate: start a curation and run its steps, review a sample of its texts, compare reviewers, try rules, report."""

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
from training.curation.rules import rules as curation_rules
from ui.controls import button, download, header, note
from ui.state.session import visitor
from ui.state.training import CuratePageState
from ui.text import count, escape, label, plain, show_errors, tag
from ui.views.review_view import MAX_SHOWN, draw_agreement, marked_change
from ui.widgets.curation_review import draw_queue
from ui.widgets.curation_steps import draw_new, draw_steps
from ui.widgets.curation_texts import draw_texts
from ui.widgets.server_folder import choose_root, may_enter, short_path

if TYPE_CHECKING:
    from training.curation.report.figures import Figures
    from training.curation.rules.rules import Rules, Verdict

PARTS: Final = {
    "steps": "Steps",
    "review": "Review",
    "texts": "Texts",
    "agreement": "Agreement",
    "rules": "Rules",
    "report": "Progress and report",
    "new": "New",
}
STAGES: Final[dict[labels.Stage, str]] = {"repair": "Before the rules", "rules": "After the rules"}


def page() -> None:
    """Draw the page."""
    if not may_enter():
        return
    state = visitor().keep("curate", CuratePageState)
    header(
        "Curate", "Make training data: describe images with a vision model, repair and review the texts, apply rules."
    )
    with show_errors():
        left, right = st.columns(2, gap="medium")
        with left:
            root, state.root = choose_root("curate-root", "curations", state.root)
        folder = _choose(state, root, right)
        if folder is None:
            draw_new(state, root)
            return
        part = st.segmented_control(
            "View", list(PARTS), default=state.part, required=True, format_func=PARTS.__getitem__,
            key="curate-part", label_visibility="collapsed",
        )  # fmt: skip
        state.part = part or state.part
        if state.part == "new":
            draw_new(state, root)
        elif state.part == "steps":
            draw_steps(state, folder, lambda: _figures(state, folder))
        else:
            parts = {
                "review": _review, "texts": _texts, "agreement": _agreement, "rules": _rules, "report": _report,
            }  # fmt: skip
            parts[state.part](state, folder)


def _choose(state: CuratePageState, root: Path, place: Any) -> CurationFolder | None:
    found: list[Path] = workspace.find_curations(root)
    if state.path is not None and state.message and state.path not in found:
        found = [state.path, *found]  # started a moment ago, outside of root
    if not found:
        note(
            "No curation found there. Start one here, or in a terminal with "
            "`inquisight curate generate FOLDER IMAGES`, or enter another folder.",
            "rule",
        )
        return None
    with place:
        at = found.index(state.path) if state.path in found else 0
        chosen = st.selectbox(
            "Curation", found, index=at, format_func=lambda path: short_path(path, root), key="curate-folder"
        )
    state.open(chosen)
    return CurationFolder(chosen)


# --- review -------------------------------------------------------------------------------------------------------


def _review(state: CuratePageState, folder: CurationFolder) -> None:
    known = bool(state.reviewer)
    title = f"{state.reviewer}, {STAGES[state.stage].lower()}" if known else "Reviewer"
    # The key differs with the state: the expander closes, and releases the keyboard.
    with st.expander(label(title), icon=":material/badge:", expanded=not known, key=f"curate-who-{known}"):
        left, right = st.columns(2, gap="medium")
        with left:
            about = "Stored with your labels"
            reviewer = st.text_input("Your name", state.reviewer, key="curate-reviewer", max_chars=40, help=about)
            about = "A file of your own error types; `inquisight curate defaults kinds` prints one to start from"
            kinds = st.text_input("Error types", state.kinds, key="curate-kinds", placeholder="kinds.toml", help=about)
        with right:
            stage = _stage(state, "review")
            about = "Each button shows its key; none work while you type"
            state.keys = st.toggle("Keyboard shortcuts", state.keys, key="curate-keys", help=about)
    if (reviewer.strip(), stage, kinds.strip()) != (state.reviewer, state.stage, state.kinds):
        state.reviewer, state.stage, state.kinds, state.review = reviewer.strip(), stage, kinds.strip(), None
        st.rerun()  # the title shows the reviewer
    if not state.reviewer:
        note("Enter your name to see the first text.", "badge")
    elif state.review is not None or workspace.is_drawn(folder, stage):
        draw_queue(state, folder)
    else:
        _draw_sample(state, folder)


def _stage(state: CuratePageState, where: str) -> labels.Stage:
    key = f"curate-stage-{where}"
    chosen = st.segmented_control(
        "Sample", list(STAGES), default=state.stage, required=True, format_func=STAGES.__getitem__, key=key
    )
    return chosen or state.stage


def _draw_sample(state: CuratePageState, folder: CurationFolder) -> None:
    """The form that draws the sample, once per curation."""
    note("Draw a random sample first. It stays the same for all reviewers.", "casino")
    with st.form("draw"):
        left, right = st.columns(2)
        size = left.number_input("Number of texts", 1, 100_000, labels.SIZE, key="curate-size")
        seed = right.number_input("Seed", 0, 2**31, 0, key="curate-seed", help="Same seed: same sample")
        partly = st.checkbox("Draw although some texts are not repaired yet", key="curate-partly")
        if st.form_submit_button("Draw the sample", type="primary", icon=":material/casino:"):
            kinds = labels.Kinds.load(state.kinds or None)
            drawn: dict[str, Any] = {"size": int(size), "seed": int(seed), "partly": partly}
            state.review = workspace.open_review(folder, state.reviewer, stage=state.stage, kinds=kinds, **drawn)
            state.version = workspace.stamp_of_texts(folder)
            st.rerun()


def _texts(state: CuratePageState, folder: CurationFolder) -> None:
    draw_texts(state, folder, _stage(state, "texts"))


def _agreement(state: CuratePageState, folder: CurationFolder) -> None:
    stage = _stage(state, "agreement")
    kinds = labels.Kinds.load(state.kinds or None)
    pairs, differences = workspace.compare(folder, stage, kinds.names)
    if pairs:
        draw_agreement(pairs, differences)
    else:
        note("Agreement needs two people who have labelled the same texts.", "group")


# --- rules --------------------------------------------------------------------------------------------------------


def _rules(state: CuratePageState, folder: CurationFolder) -> None:
    with st.expander("Edit the rules", icon=":material/code:"):
        text = state.rules or toml.default_file("rules").read_text("utf-8")
        about = "Hits are counted again when you leave the field or press Ctrl+Enter"
        state.rules = st.text_area("Rules (TOML)", text, height=360, key="curate-rules", help=about)
    whole: Rules = curation_rules.Rules.parse(state.rules)
    rules = whole.without(state.off)
    verdict = _verdict(state, folder, rules)
    kept, dropped = len(verdict.kept), len(verdict.dropped)
    with st.container(horizontal=True):
        for name, value in (("Texts", kept + dropped), ("Kept", kept), ("Dropped", dropped)):
            st.metric(name, value)
    left, right = st.columns([2, 3], gap="large")
    with left:
        st.subheader("Active rules", anchor=False)
        for rule in whole.rule:
            off, hits = rule.name in state.off, len(verdict.hits.get(rule.name, ()))
            text = f"{label(rule.name)} ({rule.action}): {'off' if off else count(hits, 'hit') if hits else 'no hit'}"
            on = st.checkbox(text, not off, key=f"rule-{rule.name}", help=plain(rule.says) or None)
            if on == off:
                state.off ^= {rule.name}
                st.rerun()
    with right:
        _hits(rules, verdict)
    st.divider()
    partly = st.checkbox("Leave out images without a repaired text", key="curate-apply-partly")
    with st.container(horizontal=True):
        if button("Apply the rules", "curate-apply", icon="rule", type="primary"):
            with show_errors():
                done = workspace.apply_rules(folder, rules, partly=partly)
                st.success(f"{count(len(done.kept), 'text')} kept, {len(done.dropped)} dropped.")
        download("Download the rules", rules.to_toml, "rules.toml", "curate-rules-file")
    st.caption("Applying records which texts are kept and dropped; no text is deleted, and it can be repeated.")


def _verdict(state: CuratePageState, folder: CurationFolder, rules: Rules) -> Verdict:
    key = (str(folder.path), workspace.stamp(folder), json.dumps(rules.model_dump(mode="json")))
    if state.verdict is None or state.verdict[0] != key:
        with st.spinner("Trying the rules"):
            state.verdict = (key, workspace.try_rules(folder, rules))
    return state.verdict[1]


def _hits(rules: Rules, verdict: Verdict) -> None:
    """The texts that a rule changes or drops."""
    st.subheader("Before and after", anchor=False)
    hit = {rule.name: rule for rule in rules.rule if verdict.hits[rule.name]}
    if not hit:
        st.caption("No active rule changes or drops a text.")
        return
    name = st.selectbox(
        "Rule", list(hit), format_func=lambda name: f"{name} ({len(verdict.hits[name])})", key="curate-rule"
    )
    st.caption(plain(hit[name].says))
    for one in verdict.hits[name][:MAX_SHOWN]:
        with st.container(border=True):
            st.caption(plain(one["id"], 60))
            if hit[name].action == "drop":
                st.html(f"<p>{tag('dropped', 'red')} {escape(printable(one['before'], limit=None))}</p>")
            else:
                st.html(f"<p>{marked_change(one['before'], one['after'])}</p>")
    if len(verdict.hits[name]) > MAX_SHOWN:
        st.caption(f"The first {MAX_SHOWN} are shown.")


# --- progress and report ------------------------------------------------------------------------------------------


def _report(state: CuratePageState, folder: CurationFolder) -> None:
    found = _figures(state, folder)
    described = found.generated + sum(found.ungenerated.values())
    _bar("Described", described, found.pictures, "image")
    _bar("Repaired", found.repaired + sum(found.unrepaired.values()), found.generated, "text")
    if found.sample is not None:
        for name, done in found.sample.labelled.items():
            _bar(f"Labelled by {name}", done, found.sample.size, "text")
    if found.verdict is not None:
        _bar("Kept by the rules", int(found.verdict["kept"]), found.pictures, "image")
    if found.stale:
        st.warning("Texts or labels have changed since the rules were applied; apply them again.")
    markdown = curation_report.markdown(folder, found, {})
    with st.container(horizontal=True):
        download("Download the report", markdown, "report.md", "curate-report-file")
        write = button("Save to the folder, with plots", "curate-report-write", icon="bar_chart")
    if write:
        file, missing = curation_report.write_report(folder, found, folder.path / "report")
        st.success(plain(f"Saved as {file}."), icon=":material/check:")
        if missing:
            st.warning(plain(missing))
        for plot in sorted(file.parent.glob("*.png")):
            st.image(plot.read_bytes(), alt=f"Plot of the report: {plot.stem}")
    st.divider()
    with st.container(key="report"):
        st.markdown(markdown.partition("\n")[2])


def _figures(state: CuratePageState, folder: CurationFolder) -> Figures:
    key = (str(folder.path), workspace.stamp(folder))
    if state.figures is None or state.figures[0] != key:
        with st.spinner("Counting"):
            state.figures = (key, curation_figures.count(folder))
    return state.figures[1]


def _bar(name: str, done: int, total: int, what: str) -> None:
    st.progress(min(done / total, 1.0) if total else 0.0, text=f"{label(name)}: {done} of {count(total, what)}")
