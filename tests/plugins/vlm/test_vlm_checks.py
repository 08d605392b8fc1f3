"""`transformers:NAME` with something wrong: one clear line each, and nothing else."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import huggingface_hub
import pytest
import torch
from safetensors.torch import load_file, save_file

from core.errors import BackendError, InquisightError, UsageError
from core.testing import make_picture
from core.vision import GenerationOptions, VisualQuestion
from plugins.hf.batching import without
from plugins.vlm.backend import TransformersBackend
from tests.plugins.blip2 import tiny_blip2
from tests.plugins.vlm.tiny_vlm import TEMPLATE, llava


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("llava")
    llava(made)
    return made


@pytest.fixture
def copy(directory: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(directory, tmp_path / "copy"))


def change(file: str, **values: object) -> Callable[[Path], object]:
    def damage(directory: Path) -> object:
        path = directory / file
        return path.write_text(json.dumps(json.loads(path.read_text()) | values))

    return damage


def tensors(ending: str, rows: int | None) -> Callable[[Path], object]:
    def damage(directory: Path) -> None:
        weights = load_file(directory / "model.safetensors")
        key = next(key for key in weights if key.endswith(ending))
        if rows is None:
            del weights[key]
        else:
            weights[key] = weights[key][:rows].contiguous()
        save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})

    return damage


def template(text: str) -> Callable[[Path], object]:
    return lambda directory: (directory / "chat_template.jinja").write_text(text)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda d: (d / "config.json").unlink(), "has no config.json"),
        (lambda d: (d / "config.json").write_text("{"), "cannot be read as JSON"),
        (change("config.json", model_type="llama"), "type 'llama', no vision-language model"),
        (change("config.json", model_type="owl", auto_map={"AutoModel": "owl.Owl"}), "its own code would have to run"),
        (lambda d: (d / "model.safetensors").unlink(), "has no weights"),
        (lambda d: (d / "model.safetensors").write_bytes(b"<html>"), "no safetensors file"),
        (tensors("multi_modal_projector.linear_1.weight", None), "1 missing"),
        (tensors("multi_modal_projector.linear_1.weight", 3), "linear_1.weight: [3, 32] instead of [64, 32]"),
        (lambda d: (d / "tokenizer.json").unlink(), "the processor of"),
        (
            lambda d: [path.unlink() for path in d.glob("*processor_config.json")],
            "the processor of",
        ),
        (lambda d: (d / "chat_template.jinja").unlink(), "has no chat template"),
        (template("{{ messages[0].content[1].text }}"), "leaves out what is asked"),
        (template("{% for m in messages %}{{ m.content[-1].text }}{% endfor %}"), "does not write <image> once"),
        (template("{{ raise_exception('only one turn') }}"), "cannot render a chat about a picture"),
        (template("{% if %}"), "cannot render a chat about a picture"),
    ],
)
def test_a_directory_that_cannot_work_is_one_clear_line(
    copy: Path, damage: Callable[[Path], object], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(copy)
    with pytest.raises(BackendError) as error:
        TransformersBackend(str(copy))
    assert says in str(error.value) and "\n" not in str(error.value)
    assert capsys.readouterr().err == "", "nothing but the line"


@pytest.mark.parametrize(
    ("argument", "says"),
    [
        (None, "transformers needs a model: transformers:Qwen/"),
        ("?dtype=float64", "dtype='float64' is not known"),
        ("?temperature=1", "transformers has no option 'temperature'; it has dtype"),
        ("?quantize=8bit", "needs the package bitsandbytes"),
        ("?device=cuda:77", "there is no cuda:77"),
        ("?template=nowhere.jinja", "template=nowhere.jinja is no readable text file"),
    ],
)
def test_an_argument_that_cannot_work_is_one_clear_line(directory: Path, argument: str | None, says: str) -> None:
    with pytest.raises(InquisightError) as error:
        TransformersBackend(None if argument is None else f"{directory}{argument}")
    assert says in str(error.value) and "\n" not in str(error.value)


def test_a_name_that_is_nowhere_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(BackendError, match="transformers: nobody/nothing-at-all is no directory here"):
        TransformersBackend("nobody/nothing-at-all")
    with pytest.raises(UsageError, match="no directory here and no name on the hub"):
        TransformersBackend(str(tmp_path / "nowhere"))


def test_a_template_of_ones_own_is_the_way_out(copy: Path, tmp_path: Path) -> None:
    (copy / "chat_template.jinja").unlink()
    with pytest.raises(BackendError, match=r"has no chat template.*\?template=FILE"):
        TransformersBackend(str(copy))
    own = tmp_path / "own.jinja"
    own.write_text(TEMPLATE.replace("PICTURE", "<image>"))
    eye = TransformersBackend(f"{copy}?template={own}")
    assert eye.describe()["template"] == str(own)
    [image] = eye.encode([make_picture()])
    question = VisualQuestion(image, "What?", options=GenerationOptions(max_new_tokens=5))
    assert "".join(eye.stream(question)) == eye.answer([question])[0]


@pytest.mark.parametrize(("inner", "other"), [("opt", "blip2:"), ("llama", "minigpt4:")])
def test_a_blip2_is_sent_to_its_own_eye(tmp_path: Path, inner: str, other: str) -> None:
    directory = tiny_blip2.save(tmp_path / "blip2", "opt")
    change("config.json", text_config={"model_type": inner})(directory)
    with pytest.raises(BackendError, match=f"does not chat by a template; say {other}"):
        TransformersBackend(str(directory))


def test_tensors_without_use_are_told(copy: Path) -> None:
    weights = load_file(copy / "model.safetensors")
    save_file(weights | {"left.over": torch.zeros(2)}, copy / "model.safetensors", metadata={"format": "pt"})
    assert TransformersBackend(str(copy)).describe()["unused tensors"] == "1, such as left.over"


def test_what_a_model_cannot_do_with_a_picture_is_one_line(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    eye = TransformersBackend(str(directory))
    [image] = eye.encode([make_picture()])

    def broken(**_: object) -> None:
        raise RuntimeError("shapes do not match\nand a second line")

    monkeypatch.setattr(eye.model, "generate", broken)
    question = VisualQuestion(image, "What?")
    for ask in (lambda: eye.answer([question]), lambda: list(eye.stream(question))):
        with pytest.raises(BackendError, match="LlavaForConditionalGeneration could not answer") as error:
            ask()
        assert "\n" not in str(error.value) and "second" not in str(error.value)


def test_out_of_memory_halves_the_batch_and_says_so(
    directory: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    eye = TransformersBackend(str(directory))
    [image] = eye.encode([make_picture()])
    questions = [VisualQuestion(image, text, options=GenerationOptions(max_new_tokens=5)) for text in "abcd"]
    expected = eye.answer(questions)
    real, fits = eye.model.generate, 2

    def small(**inputs: torch.Tensor) -> object:
        if len(inputs["input_ids"]) > fits:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return real(**inputs)

    monkeypatch.setattr(eye.model, "generate", small)
    assert eye.answer(questions) == expected
    assert "not enough memory for 4 questions at a time: going on with 2" in caplog.text
    fits = 0
    for ask in (lambda: eye.answer(questions), lambda: list(eye.stream(questions[0]))):
        with pytest.raises(BackendError, match="not enough memory for one question; ask about fewer"):
            ask()


def test_a_closed_eye_says_so(directory: Path) -> None:
    eye = TransformersBackend(str(directory))
    eye.close()
    with pytest.raises(BackendError, match="was closed"):
        eye.encode([make_picture()])


def test_marks_are_taken_out_until_none_is_left() -> None:
    assert without("a <ima<image>ge> b</S>", ("<image>", "</s>")) == "a  b"
    assert without("  Question: what? ", (), r"question\s*:") == "what?"
    assert without(" as it was ", ()) == "as it was"
