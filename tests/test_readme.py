"""What the READMEs and first pages promise is true: every command is run or checked, every example executed, every link
leads somewhere, the table of settings is complete.

Commands run as a reader would type them, in a folder of their own that holds a copy of `examples/`. Where the
embedded model has not been built, the example plugin sees in its place.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.processes import write_programs
from tests.servers import scripted_openai

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
READMES = ("README.md", "README.zh-CN.md")
PAGES = [
    *READMES,
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "SECURITY.md",
    *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")),
]
ECHO = ROOT / "examples" / "inquisight-echo"
HAS_POCKET = (ROOT / "plugins" / "pocket" / "model" / "model.safetensors").is_file()
DEMO = re.compile(r"<!-- demo:begin -->\n```text\n(.*?)\n```\n<!-- demo:end -->", re.DOTALL)
SLOW = ("python -m benchmarks.",)  # their --help is run instead
CHECKED = (
    "make ",
    "pip install ",
    "source ",
    "python3 -m venv ",
)  # not run: they would install, or start this test again
NEW_PLUGIN = "pip install ./inquisight-owl"  # run: an earlier command of its block has written it


def blocks(name: str, language: str) -> list[str]:
    """The fenced blocks of a document in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / name).read_text("utf-8"), re.DOTALL | re.MULTILINE)


def commands(name: str) -> list[list[str]]:
    """The lines after a `$`, block by block."""
    return [re.findall(r"^\$ (.+)$", block, re.MULTILINE) for block in blocks(name, "console")]


def runnable(lines: list[str]) -> list[str]:
    return [line for line in lines if not line.startswith(CHECKED) or line == NEW_PLUGIN]


PAGES_RUN = ("caption", "examine", "questioners", "plugins")
SHOWN = (READMES[0], *(f"docs/{name}.md" for name in PAGES_RUN))  # the other language's commands are the same
RUN = [lines for name in SHOWN for lines in map(runnable, commands(name)) if lines]
CHECK = sorted(
    {line for name in (*SHOWN, "docs/index.md", "CONTRIBUTING.md") for lines in commands(name) for line in lines}
)


def write_pip_and_pytest(programs: Path, site: Path) -> None:
    """`pip install FOLDER` without the network, into `site`; and `pytest`."""
    options = f"--quiet --no-deps --no-build-isolation --no-index --disable-pip-version-check --target '{site}'"
    lines = {"pip": f'-m pip "$@" {options}', "pytest": '-m pytest "$@"'}
    for name, line in lines.items():
        (programs / name).write_text(f"#!/bin/sh\nexec '{sys.executable}' {line}\n")
        (programs / name).chmod(0o755)


class Reader:
    """Somebody with a clone, an activated environment, the example plugin installed, and a server."""

    def __init__(self, folder: Path, server: str) -> None:
        self.folder, self.server = folder, server
        shutil.copytree(ROOT / "examples", folder / "examples", ignore=shutil.ignore_patterns("*.egg-info", "build"))
        shutil.copytree(ROOT / "agents", folder / "agents", ignore=shutil.ignore_patterns("__pycache__", "*.py"))
        programs = folder / "bin"
        programs.mkdir()
        write_programs(programs)
        write_pip_and_pytest(programs, folder / "site")
        installed = folder / "site" / "inquisight_echo-0.1.0.dist-info"
        installed.mkdir(parents=True)
        (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: inquisight-echo\nVersion: 0.1.0\n")
        points = tomllib.loads((ECHO / "pyproject.toml").read_text("utf-8"))["project"]["entry-points"]["inquisight"]
        lines = [f"{key} = {value}" for key, value in points.items()]
        (installed / "entry_points.txt").write_text("\n".join(["[inquisight]", *lines]))
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("INQUISIGHT_", "OPENAI_"))}
        self.environment = kept | {
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join(map(str, (ROOT, folder / "site", ECHO / "src"))),
            "PYTHONUTF8": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "HF_HUB_OFFLINE": "1",
            "INQUISIGHT_HOME": str(folder / "home"),
            "INQUISIGHT_MAX_RETRIES": "0",
            **({} if HAS_POCKET else {"INQUISIGHT_VISION": "echo"}),
        }

    def run(self, script: str) -> subprocess.CompletedProcess[str]:
        """Run it with bash, stopping at the first command that fails."""
        script = script.replace("http://localhost:8000/v1", self.server)
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=600,
            check=False,
        )


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    if shutil.which("bash") is None:
        pytest.skip("the READMEs are written for a shell")
    with scripted_openai() as server:
        yield Reader(tmp_path_factory.mktemp("reader"), server)


@pytest.fixture(scope="module")
def transcript(reader: Reader) -> str:
    """The id of an interview about the cat, so that `history` and `show` have something to show."""
    done = reader.run("inquisight caption --quiet --vision echo --questioner echo examples/photos/cat.jpg")
    assert done.returncode == 0, done.stderr
    return reader.run("inquisight history").stdout.split("\t")[0]


@pytest.mark.parametrize("lines", RUN, ids=[lines[0] for lines in RUN])
def test_commands_run(reader: Reader, transcript: str, lines: list[str]) -> None:
    for found in ("cat.txt", "coffee.txt"):  # left by an earlier block; --save-beside does not overwrite
        (reader.folder / "examples" / "photos" / found).unlink(missing_ok=True)
    script = [re.sub(r"\bID\b", transcript, line) for line in lines]
    script = [f"{line} --help" if line.startswith(SLOW) else line for line in script]
    done = reader.run("\n".join(script))
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("line", [line for line in CHECK if line.startswith(CHECKED) and line != NEW_PLUGIN])
def test_what_is_not_run_would_work(line: str) -> None:
    words = shlex.split(line)
    if words[0] == "make":
        makefile = (ROOT / "Makefile").read_text("utf-8")
        assert all(re.search(rf"^{re.escape(target)}:", makefile, re.MULTILINE) for target in words[1:])
    elif words[0] == "source":
        assert words[1] == ".venv/bin/activate"
        assert re.search(r"^VENV := \.venv$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    elif words[0] == "python3":
        assert words[3:] == [".venv"] and find_spec(words[2])
    else:
        if "-c" in words:
            assert (ROOT / words.pop(words.index("-c") + 1)).is_file()
        [place] = [word for word in words[2:] if not word.startswith("-")]
        assert (ROOT / place.partition("[")[0] / "pyproject.toml").is_file()


def test_the_makefile_does_what_is_said_of_it() -> None:
    """`make demo` captions the photograph of the README offline and with a seed; every install is constrained."""
    makefile = (ROOT / "Makefile").read_text("utf-8")
    demo = re.search(r"^demo:.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)
    assert demo and "HF_HUB_OFFLINE=1" in demo[1]
    assert "inquisight caption --seed 1 examples/photos/street.jpg" in demo[1]
    installs = re.findall(r"\$\(PIP\) install (.*)", makefile)
    assert installs and all("-c constraints.txt" in install for install in installs)


def test_extras_that_are_named_exist() -> None:
    known = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    for name in READMES:
        for extras in re.findall(r"'\.\[([\w,]+)\]'", (ROOT / name).read_text("utf-8")):
            assert set(extras.split(",")) <= set(known)


@pytest.mark.parametrize("name", READMES)
def test_python_examples_run(reader: Reader, name: str) -> None:
    for code in blocks(name, "python"):
        script = code if HAS_POCKET else code.replace('"pocket"', '"echo"')
        (reader.folder / "example.py").write_text(script, "utf-8")
        done = reader.run("python example.py")
        assert done.returncode == 0, done.stderr
        assert {"QuestionAsked", "Done"} <= set(done.stdout.split())


def test_the_plugin_guide_runs(reader: Reader) -> None:
    code = "\n".join(blocks("docs/plugins.md", "python"))
    (reader.folder / "guide.py").write_text(
        f"""{code}
from core.testing import make_picture

owl = OwlBackend()
[image] = owl.encode([make_picture(colour=(1, 2, 3))])
print(owl.answer([VisualQuestion(image, "What colour is it?")])[0])
""",
        "utf-8",
    )
    done = reader.run("python guide.py")
    assert done.stdout.strip() == "(1, 2, 3)", done.stderr


def test_both_languages_show_the_same_commands_and_code() -> None:
    english, chinese = READMES
    assert commands(english) == commands(chinese)
    without_comments = [
        [re.sub(r"#.*", "", code) for code in blocks(name, "python")] for name in (english, chinese)
    ]  # fmt: skip
    assert without_comments[0] == without_comments[1]
    for pattern in (r"`(INQUISIGHT_\w+)`", r"https?://[^\s)]+", r"^## "):
        found = [re.findall(pattern, (ROOT / name).read_text("utf-8"), re.MULTILINE) for name in READMES]
        assert sorted(found[0]) == sorted(found[1])


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name: str) -> None:
    made_with_the_model = {ROOT / "docs" / "dialogue.svg", ROOT / "plugins" / "pocket" / "model" / "README.md"}
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", (ROOT / name).read_text("utf-8")):
        path = ((ROOT / name).parent / target).resolve()
        assert path.exists() or (path in made_with_the_model and not HAS_POCKET), target


@pytest.mark.parametrize("name", PAGES)
def test_programs_that_are_named_exist(name: str) -> None:
    for module in set(re.findall(r"python -m ([\w.]+\w)", (ROOT / name).read_text("utf-8"))):
        assert find_spec(module), module


def test_the_settings_page_is_complete() -> None:
    from core.settings import Settings

    known = {f"INQUISIGHT_{field.upper()}" for field in Settings.model_fields} | {"INQUISIGHT_DEBUG"}
    assert set(re.findall(r"INQUISIGHT_\w+", (ROOT / "docs" / "settings.md").read_text("utf-8"))) == known
    for name in PAGES:
        named = set(re.findall(r"INQUISIGHT_\w+", (ROOT / name).read_text("utf-8")))
        assert {one for one in named if not one.startswith("INQUISIGHT_TEST_") and one != "INQUISIGHT_"} <= known


def test_the_api_pages_are_complete() -> None:
    import core
    import inquisight

    pages = "".join(path.read_text("utf-8") for path in (ROOT / "docs" / "api").glob("*.md"))
    named = {*inquisight.__all__, *core.__all__} - {"events", "testing"}
    assert {name for name in named if not re.search(rf":: inquisight\.{name}[\n(]", pages)} == set()
    assert all(f":: inquisight.{name}\n" in pages for name in ("events", "testing"))


@pytest.mark.skipif(not HAS_POCKET, reason="the embedded model has not been built")
def test_the_demo_prints_what_the_readme_shows(reader: Reader) -> None:
    """Loosely: arithmetic differs a little between machines, so a word here and there may too."""
    done = reader.run("inquisight caption --seed 1 examples/photos/street.jpg")
    assert done.returncode == 0, done.stderr
    printed = re.findall(r"\w+", done.stdout.lower())
    for name in READMES:
        shown = DEMO.search((ROOT / name).read_text("utf-8"))
        assert shown, "the markers of the demo"
        assert "(make readme" not in shown[1], "run `make readme`"
        assert shown[1].splitlines()[0] == done.stdout.splitlines()[0]
        words = set(re.findall(r"\w+", shown[1].lower()))
        common = words & set(printed)
        assert len(common) >= 0.7 * len(words), f"run `make readme`; only here: {sorted(words - common)}"
