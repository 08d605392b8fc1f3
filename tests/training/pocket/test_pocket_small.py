"""The small version of the paper's measurements: the model's directory, the figures, and a tiny complete run."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from transformers import PreTrainedTokenizerFast

from agents.text.text_metrics import failures
from benchmarks.pocket_small import __main__ as small
from benchmarks.pocket_small import curation, measure, report, world
from benchmarks.pocket_small.truth import judge
from core.errors import BackendError, UsageError
from core.images.picture import open_picture
from core.testing import make_picture
from core.vision import VisualQuestion
from plugins.minigpt4.runtime.loading import check
from plugins.pocket import backend
from plugins.pocket.backend import MODEL, PocketBackend
from plugins.pocket.engine import PocketEngine, PocketPrompt
from plugins.pocket.modeling import FACTS, HINT_TOKENS
from training.curation.rules.rules import Rules, apply
from training.features.store import FeatureStore
from training.packing import lay_out
from training.pocket import sources
from training.pocket.features import truth
from training.pocket.foundation import known_names
from training.pocket.scene_questions import SceneQuestions
from training.pocket.scenes import Composer
from training.recipes import load_recipe
from training.stages import Wording, open_task

TRUTH: dict[str, Any] = {
    "background": "plain",
    "background_colours": ["green"],
    "things": [
        {"name": "duck", "kind": "bird", "colours": ["yellow"], "column": "left", "row": "centre", "box": [0, 0, 1, 1]},
        {"name": "", "kind": "", "colours": ["red"], "column": "right", "row": "top", "box": [0.6, 0.1, 0.9, 0.3]},
    ],
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like the one `training.pocket.sources` fills, drawn instead of downloaded."""
    root = tmp_path_factory.mktemp("sources")
    for number, cut_out in enumerate(sources.cut_outs(root)):
        cut_out.path.parent.mkdir(parents=True, exist_ok=True)
        image = Image.new("RGBA", (60, 60))
        colour = ((220, 20, 30), (30, 60, 200), (250, 230, 40))[number % 3]
        ImageDraw.Draw(image).ellipse((2, 2, 57, 57), fill=(*colour, 255))
        image.save(cut_out.path)
    for folder, count, size in (("usr/share/openclipart/png", 2, 80), ("usr/share/backgrounds", 10, 720)):
        (root / folder).mkdir(parents=True)
        for number in range(count):
            Image.effect_noise((size, size), 60).convert("RGB").save(root / folder / f"zz{number}.png")
    return root


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped model as `inquisight train` takes it."""
    to = tmp_path_factory.mktemp("small") / "model"
    world.write_model(MODEL, to)
    return to


# --- the model's directory -------------------------------------------------------------------------------------------


def written(engine: PocketEngine, prompt: PocketPrompt) -> str:
    """The text after the picture."""
    return "".join(text for _, text in engine.turns(prompt))


@pytest.mark.slow
def test_the_trainer_and_pocket_write_a_question_in_the_same_tokens(model: Path) -> None:
    checked = check(model)
    recipe = load_recipe("pocket-stage2", {"instructions": ["What do you see?"]})
    tuned = PocketBackend(str(model)).engine
    shipped = PocketBackend().engine
    tokenizer = PreTrainedTokenizerFast.from_pretrained(model)
    words = Wording(recipe, tokenizer, checked.format).words("There is a duck.", draw="1")
    picture = torch.zeros(1, shipped.model.config.text_config.hidden_size)
    asked = written(shipped, PocketPrompt(picture, "what do you see?"))
    assert list(words.before) == shipped._ids("###Human: <Img>").tolist() == tuned._ids("###Human: <Img>").tolist()
    assert list(words.after) == shipped._ids(asked).tolist() == tuned._ids(asked).tolist()
    assert list(words.target) == shipped._ids(" there is a duck.###").tolist()
    talk = written(shipped, PocketPrompt(picture, "and now?", (("is there a duck?", "Yes, there is a duck."),)))
    assert shipped._ids(talk).tolist() == tuned._ids(talk).tolist()


def test_no_other_directory_is_taken(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no directory of pocket's: it has no config"):
        world.write_model(tmp_path, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_tokens_beside_the_projected_ones_need_kept_features(model: Path) -> None:
    recipe = load_recipe("pocket-stage1", {"model": str(model)}).model_copy(update={"features": None})
    with pytest.raises(UsageError, match="only cached features hold them: --set keep_features=true"):
        open_task(recipe, "cpu", "float32")


def test_only_what_the_projection_gave_has_a_gradient(model: Path) -> None:
    recipe = load_recipe("pocket-stage1", {"model": str(model)})
    task, wording, _ = open_task(recipe, "cpu", "float32")
    rows = lay_out([wording.words("a yellow duck")], task.pictures, 0)
    features = torch.randn(1, task.pictures, 256, requires_grad=True)
    task.language_projection.weight.data.zero_()
    task(rows, features).sum().backward()
    assert features.grad is not None
    assert not features.grad[:, : task.projected].any() and features.grad[:, task.projected :].any()
    assert task.pictures - task.projected == HINT_TOKENS


# --- pocket with options ---------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_without_names_the_hints_of_two_things_are_the_same() -> None:
    image, other = make_picture(260, 260, (52, 150, 70)), make_picture(260, 260, (52, 150, 72))
    named, nameless = PocketBackend(), PocketBackend("?hints=colours")
    [one], [two] = (vision.encode([image]) for vision in (named, nameless))
    queries = named.engine.model.config.num_query_tokens
    assert torch.equal(one.data.tokens[:queries], two.data.tokens[:queries]), "what passes the projection stays"
    facts = torch.arange(FACTS)[None].repeat(2, 1)
    facts[1, 12:] += 1  # another thing
    facts[1, 1:6] += 1  # and another guess
    assert torch.equal(backend.nameless(facts)[0], backend.nameless(facts)[1])
    assert set(backend.nameless(facts)[0].tolist()) == {0, 6, 7, 8, 9, 10, 11}
    assert named.revision != nameless.revision
    assert "hints" in nameless.describe() and "hints" not in named.describe()
    assert nameless.answer([VisualQuestion(nameless.encode([other])[0], "What is this?")]) != [""]


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("?hints=some", "hints='some' is not known; choose one of all, colours"),
        ("?hint=all", "no option 'hint'"),
    ],
)
def test_an_option_that_does_not_exist_is_named(argument: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        PocketBackend(argument)


def test_a_projection_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="holds no finished training"):
        PocketBackend(f"?projection={tmp_path}")


# --- truth -----------------------------------------------------------------------------------------------------------

DUCK = "On the left there is a yellow duck."
OTHER = "At the top right there is an unknown thing."
BEGIN = "The picture shows two things on a plain green background."


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        (f"{BEGIN} {DUCK} At the top right there is a red unknown thing.", []),
        (f"{BEGIN} {OTHER}", ["left out"]),
        (f"{BEGIN} {DUCK} At the top there is a large red apple.", ["invented"]),
        (f"{BEGIN} On the right there is a yellow duck.", ["wrong"]),
        (f"{BEGIN} On the left there is a small blue duck.", ["wrong"]),
        (f"The picture shows three things on a plain green background. {DUCK}", ["wrong"]),
        (f"The picture shows two things on a plain red background. {DUCK}", ["wrong"]),
        (f"{BEGIN} {DUCK} {DUCK}", ["invented", "repetition"]),
        (f"{BEGIN} {DUCK} At the top right there is a", ["broken end"]),
        (f"{BEGIN} {DUCK} <Img>", ["broken end", "symbols"]),
        (f"{BEGIN} {DUCK} On the right there is an orange orange.", ["invented"]),
    ],
)
def test_errors_of_a_description_are_told_by_the_truth(text: str, kinds: list[str]) -> None:
    assert judge(text, TRUTH).kinds(text) == kinds


@pytest.mark.slow
def test_a_true_description_has_no_error_and_hardly_ever_seems_to_repeat_itself(root: Path) -> None:
    composer, names = Composer(root), known_names()
    seeming = count = 0
    for seed in range(150):
        facts = truth(composer.scene(seed))
        text = world.described(facts)
        found = judge(text, facts)
        assert (found.invented, found.wrong, found.named, found.background) == (0, 0, found.wanted, False), text
        assert SceneQuestions(facts, names).description(random.Random(0)) == text.lower()
        outcome = apply(text, Rules.load(curation.HERE / "rules.toml"))
        seeming += bool(failures(text)) or outcome.dropped is not None
        count += found.claims
    assert count > 100 and seeming <= 3


def test_figures_count_what_broke_off_and_what_was_said() -> None:
    whole = measure.Said(f"{BEGIN} {DUCK}", f"{BEGIN} {DUCK}", True, 0)
    endless = measure.Said(f"{BEGIN} {DUCK} {DUCK} {DUCK}", f"{BEGIN} {DUCK} {DUCK} {DUCK}", False, 0)
    marked = measure.Said(DUCK, f"{DUCK} <seen0>", True, 1)
    assert (whole.failures, marked.failures[-1:]) == ([], ["foreign symbols"])
    assert endless.failures == ["broken off", "repeating"]
    found = measure.figures([whole, endless, marked, measure.Said("", "", True, 0)], [TRUTH] * 4)
    assert (found["failure rate"], found["recall"], found["repeating"]) == (0.75, 0.75, 0.25)
    assert found["invented per picture"] == 0.5, "two ducks too many in one of four"


# --- the world -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_pictures_go_on_where_they_were_interrupted(root: Path, tmp_path: Path) -> None:
    composer = Composer(root)

    def stop(done: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        world.compose(composer, tmp_path / "a", 40, 0, "png", stop)
    assert 0 < len(list((tmp_path / "a" / "image").iterdir())) < 40
    rows = world.compose(composer, tmp_path / "a", 40, 0, "png", lambda _: None)
    assert rows == world.compose(composer, tmp_path / "b", 40, 0, "png", lambda _: None)
    assert all(row["truth"]["things"] or row["truth"]["background"] != "photo" for row in rows)


@pytest.mark.slow
def test_what_was_looked_at_before_is_taken_where_it_is_the_same_picture(
    root: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = world.compose(Composer(root), tmp_path, 4, 0, "png", lambda _: None)
    reader = world.Reader(model)
    cells, facts = reader.seen([tmp_path / "image" / row["file"] for row in rows])
    world.keep_features(reader, tmp_path / "looked", [(tmp_path, rows)], None, lambda _: None)
    folder = tmp_path / "features"
    folder.mkdir()
    seeds = [int(row["seed"]) for row in rows]
    lines = [json.dumps(next((r["truth"] for r in rows if r["seed"] == seed), {})) for seed in range(seeds[-1] + 1)]
    lines[seeds[-1]] = "{}"  # of another picture
    (folder / "train-truth.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    kept = torch.zeros(len(lines), *cells.shape[1:]).half()
    kept[seeds] = cells.half()
    listed = torch.zeros(len(lines), facts.shape[1], dtype=torch.long)
    listed[seeds] = facts
    np.save(folder / "train-features.npy", kept.numpy())
    np.save(folder / "train-facts.npy", listed.numpy())
    cached = world.Cached.open(folder)
    assert [cached.row(row) for row in rows] == [*seeds[:-1], None]
    world.keep_features(reader, tmp_path / "kept", [(tmp_path, rows)], cached, lambda _: None)
    encoded, taken = (FeatureStore(tmp_path / name, model) for name in ("looked", "kept"))
    vision = PocketBackend(f"{model}?hints=colours")
    queries = vision.engine.model.config.num_query_tokens
    for row in rows:
        one, other = (store.get(row["sha256"]).float() for store in (encoded, taken))
        assert torch.allclose(one, other, atol=0.05)
        picture = vision.encode([open_picture(tmp_path / "image" / row["file"])])[0].data.tokens
        projected = vision.engine.model.language_projection(one[:queries])
        assert torch.allclose(torch.cat([projected, one[queries:]]), picture, atol=0.05)
    (folder / "train-features.npy").unlink()
    np.save(folder / "train-features.npy", kept.flip(2).numpy())
    with pytest.raises(UsageError, match="another vision model"):
        world.keep_features(reader, tmp_path / "no", [(tmp_path, rows)], world.Cached.open(folder), lambda _: None)


# --- all of it -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_whole_chain_goes_on_where_it_was_stopped_and_fills_the_page(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(small, "SHARES", (100,))
    monkeypatch.setattr(measure, "ROOM", 8)
    # a projection of two steps says nothing that could be curated: pocket's own describes here
    monkeypatch.setattr(curation, "curate", _with_pockets_own(curation.curate))
    page = tmp_path / "docs" / "pocket-small.md"
    page.parent.mkdir()
    names = ("how", "sampled", "greedy", "curation", "runs", "examples")
    page.write_text("\n".join(f"<!-- {name}:begin -->\n<!-- {name}:end -->" for name in names), encoding="utf-8")
    sizes = ["--pictures", "8", "--described", "5", "--checked", "2", "--measured", "2", "--steps", "1"]
    command = [str(root), str(tmp_path / "out"), *sizes, "--docs", str(page.parent)]

    real, calls = small.train, []

    def stop_at_the_third(run: small.Run, out: Path) -> None:
        calls.append(run.name)
        if len(calls) == 3:
            raise KeyboardInterrupt
        real(run, out)

    monkeypatch.setattr(small, "train", stop_at_the_third)
    assert small.main(command) == 130
    monkeypatch.setattr(small, "train", real)
    assert small.main(command) == 0
    assert "stage1-100 is finished already" in capsys.readouterr().err
    found = json.loads((page.parent / "pocket-small.json").read_text("utf-8"))
    titles = [row["title"] for row in found["rows"]]
    assert "stage 1, 100 % of the data" in titles and "stage 2 alone" in titles
    assert found["curation"]["described"] == 5 and found["curation"]["checked"] == 2
    assert found["runs"]["stage2-deep"]["steps"] == 1
    assert all(title in page.read_text("utf-8") for title in titles)
    assert small.main([*command[:2], "--pictures", "9"]) != 0
    assert "was begun with pictures 8, not 9" in capsys.readouterr().err


def _with_pockets_own(curate: Any) -> Any:
    def changed(inquisight: Any, spec: str, *rest: Any, **options: Any) -> None:
        curate(inquisight, f"{spec.partition('?')[0]}?hints=all", *rest, **options)

    return changed


def test_a_page_without_its_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="once each, not 0 times"):
        report.fill("nothing here", {"how": "x"})


def test_what_a_model_writes_is_no_markup() -> None:
    assert report.quoted("a|b <s> *c*\n_d_") == "a\\|b \\<s\\> \\*c\\* \\_d\\_"
