"""Train: the training runs in folders of this machine, with loss curves and sample outputs; start, stop, resume."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import streamlit as st

from training.runs import manage
from ui.controls import act_button, button, header, note, refresh
from ui.navigation import open_page
from ui.state.chats import page_state
from ui.state.options import get_options
from ui.state.session import visitor
from ui.state.training import TrainPageState
from ui.text import count, escape, plain, seconds, sentence, show_errors, tag
from ui.widgets.attention import focus_on
from ui.widgets.new_training import draw_first, draw_new
from ui.widgets.server_folder import choose_root, may_enter, short_path

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd

ACTIVE: Final = ("starting", "running", "stopping")
POLL: Final = 2.0  # seconds between two refreshes
MAX_RUNS: Final = 2  # side by side
PARTS: Final = {"runs": "Training runs", "new": "New training"}
COLOURS: Final = ("#0d9488", "#f59e0b")  # visible on white and black, and with colour blindness


def page() -> None:
    """Draw the page."""
    if not may_enter():
        return
    state = visitor().keep("train", TrainPageState)
    header(
        "Train",
        "Train MiniGPT-4's projection, or fine-tune a BLIP-2. A run continues when you close this page.",
    )
    st.session_state.setdefault("train-part", state.part)
    part = st.segmented_control(
        "View", list(PARTS), required=True, format_func=PARTS.__getitem__, key="train-part",
        label_visibility="collapsed",
    )  # fmt: skip
    state.part = part or state.part
    if state.message:
        st.success(plain(state.message), icon=":material/check:")
        state.message = ""
    with show_errors():
        if state.part == "new":
            draw_new(state)
        else:
            _runs(state)


# --- runs ---------------------------------------------------------------------------------------------------------


def _runs(state: TrainPageState) -> None:
    root, state.root = choose_root("train-root", "training runs", state.root)
    found: list[Path] = manage.find_runs(root)
    runs = list(dict.fromkeys([*(run for run in state.chosen if run.is_dir()), *found]))
    if not runs:
        note("No training run found there. Start one, or enter another folder.", "model_training")
        draw_first(state)
        return
    state.chosen = st.multiselect(
        "Training runs",
        runs,
        default=[run for run in state.chosen if run in runs] or runs[:1],
        max_selections=MAX_RUNS,
        format_func=lambda run: short_path(run, root),
        key=f"train-chosen-{state.version}",
        help="Choose two to overlay their loss curves",
    )
    if not state.chosen:
        note("Choose a training run, or two to compare them.", "stacked_line_chart")
        return
    chosen = state.chosen
    names = {run: run.name for run in chosen}
    if len(set(names.values())) < len(names):
        names = {run: short_path(run, root) for run in chosen}
    refresh(
        lambda: any(manage.describe(run)["state"] in ACTIVE for run in chosen),
        lambda: _draw(state, names),
        every=POLL,
    )


def _draw(state: TrainPageState, names: dict[Path, str]) -> None:
    facts: dict[Path, dict[str, Any]] = {run: manage.describe(run) for run in names}
    if (run := state.awaited) in facts and facts[run]["state"] != "starting":
        state.awaited = None
        if facts[run]["state"] in ("running", "finished") or facts[run]["step"]:
            state.message = f"The training in {run} has started."
            st.rerun()
    for place, run in zip(st.columns(len(names), gap="large"), names, strict=True):
        with place:
            _run(state, run, names[run], facts[run])
    _curves(names)
    for place, run in zip(st.columns(len(names), gap="large"), names, strict=True):
        with place:
            _samples(run, names[run], several=len(names) > 1)


def _run(state: TrainPageState, run: Path, name: str, facts: dict[str, Any]) -> None:
    status, key = facts["state"], format(zlib.crc32(str(run).encode()), "x")
    st.subheader(plain(name), anchor=False)
    about = facts["trains"] + (f", {facts['title']}" if facts["title"] else "")
    live = ' role="status" aria-live="polite"' if status in ACTIVE else ""
    marked = tag(status, "red" if status == "failed" else "")
    st.html(f'<p class="iq-note"{live}>{escape(about)} {marked}</p>')
    if steps := facts["steps"] or 0:
        st.progress(min(facts["step"] / steps, 1.0), text=f"Step {facts['step']:,} of {steps:,}")
    with st.container(horizontal=True, key=f"figures-{key}"):
        if facts["loss_last_50"] is not None:
            st.metric("Loss", f"{facts['loss_last_50']:.3f}", help="Mean of the last 50 steps")
        rate = facts.get("rate") or (facts["samples"] / facts["seconds"] if facts["seconds"] else None)
        if rate:
            st.metric("Samples/s", f"{rate:.3g}")
        if facts.get("left") is not None and status in ACTIVE:
            st.metric("Time left", seconds(facts["left"]))
    _messages(facts)
    if status in ACTIVE:
        about = "The run finishes its step, writes a checkpoint and can be resumed"
        if button("Stop", f"train-stop-{key}", icon="stop", disabled=status == "stopping", help=about):
            with show_errors():
                manage.stop(run)
                st.rerun()
    elif status != "finished":
        _resume(state, run, key, saved=bool(facts["checkpoints"]))


def _messages(facts: dict[str, Any]) -> None:
    status, reason = facts["state"], facts.get("reason")
    waiting = {"starting": "Checking the data and loading the model", "stopping": "Writing a checkpoint"}
    if status in waiting:
        st.html(f'<p class="iq-dots iq-note">{waiting[status]}</p>')
    elif reason and (status == "failed" or not reason.startswith("stopped after")):
        st.error(plain(sentence(reason)), icon=":material/error:")
    if facts.get("last_sign", 0) > 300:
        st.warning(f"No sign of progress for {seconds(facts['last_sign'])}.", icon=":material/hourglass_empty:")
    if facts["broken"]:
        st.caption(f"{count(facts['broken'], 'broken sample')} skipped; see broken.jsonl.")
    if facts["checkpoints"]:
        st.caption(f"Checkpoints after step {' and '.join(f'{step:,}' for step in facts['checkpoints'])}")
    if status == "finished":
        st.caption("Use it as a vision model:")
        st.code(f"trained:{facts['run']}", language=None, wrap_lines=True)
        if get_options().may_name_models:
            about = "Chat with the trained model about one of the sample images"
            key = format(zlib.crc32(str(facts["run"]).encode()), "x")
            if button("Try it", f"train-try-{key}", icon="chat", help=about):
                with show_errors():
                    _try_it(Path(facts["run"]))


def _try_it(run: Path) -> None:
    """Open a new conversation with the trained model on the page Chat, with a sample image. Raises InquisightError."""
    me = visitor()
    state = page_state(me)
    state.settings.vision = f"trained:{run}"
    state.begin()
    picture = next((one.picture for one in manage.sampled_texts(run) if one.picture is not None), None)
    if picture is not None:
        state.put(me.images.add(picture.read_bytes(), picture.name, "chat"))
    open_page("chat")


def _resume(state: TrainPageState, run: Path, key: str, *, saved: bool) -> None:
    with st.container(horizontal=True):
        name, about = ("Resume", "Continue from the newest checkpoint") if saved else ("Restart", None)
        if button(name, f"train-resume-{key}", icon="play_arrow", help=about):
            with show_errors():
                manage.resume(run)
                state.awaited = run
                st.rerun()
        if not saved:  # without a checkpoint another recipe loses nothing
            act_button("Change settings", f"train-change-{key}", _change, state, run, icon="tune")


def _change(state: TrainPageState, run: Path) -> None:
    state.again, state.part = run, "new"
    filled = {"recipe": str(run / "recipe.toml"), "model": "", "data": "", "out": str(run), "settings": ""}
    st.session_state.update({"train-part": "new", **{f"train-{name}": value for name, value in filled.items()}})
    focus_on("train-form")


# --- curves and samples -------------------------------------------------------------------------------------------


def _curves(names: dict[Path, str]) -> None:
    """Loss curves, and the same in words."""
    import pandas as pd

    rows = [
        {"step": step, "loss": loss, "run": name} for run, name in names.items() for step, loss in manage.curve(run)
    ]
    if not rows:
        st.caption("The loss curve starts with the first step.")
        return
    st.subheader("Loss", anchor=False)
    table = pd.DataFrame(rows)
    words = "; ".join(_in_words(name, curve) for name, curve in table.groupby("run", sort=False))
    st.altair_chart(_chart(table, several=len(names) > 1), alt=f"Loss curves. {words}.")
    st.caption(plain(words) + ".")


def _chart(table: pd.DataFrame, *, several: bool) -> alt.Chart:
    """One line per run, distinguished by colour and dashes."""
    import altair as alt

    names = list(dict.fromkeys(table["run"]))
    colour = alt.Color("run:N", title=None, scale=alt.Scale(domain=names, range=list(COLOURS)))
    dash = alt.StrokeDash("run:N", title=None, scale=alt.Scale(domain=names, range=[[1, 0], [6, 3]]))
    chart: alt.Chart = alt.Chart(table, height=320).mark_line(clip=True)
    chart = chart.encode(
        x=alt.X("step:Q", title="Step"),
        y=alt.Y("loss:Q", title="Loss per token (nats)"),
        tooltip=["run:N", "step:Q", alt.Tooltip("loss:Q", format=".3f")],
        **({"color": colour, "strokeDash": dash} if several else {"color": alt.value(COLOURS[0])}),
    )
    chart = chart.configure_legend(orient="top", symbolStrokeWidth=3, symbolSize=300)
    return chart


def _in_words(name: object, table: pd.DataFrame) -> str:
    first, last, least = table.iloc[0], table.iloc[-1], table.loc[table["loss"].idxmin()]
    words = f"{name}: {first['loss']:.2f} at step {first['step']:,}, {last['loss']:.2f} at step {last['step']:,}"
    return words if least["step"] == last["step"] else f"{words}, minimum {least['loss']:.2f} at step {least['step']:,}"


def _samples(run: Path, name: str, *, several: bool) -> None:
    """The model's captions of the same images at several checkpoints."""
    samples = manage.sampled_texts(run)
    if not samples:
        return
    st.subheader(f"Sample outputs of {plain(name)}" if several else "Sample outputs", anchor=False)
    for one in samples:
        with st.container(border=True):
            left, right = (st.container(), st.container()) if several else st.columns([1, 3], gap="medium")
            if one.picture is not None:
                left.image(one.picture.read_bytes(), alt=f"Target caption: {one.text}", width=160)
            few = _few(sorted(one.says.items()), 2 if several else 4)
            right.html(f'{_outputs_html(few)}<p class="iq-note"><b>Target:</b> {escape(one.text)}</p>')
            if len(one.says) > len(few):
                with right.expander(f"All {len(one.says)} checkpoints"):
                    st.html(_outputs_html(list(one.says.items())))


def _outputs_html(outputs: list[tuple[int, str]]) -> str:
    return "".join(
        f'<p><span class="iq-tag" style="margin-left:0">step {step:,}</span> {escape(text) or "<em>nothing</em>"}</p>'
        for step, text in outputs
    )


def _few(outputs: list[tuple[int, str]], most: int) -> list[tuple[int, str]]:
    """The first, the last, and some between them."""
    if len(outputs) <= most:
        return outputs
    return [outputs[round(place * (len(outputs) - 1) / (most - 1))] for place in range(most)]
