"""The steps of a curation for the page Curate: begun, watched, stopped and gone on with; each a process of its own.

They are the commands of the terminal, so that either goes on where the other one stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import streamlit as st

from core.datasets.left_out import LeftOut
from core.datasets.text_lines import split_lines
from core.registry import get_registry
from core.settings import get_settings
from training.curation import processes
from training.curation.steps import repair as repair_step
from ui.state.model_choice import RULES, Kind, blocked, require
from ui.state.options import require_server_paths
from ui.text import complete, count, plain, seconds, told
from ui.views.style import tag, text
from ui.widgets.model_choice import choose_eye, choose_mender, draw_blocked

if TYPE_CHECKING:
    from training.curation.folder import CurationFolder
    from training.curation.processes import StepStatus
    from training.curation.report.figures import Figures
    from ui.state.curation import CuratePageState

EVERY: Final = 1.0  # seconds between two looks at a step
LOOKS: Final = """<style>
[class*="st-key-make-"] h3 { font-size: 1.1rem; padding: 0; }
</style>"""
BUSY: Final = {"generate": "Describing", "repair": "Repairing", "export": "Writing the pairs"}
LEAVING: Final = {"repair": "It waits for the calls under way, which are paid for, and leaves"}


def draw_new(desk: CuratePageState, root: Path) -> None:
    """A curation to begin: which pictures, how many, who looks at them, and where it is kept. Raises UsageError."""
    require_server_paths()
    left, right = st.columns([3, 2], gap="large")
    with left:
        pictures = st.text_input(
            "Pictures",
            key="make-pictures",
            placeholder="/data/pictures",
            help="On the disk of this machine: a folder, a table (CSV, JSONL, Parquet), a list, a cc_sbu_align folder",
        )
        place = st.text_input(
            "Folder for the curation", key="make-folder", placeholder=str(root / "curation"), help="A new one"
        )
        most = st.number_input(
            "How many pictures", 1, 1_000_000, None, key="make-sample", placeholder="all", help="By chance; empty: all"
        )
    with right:
        vision = choose_eye("make-eye", get_settings().vision)
        anyway = follows = _follows(vision)
        if not follows:
            anyway = st.checkbox(
                "Take it though it follows no instructions",
                key="make-anyway",
                help="It may not describe at length nor continue",
            )
    with st.expander("Settings", icon=":material/tune:"):
        own = st.text_area(
            "Instructions, one a line",
            key="make-words",
            help="They take turns over the pictures; empty: the usual ones",
        )
        one, two, three = st.columns(3)
        least = one.number_input("Continue a text under", 0, 10_000, 80, key="make-least", help="In tokens")
        again = two.number_input("Times at most", 0, 10, 1, key="make-continues")
        warmth = three.number_input("Temperature", 0.0, 5.0, 1.0, 0.1, key="make-temperature")
    reason = blocked(vision=[vision])
    draw_blocked(reason)
    st.button(
        "Begin",
        type="primary",
        key="make-begin",
        icon=":material/play_arrow:",
        disabled=bool(reason) or not (pictures.strip() and place.strip()),
        on_click=desk.press,
        args=("make-begin",),
    )
    if not desk.pressing("make-begin"):
        return
    path = Path(place.strip()).expanduser().absolute()
    options = ["--min-tokens", str(least), "--continues", str(again), "--temperature", f"{warmth:g}"]
    left_out = LeftOut()
    with told():
        require(vision=[vision])
        found = processes.begin(
            path,
            pictures,
            vision,
            sample=None if most is None else int(most),
            anyway=bool(anyway),
            instructions=split_lines(own),
            options=options,
            left_out=left_out,
        )
        desk.open(path)
        aside = f" {left_out}." if left_out else ""
        desk.part, desk.message = "steps", f"{count(found, 'picture')} will be described in {path}.{aside}"
        for key in ("curate-part", "curate-folder"):
            st.session_state.pop(key, None)
        st.rerun()


def _follows(vision: str) -> bool:
    entry = get_registry().vision_backends.get(vision.partition(":")[0])
    return bool(entry is None or entry.capabilities.get("follows_instructions", True))


# --- the steps of one that is there ---------------------------------------------------------------------------------


def draw_steps(desk: CuratePageState, folder: CurationFolder, counted: Callable[[], Figures]) -> None:
    """Each step with how far it is and what can be done; drawn anew while one is at work. Raises UsageError."""
    require_server_paths()
    if desk.message:
        st.success(plain(desk.message), icon=":material/check:")
        desk.message = ""
    st.html(LOOKS)
    found = counted()
    if not processes.watch(folder.path).at_work:
        with st.container():
            _cards(desk, folder, found, processes.watch(folder.path))
        return

    @st.fragment(run_every=EVERY, key="curate-steps")
    def part() -> None:
        with told():
            doing = processes.watch(folder.path)
            _cards(desk, folder, found, doing)
            if not doing.at_work:
                st.rerun()

    part()


def _cards(desk: CuratePageState, folder: CurationFolder, found: Figures, doing: StepStatus) -> None:
    if doing.error and not doing.at_work:
        st.error(plain(complete(doing.error)), icon=":material/error:")
    for number, (step, title, draw) in enumerate(
        (
            ("generate", "Describe", _describe),
            ("repair", "Repair", _repair),
            ("rules", "Rules", _rules),
            ("export", "Export", _export),
        ),
        start=1,
    ):
        with st.container(border=True, key=f"make-{step}", gap="small"):
            st.subheader(f"{number}. {title}", anchor=False)
            if doing.at_work and doing.step == step and doing.state != "busy":
                _live(desk, folder, doing)
            else:
                draw(desk, folder, found, doing)


def _live(desk: CuratePageState, folder: CurationFolder, doing: StepStatus) -> None:
    words = {"starting": "It loads what it needs", "stopping": LEAVING.get(doing.step, "It keeps what is done")}
    said = words.get(doing.state, BUSY.get(doing.step, "At work"))
    st.html(f'<p class="iq-dots iq-note" role="status" aria-live="polite">{text(said)}</p>')
    if doing.total:
        st.progress(min(doing.done / doing.total, 1.0), text=f"{doing.done:,} of {doing.total:,}")
        facts = [f"{doing.aside} set aside"] if doing.aside else []
        facts += [doing.note] if doing.note else []
        facts += [f"{seconds(doing.left)} left"] if doing.left is not None and doing.state == "running" else []
        if facts:
            st.html(f"<p>{''.join(tag(fact) for fact in facts)}</p>")
    st.button(
        "Stop",
        key="make-stop",
        icon=":material/stop:",
        disabled=doing.state == "stopping",
        help="What is done is kept, and it can go on",
        on_click=desk.press,
        args=("make-stop",),
    )
    if desk.pressing("make-stop"):
        with told():
            processes.stop(folder.path)
            st.rerun()


def _bar(done: int, total: int, what: str, aside: int) -> None:
    more = f", {aside} of them set aside" if aside else ""
    st.progress(min(done / total, 1.0) if total else 0.0, text=f"{done:,} of {count(total, what)}{more}")


def _start(
    desk: CuratePageState,
    folder: CurationFolder,
    label: str,
    step: processes.Runnable,
    options: list[str],
    *,
    key: str = "",
    **how: Any,
) -> None:
    """A button that starts a step once it is pressed."""
    name = f"make-go-{key or step}"
    st.button(label, key=name, icon=":material/play_arrow:", on_click=desk.press, args=(name,), **how)
    if desk.pressing(name):
        with told():
            _check_models(folder, step, options)
            processes.start(folder, step, options)
            st.rerun()


def _check_models(folder: CurationFolder, step: str, options: Sequence[str] = ()) -> None:
    """Raise UsageError where the step would load a model that may not be chosen here; its process asks nobody."""
    models: tuple[tuple[Kind, Literal["generate", "repair"], str], ...] = (
        ("eye", "generate", "vision"),
        ("questioner", "repair", "repairer"),
    )
    for kind, needs, name in models:
        if step != needs:
            continue
        option = f"--{name}"
        given = options[options.index(option) + 1] if option in options else None
        last = processes.last_option
        spec = given or folder.settings(needs).get(name) or last(folder.path, step, option)
        if spec and spec != RULES:
            require(**{"vision" if kind == "eye" else "questioner": [spec]})


def _describe(desk: CuratePageState, folder: CurationFolder, found: Figures, doing: StepStatus) -> None:
    aside = sum(found.ungenerated.values())
    done = found.generated + aside
    made = folder.settings("generate")
    _bar(done, found.pictures, "picture", aside)
    if made:
        st.caption(plain(f"By {made.get('vision', '')}, seed {made.get('seed', '')}"))
    with st.container(horizontal=True):
        if done < found.pictures or not found.pictures:
            go = "make-go-generate"
            st.button(
                "Go on" if done else "Start",
                key=go,
                type="primary",
                icon=":material/play_arrow:",
                disabled=doing.at_work,
                on_click=desk.press,
                args=(go,),
            )
            if desk.pressing(go):
                with told():
                    _check_models(folder, "generate")
                    processes.resume(folder.path, "generate")
                    st.rerun()
        elif aside:
            _start(
                desk,
                folder,
                "Try those set aside again",
                "generate",
                ["--failed"],
                key="failed",
                disabled=doing.at_work,
            )


def _repair(desk: CuratePageState, folder: CurationFolder, found: Figures, doing: StepStatus) -> None:
    aside = sum(found.unrepaired.values())
    done = found.repaired + aside
    _bar(done, found.generated, "text", aside)
    usage = found.usage
    if usage.calls:
        cost = f", cost {found.cost:.2f}" if found.cost else ""
        guess = f"; {count(usage.uncounted, 'call')} estimated" if usage.uncounted else ""
        st.caption(
            f"{count(usage.calls, 'call')}, {usage.input_tokens:,} tokens in, {usage.output_tokens:,} out{cost}{guess}"
        )
    if not found.generated:
        st.caption("There is nothing to repair yet.")
        return
    if done >= found.generated and not aside:
        st.caption(plain(f"By {folder.settings('repair').get('repairer', 'nobody')}"))
        return
    begun = folder.settings("repair").get("repairer", "")
    left, right = st.columns([3, 2], gap="medium")
    with left:
        mender = choose_mender("make-mender", begun or get_settings().questioner, disabled=bool(begun))
    prices = repair_step.Prices.of(folder)
    with right, st.expander("Pace and cost", icon=":material/payments:"):
        at_once = st.number_input("Calls at a time", 1, 256, 4, key="make-at-once")
        price_in = st.number_input(
            "Price of a million tokens read", 0.0, None, prices.input, key="make-price-in", help="In any currency"
        )
        price_out = st.number_input("Price of a million tokens written", 0.0, None, prices.output, key="make-price-out")
        before = processes.last_option(folder.path, "repair", "--max-cost")
        most = st.number_input(
            "Stop when it has cost",
            0.0,
            None,
            float(before) if before else None,
            key="make-most",
            placeholder="no limit",
            help="All runs together; needs the prices",
        )
    reason = blocked(questioner=[mender])
    draw_blocked(reason)
    options = ["--repairer", mender, "--concurrency", str(at_once)]
    if price_in or price_out:
        options += ["--price-in", f"{price_in:g}", "--price-out", f"{price_out:g}"]
    options += ["--max-cost", f"{most:g}"] if most is not None else []
    with st.container(horizontal=True):
        if done < found.generated:
            label = "Go on" if done else "Start"
            _start(desk, folder, label, "repair", options, type="primary", disabled=doing.at_work or bool(reason))
        if aside:
            more = [*options, "--failed"]
            _start(desk, folder, "Try those set aside again", "repair", more, key="unrepaired", disabled=doing.at_work)


def _rules(_: CuratePageState, __: CurationFolder, found: Figures, ___: StepStatus) -> None:
    if found.verdict is None:
        st.caption("They have not run yet: try them and apply them under Rules.")
        return
    st.write(f"{int(found.verdict['kept']):,} kept, {int(found.verdict['dropped']):,} dropped.")
    if found.stale:
        st.warning("Texts or labels came after the rules ran; apply them again under Rules.", icon=":material/update:")


def _export(desk: CuratePageState, folder: CurationFolder, found: Figures, doing: StepStatus) -> None:
    if found.verdict is None or found.stale:
        st.caption("It takes what the rules kept, once they have run.")
        return
    last = processes.last_option(folder.path, "export", "--to")
    place = st.text_input(
        "Folder for the data set",
        last or str(folder.path.with_name(f"{folder.path.name}-stage2")),
        key=f"make-to-{folder.path.name}",
        help="In the cc_sbu_align layout, with where each pair came from",
    )
    path = Path(place.strip()).expanduser().absolute()
    options = ["--to", str(path)]
    if place.strip() and (path / "export.json").is_file():
        st.caption("An export lies there.")
        if st.checkbox("Replace it", key="make-overwrite"):
            options.append("--overwrite")
    _start(desk, folder, "Write it", "export", options, type="primary", disabled=doing.at_work or not place.strip())
