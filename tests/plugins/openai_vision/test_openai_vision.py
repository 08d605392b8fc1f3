"""`openai:MODEL` against a real server process that decodes the pictures it is sent."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
from PIL import Image

from core.errors import InquisightError, UsageError
from core.hookspecs import GROUP
from core.images.picture import open_picture
from core.registry import Registry
from core.settings import load_settings
from core.testing import VisionBackendTests, make_picture
from core.vision import GenerationOptions, VisionBackend, VisualQuestion
from plugins.base import CAPTION
from plugins.openai_vision.backend import OpenAIBackend
from tests.plugins.openai_vision.seeing_server import KEY, VARIABLES, eye, get, received, seeing_openai, settings

RED, BLUE = (255, 0, 0), (0, 0, 255)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with seeing_openai() as url:
        yield url


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


class TestOpenAIVision(VisionBackendTests):
    """The agreement of all backends, with a server that says what it is shown."""

    @pytest.fixture(scope="class")
    def backend(self, server: str) -> Iterator[VisionBackend]:
        backend = eye(server)
        yield backend
        backend.close()


# ---- what arrives --------------------------------------------------------------------------------------------------


def test_the_picture_really_arrives(server: str) -> None:
    looking = eye(server)
    [image] = looking.encode([make_picture(64, 48, (200, 30, 30))])
    [answer] = looking.answer([VisualQuestion(image, "What colour is it?")])
    assert answer == "user: 64x48 #c81e1e, What colour is it?"


def test_nothing_is_sent_before_a_question_is_asked(server: str) -> None:
    name = f"looks.{uuid4().hex}"
    looking = eye(server, name)
    images = looking.encode([make_picture(), make_picture(), make_picture(colour=BLUE)])
    assert images[0].data is images[1].data, "one data URL per picture"
    assert received(server, name) == []
    looking.answer([VisualQuestion(image, "What?") for image in images])
    assert len(received(server, name)) == 3


@pytest.mark.slow
def test_a_large_photograph_is_scaled_down_and_sent_as_jpeg(server: str) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (900, 1600, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "PNG")
    picture = open_picture(buffer.getvalue(), name="noise")
    for options, size in (("", "1024x576"), ("&max_side=320", "320x180")):
        looking = eye(server, options=options)
        [image] = looking.encode([picture])
        assert image.data[0].startswith("data:image/jpeg;base64,")
        assert looking.answer([VisualQuestion(image, "What?")])[0].startswith(f"user: {size} #")


def test_a_photograph_that_lies_on_its_side_is_sent_upright(server: str) -> None:
    left_red = Image.new("RGB", (60, 30), BLUE)
    left_red.paste(RED, (0, 0, 30, 30))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter, clockwise
    buffer = io.BytesIO()
    left_red.save(buffer, "JPEG", exif=exif, quality=95)
    looking = eye(server)
    [image] = looking.encode([open_picture(buffer.getvalue())])
    assert looking.answer([VisualQuestion(image, "What?")])[0].startswith("user: 30x60 ")


@pytest.mark.parametrize("kind", ["png", "jpeg"])
def test_the_format_can_be_chosen(server: str, kind: str) -> None:
    looking = eye(server, options=f"&format={kind}&detail=low")
    [image] = looking.encode([make_picture(40, 40, RED)])
    assert image.data[0].startswith(f"data:image/{kind};base64,")
    assert "40x40 #f" in looking.answer([VisualQuestion(image, "What?")])[0]


def test_the_conversation_arrives_with_each_picture_where_it_came_up(server: str) -> None:
    looking = eye(server)
    red, blue = looking.encode([make_picture(8, 8, RED), make_picture(9, 9, BLUE)])
    history = (("What is it?", "Red."), ("Sure?", "Yes."))
    question = VisualQuestion(red, "And this?", history, images=((2, blue),))
    said = (
        "user: 8x8 #ff0000, What is it? | assistant: Red. | user: Sure? | assistant: Yes. | "
        "user: 9x9 #0000ff, And this?"
    )
    assert looking.answer([question]) == [said]
    assert "".join(looking.stream(question)) == said


def test_several_pictures_in_one_question_and_none_at_all(server: str) -> None:
    looking = eye(server)
    images = looking.encode([make_picture(8, 8, RED), make_picture(9, 9, BLUE)])
    both, none = looking.together(images), looking.together([])
    assert both.key not in {images[0].key, images[1].key} and both != looking.together(images[::-1])
    answers = looking.answer([VisualQuestion(both, "Which is darker?"), VisualQuestion(none, "Hello?")])
    assert answers == ["user: 8x8 #ff0000, 9x9 #0000ff, Which is darker?", "user: Hello?"]
    with pytest.raises(UsageError, match="17 pictures"):
        looking.together([images[0]] * 17)
    with pytest.raises(UsageError, match="17 pictures"):
        looking.answer([VisualQuestion(images[0], "What?", images=((0, looking.together([images[0]] * 16)),))])


def test_a_plain_caption_is_asked_for_in_words(server: str) -> None:
    looking = eye(server)
    [image] = looking.encode([make_picture(8, 8, RED)])
    assert looking.answer([VisualQuestion(image, None)]) == [f"user: 8x8 #ff0000, {CAPTION}"]


def test_decoding_options_and_key_arrive(server: str) -> None:
    name = f"looks.{uuid4().hex}"
    looking = OpenAIBackend(name, settings=settings(base_url=server))
    [image] = looking.encode([make_picture()])
    for options in (GenerationOptions(12, 0.0, 0.5), GenerationOptions(13, 0.7, 0.5, seed=5)):
        looking.answer([VisualQuestion(image, "What?", options=options)])
    greedy, sampled = (request["body"] for request in received(server, name))
    assert {key: greedy[key] for key in greedy if key not in ("messages", "model")} == {
        "max_tokens": 12,
        "temperature": 0,
        "stream": False,
    }
    assert (sampled["max_tokens"], sampled["temperature"], sampled["top_p"], sampled["seed"]) == (13, 0.7, 0.5, 5)
    assert received(server, name)[0]["headers"]["authorization"] == f"Bearer {KEY}"


def test_a_batch_is_sent_at_once_but_bounded(server: str) -> None:
    name = f"meets.3.{uuid4().hex}"
    looking = eye(server, name, "&workers=3")
    [image] = looking.encode([make_picture(8, 8, RED)])
    answers = looking.answer([VisualQuestion(image, f"Number {number}?") for number in range(9)])
    assert answers == [f"user: 8x8 #ff0000, Number {number}?" for number in range(9)], "in order"
    assert get(server, f"peak/{name}") == 3


def test_the_rate_is_kept_by_all_requests_together(server: str) -> None:
    name = f"looks.{uuid4().hex}"
    looking = eye(server, name, requests_per_second=10)
    [image] = looking.encode([make_picture()])
    began = time.monotonic()
    looking.answer([VisualQuestion(image, f"Number {number}?") for number in range(4)])
    times = sorted(request["at"] for request in received(server, name))
    assert times[-1] - began >= 0.3, "four requests, ten a second"


def test_streaming_comes_in_pieces_and_is_counted_too(server: str) -> None:
    looking = eye(server)
    [image] = looking.encode([make_picture(8, 8, RED)])
    pieces = list(looking.stream(VisualQuestion(image, "What colour is it?")))
    assert len(pieces) > 3 and "".join(pieces) == "user: 8x8 #ff0000, What colour is it?"
    looking.answer([VisualQuestion(image, "What colour is it?")])
    told = looking.describe()
    assert (told["requests"], told["input_tokens"], told["output_tokens"]) == ("2", "220", "14")


# ---- which server, which key ---------------------------------------------------------------------------------------


def test_it_says_where_it_asks_and_keeps_the_key_to_itself(server: str) -> None:
    looking = eye(server)
    told = looking.describe()
    assert told["server"] == server.removeprefix("http://").removesuffix("/v1")
    assert told["why"] == "base_url was given with the model" and "1024" in told["pictures"]
    assert KEY not in json.dumps(told) + repr(looking.server.peer) + repr(looking)
    assert looking.name == f"openai:looks?base_url={server}"
    assert looking.revision != eye(server, options="&max_side=512").revision


def test_the_address_comes_from_the_settings_where_none_is_given(server: str) -> None:
    looking = OpenAIBackend("looks", settings=settings(base_url=server))
    [image] = looking.encode([make_picture(8, 8, RED)])
    assert looking.answer([VisualQuestion(image, "What?")]) == ["user: 8x8 #ff0000, What?"]
    assert looking.describe()["why"] == "INQUISIGHT_BASE_URL"


def test_the_eyes_own_address_and_key_come_first(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"looks.{uuid4().hex}"
    monkeypatch.setenv("OPENAI_BASE_URL", "https://other.example/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-other")
    monkeypatch.setenv("INQUISIGHT_BASE_URL", "https://questioner.example/v1")
    monkeypatch.setenv("INQUISIGHT_API_KEY", "sk-of-the-questioner")
    monkeypatch.setenv("INQUISIGHT_VISION_BASE_URL", server)
    monkeypatch.setenv("INQUISIGHT_VISION_API_KEY", "sk-of-the-eye")
    looking = OpenAIBackend(name, settings=load_settings())
    [image] = looking.encode([make_picture(8, 8, RED)])
    assert looking.answer([VisualQuestion(image, "What?")]) == ["user: 8x8 #ff0000, What?"]
    assert received(server, name)[0]["headers"]["authorization"] == "Bearer sk-of-the-eye"
    told = looking.describe()
    assert told["why"] == "INQUISIGHT_VISION_BASE_URL" and "sk-of" not in json.dumps(told) + repr(load_settings())


def test_openais_own_address_needs_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"set OPENAI_API_KEY or INQUISIGHT_API_KEY or INQUISIGHT_VISION_API_KEY\."):
        OpenAIBackend("gpt-4o-mini", settings=settings(api_key=None))
    with pytest.raises(UsageError, match=r"api\.openai\.com: set .* in the model's name gets no configured key"):
        OpenAIBackend("gpt-4o-mini?base_url=https://api.openai.com/v1", settings=settings())
    with pytest.raises(UsageError, match=r"api\.openai\.com: set OPENAI_API_KEY or INQUISIGHT_VISION_API_KEY\."):
        apart = settings(vision_base_url="https://api.openai.com/v1", base_url="http://localhost:8000/v1")
        OpenAIBackend("gpt-4o-mini", settings=apart)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-mine")
    backend = OpenAIBackend("gpt-4o-mini", settings=settings(api_key=None))
    assert backend.describe()["server"] == "api.openai.com"


@pytest.mark.parametrize(
    ("argument", "says"),
    [
        (None, "openai needs a model: write openai:gpt-4o-mini"),
        ("?base_url=http://localhost/v1", "openai needs a model"),
        ("m?base_url=localhost:8000", "base_url='localhost:8000' is no web address"),
        ("m?base_url=file:///etc/passwd", "is no web address"),
        ("m?base_url=http://[::1/v1", "is no web address"),
        ("m?base_url=http://me:hushhush@localhost/v1", "holds a user name or password"),
        ("m?base_ur=http://localhost", "no option 'base_ur'; it has base_url"),
        ("m?api_key=sk-hushhush", "a key does not belong in the model's name"),
        ("m?key_env=sk-hushhush", "key_env must name a variable that ends in _API_KEY"),
        ("m?key_env=NOT_SET_API_KEY", "key_env counts only in a model that you type on the command line"),
        ("m?max_side=8", "max_side is 8, but must be between 32 and 8192"),
        ("m?max_side=big", "max_side='big' is no whole number"),
        ("m?workers=0", "workers is 0"),
        ("m?format=gif", "format='gif' is not known; choose one of auto, jpeg, png"),
        ("m?detail=much", "choose one of auto, low, high"),
    ],
)
def test_an_argument_that_cannot_work_is_one_clear_line(argument: str | None, says: str) -> None:
    with pytest.raises(InquisightError) as caught:
        OpenAIBackend(argument, settings=settings())
    assert says in str(caught.value) and "\n" not in str(caught.value)
    assert "hushhush" not in str(caught.value)


# ---- the registry --------------------------------------------------------------------------------------------------


def test_registered_with_true_capabilities_and_without_importing_the_client() -> None:
    registry = Registry(strict=True)
    registry.load([EntryPoint("openai_vision", "plugins.openai_vision", GROUP)], distribution="inquisight")
    entry = registry.find("vision backend", "openai")
    assert entry.description and entry.extra == "inquisight[openai]"
    assert all(getattr(OpenAIBackend, name) == value for name, value in entry.capabilities.items())
    code = (
        "import sys, plugins.openai_vision, plugins.openai_vision.backend as b; "
        "sys.exit(bool({'openai', 'torch', 'transformers', 'langchain_core'} & set(sys.modules)))"
    )
    root = Path(__file__).parents[3]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0


@pytest.mark.slow
def test_an_interrupted_batch_ends_at_once(server: str) -> None:
    """Ctrl-C while the server answers nothing for a minute: the program is gone before that."""
    code = (
        "import signal, sys, threading\n"
        "from core.testing import make_picture\n"
        "from core.vision import VisualQuestion\n"
        "from tests.plugins.openai_vision.seeing_server import eye, received\n"
        "looking = eye(sys.argv[1], sys.argv[2])\n"
        "[image] = looking.encode([make_picture()])\n"
        "def interrupt():\n"
        "    while not received(sys.argv[1], sys.argv[2]):\n"
        "        pass\n"
        "    signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)\n"
        "threading.Thread(target=interrupt, daemon=True).start()\n"
        "try:\n"
        "    looking.answer([VisualQuestion(image, 'What?')] * 4)\n"
        "except KeyboardInterrupt:\n"
        "    print('stopped', flush=True)\n"
    )
    command = [sys.executable, "-c", code, server, f"meets.99.{uuid4().hex}"]
    root = Path(__file__).parents[3]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "stopped\n"
        assert process.wait(45) == 0
