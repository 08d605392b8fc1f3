"""A finished fine-tuning in use: as `blip2:RUN`, exported, and as an adapter of peft; the answers are the same ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from transformers import AutoTokenizer, Blip2ForConditionalGeneration, BlipImageProcessorPil

from core.errors import BackendError, UsageError
from core.images.picture import open_picture
from core.registry import get_registry
from core.vision import GenerationOptions, VisualQuestion
from plugins.blip2.backend import Blip2Backend
from tests.plugins.blip2.tiny_blip2 import QUERIES
from tests.training.blip2.tiny_blip2_run import KINDS, blip2_recipe, make_blip2_world
from training.commands import main
from training.run import train

LENGTH = 8
QUESTION = "Is it red?"
WAYS: dict[str, dict[str, Any]] = {
    "qformer": {"train": "qformer"},
    "lora": {"train": "lora", "lora_parts": ["language_model", "qformer"]},
}


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {kind: make_blip2_world(tmp_path_factory.mktemp(kind), kind) for kind in KINDS}


@pytest.fixture(scope="module")
def runs(worlds: dict[str, Path]) -> dict[tuple[str, str], Path]:
    """What each way of training made of each kind of model, on questions."""
    return {
        (kind, way): train(blip2_recipe(root, task="vqa", lr=5e-3, **changes), root / way)
        for kind, root in worlds.items()
        for way, changes in WAYS.items()
    }


def asked(backend: Any, picture: Path) -> list[str]:
    """The plain caption, and the answer to the question."""
    [image] = backend.encode([open_picture(picture)])
    options = GenerationOptions(max_new_tokens=LENGTH)
    return [reply.text for reply in backend.replies(
        [VisualQuestion(image, question, options=options) for question in (None, QUESTION)]
    )]  # fmt: skip


def plain(model: Any, directory: Path, picture: Path, prompt: str) -> str:
    """The answer of plain transformers."""
    tokenizer = AutoTokenizer.from_pretrained(directory)
    pixels = BlipImageProcessorPil.from_pretrained(directory)([Image.open(picture).convert("RGB")], return_tensors="pt")
    ids = [*[tokenizer.convert_tokens_to_ids("<image>")] * QUERIES, *tokenizer(prompt).input_ids]
    suppressed = [
        tokenizer.convert_tokens_to_ids("<image>"),
        *range(len(tokenizer), model.config.text_config.vocab_size),
    ]
    made = model.generate(
        pixel_values=pixels.pixel_values,
        input_ids=torch.tensor([ids]),
        attention_mask=torch.ones(1, len(ids), dtype=torch.long),
        max_new_tokens=LENGTH,
        do_sample=False,
        suppress_tokens=suppressed,
        eos_token_id=[2, *tokenizer("\n", add_special_tokens=False).input_ids],
    )[0]
    new = made[len(ids) :] if model.config.use_decoder_only_language_model else made
    text: str = tokenizer.decode(new, skip_special_tokens=True)
    return text.partition("\n")[0].strip()


@pytest.mark.parametrize("way", sorted(WAYS))
@pytest.mark.parametrize("kind", KINDS)
def test_a_run_its_export_and_plain_transformers_answer_the_same(
    worlds: dict[str, Path], runs: dict[tuple[str, str], Path], tmp_path: Path, kind: str, way: str
) -> None:
    run, picture = runs[kind, way], worlds[kind] / "pictures" / "003.png"
    used = Blip2Backend(str(run))
    untrained = Blip2Backend(str(worlds[kind] / "model"))
    answers = asked(used, picture)
    assert answers != asked(untrained, picture) and used.revision != untrained.revision
    assert main(["export", str(run), "--to", str(tmp_path / "export")]) == 0
    exported = Blip2Backend(str(tmp_path / "export"))
    assert asked(exported, picture) == answers
    assert exported.engine.rows.question == used.engine.rows.question
    form = "Question: {} Answer:" if kind == "opt" else "Question: {} Short answer:"
    assert used.engine.rows.question == form
    model = Blip2ForConditionalGeneration.from_pretrained(tmp_path / "export").eval()
    said = [plain(model, tmp_path / "export", picture, prompt) for prompt in ("", form.replace("{}", QUESTION))]
    assert said == [answer.strip() for answer in answers]
    assert form in (tmp_path / "export" / "README.md").read_text()


@pytest.mark.parametrize("kind", KINDS)
def test_an_adapter_of_peft_answers_the_same(
    worlds: dict[str, Path], runs: dict[tuple[str, str], Path], tmp_path: Path, kind: str
) -> None:
    peft = pytest.importorskip("peft")
    assert main(["export", str(runs[kind, "lora"]), "--to", str(tmp_path / "adapter"), "--adapter"]) == 0
    base, picture = worlds[kind] / "model", worlds[kind] / "pictures" / "003.png"
    model = peft.PeftModel.from_pretrained(Blip2ForConditionalGeneration.from_pretrained(base), tmp_path / "adapter")
    used = Blip2Backend(str(runs[kind, "lora"]))
    prompt = used.engine.rows.question.replace("{}", QUESTION)
    assert plain(model.eval(), base, picture, prompt) == asked(used, picture)[1].strip()
    weights = sum(path.stat().st_size for path in (tmp_path / "adapter").glob("*.safetensors"))
    assert weights < 0.5 * (base / "model.safetensors").stat().st_size


def test_the_registry_opens_it_under_both_names(runs: dict[tuple[str, str], Path]) -> None:
    run = runs["opt", "qformer"]
    for name in (f"blip2:{run}", f"trained:{run}"):
        assert isinstance(get_registry().create_vision(name), Blip2Backend)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"base": "/nowhere"}, "say where it is: blip2:"),
        ({"base_digest": "0" * 12}, "is not the model that"),
        ({"sha256": "0"}, "is not the file that was written"),
        ({"stage": 2}, "is a training run and no model by itself"),
    ],
)
def test_a_run_that_cannot_be_used_is_one_line(
    runs: dict[tuple[str, str], Path], tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    source = runs["opt", "qformer"]
    (run / "projection.safetensors").write_bytes((source / "projection.safetensors").read_bytes())
    facts = json.loads((source / "finished.json").read_text())
    (run / "finished.json").write_text(json.dumps({**facts, **change}))
    with pytest.raises(BackendError) as raised:
        Blip2Backend(str(run))
    assert said in str(raised.value) and "\n" not in str(raised.value)


def test_options_that_have_no_meaning_are_one_line(
    worlds: dict[str, Path], runs: dict[tuple[str, str], Path], tmp_path: Path
) -> None:
    model = worlds["opt"] / "model"
    with pytest.raises(UsageError, match="base= has no meaning"):
        Blip2Backend(f"{model}?base=/x")
    with pytest.raises(UsageError, match="where the question goes"):
        Blip2Backend(f"{model}?question=Answer:")
    from plugins.trained import export

    with pytest.raises(UsageError, match="trained no LoRA"):
        export(runs["opt", "qformer"], tmp_path / "to", adapter=True)
    with pytest.raises(UsageError, match="holds other things"):
        export(runs["opt", "qformer"], model)
    moved = runs["opt", "qformer"]
    assert Blip2Backend(f"{moved}?base={model}&question=Q: {{}} A:").engine.rows.question == "Q: {} A:"


def test_a_finished_run_can_be_continued(worlds: dict[str, Path], runs: dict[tuple[str, str], Path]) -> None:
    root, first = worlds["opt"], runs["opt", "qformer"]
    recipe = blip2_recipe(root, task="vqa", model=str(first))
    assert recipe.model == root / "model" and recipe.begin == first
    from safetensors.torch import load_file

    from training.blip2.opening import open_blip2

    learned = open_blip2(recipe, "cpu", "float32").task.learned()
    for name, value in load_file(first / "projection.safetensors").items():
        assert torch.equal(learned[name], value)
    with pytest.raises(UsageError, match="trained qformer, this recipe lora: --set train=qformer"):
        open_blip2(blip2_recipe(root, model=str(first), train="lora"), "cpu", "float32")
