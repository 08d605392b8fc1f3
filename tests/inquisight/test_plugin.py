"""A plugin whose every import of ours is `inquisight`: it is registered, passes the tests it inherits, and captions."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pictures import saved

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
FILES = {
    "heron.py": """
from inquisight import Register, hookimpl

@hookimpl
def register_vision_backends(register: Register) -> None:
    register("heron", "heron_models:Heron", description="names the mean colour", capabilities={"streams": False})

@hookimpl
def register_questioners(register: Register) -> None:
    register("heron", "heron_models:questioner", description="asks nothing")
""",
    "heron_models.py": """
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.language_models import BaseChatModel

from inquisight import (
    NOTHING_NEW, BackendError, EncodedImage, Entry, GenerationOptions, Picture, QuestionerError, Task, VisionBackend,
    VisualQuestion,
)

class Heron(VisionBackend):
    name, revision = "heron", "1"

    def __init__(self, argument=None):
        if argument is not None:
            raise BackendError("heron takes no argument.")

    def encode(self, pictures):
        return [EncodedImage(one.sha256, self.revision, one.image.resize((1, 1)).getpixel((0, 0))) for one in pictures]

    def answer(self, questions):
        return [f"it is {question.image.data}." for question in questions]

class Silent(BaseChatModel):
    @property
    def _llm_type(self):
        return "heron"

    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        task = Task.from_kwargs(messages[-1].additional_kwargs)
        text = " ".join(turn.answer for turn in task.turns if turn.sure) if task.name == "summary" else NOTHING_NEW
        return ChatResult(generations=[ChatGeneration(message=AIMessage(text))])

def questioner(argument=None):
    if argument is not None:
        raise QuestionerError("heron takes no argument.")
    return Silent()
""",
    "test_heron.py": """
from inquisight.testing import QuestionerTests, VisionBackendTests

class TestHeron(VisionBackendTests):
    spec = "heron"

class TestHeronAsks(QuestionerTests):
    spec = "heron"
""",
    "heron-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: heron\nVersion: 1.0\n",
    "heron-1.0.dist-info/entry_points.txt": "[inquisight]\nheron = heron\n",
}


@pytest.fixture
def site(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, "utf-8")
    return tmp_path


def python(site: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(site), str(ROOT)])}
    environment["INQUISIGHT_HOME"] = str(site / "home")
    return subprocess.run(
        [sys.executable, *arguments], cwd=site, env=environment, capture_output=True, text=True, check=False
    )


def test_it_passes_the_tests_it_inherits(site: Path) -> None:
    done = python(site, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_heron.py")
    assert done.returncode == 0, done.stdout


def test_it_captions_by_name(site: Path) -> None:
    saved(site / "sea.png", (0, 0, 200))
    code = (
        "import inquisight as iq; assert 'heron' in iq.get_registry().plugins; "
        "print(iq.caption('sea.png', vision='heron', questioner='heron').text)"
    )
    done = python(site, "-c", code)
    assert done.stdout.strip() == "it is (0, 0, 200).", done.stderr
    command = python(site, "-m", "inquisight", "caption", "--vision", "heron", "--questioner", "heron", "-q", "sea.png")
    assert command.stdout.strip() == "it is (0, 0, 200).", command.stderr
