"""Whatever takes a model's folder says in one line what is there instead, and no library says anything before."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from agents.llm.questioners import load_questioner
from core.errors import InquisightError
from core.files.model_folder import inspect
from core.registry import get_registry
from plugins.lavis.backend import parse
from plugins.minigpt4.convert.conversion import ConversionRequest, prepare_plan
from plugins.minigpt4.runtime.training_run import check_base, open_run
from tests.core.files import model_folders as folders
from tests.plugins.blip2 import tiny_blip2
from tests.plugins.minigpt4 import convert_sources as sources
from tests.plugins.minigpt4 import tiny
from training.recipes import load_recipe
from training.stages import open_task

ROOT = Path(__file__).resolve().parents[2]
CAT = ROOT / "examples" / "photos" / "cat.jpg"
Open = Callable[[Path], object]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Good sources, for whatever stands beside the folder in question."""
    folder = tmp_path_factory.mktemp("made")
    sources.save_llm(sources.llm(), folder / "llm")
    sources.save_eye(sources.blip2(), folder / "vision")
    sources.random_projection(folder / "projection.pth", sources.HIDDEN, sources.QFORMER)
    tiny.save(folder / "minigpt4")
    tiny_blip2.save(folder / "blip2", "opt")
    return folder


def takers(made: Path) -> dict[str, tuple[str, Open]]:
    """What takes a model's folder: how the folder is called in its line, and how it is opened."""

    def join_weights(folder: Path, part: str) -> object:
        parts = {"llm": made / "llm", "vision": made / "vision"} | {part: folder}
        request = ConversionRequest(made / "projection.pth", str(parts["llm"]), (str(parts["vision"]),), made / "to")
        return prepare_plan(request)

    def train(folder: Path) -> object:
        return open_task(load_recipe("stage1-7b", {"model": str(folder), "data": str(made)}), "cpu", "float32")

    create = get_registry().create_vision
    return {
        "blip2": ("blip2:", lambda folder: create(f"blip2:{folder}")),
        "transformers": ("transformers:", lambda folder: create(f"transformers:{folder}")),
        "minigpt4": ("minigpt4:", lambda folder: create(f"minigpt4:{folder}")),
        "pocket": ("pocket:", lambda folder: create(f"pocket:{folder}")),
        "lavis": ("llm=", lambda folder: parse(f"blip2_opt?llm={folder}")),
        "huggingface": ("huggingface:", lambda folder: load_questioner(f"huggingface:{folder}")),
        "convert --llm": ("--llm ", lambda folder: join_weights(folder, "llm")),
        "train": ("model=", train),
    }


NAMES = ("blip2", "transformers", "minigpt4", "pocket", "lavis", "huggingface", "convert --llm", "train")


@pytest.mark.parametrize("name", NAMES)
def test_every_taker_names_what_is_there_instead(
    name: str, made: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    prefix, opened = takers(made)[name]
    wrong: dict[str, str] = {}
    for number, (kind, (_, _, words)) in enumerate(folders.FOLDERS.items()):
        folder = folders.build(kind, tmp_path / str(number))
        capfd.readouterr()
        with pytest.raises(InquisightError) as refused:
            opened(folder)
        line = str(refused.value)
        said = capfd.readouterr()
        right = prefix + str(folder) in line and all(word in line for word in words)
        if name == "lavis" and not folder.is_dir():
            right = "is no directory" in line
        if not right or "\n" in line or not line.endswith(".") or said.err or said.out:
            wrong[kind] = f"{line} | {said.err}{said.out}"
    assert not wrong


def test_a_vision_source_that_is_no_folder_of_a_model(
    made: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Files are LAVIS's there, so only folders are looked at."""
    wrong: dict[str, str] = {}
    for number, (kind, (_, _, words)) in enumerate(folders.FOLDERS.items()):
        folder = folders.build(kind, tmp_path / str(number))
        request = ConversionRequest(made / "projection.pth", str(made / "llm"), (str(folder),), made / "to")
        capfd.readouterr()
        with pytest.raises(InquisightError) as refused:
            prepare_plan(request)
        line = str(refused.value)
        if (folder.is_dir() and not all(word in line for word in words)) or "\n" in line or capfd.readouterr().err:
            wrong[kind] = line
    assert not wrong


def test_a_run_that_is_none(made: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    wrong: dict[str, str] = {}
    expected: tuple[str, ...]
    for number, kind in enumerate(folders.FOLDERS):
        folder = folders.build(kind, tmp_path / str(number))
        capfd.readouterr()
        with pytest.raises(InquisightError) as refused:
            get_registry().create_vision(f"trained:{folder}")
        line = str(refused.value)
        expected = (inspect(folder).words, "holds no finished training (finished.json is missing)")
        if kind == "finished run":
            expected = ("was not written by `inquisight train`",)
        elif kind == "begun run":
            expected = ("holds no finished training", "see `inquisight train status")
        right = str(folder) in line and all(words in line for words in expected)
        if not right or "\n" in line or capfd.readouterr().err:
            wrong[kind] = line
    assert not wrong


def test_a_model_given_as_a_run(made: Path) -> None:
    with pytest.raises(InquisightError, match=r"is a model and no training run; use minigpt4:.*, or name the folder"):
        open_run(made / "minigpt4")


def test_a_base_that_has_moved(made: Path, tmp_path: Path) -> None:
    tensors = tmp_path / "projection.safetensors"
    tensors.write_bytes(folders.safetensors())
    import hashlib

    digest = hashlib.sha256(tensors.read_bytes()).hexdigest()
    facts = {"kind": "inquisight-training", "base": "/gone/model", "base_digest": "x", "sha256": digest}
    folders.put(tmp_path, recipe__toml="stage = 1", finished__json=facts)
    with pytest.raises(InquisightError, match=r"is not at /gone/model; say where it is: trained:.*\?base=DIRECTORY"):
        check_base(open_run(tmp_path))


def test_pickles_are_not_for_minigpt4(made: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(made / "minigpt4", tmp_path / "m")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(InquisightError, match=r"has its weights in pytorch_model\.bin, and minigpt4 reads safetensors"):
        get_registry().create_vision(f"minigpt4:{folder}")


# ---- the commands, as they are run: standard error is the line and nothing else ------------------------------------


def run(tmp_path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    names = ("PATH", "HOME", "LANG", "TMPDIR", "OMP_NUM_THREADS")
    environment = {name: os.environ[name] for name in names if name in os.environ}
    environment |= {"PYTHONPATH": str(ROOT), "INQUISIGHT_HOME": str(tmp_path / "home"), "INQUISIGHT_LOAD_PLUGINS": ""}
    return subprocess.run(
        [sys.executable, "-m", "agents.cli", *words],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**environment, "HF_HUB_OFFLINE": "1"},
        check=False,
        stdin=subprocess.DEVNULL,
    )


def assert_one_line(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode not in (0, 70), done.stderr
    assert done.stdout == "" and done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("inquisight: ") and all(word in done.stderr for word in words), done.stderr


def change(file: Path, **values: object) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def with_own_code(made: Path, tmp_path: Path) -> Path:
    folder = shutil.copytree(made / "blip2", tmp_path / "own")
    change(folder / "config.json", model_type="owl", auto_map={"AutoConfig": "owl.Owl", "AutoModel": "owl.Owl"})
    return folder


def with_a_broken_tokenizer(made: Path, tmp_path: Path) -> Path:
    folder = shutil.copytree(made / "blip2", tmp_path / "broken")
    (folder / "tokenizer.json").write_text("{}")
    return folder


def with_too_many_layers(made: Path, tmp_path: Path) -> Path:
    folder = shutil.copytree(made / "blip2", tmp_path / "deep")
    config = json.loads((folder / "config.json").read_text())
    change(folder / "config.json", qformer_config={**config["qformer_config"], "num_hidden_layers": 4})
    return folder


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (lambda made, tmp: f"transformers:{with_own_code(made, tmp)}", ("its own code would have to run",)),
        (lambda made, tmp: f"blip2:{with_a_broken_tokenizer(made, tmp)}", ("the tokenizer in",)),
        (lambda made, tmp: f"blip2:{with_too_many_layers(made, tmp)}", ("do not fit the model", "missing")),
        (lambda made, tmp: f"transformers:{made / 'llm'}", ("type 'llama', no vision-language model",)),
        (lambda made, tmp: f"minigpt4:{made / 'blip2'}", ("language model is 'opt'",)),
        (lambda made, tmp: "blip2:nobody/nothing", ("is no directory here, and the hub cannot be reached",)),
        (lambda made, tmp: f"blip2:{folders.cache(tmp / 'models--a--b')}", ("use blip2:a/b",)),
        (lambda made, tmp: f"trained:{made / 'minigpt4'}", ("is a model and no training run",)),
    ],
)
def test_caption_refuses_in_one_line(
    spec: Callable[[Path, Path], str], words: tuple[str, ...], made: Path, tmp_path: Path
) -> None:
    assert_one_line(run(tmp_path, "caption", str(CAT), "--vision", spec(made, tmp_path)), *words)


def test_convert_refuses_in_one_line(made: Path, tmp_path: Path) -> None:
    import pickle

    (tmp_path / "bad.pth").write_bytes(pickle.dumps({"model": run}, protocol=4))  # torch warns of this protocol
    good = {"--projection": made / "projection.pth", "--llm": made / "llm", "--vision": made / "vision"}

    def join_weights(**changed: Path | str) -> subprocess.CompletedProcess[str]:
        chosen = {**good, **{f"--{name}": value for name, value in changed.items()}}
        options = [str(word) for pair in chosen.items() for word in pair]
        return run(tmp_path, "convert", "minigpt4", *options, "--to", str(tmp_path / "to"))

    assert_one_line(join_weights(projection=tmp_path / "bad.pth"), "is not a file of tensors only")
    assert_one_line(join_weights(llm="nobody/nothing"), "--llm nobody/nothing is no directory here, and the hub")
    tokenizer = shutil.copytree(made / "llm", tmp_path / "llm")
    (tokenizer / "tokenizer.json").write_text("{}")
    assert_one_line(join_weights(llm=tokenizer), "its tokenizer does not open")


def test_train_refuses_in_one_line(made: Path, tmp_path: Path) -> None:
    folders.adapter(tmp_path / "m")
    (tmp_path / "d").mkdir()
    shutil.copy(CAT, tmp_path / "d")
    (tmp_path / "d" / "cat.txt").write_text("a cat")
    done = run(
        tmp_path, "train", "stage1", "--recipe", "stage1-7b", "--set", "model=m", "--set", "data=d", "--out", "o"
    )
    assert_one_line(done, f"model={tmp_path / 'm'} is a LoRA adapter", "merge_and_unload")
