"""The real salesforce-lavis 1.0.2 with small random weights, in its own environment and process: see conftest.py."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.parity import lavis_recipe as recipe
from benchmarks.parity import run_lavis as parity_lavis
from core.errors import BackendError
from core.images.picture import Picture, open_picture
from core.testing import VisionBackendTests, make_picture
from core.vision import GenerationOptions, VisualQuestion
from plugins.lavis.backend import LavisBackend
from plugins.lavis.environment import WORKER, Environment
from plugins.lavis.install import find_python, install
from tests.servers import free_port

pytestmark = pytest.mark.lavis

ORIGINAL = Path(parity_lavis.ORIGINAL)
TYPES = {"opt": "blip2_opt", "t5": "blip2_t5"}
Make = Callable[..., LavisBackend]


def picture(number: int) -> Picture:
    """One of the recipe's, as a file would be read."""
    buffer = BytesIO()
    recipe.pictures()[number].save(buffer, "PNG")
    return open_picture(buffer.getvalue(), name=f"recipe {number}")


def open_small(environment: Environment, folder: Path, kind: str, **options: Any) -> LavisBackend:
    given = {"checkpoint": folder / f"{kind}.pth", "llm": folder / kind, "device": "cpu", **options}
    query = "&".join(f"{name}={value}" for name, value in given.items())
    return LavisBackend(f"{TYPES[kind]}?{query}", environment=environment, vision=f"{ORIGINAL}:TinyVision")


@pytest.fixture(scope="module")
def make(
    lavis_environment: Environment, small_models: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Make]:
    """make(kind, **options) -> a small model behind the real command's backend."""
    from core.settings import get_settings

    made: list[LavisBackend] = []

    def build(kind: str = "opt", **options: Any) -> LavisBackend:
        made.append(open_small(lavis_environment, small_models, kind, **options))
        return made[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INQUISIGHT_HOME", str(tmp_path_factory.mktemp("home")))
        get_settings.cache_clear()
        yield build
        for backend in made:
            backend.close()
    get_settings.cache_clear()


@pytest.fixture(scope="module")
def opt(make: Make) -> LavisBackend:
    """One blip2_opt for all: LAVIS takes a while to import."""
    return make("opt")


@pytest.fixture(scope="module")
def t5(make: Make) -> LavisBackend:
    """One blip2_t5 for all."""
    return make("t5")


class _AsAnyBackend(VisionBackendTests):
    spec = "lavis"
    kind = "opt"

    @pytest.fixture
    def backend(self, request: pytest.FixtureRequest) -> LavisBackend:
        backend: LavisBackend = request.getfixturevalue(self.kind)
        return backend


class TestOpt(_AsAnyBackend):
    """blip2_opt does what every backend must do."""


class TestT5(_AsAnyBackend):
    """blip2_t5 too."""

    kind = "t5"


def test_it_says_what_lavis_says(opt: LavisBackend, small_models: Path) -> None:
    _, facts = parity_lavis.load(small_models / "outputs.npz")
    images = opt.encode([picture(0), picture(1)])
    options = GenerationOptions(max_new_tokens=recipe.MAX_NEW_TOKENS)
    asked = [
        VisualQuestion(image, question, history, options) for history, question in recipe.QUESTIONS for image in images
    ]
    wanted = [text for texts in facts["texts"] for text in texts]
    assert opt.answer(asked) == wanted
    assert len(set(wanted)) == len(wanted), "or else the comparison says little"


def test_the_kept_numbers_are_lavis_s(small_models: Path) -> None:
    found, facts = parity_lavis.load(small_models / "outputs.npz")
    kept, kept_facts = parity_lavis.load(parity_lavis.FIXTURE)
    assert {name: facts[name] for name in ("shapes", "prompts", "texts", "eos")} == {
        name: kept_facts[name] for name in ("shapes", "prompts", "texts", "eos")
    }
    assert found.keys() == kept.keys()
    for name, values in kept.items():
        # LAVIS's own float32 sums differ by up to 2e-5 between processors; a wrong layout is off by tenths
        np.testing.assert_allclose(found[name], values, atol=5e-5, err_msg=name)


def test_a_seed_gives_the_same_answer_alone_and_in_a_batch(opt: LavisBackend) -> None:
    [image] = opt.encode([make_picture()])
    options = [GenerationOptions(max_new_tokens=12, temperature=5.0, top_p=1.0, seed=seed) for seed in (1, 2, 1)]
    first, other, again = opt.answer([VisualQuestion(image, "What?", options=one) for one in options])
    assert first == again != other
    assert opt.answer([VisualQuestion(image, "What?", options=options[0])]) == [first]


def test_beams_search_wider(make: Make, opt: LavisBackend) -> None:
    greedy, wide = opt, make(beams=4)
    options = GenerationOptions(max_new_tokens=12)
    asked = [
        [VisualQuestion(image, question, options=options) for question in ("What?", "Why is it so?", None)]
        for backend in (greedy, wide)
        for image in backend.encode([picture(0)])
    ]
    assert greedy.answer(asked[0]) != wide.answer(asked[1])
    assert greedy.revision != wide.revision


def test_it_tells_what_runs_where(opt: LavisBackend) -> None:
    said = opt.describe()
    assert said["model"] == "blip2_opt pretrain_opt2.7b" and "transformers 4.26.1" in said["library"]
    assert said["device"] == "cpu" and "Python 3.11" in said["process"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda models, folder: {"checkpoint": models / "t5.pth"}, "not one of blip2_opt: it lacks opt_proj.weight"),
        (
            lambda models, folder: {"llm": _narrowed(models / "opt", folder / "narrow")},
            "trained for a language model of width 64, but '.*narrow' has 32",
        ),
        (lambda models, folder: {"checkpoint": _pickled(folder / "evil.pth")}, "no checkpoint that can be read safely"),
        (
            lambda models, folder: {"llm": _emptied(folder / "llm")},
            "llm=.* is an empty folder and has no config.json; give the folder",
        ),
        (lambda models, folder: {"device": "cuda"}, "sees no GPU; use device=cpu"),
    ],
)
def test_wrong_weights_are_one_line(
    make: Make, small_models: Path, tmp_path: Path, change: Callable[[Path, Path], dict[str, Any]], words: str
) -> None:
    with pytest.raises(BackendError, match=words) as caught:  # some are found before a process is started
        make(**change(small_models, tmp_path)).describe()
    assert "\n" not in str(caught.value)


def test_weights_of_another_size_are_one_line(lavis_environment: Environment, small_models: Path) -> None:
    """A Q-Former of the real size refuses the small checkpoint before it is asked anything."""
    folder = small_models
    backend = LavisBackend(
        f"blip2_opt?checkpoint={folder / 'opt.pth'}&llm={folder / 'opt'}&device=cpu",
        environment=lavis_environment,
        vision=f"{ORIGINAL}:FullQFormer",
    )
    with pytest.raises(BackendError, match=r"another size: query_tokens is \(1, 32, 128\) there, but \(1, 32, 768\)"):
        backend.describe()
    backend.close()


def test_the_worker_file_needs_nothing_of_ours(lavis_environment: Environment) -> None:
    done = subprocess.run(
        [str(lavis_environment.python), "-I", str(WORKER)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 and '"salesforce-lavis": "1.0.2"' in done.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_it_needs_no_package_of_the_system(lavis_environment: Environment) -> None:
    """Nothing is loaded that is not of the environment, of Python itself, or of every Linux that has a C++ compiler's
    runtime: no libGL for OpenCV, no FFmpeg, no BLAS."""
    code = (
        f"import runpy, sys; runpy.run_path({str(WORKER)!r})['import_lavis'](); import lavis.models, lavis.processors\n"
        "print(*sorted({line.split()[-1] for line in open('/proc/self/maps') if '.so' in line}), sep='\\n')\n"
        "print(sys.prefix, sys.base_prefix, sep='\\n')"
    )
    done = subprocess.run(
        [str(lavis_environment.python), "-I", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    *loaded, prefix, base = done.stdout.splitlines()
    own = tuple(f"{Path(place).resolve()}/" for place in (prefix, base))
    outside = [file for file in loaded if file.startswith("/") and not file.startswith(own)]
    names = {Path(file).name.partition(".so")[0] for file in outside}
    everywhere = {"libc", "libm", "libdl", "librt", "libpthread", "libutil", "libresolv", "libgcc_s", "libstdc++"}
    of_python = {"libz", "libbz2", "liblzma", "libffi", "libssl", "libcrypto", "libsqlite3", "libuuid", "libexpat"}
    optional = {"libfribidi"}  # for Pillow's text from right to left
    assert {name for name in names if not name.startswith("ld-")} <= everywhere | of_python | optional


@pytest.mark.slow
def test_without_a_connection_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real pip, asked to take an index where nobody listens."""
    for name in [name for name in os.environ if name.startswith(("PIP_", "UV_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{free_port()}/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    python = find_python(None)
    monkeypatch.setenv("PATH", "")  # no uv
    with pytest.raises(BackendError, match=r"setuptools could not be installed .*; check the connection") as caught:
        install(Environment(tmp_path / "env"), python, say=lambda _: None)
    assert "\n" not in str(caught.value)


def _narrowed(llm: Path, folder: Path) -> Path:
    shutil.copytree(llm, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "hidden_size": 32}))
    return folder


def _pickled(file: Path) -> Path:
    import torch

    torch.save({"model": Path("/")}, file)  # an object, which a checkpoint has no reason to hold
    return file


def _emptied(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder
