"""`lavis:` and `inquisight lavis` as far as they go without salesforce-lavis."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from core.errors import BackendError, InquisightError, UsageError
from core.settings import get_settings
from core.testing import make_picture
from core.vision import VisualQuestion
from plugins.lavis import backend as lavis_backend
from plugins.lavis.backend import MODELS, LavisBackend, parse
from plugins.lavis.commands import lavis
from plugins.lavis.environment import MARK, PINS, Environment, choose, chosen, ready
from plugins.lavis.install import find_python, install

ROOT = Path(__file__).resolve().parents[3]
posix = pytest.mark.skipif(os.name != "posix", reason="the stand-in for uv is a script")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("INQUISIGHT_HOME", str(tmp_path / "home"))
    get_settings.cache_clear()
    yield tmp_path / "home"
    get_settings.cache_clear()


# What a user may type


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        (None, "lavis needs a model: lavis:blip2_t5/pretrain_flant5xl"),
        ("blip2_t5_instruct", "no model 'blip2_t5_instruct' that answers questions: InstructBLIP came after"),
        ("blip_vqa", "there is blip2_opt and blip2_t5"),
        ("blip2_opt/pretrain_opt2.8b", "did you mean 'pretrain_opt2.7b'"),
        ("blip2_t5/xyz", "there is pretrain_flant5xl, "),
        ("blip2_opt?colour=red", "no option 'colour'; it has checkpoint, vit, llm, device, beams, timeout"),
        ("blip2_opt?checkpoint=/no/such.pth", "checkpoint=/no/such.pth is no file"),
        ("blip2_opt?llm=/no/such", "llm=/no/such is no directory"),
        ("blip2_opt?device=gpu", "device=gpu is not known"),
        ("blip2_opt?beams=many", "beams='many' is no whole number"),
        ("blip2_opt?beams=0", "beams=0 is out of range"),
        ("blip2_opt?timeout=-1", "timeout=-1 is out of range"),
    ],
)
def test_a_wrong_name_or_option_is_one_line(argument: str | None, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        LavisBackend(argument)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_every_type_of_every_model_is_known_and_the_first_is_the_default() -> None:
    for model, kinds in MODELS.items():
        assert parse(model)[:2] == (model, kinds[0])
        assert [parse(f"{model}/{kind}")[1] for kind in kinds] == list(kinds)


def test_without_installation_it_names_the_command() -> None:
    with pytest.raises(UsageError, match=r"not installed.*run `inquisight lavis install` first"):
        LavisBackend("blip2_opt")


def test_listing_it_imports_nothing_heavy(home: Path) -> None:
    code = (
        "import sys; from plugins import lavis; lavis.register_vision_backends(lambda *a, **k: print(a));"
        "import typer; lavis.register_commands(typer.Typer());"
        "print(sorted({'torch', 'transformers', 'PIL', 'numpy', 'pydantic'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["('lavis', 'plugins.lavis.backend:LavisBackend')", "[]"]


def test_options_reach_the_other_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fake model that repeats its argument: the true one is another test's, which needs LAVIS."""
    model = tmp_path / "model.py"
    model.write_text(
        "class Parrot:\n"
        "    revision = '1'\n"
        "    def __init__(self, argument): self.argument = argument\n"
        "    def encode(self, pictures): return pictures\n"
        "    def answer(self, questions): return [self.argument for _ in questions]\n"
    )
    (tmp_path / "weights.pth").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    environment = Environment(tmp_path / "env")
    environment.python.parent.mkdir(parents=True)
    environment.python.symlink_to(sys.executable)
    backend = LavisBackend(
        "blip2_opt/caption_coco_opt2.7b?checkpoint=weights.pth&beams=5&device=cpu",
        environment=environment,
        vision=f"{model}:Parrot",
    )
    [image] = backend.encode([make_picture()])
    assert json.loads(backend.answer([VisualQuestion(image, "?")])[0]) == {
        "model": "blip2_opt",
        "type": "caption_coco_opt2.7b",
        "checkpoint": str(tmp_path.resolve() / "weights.pth"),
        "device": "cpu",
        "beams": 5,
    }
    assert backend.name.startswith("lavis:blip2_opt/caption_coco_opt2.7b?")
    backend.close()


# Where it is


def test_states_and_what_to_do(tmp_path: Path) -> None:
    environment = Environment(tmp_path / "env")
    assert environment.state == "missing"
    environment.folder.mkdir()
    assert environment.state == "missing", "an empty folder may be used"
    (environment.folder / "thesis.tex").write_text("")
    assert environment.state == "foreign"
    (environment.folder / "pyvenv.cfg").write_text("")
    assert environment.state == "unfinished"
    environment.python.parent.mkdir()
    environment.python.symlink_to(sys.executable)
    assert environment.state == "unfinished"
    environment.finish({"torch": "2"})
    assert environment.state == "ready" and environment.mark() is not None
    (environment.folder / MARK).write_text(json.dumps({"pins": "older", "versions": {}}))
    assert environment.state == "outdated"


@pytest.mark.parametrize(
    ("inside", "words"), [("pyvenv.cfg", "is not complete; run"), ("thesis.tex", "no environment of salesforce-lavis")]
)
def test_an_unusable_environment_is_one_line(home: Path, inside: str, words: str) -> None:
    (home / "lavis").mkdir(parents=True)
    (home / "lavis" / inside).write_text("")
    with pytest.raises(UsageError, match=words):
        ready()


def test_another_place_is_remembered_and_forgotten(tmp_path: Path, home: Path) -> None:
    choose(Environment(tmp_path / "large disk"))
    assert chosen().folder == tmp_path / "large disk"
    choose(Environment(home / "lavis"))
    assert chosen().folder == home / "lavis"


def test_the_pins_are_exact_and_fit_lavis() -> None:
    lines = [line for line in PINS.read_text().splitlines() if line and not line.startswith("#")]
    pins = dict(line.split("==") for line in lines)
    numbers = {name: tuple(int(part) for part in version.split(".")[:2]) for name, version in pins.items()}
    assert numbers["numpy"] < (2, 0) and numbers["pandas"] < (2, 3) and (4, 25) <= numbers["transformers"] < (4, 27)
    assert pins["timm"] == "0.4.12" and len(pins) == len(lines)
    assert numbers["torch"][1] - numbers["torchvision"][1] == -15, "torchvision 0.(n+15) belongs to torch 2.n"


# Making it, with a stand-in for uv: what it would fetch cannot be here

UV = """#!{python}
# A fake uv: makes an environment whose Python says that LAVIS is there, and writes down what it was asked to install.
import pathlib, sys
here = pathlib.Path({here!r})
with open(here / "asked", "a") as asked:
    asked.write(" ".join(sys.argv[1:]) + "\\n")
if sys.argv[1] == "venv":
    folder = pathlib.Path(sys.argv[-1])
    (folder / "bin").mkdir(parents=True)
    (folder / "pyvenv.cfg").write_text("")
    python = folder / "bin" / "python"
    python.write_text('#!/bin/sh\\n'
                      'if [ "$2" = -c ]; then echo 3.11\\n'
                      'elif [ -e {here}/broken ]; then echo "ImportError: x" >&2; exit 1\\n'
                      'else echo noise; echo \\'{{"salesforce-lavis": "1.0.2"}}\\'; fi\\n')
    python.chmod(0o755)
elif (here / "words").exists():
    sys.exit((here / "words").read_text())
"""


@pytest.fixture
def uv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which the stand-in notes what it was asked, and finds what to do wrong."""
    here = tmp_path / "uv"
    here.mkdir()
    (here / "uv").write_text(UV.format(python=sys.executable, here=str(here)))
    (here / "uv").chmod(0o755)
    monkeypatch.setenv("PATH", str(here), prepend=os.pathsep)
    return here


def asked(uv: Path) -> list[str]:
    return (uv / "asked").read_text().splitlines()


@posix
def test_install_makes_it_installs_and_checks(uv: Path, home: Path) -> None:
    result = CliRunner().invoke(lavis, ["install"])
    assert result.exit_code == 0, result.output
    environment = Environment(home / "lavis")
    assert environment.state == "ready"
    venv, builder, libraries, package = asked(uv)
    assert venv.startswith("venv --python ") and venv.endswith(f" {environment.folder}")
    pip = f"pip install --python {environment.python}"
    assert builder == f"{pip} -c {PINS} setuptools"
    assert libraries == f"{pip} --no-build-isolation -r {PINS}"
    assert package == f"{pip} --no-deps salesforce-lavis==1.0.2"
    assert "about 2 GB" in result.output and "salesforce-lavis 1.0.2" in result.output.splitlines()[-2]
    status = CliRunner().invoke(lavis, ["status"]).output
    assert "state   ready" in status and "pretrain_flant5xxl" in status


@posix
def test_interrupted_it_goes_on(uv: Path, tmp_path: Path) -> None:
    environment = Environment(tmp_path / "elsewhere")
    (uv / "words").write_text("error: No space left on device")
    with pytest.raises(BackendError, match=r"could not be installed \(exit code 1, .*`inquisight lavis install` again"):
        install(environment, say=lambda _: None)
    assert environment.state == "unfinished"
    (uv / "words").unlink()
    install(environment, say=lambda _: None)
    assert environment.state == "ready" and sum(line.startswith("venv") for line in asked(uv)) == 1
    assert chosen().folder == environment.folder
    before = len(asked(uv))
    install(environment, say=lambda _: None)
    assert len(asked(uv)) == before, "what is complete is only checked"


@posix
def test_without_a_connection_it_says_so(uv: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (uv / "words").write_text("error: error sending request for url (https://example.org/simple/)\n")
    with pytest.raises(BackendError, match=r"could not be installed .*; check the connection") as caught:
        install(Environment(tmp_path / "env"), say=lambda _: None)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().err.count("error sending request") == 1, "uv's own message is shown"


@posix
def test_what_cannot_be_imported_is_not_called_ready(uv: Path, tmp_path: Path) -> None:
    (uv / "broken").write_text("")
    environment = Environment(tmp_path / "env")
    with pytest.raises(BackendError, match=r"lavis cannot be imported in .*: ImportError: x; remove the folder"):
        install(environment, say=lambda _: None)
    assert environment.state == "unfinished"


def test_a_folder_with_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(UsageError, match="holds something else; name an empty or new folder with --to"):
        install(Environment(tmp_path), say=lambda _: None)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


@pytest.mark.parametrize("given", ["/no/such/python", __file__])
def test_a_wrong_python_is_one_line(given: str) -> None:
    with pytest.raises(InquisightError, match="--python"):
        find_python(given)


@posix
def test_python_of_another_version_is_told_apart(tmp_path: Path) -> None:
    for version in ("3.11", "3.13"):
        (tmp_path / version).write_text(f"#!/bin/sh\necho {version}\n")
        (tmp_path / version).chmod(0o755)
    old, new = str(tmp_path / "3.11"), str(tmp_path / "3.13")
    with pytest.raises(UsageError, match=r"is Python 3\.13, but salesforce-lavis needs 3\.11"):
        find_python(new)
    assert find_python(old) == old and find_python(None, [new, old]) == old
    with pytest.raises(UsageError, match="none was found: name one with --python, or install uv"):
        find_python(None, [new])


def test_status_without_installation(home: Path) -> None:
    result = CliRunner().invoke(lavis, ["status"])
    assert result.exit_code == 0 and "not installed; run `inquisight lavis install`" in result.output
    assert str(home / "lavis") in result.output


def test_models_are_named_as_lavis_names_them() -> None:
    assert all(model.startswith("blip2_") for model in MODELS) and lavis_backend.EXAMPLE.removeprefix("lavis:") in {
        f"{model}/{kind}" for model, kinds in MODELS.items() for kind in kinds
    }
