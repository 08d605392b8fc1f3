"""The steps of a curation on the page Curate: start, watch, stop and resume them.

Each step is a separate process, the same command as in a terminal, so either side can resume the other's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import streamlit as st

from core.datasets.left_out import LeftOut
from core.datasets.text_lines import split_lines
from core.registry import get_registry
from core.settings import get_settings
from training.curation import processes
from training.curation.steps import repair as repair_step
from ui.controls import button, refresh, start_button
from ui.state.model_choice import blocked, require
from ui.state.options import require_server_paths
from ui.text import count, plain, seconds, sentence, show_errors, tag
from ui.widgets.model_choice import choose_model, choose_repair_model
from ui.widgets.server_folder import absolute

if TYPE_CHECKING:
    from training.curation.folder import CurationFolder
    from training.curation.processes import StepStatus
    from training.curation.report.figures import Figures
    from ui.state.training import CuratePageState

ACTIVITY: Final = {"generate": "Describing images", "repair": "Repairing texts", "export": "Writing the data set"}


def draw_new(state: CuratePageState, root: Path) -> None:
    """The form for a new curation. Raises UsageError."""
    require_server_paths()
    left, right = st.columns([3, 2], gap="large")
    with left:
        about = "On this machine: a folder, a table (CSV, JSONL, Parquet), a list, or a cc_sbu_align folder"
        images = st.text_input("Images", key="make-images", placeholder="/data/images", help=about)
        folder = st.text_input("New curation folder", key="make-folder", placeholder=str(root / "curation"))
        about = "A random sample of this size; empty: all"
        sample = st.number_input(
            "Number of images", 1, 1_000_000, None, key="make-sample", placeholder="all", help=about
        )
    with right:
        vision = choose_model("vision", "make-vision", get_settings().vision)
        entry = get_registry().vision_backends.get(vision.partition(":")[0])
        anyway = entry is None or bool(entry.capabilities.get("follows_instructions", True))
        if not anyway:
            about = "It may not write long descriptions"
            anyway = st.checkbox("Use it although it follows no instructions", key="make-anyway", help=about)
    with st.expander("Settings", icon=":material/tune:"):
        about = "Images use them in turn; empty: the default ones"
        instructions = st.text_area("Instructions, one per line", key="make-words", help=about)
        one, two, three = st.columns(3)
        shortest = one.number_input("Continue texts under", 0, 10_000, 80, key="make-least", help="In tokens")
        continues = two.number_input("Continue at most (times)", 0, 10, 1, key="make-continues")
        temperature = three.number_input("Temperature", 0.0, 5.0, 1.0, 0.1, key="make-temperature")
    path = absolute(folder)
    ready = bool(images.strip() and path)
    if not start_button("Start", "make-begin", ready=ready, reason=blocked(vision=[vision])) or path is None:
        return
    options = ["--min-tokens", str(shortest), "--continues", str(continues), "--temperature", f"{temperature:g}"]
    left_out = LeftOut()
    with show_errors():
        require(vision=[vision])
        found = processes.begin(
            path,
            images,
            vision,
            sample=None if sample is None else int(sample),
            anyway=anyway,
            instructions=split_lines(instructions),
            options=options,
            left_out=left_out,
        )
        state.open(path)
        more = f" {left_out}." if left_out else ""
        state.part, state.message = "steps", f"{count(found, 'image')} will be described in {path}.{more}"
        for key in ("curate-part", "curate-folder"):
            st.session_state.pop(key, None)
        st.rerun()


# --- the steps of a curation --------------------------------------------------------------------------------------


def draw_steps(state: CuratePageState, folder: CurationFolder, counted: Callable[[], Figures]) -> None:
    """Each step with its progress and buttons, refreshed while one runs. Raises UsageError."""
    require_server_paths()
    if state.message:
        st.success(plain(state.message), icon=":material/check:")
        state.message = ""
    draw = partial(_cards, folder, counted())
    refresh(lambda: processes.watch(folder.path).at_work, draw, key="curate-steps")


def _cards(folder: CurationFolder, found: Figures) -> None:
    doing = processes.watch(folder.path)
    if doing.error and not doing.at_work:
        st.error(plain(sentence(doing.error)), icon=":material/error:")
    steps = {
        "generate": ("1. Describe", _describe),
        "repair": ("2. Repair", _repair),
        "rules": ("3. Rules", _rules),
        "export": ("4. Export", _export),
    }
    for step, (title, draw) in steps.items():
        with st.container(border=True, key=f"make-{step}", gap="small"):
            st.subheader(title, anchor=False)
            if doing.at_work and doing.step == step and doing.state != "busy":
                _running(folder, doing)
            else:
                draw(folder, found, doing.at_work)


def _running(folder: CurationFolder, doing: StepStatus) -> None:
    words = ACTIVITY.get(doing.step, "Running")
    if doing.state == "starting":
        words = "Loading"
    elif doing.state == "stopping":
        words = "Stopping after the calls in progress" if doing.step == "repair" else "Stopping; results are kept"
    st.html(f'<p class="iq-dots iq-note" role="status" aria-live="polite">{words}</p>')
    if doing.total:
        st.progress(min(doing.done / doing.total, 1.0), text=f"{doing.done:,} of {doing.total:,}")
        left = f"{seconds(doing.left)} left" if doing.left is not None and doing.state == "running" else ""
        facts = (f"{doing.aside} failed" if doing.aside else "", doing.note, left)
        st.html(f"<p>{''.join(tag(fact) for fact in facts if fact)}</p>")
    about = "Results are kept, and the step can be resumed"
    if button("Stop", "make-stop", icon="stop", disabled=doing.state == "stopping", help=about):
        with show_errors():
            processes.stop(folder.path)
            st.rerun()


def _bar(done: int, total: int, what: str, failed: int) -> None:
    more = f", {failed} of them failed" if failed else ""
    st.progress(min(done / total, 1.0) if total else 0.0, text=f"{done:,} of {count(total, what)}{more}")


def _go(
    folder: CurationFolder,
    label: str,
    step: processes.Runnable,
    options: Sequence[str] | None,
    *,
    key: str = "",
    **more: Any,
) -> None:
    """A button that starts a step with `options`, or resumes it with its last ones if None."""
    if button(label, f"make-go-{key or step}", icon="play_arrow", **more):
        with show_errors():
            _check_model(folder, step, options or ())
            if options is None:
                processes.resume(folder.path, step)
            else:
                processes.start(folder, step, options)
            st.rerun()


def _check_model(folder: CurationFolder, step: processes.Runnable, options: Sequence[str]) -> None:
    """Raise UsageError if the step would load a model that may not be used here; its process does not check that."""
    if step == "export":
        return
    name = "vision" if step == "generate" else "repairer"
    given = options[options.index(f"--{name}") + 1] if f"--{name}" in options else None
    spec = given or folder.settings(step).get(name) or processes.last_option(folder.path, step, f"--{name}")
    if spec:
        require(**{"vision" if step == "generate" else "questioner": [spec]})


def _describe(folder: CurationFolder, found: Figures, busy: bool) -> None:
    failed = sum(found.ungenerated.values())
    done = found.generated + failed
    _bar(done, found.pictures, "image", failed)
    if made := folder.settings("generate"):
        st.caption(plain(f"By {made.get('vision', '')}, seed {made.get('seed', '')}"))
    if done < found.pictures or not found.pictures:
        _go(folder, "Resume" if done else "Start", "generate", None, type="primary", disabled=busy)
    elif failed:
        _go(folder, "Retry failed ones", "generate", ["--failed"], key="failed", disabled=busy)


def _repair(folder: CurationFolder, found: Figures, busy: bool) -> None:
    failed = sum(found.unrepaired.values())
    done = found.repaired + failed
    _bar(done, found.generated, "text", failed)
    if (usage := found.usage).calls:
        cost = f", cost {found.cost:.2f}" if found.cost else ""
        estimated = f"; {count(usage.guessed, 'call')} estimated" if usage.guessed else ""
        tokens = f"{usage.input_tokens:,} input tokens, {usage.output_tokens:,} output tokens"
        st.caption(f"{count(usage.calls, 'call')}, {tokens}{cost}{estimated}")
    repairer = folder.settings("repair").get("repairer", "")
    if not found.generated:
        st.caption("There are no texts to repair yet.")
        return
    if done >= found.generated and not failed:
        st.caption(plain(f"By {repairer}"))
        return
    left, right = st.columns([3, 2], gap="medium")
    with left:
        model = choose_repair_model("make-repairer", repairer or get_settings().questioner, disabled=bool(repairer))
    with right, st.expander("Rate and cost", icon=":material/payments:"):
        options = ["--repairer", model, *_rate_and_cost(folder)]
    reason = blocked(questioner=[model])
    with st.container(horizontal=True):
        if done < found.generated:
            if reason:
                st.caption(f":material/block: {plain(reason)}")
            name = "Resume" if done else "Start"
            _go(folder, name, "repair", options, type="primary", disabled=busy or bool(reason))
        if failed:
            _go(folder, "Retry failed ones", "repair", [*options, "--failed"], key="unrepaired", disabled=busy)


def _rate_and_cost(folder: CurationFolder) -> list[str]:
    """The options of a repair about its rate and cost."""
    prices = repair_step.Prices.of(folder)
    options = ["--concurrency", str(st.number_input("Parallel calls", 1, 256, 4, key="make-at-once"))]
    about = "In any currency"
    read = st.number_input("Price per million input tokens", 0.0, None, prices.input, key="make-price-in", help=about)
    written = st.number_input("Price per million output tokens", 0.0, None, prices.output, key="make-price-out")
    if read or written:
        options += ["--price-in", f"{read:g}", "--price-out", f"{written:g}"]
    last = processes.last_option(folder.path, "repair", "--max-cost")
    limit, about = float(last) if last else None, "Of all runs together; needs the prices"
    most = st.number_input("Cost limit", 0.0, None, limit, key="make-most", placeholder="none", help=about)
    return options if most is None else [*options, "--max-cost", f"{most:g}"]


def _rules(_: CurationFolder, found: Figures, __: bool) -> None:
    if found.verdict is None:
        st.caption("Not applied yet: try and apply them in the view Rules.")
        return
    st.write(f"{int(found.verdict['kept']):,} kept, {int(found.verdict['dropped']):,} dropped.")
    if found.stale:
        st.warning("Texts or labels have changed since; apply the rules again.", icon=":material/update:")


def _export(folder: CurationFolder, found: Figures, busy: bool) -> None:
    if found.verdict is None or found.stale:
        st.caption("Apply the rules first; the export contains the texts they keep.")
        return
    last = processes.last_option(folder.path, "export", "--to")
    usual = str(folder.path.with_name(f"{folder.path.name}-stage2"))
    about = "In the cc_sbu_align layout, with the origin of each pair"
    typed = st.text_input("Data set folder", last or usual, key=f"make-to-{folder.path.name}", help=about)
    path = absolute(typed)
    options = ["--to", str(path)]
    if path is not None and (path / "export.json").is_file():
        st.caption("The folder contains an export.")
        if st.checkbox("Replace it", key="make-overwrite"):
            options.append("--overwrite")
    _go(folder, "Export", "export", options, type="primary", disabled=busy or path is None)
