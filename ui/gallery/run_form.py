"""The dialog that starts a run over pictures of the gallery, and how far the run is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import streamlit as st

from ui.controls import act_button, close_dialog, dialog, dialog_value, refresh, start_button
from ui.gallery.runs.estimating import estimated
from ui.state.items import MAX_ROUNDS
from ui.state.model_choice import blocked, require
from ui.text import capital, count, escape, plain, seconds, sentence, show_errors
from ui.widgets.model_choice import choose_audit, choose_models, choose_seed, choose_witnesses

if TYPE_CHECKING:
    from agents.batch.estimate import Estimate
    from ui.gallery.folder import GalleryFolder
    from ui.gallery.grid import GridRequest
    from ui.gallery.runs.run import Progress
    from ui.gallery.state import GalleryPageState

NAME: Final = "gallery-run"
STYLES: Final = {
    "description": "Description",
    "alt": "Alt text",
    "short": "Short caption",
    "tags": "Tags",
    "prompt": "Training caption",
}


def draw_run_dialog(folder: GalleryFolder, state: GalleryPageState) -> None:
    """The dialog, if it is open."""
    if dialog_value(NAME) is not None:
        dialog(NAME, "Caption pictures", lambda: _form(folder, state))


def _form(folder: GalleryFolder, state: GalleryPageState) -> None:
    request: GridRequest = dialog_value(NAME)
    entries = folder.entries(request.numbers)
    settings = state.dialogue
    which = "selected" if request.chosen else "shown"
    st.write(f"{count(len(entries), 'picture')} {which}.")
    bare = len(folder.runs.pictures(entries, replace=False))
    options = {False: f"Only those without a caption ({bare:,})", True: f"All of them ({len(entries):,})"}
    state.replace = bool(st.radio(
        "Caption", list(options), index=int(state.replace), format_func=options.__getitem__, key="gallery-replace",
        help="Replaced captions stay among the versions of a picture",
    ))  # fmt: skip
    _choose_style(state)
    choose_models(settings, "gallery")
    with st.expander("Settings", icon=":material/tune:"):
        state.rounds = int(st.number_input("Questions", 1, MAX_ROUNDS, state.rounds, key="gallery-rounds"))
        choose_witnesses(settings, "gallery")
        choose_audit(settings, "gallery")
        settings.language = st.text_input(
            "Language of the caption", settings.language, key="gallery-language", placeholder="English", max_chars=40
        )
        settings.seed, valid = choose_seed("gallery-seed", settings.seed)
        state.max_chars = st.number_input(
            "Most characters", 20, 5000, state.max_chars, key="gallery-max-chars", placeholder="of the kind of text"
        )
        about = "Of the language model, per million tokens"
        most = 1e5
        left, right = st.columns(2)
        state.price_in = left.number_input("Price of input", 0.0, most, state.price_in, key="gallery-in", help=about)
        state.price_out = right.number_input(
            "Price of output", 0.0, most, state.price_out, key="gallery-out", help=about
        )
    run = state.request()
    chosen = folder.runs.pictures(entries, replace=run.replace)
    reason = blocked(vision=[run.vision], questioner=[run.questioner])
    with show_errors():
        if chosen and not reason:
            _draw_estimate(estimated(run, [folder.path(one) for one in chosen], folder.runs.all))
    if start_button("Start", "gallery-start", ready=bool(chosen) and valid, reason=reason):
        with show_errors():
            require(vision=[run.vision], questioner=[run.questioner])
            folder.runs.start(run, entries)
            close_dialog(NAME)
            st.rerun()


def _choose_style(state: GalleryPageState) -> None:
    names = list(STYLES)
    state.style = st.selectbox(
        "Text", names, names.index(state.style), format_func=STYLES.__getitem__, key="gallery-style"
    )  # fmt: skip
    if state.style == "alt":
        about = "Such as: product page for a mug, link to the shop; decorative: an empty text"
        state.purpose = st.text_input("Purpose", state.purpose, key="gallery-purpose", max_chars=300, help=about)
    if state.style == "prompt":
        left, right = st.columns(2)
        state.trigger = left.text_input("Trigger word", state.trigger, key="gallery-trigger", max_chars=100)
        state.prefix = right.text_input("Prefix", state.prefix, key="gallery-prefix", max_chars=300)
        state.suffix = left.text_input("Suffix", state.suffix, key="gallery-suffix", max_chars=300)


def _draw_estimate(found: Estimate) -> None:
    facts = {
        "Pictures": f"{found.to_do:,}",
        "Calls of the language model": f"{found.calls:,}",
        "Tokens": f"about {found.input_tokens:,} read, {found.output_tokens:,} written",
        "Cost": "unknown without prices" if found.cost is None else f"about {found.cost:,.2f}",
        "Time": "known after the first pictures" if found.seconds is None else f"about {seconds(found.seconds)}",
    }
    by = f"what {count(found.measured, 'picture')} took here" if found.measured else "a guess before the first run"
    rows = "".join(f"<p><b>{escape(name)}:</b> {escape(value)}</p>" for name, value in facts.items())
    st.html(
        f'<section class="iq-caption iq-facts" aria-label="Estimate">{rows}<p class="iq-note">By {by}.</p></section>'
    )


# --- a run --------------------------------------------------------------------------------------------------------


def draw_run(folder: GalleryFolder) -> None:
    """How far the newest run is, with Pause and Continue; nothing after its end was seen."""
    if folder.runs.current is not None:
        refresh(lambda: folder.runs.active, lambda: _progress(folder), key="gallery-progress")


def _progress(folder: GalleryFolder) -> None:
    runs = folder.runs
    found, run = runs.progress(), runs.current
    if found is None or run is None:
        return
    if found.state == "done":
        if found.settled:
            st.html(f'<p class="iq-note" role="status">Last run: {escape(_counts(found))}.</p>')
        return
    with st.container(border=True, key="gallery-run"):
        st.progress(min(found.settled / max(found.total, 1), 1.0), text=plain(_words(found)))
        if found.state == "failed":
            st.error(plain(sentence(found.words)), icon=":material/error:")
        with st.container(horizontal=True):
            if found.state in ("going", "pausing"):
                about = "Pictures that are being captioned are begun again when the run goes on"
                stopping = found.state == "pausing"
                act_button("Pause", "gallery-pause", runs.pause, icon="pause", disabled=stopping, help=about)
            else:
                label = "Continue" if found.state == "paused" else "Try again"
                act_button(label, "gallery-continue", _continue, folder, icon="play_arrow", type="primary")
                about = "The captions so far stay"
                act_button("End the run", "gallery-end", runs.discard, icon="close", help=about)


def _continue(folder: GalleryFolder) -> None:
    run = folder.runs.current
    if run is not None:
        require(vision=[run.request.vision], questioner=[run.request.questioner])
    folder.runs.go_on()


def _counts(found: Progress) -> str:
    parts = [f"{found.captioned:,} captioned"]
    if found.kept:
        parts.append(f"{found.kept:,} edited by people meanwhile and kept")
    if found.failed:
        parts.append(f"{found.failed:,} could not be captioned")
    return ", ".join(parts)


def _words(found: Progress) -> str:
    names: dict[Any, str] = {"going": "", "pausing": "pausing", "paused": "paused", "failed": "stopped"}
    speed = ""
    if found.speed:
        per_second = f"{found.speed:.1f} pictures/s" if found.speed >= 1 else f"{found.speed * 60:.0f} pictures/min"
        speed = f"{per_second}, {seconds(found.left or 0)} left"
    doing = found.words if found.state == "going" else ""
    parts = [f"{found.settled:,} of {found.total:,}", names[found.state], speed, doing]
    if found.failed:
        parts.append(f"{found.failed:,} could not be captioned")
    return capital(", ".join(filter(None, parts)))
