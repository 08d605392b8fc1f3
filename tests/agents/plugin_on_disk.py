"""A third-party plugin as pip would leave it on disk, for tests that run the real command in a process of its own.

Vision backend `blocks` names a picture's main colour. Questioners: `curt` asks three things; `broken`
fails on its third question until the file named by $MENDED exists; `interrupted` presses Ctrl-C there. Where $UNSCORED
is set, `blocks` cannot score until that file exists.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.processes import ROOT, run_module, write_programs

_MODULE = """
import os, pathlib
from core import BackendError
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from core import EncodedImage, QuestionerError, VisionBackend
from core.tasks import Task

class Blocks(VisionBackend):
    def __init__(self, argument=None):
        if argument == "bug":
            raise ValueError("a bug with\\nmany lines")
        self.argument = argument
    @property
    def name(self): return "blocks"
    @property
    def revision(self): return "1"
    def encode(self, pictures):
        with open(os.environ.get("ENCODES", os.devnull), "a") as log:
            log.write("encode\\n" * len(pictures))
        return [EncodedImage(p.sha256, "1", p.image.resize((1, 1)).getpixel((0, 0))) for p in pictures]
    def answer(self, questions):
        answers = []
        for q in questions:
            red, green, blue = q.image.data
            colour = "red" if red > max(green, blue) else "green" if green > blue else "blue"
            asked = (q.question or "").lower()
            if "material" in asked:
                answers.append("i do not know.")
            else:
                answers.append(colour if "colour" in asked else f"a {colour} block")
        return answers
    def score(self, questions, choices):
        if "UNSCORED" in os.environ and not os.path.exists(os.environ.get("MENDED", "")):
            raise BackendError("blocks cannot score today.")
        return super().score(questions, choices)

class Curt(BaseChatModel):
    fails: str = ""
    @property
    def _llm_type(self): return "curt"
    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        task = Task.from_kwargs(messages[-1].additional_kwargs)
        turns = task.turns
        if task.name == "summary":
            text = "The picture shows " + " and ".join(turn.answer for turn in turns if turn.sure) + "."
        elif len(turns) < 4:
            if len(turns) == 3 and self.fails == "broken" and not os.path.exists(os.environ.get("MENDED", "")):
                raise QuestionerError("the questioner broken cannot be reached; is the server running?")
            if len(turns) == 3 and self.fails == "interrupted" and not os.path.exists(os.environ.get("MENDED", "")):
                raise KeyboardInterrupt
            text = ["What colour is it?", "What material is it?", "Where does it stand?"][len(turns) - 1]
        else:
            text = "Nothing new to ask."
        return ChatResult(generations=[ChatGeneration(message=AIMessage(text))])

def broken(argument): return Curt(fails="broken")
def interrupted(argument): return Curt(fails="interrupted")
def curt(argument): return Curt()
"""

_PLUGIN = '''
from core import hookimpl

@hookimpl
def register_vision_backends(register):
    register("blocks", "blocks_models:Blocks", description="Names the main colour.")

@hookimpl
def register_questioners(register):
    register("curt", "blocks_models:curt", description="Asks three things.")
    register("broken", "blocks_models:broken", description="Fails.")
    register("interrupted", "blocks_models:interrupted", description="Stops.")

@hookimpl
def register_commands(cli):
    @cli.command("blocks-hello")
    def hello(loud: bool = False):
        """Say hello."""
        print("HELLO" if loud else "hello")

    @cli.command("blocks-crash")
    def crash():
        """Divide by zero."""
        return 1 / 0
'''


def install(folder: Path) -> Path:
    """Write the plugin as an installed distribution into `folder`, which then belongs on PYTHONPATH."""
    (folder / "blocks_models.py").write_text(_MODULE, "utf-8")
    (folder / "blocks_plugin.py").write_text(_PLUGIN, "utf-8")
    info = folder / "blocks_for_tests-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: blocks-for-tests\nVersion: 1.0\n", "utf-8")
    (info / "entry_points.txt").write_text("[inquisight]\nblocks = blocks_plugin\n", "utf-8")
    return folder


class Shell:
    """Runs `inquisight` in a process of its own, with a home of its own and the plugin installed."""

    def __init__(self, folder: Path) -> None:
        site = folder / "site"
        site.mkdir()
        install(site)
        self.folder = folder
        clean = {key: value for key, value in os.environ.items() if not key.startswith("INQUISIGHT_")}
        self.environment = clean | {
            "PYTHONPATH": os.pathsep.join([str(site), str(ROOT)]),
            "INQUISIGHT_HOME": str(folder / "home"),
            "INQUISIGHT_VISION": "blocks",
            "INQUISIGHT_QUESTIONER": "curt",
            "INQUISIGHT_WITNESS": "none",
            "MENDED": str(folder / "mended"),
            "ENCODES": str(folder / "encodes"),
            "PYTHONWARNINGS": "ignore",
            "NO_COLOR": "1",
        }

    def run(
        self,
        *arguments: str,
        module: str = "agents.cli",
        stdin: bytes = b"",
        environment: dict[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """The finished process; its output is text."""
        done = run_module(
            module, arguments, cwd=self.folder, environment=self.environment | (environment or {}), stdin=stdin
        )
        out, err = done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")
        return subprocess.CompletedProcess(done.args, done.returncode, out, err)

    def program(self) -> None:
        """Put `inquisight` and `python` on the path of what `script` runs."""
        if shutil.which("bash") is None:
            pytest.skip("the commands are written for a shell")
        programs = self.folder / "bin"
        programs.mkdir()
        write_programs(programs)
        self.environment["PATH"] = f"{programs}{os.pathsep}{self.environment['PATH']}"

    def script(self, *lines: str) -> subprocess.CompletedProcess[str]:
        """Run lines with bash, stopping at the first command that fails."""
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", "\n".join(lines)],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=600,
            check=False,
        )

    def python(self, code: str) -> subprocess.CompletedProcess[str]:
        """Run an example."""
        (self.folder / "example.py").write_text(code, "utf-8")
        return self.script(f"{shlex.quote(sys.executable)} example.py")

    def photos(self) -> None:
        """Copy the example photographs to where pages have them."""
        shutil.copytree(ROOT / "examples" / "photos", self.folder / "examples" / "photos")

    def picture(self, name: str = "red.png", colour: str = "red", **options: Any) -> str:
        """A small picture in the working folder; gives back its name."""
        Image.new("RGB", (40, 30), colour).save(self.folder / name, **options)
        return name
