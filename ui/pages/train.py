"""Train: the trainings on this machine's disk, with their curves and what the model says; start, stop, resume."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import streamlit as st

from training.runs import manage
from ui.state.session import visitor
from ui.state.training import TrainPageState
from ui.state.training_tools import may_enter, root_box, shown_path
from ui.text import complete, count, plain, seconds, told
from ui.views.style import tag, text
from ui.widgets.attention import lead_to
from ui.widgets.new_training import draw_new

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd

AT_WORK: Final = ("starting", "running", "stopping")
EVERY: Final = 2.0  # seconds between two looks at a training
MOST: Final = 2  # runs side by side
PARTS: Final = {"runs": "Trainings", "new": "Start a new one"}
COLOURS: Final = {"failed": "red"}
LINES: Final = ("#0d9488", "#f59e0b")  # seen on white and on black, and by those who tell no red from green


def page() -> None:
    """Draw it."""
    if not may_enter():
        return
    desk = visitor().keep("train", TrainPageState)
    st.title("Train")
    st.write("Train the projection between a vision model and a language model. It goes on when you close this page.")
    st.session_state.setdefault("train-part", desk.part)
    part = st.segmented_control(
        "What to do", list(PARTS), required=True, format_func=PARTS.__getitem__, key="train-part",
        label_visibility="collapsed",
    )  # fmt: skip
    desk.part = part or desk.part
    if desk.message:
        st.success(plain(desk.message), icon=":material/check:")
        desk.message = ""
    with told():
        if desk.part == "new":
            draw_new(desk)
        else:
            _runs(desk)


# --- what is there ------------------------------------------------------------------------------------------------


def _runs(desk: TrainPageState) -> None:
    root = root_box("train-root", desk.root, "trainings")
    desk.root = st.session_state["train-root"]
    found: list[Path] = manage.find_runs(root)
    runs = list(dict.fromkeys([*(run for run in desk.chosen if run.is_dir()), *found]))
    if not runs:
        st.info("No training lies there. Start one, or name another folder.", icon=":material/model_training:")
        return
    chosen = [run for run in desk.chosen if run in runs] or runs[:1]
    desk.chosen = st.multiselect(
        "Trainings",
        runs,
        default=chosen,
        max_selections=MOST,
        format_func=lambda run: shown_path(run, root),
        key=f"train-chosen-{desk.version}",
        help="Choose two to lay their curves over each other",
    )
    if not desk.chosen:
        st.info("Choose a training, or two to compare them.", icon=":material/stacked_line_chart:")
        return
    _watch(desk, desk.chosen, root)


def _describe(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = manage.describe(run)
    return found


def _watch(desk: TrainPageState, runs: list[Path], root: Path) -> None:
    """Draw them, again and again while one is at work; when it ends, the whole page once more.

    Without work it is no fragment: see `ui.state.jobs.watch`.
    """

    def draw() -> bool:
        facts = {run: _describe(run) for run in runs}
        names = _names(runs, root)
        _begun(desk, facts)
        for place, run in zip(st.columns(len(runs), gap="large"), runs, strict=True):
            with place:
                _run(desk, run, names[run], facts[run])
        _curves(facts, names)
        for place, run in zip(st.columns(len(runs), gap="large"), runs, strict=True):
            with place:
                _samples(run, names[run], several=len(runs) > 1)
        return any(one["state"] in AT_WORK for one in facts.values())

    if not any(_describe(run)["state"] in AT_WORK for run in runs):
        with st.container(), told():
            draw()
        return

    @st.fragment(run_every=EVERY)
    def part() -> None:
        with told():
            if not draw():
                st.rerun()

    part()


def _names(runs: list[Path], root: Path) -> dict[Path, str]:
    """Short names that tell them apart."""
    if len({run.name for run in runs}) == len(runs):
        return {run: run.name for run in runs}
    return {run: shown_path(run, root) for run in runs}


def _begun(desk: TrainPageState, facts: dict[Path, dict[str, Any]]) -> None:
    """Say that a training has begun once its process reports that it trains, and not before."""
    run = desk.awaited
    if run is None or run not in facts or facts[run]["state"] == "starting":
        return
    desk.awaited = None
    if facts[run]["state"] in ("running", "finished") or facts[run]["step"]:
        desk.message = f"The training in {run} has begun."
        st.rerun()


def _run(desk: TrainPageState, run: Path, name: str, facts: dict[str, Any]) -> None:
    state = facts["state"]
    st.subheader(plain(name), anchor=False)
    about = f"stage {facts['stage']}" + (f", {facts['title']}" if facts["title"] else "")
    live = ' role="status" aria-live="polite"' if state in AT_WORK else ""
    st.html(f'<p class="iq-note"{live}>{text(about)} {tag(state, COLOURS.get(state, ""))}</p>')
    steps = facts["steps"] or 0
    if steps:
        st.progress(min(facts["step"] / steps, 1.0), text=f"Step {facts['step']:,} of {steps:,}")
    with st.container(horizontal=True, key=f"figures-{_key(run)}"):
        if facts["loss_last_50"] is not None:
            st.metric("Loss", f"{facts['loss_last_50']:.3f}", help="Mean of the last 50 steps")
        rate = facts.get("rate") or (facts["samples"] / facts["seconds"] if facts["seconds"] else None)
        if rate:
            st.metric("Samples/s", f"{rate:.3g}")
        if facts.get("left") is not None and state in AT_WORK:
            st.metric("Time left", seconds(facts["left"]))
    _reason(facts)
    _buttons(desk, run, facts)


def _key(run: Path) -> str:
    return format(zlib.crc32(str(run).encode()), "x")


def _reason(facts: dict[str, Any]) -> None:
    state = facts["state"]
    if state == "starting":
        st.html('<p class="iq-dots iq-note">Starting: it checks the data and loads the model</p>')
    elif state == "stopping":
        st.html('<p class="iq-dots iq-note">It ends its step and writes a checkpoint</p>')
    elif facts.get("reason"):
        said = plain(complete(facts["reason"]))
        if state == "failed" or not facts["reason"].startswith("stopped after"):
            st.error(said, icon=":material/error:")
    if facts.get("last_sign", 0) > 300:
        st.warning(f"It has said nothing for {seconds(facts['last_sign'])}.", icon=":material/hourglass_empty:")
    if facts["broken"]:
        st.caption(f"{count(facts['broken'], 'broken sample')} skipped; named in broken.jsonl.")
    if facts["checkpoints"]:
        st.caption(f"Checkpoints after step {' and '.join(f'{step:,}' for step in facts['checkpoints'])}")
    if state == "finished":
        st.caption("Use it as a vision model:")
        st.code(f"trained:{facts['run']}", language=None, wrap_lines=True)


def _buttons(desk: TrainPageState, run: Path, facts: dict[str, Any]) -> None:
    state, key = facts["state"], _key(run)
    if state in AT_WORK:
        if st.button(
            "Stop",
            key=f"train-stop-{key}",
            icon=":material/stop:",
            disabled=state == "stopping",
            help="It ends its step, writes a checkpoint and can be resumed",
        ):
            with told():
                manage.stop(run)
                st.rerun()
        return
    if state == "finished":
        return
    saved = bool(facts["checkpoints"])
    with st.container(horizontal=True):
        if st.button(
            "Resume" if saved else "Start again",
            key=f"train-resume-{key}",
            icon=":material/play_arrow:",
            help="Go on from the newest checkpoint, as if it had never stopped" if saved else "Once the cause is gone",
        ):
            with told():
                manage.resume(run)
                desk.awaited = run
                st.rerun()
        if not saved:  # nothing was learned yet, so another recipe loses nothing
            st.button(
                "Change the settings",
                key=f"train-change-{key}",
                icon=":material/tune:",
                on_click=_change,
                args=(desk, run),
            )


def _change(desk: TrainPageState, run: Path) -> None:
    desk.again, desk.part = run, "new"
    filled = {"recipe": str(run / "recipe.toml"), "model": "", "data": "", "out": str(run), "settings": ""}
    st.session_state.update({"train-part": "new", **{f"train-{name}": value for name, value in filled.items()}})
    lead_to("train-form")


# --- curves and samples -------------------------------------------------------------------------------------------


def _curves(facts: dict[Path, dict[str, Any]], names: dict[Path, str]) -> None:
    rows = [{"step": step, "loss": value, "training": names[run]} for run in facts for step, value in manage.curve(run)]
    if not rows:
        st.caption("The curve begins with the first step.")
        return
    st.subheader("Loss", anchor=False)
    table = _table(rows)
    told_ = "; ".join(_in_words(name, table[table["training"] == name]) for name in dict.fromkeys(table["training"]))
    st.altair_chart(_lines(table, several=len(facts) > 1), alt=f"The loss as the training goes on. {told_}.")
    st.caption(plain(told_) + ".")


def _table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(rows)


def _lines(table: pd.DataFrame, *, several: bool) -> alt.Chart:
    """One line per training, told apart by colour and by dashes."""
    import altair as alt

    names = list(dict.fromkeys(table["training"]))
    colour = alt.Color("training:N", title=None, scale=alt.Scale(domain=names, range=list(LINES)))
    dash = alt.StrokeDash("training:N", title=None, scale=alt.Scale(domain=names, range=[[1, 0], [6, 3]]))
    chart: alt.Chart = alt.Chart(table, height=320).mark_line(clip=True)
    chart = chart.encode(
        x=alt.X("step:Q", title="Step"),
        y=alt.Y("loss:Q", title="Loss per token (nats)"),
        tooltip=["training:N", "step:Q", alt.Tooltip("loss:Q", format=".3f")],
        **({"color": colour, "strokeDash": dash} if several else {"color": alt.value(LINES[0])}),
    )
    chart = chart.configure_legend(orient="top", symbolStrokeWidth=3, symbolSize=300)
    return chart


def _in_words(name: str, table: pd.DataFrame) -> str:
    first, last, least = table.iloc[0], table.iloc[-1], table.loc[table["loss"].idxmin()]
    words = f"{name}: {first['loss']:.2f} at step {first['step']:,}, {last['loss']:.2f} at step {last['step']:,}"
    return words if least["step"] == last["step"] else f"{words}, least {least['loss']:.2f} at step {least['step']:,}"


def _samples(run: Path, name: str, *, several: bool) -> None:
    said = manage.said(run)
    if not said:
        return
    st.subheader(f"What {plain(name)} says" if several else "What it says", anchor=False)
    for one in said:
        with st.container(border=True):
            left, right = (st.container(), st.container()) if several else st.columns([1, 3], gap="medium")
            if one.picture is not None:
                left.image(one.picture.read_bytes(), alt=f"It is to learn to say: {one.text}", width=160)
            few = _few(sorted(one.says.items()), 2 if several else 4)
            right.html(f'{_said_html(few)}<p class="iq-note"><b>To be learned:</b> {text(one.text)}</p>')
            if len(one.says) > len(few):
                with right.expander(f"All {len(one.says)} checkpoints"):
                    st.html(_said_html(list(one.says.items())))


def _said_html(said: list[tuple[int, str]]) -> str:
    return "".join(
        f'<p><span class="iq-tag" style="margin-left:0">step {step:,}</span> {text(words) or "<em>nothing</em>"}</p>'
        for step, words in said
    )


def _few(said: list[tuple[int, str]], most: int) -> list[tuple[int, str]]:
    """The first, the last, and some between them."""
    if len(said) <= most:
        return said
    return [said[round(place * (len(said) - 1) / (most - 1))] for place in range(most)]
