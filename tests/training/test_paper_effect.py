"""smol: its directory, training and answers; and the measures of `benchmarks.paper_effect`. With a tiny model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks.paper_effect import __main__ as effect
from benchmarks.paper_effect import measure, plan, report, said, world
from benchmarks.pocket_small.report import fill
from core.errors import BackendError, UsageError
from core.images.picture import open_picture
from core.registry import get_registry
from core.testing import make_picture
from core.vision import GenerationOptions, VisualQuestion
from plugins.minigpt4.runtime.conversation import CHATML, PromptTurns
from plugins.minigpt4.runtime.rows import RowWriter
from plugins.pocket.backend import MODEL
from plugins.smol import directory, is_smol
from plugins.smol.prepare import gguf_file, starting_projection, write
from plugins.smol.vision import NUMBERS, PLACES, TOKENS, buckets, words
from plugins.trained import export
from tests.tiny_models import byte_tokenizer
from training.features.vision import FrozenVision
from training.photographs.labels import LabelledThing, Labels
from training.preflight import check_model
from training.recipes import load_recipe, make_recipe, ready_recipe
from training.run import train
from training.stages import Wording

TRUTH: dict[str, Any] = {
    "background": "plain",
    "background_colours": ["green"],
    "things": [
        {"name": "duck", "kind": "bird", "colours": ["yellow"], "column": "left", "row": "centre"},
        {"name": "pig", "kind": "animal", "colours": ["pink"], "column": "right", "row": "top"},
    ],
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of smol with a random language model of 32."""
    tokenizer = byte_tokenizer(
        ["<|im_start|>", "<|im_end|>"], bos_token="<|im_start|>", eos_token="<|im_end|>", pad_token="<|im_end|>"
    )
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=2048, tie_word_embeddings=True, bos_token_id=0, eos_token_id=1,
        pad_token_id=1,
    )  # fmt: skip
    torch.manual_seed(0)
    to = tmp_path_factory.mktemp("smol") / "model"
    return write(to, LlamaForCausalLM(config), tokenizer, MODEL, source="tiny")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for number in range(4):
        make_picture(40 + number).image.save(folder / f"{number}.png")
        (folder / f"{number}.txt").write_text(f"picture number {number}", encoding="utf-8")
    return folder


def recipe(model: Path, pictures: Path, stage: int, **changes: Any) -> Any:
    values = {"model": str(model), "data": str(pictures), "steps": 3, "warmup": 1, "batch": 2, "dtype": "float32"}
    return load_recipe(f"smol-stage{stage}", {**values, "shuffle_buffer": 0, "streams": 1, **changes})


@pytest.fixture(scope="module")
def run(model: Path, pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(recipe(model, pictures, 1), tmp_path_factory.mktemp("runs") / "stage1")


def test_each_number_of_a_token_has_a_word(model: Path) -> None:
    vision = FrozenVision.open(model, device="cpu")
    settings = json.loads((model / "config.json").read_text("utf-8"))
    cells = settings["vision_config"]["cells"]
    named = words(cells["names"], cells["scene"])
    assert is_smol(settings)
    assert (vision.tokens, vision.width) == (TOKENS, len(named))
    assert named[:2] == cells["names"][:2] and set(PLACES) < set(named) and set(NUMBERS) < set(named)
    known, numbers = buckets()
    assert len(numbers) == 1000 and max(numbers) + 1 == len(known)


def test_a_name_begins_as_the_embedding_of_its_word(model: Path) -> None:
    import plugins.smol.modeling  # noqa: F401
    from plugins.minigpt4.runtime.loading import check
    from plugins.minigpt4.runtime.modeling import open_model

    opened = open_model(check(model).directory)
    tokenizer = byte_tokenizer(["<|im_start|>", "<|im_end|>"])
    weight, bias = starting_projection(opened.language_model, tokenizer, ["duck"], [])
    ids = tokenizer(" duck", add_special_tokens=False).input_ids
    table = opened.language_model.get_input_embeddings().weight.float()
    assert torch.allclose(weight[:, 0], table[ids].mean(0))
    assert not weight[:, 2].any() and not bias.any()  # the background has no word


def test_the_layer_trains_and_the_run_answers(run: Path, model: Path, pictures: Path) -> None:
    vision = get_registry().create_vision(f"trained:{run}")
    images = vision.encode([open_picture(pictures / "0.png")])
    assert images[0].data[0].tokens.shape == (TOKENS, 32)
    [reply] = vision.replies([VisualQuestion(images[0], "What is it?", options=GenerationOptions(max_new_tokens=4))])
    assert reply.output_tokens == 4 or reply.reason == "stop"
    vision.close()
    second = recipe(model, pictures, 2, projection=str(run))
    assert json.loads((train(second, run.with_name("stage2")) / "finished.json").read_text())["stage"] == 2


def test_a_run_is_not_exported_as_what_transformers_cannot_open(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no class for: trained:RUN opens it"):
        export(run, tmp_path / "exported")
    assert not (tmp_path / "exported").exists()


def test_prompt_of_training_is_prompt_of_the_chat(model: Path, pictures: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    trained = Wording(recipe(model, pictures, 2), tokenizer, CHATML).words("A duck.", "What is it?")
    rows = RowWriter(tokenizer, CHATML, 512)
    from plugins.minigpt4.runtime.conversation import ImageTokens

    before, _, after = rows.tokens(PromptTurns().ask(ImageTokens("one", torch.zeros(5, 32)), "What is it?"))
    assert (list(trained.before), list(trained.after)) == (before, after)
    assert tokenizer.decode(trained.target) == "A duck.<|im_end|>"
    more = PromptTurns().ask("One?").answered("Yes.").ask("Two?")
    [tokens] = rows.tokens(more)
    assert tokenizer.decode(tokens) == (
        "<|im_start|>user\nOne?<|im_end|>\n<|im_start|>assistant\nYes.<|im_end|>\n"
        "<|im_start|>user\nTwo?<|im_end|>\n<|im_start|>assistant\n"
    )


def test_a_recipe_named_smol_is_of_the_stage_that_trains(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("INQUISIGHT_HOME", str(tmp_path))
    made: list[Path] = []
    monkeypatch.setattr("plugins.smol.prepare.prepare", made.append)
    assert ready_recipe("smol", {"data": str(tmp_path)}, stage="stage1").stage == 1
    assert ready_recipe("smol", {"data": str(tmp_path), "projection": "fresh"}, stage="stage2").stage == 2
    assert made == [directory()] * 2 == [tmp_path / "models" / "smol"] * 2
    assert make_recipe({"stage": 1, "steps": 1, "warmup": 0, "model": "smol"}, "a test").model == directory()


def test_without_cached_features_it_says_so(model: Path, pictures: Path) -> None:
    with pytest.raises(UsageError, match="trains on cached features only: --set keep_features=true"):
        check_model(recipe(model, pictures, 1, keep_features=False))


def test_a_missing_language_model_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="holds no GGUF file: pip install"):
        gguf_file(tmp_path)


def test_free_text_is_held_against_a_scene() -> None:
    text = "There are two ducks on the left. A pig is at the bottom right. There is a cat."
    found = said.judge_scene(text, TRUTH, reached_limit=False)
    assert (found.wanted, found.named, found.invented) == (2, 2, 1)
    assert (found.placed, found.misplaced) == (2, 1)
    assert found.failures == ()
    assert said.judge_scene("A nice day.", TRUTH, reached_limit=False).failures == ("off the subject",)
    assert said.judge_scene("A pig and", TRUTH, reached_limit=True).failures == ("limit reached",)
    assert said.judge_scene("A pig and", TRUTH, reached_limit=False).failures == ("broken off",)
    empty = {**TRUTH, "things": []}
    assert said.judge_scene("A green background.", empty, reached_limit=False).failures == ()


def test_free_text_is_held_against_a_photograph() -> None:
    things = (LabelledThing("dog", 1, True, ("left",)), LabelledThing("tree", 3, False, ("right",)))
    labels = Labels("one", things, frozenset({"cat"}), (), False)
    found = said.judge_photograph("A dog, a cat and a car.", labels, reached_limit=False)
    assert (found.wanted, found.named, found.invented) == (2, 1, 1)


def test_statistics() -> None:
    low, high = report.interval(5, 100)
    assert (round(low, 4), round(high, 4)) == (0.0215, 0.1118)  # Wilson's, as statsmodels gives it
    assert report.paired([True] * 8 + [False] * 2, [False] * 8 + [True] * 2)[:2] == (8, 2)
    assert round(report.paired([True] * 8 + [False] * 2, [False] * 8 + [True] * 2)[2], 5) == 0.10938
    assert report.paired([False], [False]) == (0, 0, 1.0)


def test_what_sees_nothing_is_a_soft_prompt(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vision = get_registry().create_vision(f"trained:{run}")
    shown = [
        measure.Shown(f"scene {n}", make_picture(40 + n), "A red picture.", lambda text, reached_limit: JUDGED)
        for n in range(2)
    ]
    monkeypatch.setattr(measure, "ROOM", 3)
    try:
        for shows in ("nothing", "words", "picture"):
            found = measure.measure(vision, shown, tmp_path / f"{shows}.jsonl", "greedy", shows)
            assert found["pictures"] == 2
            if shows == "nothing":
                assert len(set(found["examples"])) == 1
    finally:
        vision.close()


JUDGED = said.Judged((), 1, 1, 0, 0, 0, 3)


def test_the_plan_names_runs_that_come_before() -> None:
    size = plan.Size(steps1=4, steps2=2)
    done: set[str] = set()
    for one in plan.runs(size):
        assert plan.needs(one) is None or plan.needs(one) in done
        given = plan.options(one, Path("/out"))
        load_recipe(f"smol-stage{one.stage}", [given[at] for at in range(1, len(given), 2)])
        done.add(one.name)


def test_captions_of_labels_and_shuffled_ones(tmp_path: Path) -> None:
    assert world.listed("book 1, chair 2, tree 3+") == "a book, two chairs and some trees"
    rows = [{"picture": f"image/{n}.png", "caption": f"number {n}"} for n in range(3)]
    (tmp_path / "captions.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    world.shuffle(tmp_path, tmp_path / "shuffled")
    lines = [json.loads(line) for line in (tmp_path / "shuffled" / "captions.jsonl").read_text().splitlines()]
    assert [line["caption"] for line in lines] == ["number 2", "number 0", "number 1"]


def test_finished_runs_are_kept_and_restored(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(effect, "KEPT", tmp_path / "kept")
    effect.keep(run.parents[1] / "none")
    out = tmp_path / "out"
    (out / "runs").mkdir(parents=True)
    (out / "runs" / "stage1").symlink_to(run)
    effect.keep(out)
    assert json.loads((tmp_path / "kept" / "stage1" / "finished.json").read_text())["base"] == "model"
    effect.restore(tmp_path / "again")
    from plugins.minigpt4.runtime.training_run import open_run

    assert open_run(tmp_path / "again" / "runs" / "stage1").base == tmp_path / "again" / "model"


def test_the_page_has_a_place_for_every_table() -> None:
    page = Path("docs/paper-effect.md").read_text("utf-8")
    kept = json.loads(Path("docs/paper-effect.json").read_text("utf-8"))
    assert fill(page, report.tables(kept)) == page
