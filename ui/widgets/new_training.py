"""The form for a new training on the page Train; every field is checked before a process is started."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import streamlit as st

from core.errors import InquisightError, UsageError
from training import preflight, recipes
from training.data import sample_set
from training.runs import manage
from ui.controls import act_button
from ui.state.options import get_options, require_server_paths
from ui.text import count, escape, plain, sentence, tag
from ui.widgets.attention import focus_on
from ui.widgets.server_folder import absolute

if TYPE_CHECKING:
    from training.preflight import PreflightFinding
    from training.recipes import Recipe
    from ui.state.training import TrainPageState

FIRST: Final = "own-data"  # the recipe that is chosen at first
SMALL: Final = "own-stage1"  # the same for the embedded small model
SAMPLE: Final = Path("sample-pictures")


def draw_new(state: TrainPageState) -> None:
    """Draw the form. Raises UsageError for visitors who may not use folders of this machine."""
    require_server_paths()
    with st.container(key="train-form"):
        _form(state)


def _form(state: TrainPageState) -> None:
    shipped = list(recipes.shipped())
    earlier = str(state.again / "recipe.toml") if state.again is not None else ""
    names = [*([earlier] if earlier and Path(earlier).is_file() else []), *shipped]
    titles = {name: recipes.load_recipe(name).title for name in names}
    st.session_state.setdefault("train-recipe", FIRST if names == shipped and FIRST in names else names[0])
    left, right = st.columns([3, 2], gap="large")
    errors: dict[str, Any] = {}

    def title(name: str) -> str:
        shown = f"as in {Path(name).parent.name}" if name == earlier else name
        return ": ".join(filter(None, (shown, titles[name])))

    def field(name: str, draw: Any, label: str, **more: Any) -> str:
        value: str = draw(label, key=f"train-{name}", **more)
        errors["packages" if name == "recipe" else name] = st.container(key=f"train-wrong-{name}")
        return value

    with left:
        name = field("recipe", st.selectbox, "Recipe", options=names, format_func=title)
        model = field(
            "model", st.text_input, "Model", placeholder="minigpt4-7b", help="A directory; empty: the recipe's"
        )
        about = "A folder, a table or shards; empty: the recipe's"
        data = field("data", st.text_input, "Data", placeholder="my-pictures", help=about)
        out = field("out", st.text_input, "Output folder", placeholder="runs/mine")
        about = "steps=400\nlr=1e-4"
        more = field("settings", st.text_area, "Other settings, one key=value a line", placeholder=about, height=110)
    changes = [f"{key}={json.dumps(path, ensure_ascii=False)}" for key, path in
               (("model", model.strip()), ("data", data.strip())) if path]  # fmt: skip
    changes += [line.strip() for line in more.splitlines() if line.strip()]
    run = absolute(out)
    recipe: Recipe | None = None
    findings: list[PreflightFinding] = []
    with right:
        try:
            if name not in names:  # a browser may send others
                raise UsageError("choose one of the recipes in the list")
            recipe = recipes.load_recipe(name, changes)
            _check_model_right(recipe, recipes.load_recipe(name))
            _summary(recipe)
        except InquisightError as error:
            recipe = None
            errors["settings"].error(plain(sentence(str(error))), icon=":material/error:")
        with st.expander("All settings", icon=":material/tune:"):
            fields = recipes.fields(type(recipe) if recipe is not None else recipes.StageRecipe)
            st.html(
                "".join(f"<p><b>{escape(key)}</b> {escape(about)} {tag(usual)}</p>" for key, usual, about in fields)
            )
    if recipe is not None:
        with st.spinner("Checking"):
            findings = _findings(recipe.to_toml(), str(run), recipe, run)
        for finding in findings:
            errors[finding.field].error(plain(sentence(finding.words)), icon=":material/error:")
    with left:
        off = recipe is None or run is None or bool(findings)
        act_button("Start", "train-start", _begin, state, recipe, run, icon="play_arrow", type="primary", disabled=off)
        if findings:
            st.caption(f":material/block: Correct {count(len(findings), 'problem')} above to start.")
        elif run is None:
            st.caption("Enter an output folder to start.")
        if any(finding.field in ("model", "data") for finding in findings) and SMALL in shipped:
            _offer_small_model()


@st.cache_data(ttl=10, max_entries=20, show_spinner=False)
def _findings(of: str, where: str, _recipe: Recipe, _run: Path | None) -> list[PreflightFinding]:
    """What would keep the training from working; cached for ten seconds."""
    found: list[PreflightFinding] = preflight.check(_recipe, _run)
    return found


def _begin(state: TrainPageState, recipe: Recipe, run: Path) -> None:
    """Start the process; the page reports the start when the process does."""
    manage.start(recipe, run)
    state.chosen, state.part, state.version = [run], "runs", state.version + 1
    state.awaited, state.again = run, None
    st.session_state["train-part"] = "runs"


def _offer_small_model() -> None:
    if not get_options().may_name_models:
        return
    with st.container(border=True, key="train-small"):
        st.write(
            "**No model or data yet?** Try it with the small model that comes with Inquisight and a set of drawn "
            "images with captions. It takes minutes on a CPU."
        )
        text, about = "Use the small model and sample data", f"Writes the images to {SAMPLE}, and fills in the form"
        act_button(text, "train-use-small", _use_small, icon="school", help=about)


def draw_first(state: TrainPageState) -> None:
    """A card with one button that starts a first training: the small model learns from sample data."""
    if not get_options().may_name_models or SMALL not in recipes.shipped():
        return
    with st.container(border=True, key="train-first"):
        st.subheader("Your first training", anchor=False)
        st.write(
            f"The small model that comes with Inquisight learns to describe {sample_set.PICTURES} drawn images with "
            "captions. It takes a few minutes on a laptop. You see the loss fall and what the model says as it learns, "
            "and can try the result."
        )
        about = f"Writes the images to {SAMPLE} and the result to runs/"
        act_button("Start the first training", "train-first-start", _begin_first, state, icon="school", help=about)


def _begin_first(state: TrainPageState) -> None:
    """Write the sample data and start the process. Raises UsageError if something is missing."""
    run = _prepare_small().absolute()
    data = json.dumps(str(SAMPLE))
    recipe = recipes.load_recipe(SMALL, [f'model="{recipes.SMALL}"', f"data={data}"])
    if findings := preflight.check(recipe, run):
        raise UsageError(findings[0].words)
    _begin(state, recipe, run)


def _prepare_small() -> Path:
    """Write the sample data, if it is not there; returns a new output folder."""
    require_server_paths()
    if not SAMPLE.is_dir():
        sample_set.write_sample(SAMPLE.absolute())
    return next(path for number in range(1, 1000) if not (path := Path("runs") / f"{SMALL}-{number}").exists())


def _use_small() -> None:
    run = _prepare_small()
    filled = {"recipe": SMALL, "model": recipes.SMALL, "data": str(SAMPLE), "out": str(run), "settings": ""}
    st.session_state.update({f"train-{name}": value for name, value in filled.items()})
    focus_on("train-start", control=True)


def _check_model_right(chosen: Recipe, shipped: Recipe) -> None:
    """Raise UsageError if another model than the recipe's was named, in any field, without the right to do so."""
    if chosen.model != shipped.model and not get_options().may_name_models:
        raise UsageError(
            "visitors may not name models; the owner can start the dashboard with --visitors-may-name-models, or this "
            "training"
        )


def _summary(recipe: Recipe) -> None:
    length = f"{recipe.steps:,} steps" if recipe.steps else f"{recipe.epochs or 0:g} epochs"
    fitted = "chosen from the data and the model" if recipe.fit else ""
    if isinstance(recipe, recipes.Blip2Recipe):
        stage = f"BLIP-2, {'questions and answers' if recipe.task == 'vqa' else 'captions'}, {recipe.train}"
        begin = str(recipe.begin or "the model's")
    else:
        assert isinstance(recipe, recipes.StageRecipe)
        stage = "1, short captions without a prompt" if recipe.stage == 1 else "2, descriptions in the chat format"
        begin = recipe.projection
    facts = {
        "Stage": stage,
        "Length": fitted or f"{length}, {count(recipe.batch, 'sample')} per step",
        "Learning rate": fitted or f"{recipe.lr:g} to {recipe.lr_min:g}, warm-up {recipe.warmup}",
        "Initial weights": begin,
        "Model": recipe.model or "missing",
        "Data": ", ".join(spec.path for spec in recipe.data) or "missing",
        "Checkpoint": f"every {recipe.checkpoint_every:,} steps, with captions of {recipe.samples} images",
    }
    rows = "".join(f"<p><b>{escape(key)}:</b> {escape(value)}</p>" for key, value in facts.items())
    st.html(f'<div class="iq-caption">{rows}</div>')
