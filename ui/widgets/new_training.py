"""The form for a new training on the page Train: each field checked before anything is started."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import streamlit as st

from core.errors import InquisightError, UsageError
from training import preflight, recipes
from training.data import sample_set
from training.runs import manage
from ui.state.options import get_options, require_server_paths
from ui.text import attempt, complete, count, plain, show_trouble
from ui.views.style import tag, text
from ui.widgets.attention import lead_to

if TYPE_CHECKING:
    from training.preflight import PreflightFinding
    from training.recipes import Recipe
    from ui.state.training import TrainPageState

FIRST: Final = ("own-data",)  # recipes to begin with, the first one that is shipped
SMALL: Final = "own-stage1"  # ... with the small model that comes along
SAMPLE: Final = Path("sample-pictures")
_FITTED: Final = ("Length", "Learning rate")  # of the summary, where the recipe leaves them open


def draw_new(desk: TrainPageState) -> None:
    """The form for a new training. Raises UsageError for visitors who may not use folders of this machine."""
    require_server_paths()
    show_trouble()
    with st.container(key="train-form"):
        _form(desk)


def _form(desk: TrainPageState) -> None:
    shipped = list(recipes.shipped())
    earlier = desk.again / "recipe.toml" if desk.again is not None else None
    names = [*([str(earlier)] if earlier is not None and earlier.is_file() else []), *shipped]
    titles = {name: recipes.load_recipe(name).title for name in names}
    first = next((name for name in FIRST if name in names), names[0])
    left, right = st.columns([3, 2], gap="large")
    places: dict[str, Any] = {}
    st.session_state.setdefault("train-recipe", names[0] if len(names) > len(shipped) else first)

    def field(name: str) -> None:
        """Where what is wrong with the field above is said."""
        places[name] = st.container(key=f"train-wrong-{name}")

    with left:
        name = st.selectbox(
            "Recipe",
            names,
            format_func=lambda name: _named(name, titles[name], desk),
            key="train-recipe",
        )
        field("packages")
        model = st.text_input(
            "Model", key="train-model", placeholder="minigpt4-7b", help="Its directory; empty: as the recipe says"
        )
        field("model")
        data = st.text_input(
            "Data",
            key="train-data",
            placeholder="my-pictures",
            help="A folder, a table or shards; empty: as the recipe says",
        )
        field("data")
        out = st.text_input("Folder for the training", key="train-out", placeholder="runs/mine")
        field("out")
        more = st.text_area(
            "Other settings, one key=value a line",
            key="train-settings",
            placeholder="steps=400\nlr=1e-4",
            height=110,
        )
        field("settings")
    changes = [
        *([f"model={_quoted(model)}"] if model.strip() else []),
        *([f"data={_quoted(data)}"] if data.strip() else []),
        *(line.strip() for line in more.splitlines() if line.strip()),
    ]
    run = Path(out.strip()).expanduser().absolute() if out.strip() else None
    recipe: Recipe | None = None
    findings: list[PreflightFinding] = []
    with right:
        try:
            if name not in names:  # whatever a browser sends
                raise UsageError("choose one of the recipes in the list")
            recipe = recipes.load_recipe(name, changes)
            check_model_right(recipe, recipes.load_recipe(name))
            _summary(recipe)
        except InquisightError as error:
            recipe = None
            places["settings"].error(plain(complete(str(error))), icon=":material/error:")
        with st.expander("What can be set", icon=":material/tune:"):
            st.html(
                "".join(
                    f"<p><b>{text(key)}</b> {text(about)} {tag(default)}</p>"
                    for key, default, about in recipes.fields()
                )
            )
    if recipe is not None:
        with st.spinner("Checking"):
            findings = _findings(recipe.to_toml(), str(run) if run is not None else "", recipe, run)
        for finding in findings:
            places[finding.field].error(plain(complete(finding.words)), icon=":material/error:")
    with left:
        _start(desk, recipe, run, findings)
        if any(finding.field in ("model", "data") for finding in findings):
            _small(shipped)


def _named(name: str, title: str, desk: TrainPageState) -> str:
    if desk.again is not None and name == str(desk.again / "recipe.toml"):
        return f"as in {desk.again.name}" + (f": {title}" if title else "")
    return f"{name}: {title}" if title else name


@st.cache_data(ttl=10, max_entries=20, show_spinner=False)
def _findings(of: str, where: str, _recipe: Recipe, _run: Path | None) -> list[PreflightFinding]:
    """What is known to keep it from working; looked at anew every ten seconds."""
    found: list[PreflightFinding] = preflight.check(_recipe, _run)
    return found


def _start(desk: TrainPageState, recipe: Recipe | None, run: Path | None, findings: list[PreflightFinding]) -> None:
    st.button(
        "Start",
        type="primary",
        key="train-start",
        icon=":material/play_arrow:",
        disabled=recipe is None or run is None or bool(findings),
        on_click=attempt,
        args=(_begin, desk, recipe, run),
    )
    if findings:
        st.caption(f":material/block: Start is off: {count(len(findings), 'thing')} to put right above.")
    elif run is None:
        st.caption("Name a folder to start.")


def _begin(desk: TrainPageState, recipe: Recipe, run: Path) -> None:
    """Start the process; that it has begun is said once it reports that it trains."""
    manage.start(recipe, run)
    desk.chosen, desk.part, desk.version = [run], "runs", desk.version + 1
    desk.awaited, desk.again = run, None
    st.session_state["train-part"] = "runs"


def _small(shipped: list[str]) -> None:
    """For who has no large model: the small one that comes along, with drawn pictures."""
    if SMALL not in shipped or not get_options().may_name_models:
        return
    with st.container(border=True, key="train-small"):
        st.write(
            "**No model or data yet?** Try it with the small model that comes with Inquisight and a set of drawn "
            "pictures with captions. It takes minutes on a CPU."
        )
        st.button(
            "Use the small model and sample data",
            key="train-use-small",
            icon=":material/school:",
            on_click=attempt,
            args=(_use_small,),
            help=f"Writes the pictures to {SAMPLE}, once, and fills in the form",
        )


def _use_small() -> None:
    if not SAMPLE.is_dir():
        sample_set.write_sample(SAMPLE.absolute())
    run = next(path for number in range(1, 1000) if not (path := Path("runs") / f"{SMALL}-{number}").exists())
    filled = {
        "recipe": SMALL, "model": recipes.SMALL, "data": str(SAMPLE), "out": str(run), "settings": ""
    }  # fmt: skip
    st.session_state.update({f"train-{name}": value for name, value in filled.items()})
    lead_to("train-start", control=True)


def check_model_right(chosen: Recipe, shipped: Recipe) -> None:
    """Raise UsageError where a model was named, however it was, by somebody who may not."""
    if chosen.model != shipped.model and not get_options().may_name_models:
        raise UsageError(
            "models are not open to be named by visitors; the owner can start the dashboard with "
            "--visitors-may-name-models, or this training"
        )


def _quoted(path: str) -> str:
    return json.dumps(path.strip(), ensure_ascii=False)


def _summary(recipe: Recipe) -> None:
    length = f"{recipe.steps:,} steps" if recipe.steps else f"{recipe.epochs or 0:g} passes over the data"
    facts = {
        "Stage": "1, short captions without a prompt" if recipe.stage == 1 else "2, descriptions in the chat format",
        "Length": f"{length}, {count(recipe.batch, 'sample')} a step",
        "Learning rate": f"{recipe.lr:g} to {recipe.lr_min:g}, warm-up {recipe.warmup}",
        **dict.fromkeys(_FITTED if recipe.fit else (), "chosen from the data and the model"),
        "Begins with": recipe.projection,
        "Model": recipe.model or "not named yet",
        "Data": ", ".join(spec.path for spec in recipe.data) or "not named yet",
        "Checkpoint": f"every {recipe.checkpoint_every:,} steps, {recipe.samples} pictures described at each",
    }
    rows = "".join(f"<p><b>{text(key)}:</b> {text(value)}</p>" for key, value in facts.items())
    st.html(f'<div class="iq-caption">{rows}</div>')
