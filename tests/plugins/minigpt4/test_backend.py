"""`minigpt4:DIRECTORY`: what every backend must do, and one clear line for every directory that cannot work."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from core.errors import BackendError, InquisightError, UsageError
from core.testing import VisionBackendTests, make_picture
from core.vision import GenerationOptions, VisionBackend, VisualQuestion
from plugins.hf.generation import DecodingOptions
from plugins.minigpt4.runtime.backend import MiniGPT4Backend
from plugins.minigpt4.runtime.conversation import LLAMA2, VICUNA
from plugins.minigpt4.runtime.engine import ORIGINAL
from plugins.minigpt4.runtime.loading import LoadOptions, check
from plugins.minigpt4.runtime.modeling import MiniGPT4WithoutQFormer
from tests.plugins.minigpt4.tiny import make_model, save

OPTIONS = GenerationOptions(max_new_tokens=10)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("minigpt4"))


@pytest.fixture
def copy(directory: Path, tmp_path: Path) -> Path:
    """A directory that may be damaged."""
    return Path(shutil.copytree(directory, tmp_path / "copy"))


@pytest.fixture(scope="module")
def eye(directory: Path) -> MiniGPT4Backend:
    return MiniGPT4Backend(str(directory))


class TestMiniGPT4(VisionBackendTests):
    """The agreement of all backends, on random weights."""

    @pytest.fixture(scope="class")
    def backend(self, directory: Path) -> Iterator[VisionBackend]:
        backend = MiniGPT4Backend(str(directory))
        yield backend
        backend.close()


def test_each_picture_is_looked_at_once(directory: Path) -> None:
    eye = MiniGPT4Backend(str(directory))
    red, blue = make_picture(colour=(255, 0, 0)), make_picture(colour=(0, 0, 255))
    images = eye.encode([red, blue, red])
    assert images[0] == images[2] and eye.engine.counts.pictures == 2
    eye.encode([blue, red])
    eye.answer([VisualQuestion(image, text, options=OPTIONS) for image in images for text in ("What?", "Where?")])
    assert eye.engine.counts.pictures == 2
    assert eye.engine.counts.prefills == 2, "what is common to each picture's questions once, then all that differs"


@pytest.mark.slow
def test_several_pictures_in_one_question(eye: MiniGPT4Backend) -> None:
    red, blue = eye.encode([make_picture(colour=(255, 0, 0)), make_picture(colour=(0, 0, 255))])
    both = eye.together([red, blue])
    assert both.key not in {red.key, blue.key} and both != eye.together([blue, red])
    assert eye.together([red]) is red
    history = (("What is it?", "Two colours."),)
    [answer] = eye.answer([VisualQuestion(both, "Which is darker?", history, OPTIONS)])
    assert answer == "".join(eye.stream(VisualQuestion(both, "Which is darker?", history, OPTIONS)))
    with pytest.raises(UsageError, match="17 pictures"):
        eye.together([red] * 17)


def test_questions_with_different_options_come_back_in_order(eye: MiniGPT4Backend) -> None:
    red, blue = eye.encode([make_picture(colour=(255, 0, 0)), make_picture(colour=(0, 0, 255))])
    sampled = GenerationOptions(max_new_tokens=8, temperature=1.5, seed=3)
    questions = [
        VisualQuestion(image, text, options=options)
        for text, options in (("What?", OPTIONS), ("Where?", sampled), ("Why?", OPTIONS), (None, sampled))
        for image in (red, blue)
    ]
    assert eye.answer(questions) == [eye.answer([question])[0] for question in questions]


def test_a_picture_of_another_model_is_refused(eye: MiniGPT4Backend, copy: Path) -> None:
    [image] = eye.encode([make_picture()])
    weights = load_file(copy / "model.safetensors")
    weights["language_projection.weight"] += 1
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    other = MiniGPT4Backend(str(copy))
    assert other.revision != eye.revision
    with pytest.raises(BackendError, match="encode it again"):
        other.answer([VisualQuestion(image, "What?")])


def test_it_says_what_was_chosen_and_why(eye: MiniGPT4Backend, directory: Path) -> None:
    told = eye.describe()
    assert told["dtype"] in eye.revision and told["device"] and "because" in told["why"]
    assert told["attention"] == "sdpa" and told["format"] == "vicuna" and told["context"] == "2048 tokens"
    half = MiniGPT4Backend(f"{directory}?dtype=bfloat16&format=llama2&device=cpu")
    assert half.revision != eye.revision and half.describe()["format"] == "llama2"
    assert half.describe()["why"] == "cpu was requested; bfloat16 was requested"
    [image] = half.encode([make_picture()])
    assert isinstance(half.answer([VisualQuestion(image, "What?", options=OPTIONS)])[0], str)


def test_the_same_directory_elsewhere_is_the_same_revision(directory: Path, copy: Path) -> None:
    assert check(directory).digest == check(copy).digest


def test_the_format_is_read_from_the_chat_template(copy: Path) -> None:
    assert check(copy).format is VICUNA
    (copy / "chat_template.jinja").write_text("{{ '[INST] ' + messages[0].content + ' [/INST]' }}")
    assert check(copy).format is LLAMA2
    assert check(copy, "vicuna").format is VICUNA


def test_the_manifest_names_the_format_and_the_files(copy: Path) -> None:
    size = (copy / "model.safetensors").stat().st_size
    manifest = {
        "format": "llama2",
        "files": [{"file": "model.safetensors", "bytes": size, "sha256": "a"}],
        "created": 1,
    }
    (copy / "manifest.json").write_text(json.dumps(manifest))
    checked = check(copy)
    assert checked.format is LLAMA2
    (copy / "manifest.json").write_text(json.dumps(manifest | {"created": 2}))
    assert check(copy).digest == checked.digest, "the same weights, converted again"
    manifest["files"] = [{"file": "model.safetensors", "bytes": size + 1, "sha256": "a"}]
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BackendError, match=f"has {size} bytes, but manifest.json says {size + 1}"):
        check(copy)


def test_the_variant_without_q_former(tmp_path: Path) -> None:
    config = make_model().config
    config.num_query_tokens = 1
    torch.manual_seed(0)
    directory = save(tmp_path / "plain", MiniGPT4WithoutQFormer(config).eval())
    eye = MiniGPT4Backend(str(directory))
    images = eye.encode([make_picture(colour=(255, 0, 0)), make_picture(colour=(0, 0, 255))])
    assert [image.data[0].tokens.shape for image in images] == [(1, 64), (1, 64)]
    questions = [VisualQuestion(image, "What is it?", options=OPTIONS) for image in images]
    assert eye.answer(questions) == [eye.answer([question])[0] for question in questions]


def change(file: str, **values: object) -> Callable[[Path], object]:
    def damage(directory: Path) -> object:
        path = directory / file
        return path.write_text(json.dumps(json.loads(path.read_text()) | values))

    return damage


def tensors(**shapes: object) -> Callable[[Path], object]:
    def damage(directory: Path) -> None:
        weights = load_file(directory / "model.safetensors")
        for name, how in shapes.items():
            key = next(key for key in weights if key.endswith(name.replace("__", ".")))
            if how is None:
                del weights[key]
            else:
                weights[key] = weights[key][: int(str(how))].contiguous()
        save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})

    return damage


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda d: shutil.rmtree(d), "does not exist; minigpt4 needs a directory"),
        (lambda d: (d / "config.json").unlink(), "has no config.json"),
        (lambda d: (d / "config.json").write_text("{"), "cannot be read as JSON"),
        (lambda d: (d / "config.json").write_text("[]"), "holds no JSON object"),
        (change("config.json", model_type="llava"), "type 'llava', not a MiniGPT-4"),
        (change("config.json", text_config={"model_type": "opt"}), "language model is 'opt'"),
        (lambda d: (d / "model.safetensors").unlink(), "has no weights: expected model.safetensors"),
        (lambda d: (d / "model.safetensors").write_bytes(b"<html>not found</html>"), "no safetensors file"),
        (lambda d: (d / "model.safetensors").open("ab").write(b"x"), "cut short or no safetensors file"),
        (
            lambda d: (d / "model.safetensors.index.json").write_text('{"weight_map": {"a": "m-1-of-2.safetensors"}}'),
            "m-1-of-2.safetensors is missing",
        ),
        (lambda d: (d / "tokenizer.json").unlink(), "has no tokenizer.json"),
        (tensors(language_projection__weight=None), "no language_projection.weight"),
        (tensors(language_projection__weight=32), "leads to size 32, but its language model has size 64"),
        (tensors(embed_tokens__weight=100), "100 tokens, but config.json says"),
        (tensors(query_tokens=None), "1 missing (first query_tokens)"),
    ],
)  # fmt: skip
def test_a_directory_that_cannot_work_is_one_clear_line(
    copy: Path, damage: Callable[[Path], object], says: str
) -> None:
    damage(copy)
    with pytest.raises(BackendError) as error:
        MiniGPT4Backend(str(copy))
    assert says in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("argument", "says"),
    [
        (None, "inquisight convert minigpt4"),
        ("?dtype=float64", "dtype='float64' is not known; choose one of auto, float32"),
        ("?quantise=8bit", "no option 'quantise'; it has dtype"),
        ("?quantize=8bit", "needs the package bitsandbytes"),
        ("?device=cuda:77", "there is no cuda:77"),
        ("?device=toaster", "device='toaster' is not known"),
        ("?format=alpaca", "choose one of vicuna"),
        ("?top_k=many", "top_k='many' is no whole number"),
        ("?num_beams=0", "num_beams is 0, but must be at least 1"),
    ],
)
def test_an_argument_that_cannot_work_is_one_clear_line(directory: Path, argument: str | None, says: str) -> None:
    with pytest.raises(InquisightError) as error:
        MiniGPT4Backend(None if argument is None else f"{directory}{argument}")
    assert says in str(error.value) and "\n" not in str(error.value)


def test_options_stand_behind_the_directory(directory: Path) -> None:
    assert LoadOptions.parse(str(directory)) == (str(directory), LoadOptions())
    assert LoadOptions.parse(f"{directory}?quantize=4bit&compile=yes")[1] == LoadOptions(quantize="4bit", compile=True)


def test_every_decoding_option_of_the_original_can_be_chosen(eye: MiniGPT4Backend, directory: Path) -> None:
    given = "top_k=7&num_beams=3&min_length=2&repetition_penalty=1.3&length_penalty=0.5"
    other = MiniGPT4Backend(f"{directory}?{given}")
    assert other.describe()["decoding"] == (
        "top_k 7, num_beams 3, min_length 2, repetition_penalty 1.3, length_penalty 0.5"
    )
    assert "decoding" not in eye.describe() and other.revision == eye.revision
    sampled = GenerationOptions(40, temperature=0.7, top_p=0.8, seed=3)
    assert eye._decoding(sampled) == replace(ORIGINAL, max_new_tokens=40, temperature=0.7, top_p=0.8, seed=3)
    assert other._decoding(sampled) == DecodingOptions(40, True, 0.7, 0.8, 7, 3, 1.3, 0.5, 2, 3)
    [image] = other.encode([make_picture()])
    question = VisualQuestion(image, "What?", options=OPTIONS)
    wanted = other._decoding(OPTIONS)
    assert (wanted.do_sample, wanted.num_beams, wanted.repetition_penalty) == (False, 3, 1.3)
    [by_engine] = eye.engine.answer([eye._conversation(question)], wanted)
    assert other.answer([question]) == [by_engine.text] == ["".join(other.stream(question))]
