"""What a model takes is known before it is read: too much is one clear line, and not a process that disappears."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch

from benchmarks import conversation, full_size
from core.errors import BackendError
from core.testing import make_picture
from core.vision import VisualQuestion
from plugins.hf import memory
from plugins.hf.memory import memory_plan
from plugins.minigpt4.runtime import load_options as choices
from plugins.minigpt4.runtime.backend import MiniGPT4Backend
from plugins.minigpt4.runtime.load_options import LoadOptions, choose
from plugins.minigpt4.runtime.loading import check, load
from tests.plugins.minigpt4.tiny import make_model, save

GB = 1e9


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("minigpt4"))


@pytest.fixture(scope="module")
def seven() -> dict[str, object]:
    """The 7B's configuration and shapes; nothing is allocated."""
    config = full_size.configuration("7b")
    return {"config": config.to_dict(), "shapes": full_size.shapes_of(config)}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_the_plan_is_what_a_loaded_model_takes(directory: Path, dtype: str) -> None:
    checked = check(directory)
    planned = memory_plan(checked.config, checked.shapes, dtype)
    model = load(checked, LoadOptions(dtype=dtype, device="cpu")).model  # type: ignore[arg-type]
    taken = {id(tensor): tensor.nbytes for tensor in model.state_dict().values()}
    assert planned.total_weights == sum(taken.values())
    cache = model.language_model(input_ids=torch.ones(1, 7, dtype=torch.long), use_cache=True).past_key_values
    assert planned.per_token * 7 == sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)


@pytest.mark.slow
def test_the_7b_in_figures(seven: dict[str, object]) -> None:
    half = memory_plan(**seven, dtype="bfloat16")  # type: ignore[arg-type]
    assert half.parameters["projection"] == 3_149_824
    assert half.parameters["language model"] == 6_738_415_616 + 2 * 2 * 4096  # LLaMA-7B with two rows more
    assert half.per_token == 524_288 and half.context == 2048
    assert 15.4 * GB < half.total_weights < 15.9 * GB
    eighth = memory_plan(**seven, dtype="bfloat16", quantize="8bit")  # type: ignore[arg-type]
    fourth = memory_plan(**seven, dtype="bfloat16", quantize="4bit")  # type: ignore[arg-type]
    assert half.weights["vision tower"] == fourth.weights["vision tower"], "only the language model is quantised"
    assert 8.9 * GB < eighth.total_weights < 9.4 * GB and 5.9 * GB < fourth.total_weights < 6.5 * GB


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """What devices have left; a GPU is there where it is named."""
    left: dict[str, int] = {}
    monkeypatch.setattr(choices, "free_memory", left.get)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: "cuda:0" in left)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: sum(place != "cpu" for place in left))
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: True)
    return left


@pytest.mark.parametrize(
    ("left", "options", "says"),
    [
        ({"cpu": 12}, {}, "15.9 GB as bfloat16, and 12.0 GB are free on cpu: close other programs, or take a smaller"),
        ({"cpu": 20}, {"dtype": "float32"}, "or say ?dtype=bfloat16 (16.9 GB) behind the directory"),
        (
            {"cpu": 20, "cuda:0": 12},
            {},
            "on cuda:0: close other programs, or say ?quantize=8bit (10.5 GB) or ?quantize=4bit",
        ),
        ({"cpu": 20, "cuda:0": 9}, {}, "or say ?quantize=4bit (7.6 GB) or ?device_map=auto"),
        ({"cpu": 2, "cuda:0": 9}, {"device_map": "auto"}, "11.0 GB are free on all devices together"),
    ],
)
def test_what_does_not_fit_is_one_clear_line(
    seven: dict[str, object], free: dict[str, int], left: dict[str, int], options: dict[str, str], says: str
) -> None:
    free.update({place: int(size * GB) for place, size in left.items()})
    with pytest.raises(BackendError) as error:
        choose(LoadOptions(**options), **seven, where="minigpt4-7b")  # type: ignore[arg-type]
    assert str(error.value).startswith("minigpt4-7b takes ") and "\n" not in str(error.value)
    assert says in str(error.value)


def test_where_float32_does_not_fit_bfloat16_is_taken_and_said(seven: dict[str, object], free: dict[str, int]) -> None:
    free["cpu"] = int(20 * GB)
    chosen = choose(LoadOptions(), **seven, where="minigpt4-7b")  # type: ignore[arg-type]
    assert chosen.dtype == "bfloat16"
    assert chosen.why.endswith("bfloat16 because float32 would take 31.7 GB and 20.0 GB are free")
    free["cpu"] = int(40 * GB)
    assert choose(LoadOptions(), **seven, where="minigpt4-7b").dtype == "float32"  # type: ignore[arg-type]


def test_little_room_for_a_conversation_is_said(
    seven: dict[str, object], free: dict[str, int], caplog: pytest.LogCaptureFixture
) -> None:
    free["cuda:0"] = int(16.3 * GB)
    with caplog.at_level(logging.WARNING, "inquisight"):
        chosen = choose(LoadOptions(), **seven, where="minigpt4-7b")  # type: ignore[arg-type]
    assert chosen.device == "cuda:0"
    assert (
        "minigpt4-7b: 0.6 GB are free after the weights, and a conversation of 2048 tokens would take 1.1"
        in caplog.text
    )


def test_a_backend_refuses_before_it_reads_and_says_what_it_took(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    eye = MiniGPT4Backend(str(directory))
    assert "GB of weights" in eye.describe()["memory"] and "2048 tokens" in eye.describe()["memory"]
    assert eye.answer([VisualQuestion(eye.encode([make_picture()])[0], "What?")])
    monkeypatch.setattr(choices, "free_memory", lambda device: 1000)
    monkeypatch.setattr("plugins.minigpt4.runtime.modeling.model_class", lambda directory: pytest.fail("it was read"))
    with pytest.raises(BackendError, match=r"0\.0 GB are free on"):
        MiniGPT4Backend(str(directory))


def test_the_free_memory_of_a_device() -> None:
    assert (memory.free_memory("cpu") or 0) > 1_000_000
    assert memory.free_memory("mps") is None


def test_the_command_prints_the_plan_without_the_memory_for_it(capsys: pytest.CaptureFixture[str]) -> None:
    told = full_size.plan_in_words("13b")
    assert "| projection | 3,937,280 |" in told
    assert "| fits a GPU of 24 GB | | - | - | yes | yes |" in told
    assert full_size.main(["--size", "7b", "--tokens", "1"]) == 2
    assert "--tokens must be 2 or more" in capsys.readouterr().err


@pytest.mark.slow
def test_the_full_size_run_on_a_model_of_no_size(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What `--run` does with the 7B, from writing the directory to the report."""
    arguments = ["--size", "tiny", "--run", "--device", "cpu", "--tokens", "4", "--directory", str(tmp_path / "model")]
    assert full_size.main(arguments) == 0
    assert "Answered and streamed the same." in capsys.readouterr().out
    assert make_model().config.model_type == check(tmp_path / "model").config["model_type"]


@pytest.mark.slow
def test_both_ways_of_holding_a_conversation_say_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    """What the benchmark compares is the same work: the original reads everything again, ours what is new."""
    assert conversation.main(["--size", "tiny", "--repeats", "1", "--turns", "2", "--tokens", "2"]) == 0
    told = capsys.readouterr().out
    assert "Both ways said the same." in told
    assert "Encodes, the originals' way and ours: 1 and 1; 11 and 1; 11 and 1." in told
    assert conversation.main(["--turns", "11"]) == 2
