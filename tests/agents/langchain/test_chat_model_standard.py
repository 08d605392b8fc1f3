"""The standard suites of `langchain-tests` for eyes as chat models: pocket, MiniGPT-4, and a model behind a server.

No test of the suites is changed or left out. Declared are pictures, but no web addresses. Tools are declared for a fake
that calls them; every other model here says that it calls none.
Structured output is declared for a model that follows instructions: the suite asks for it without a picture.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, ClassVar

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import HumanMessage
from PIL import Image, ImageDraw

pytest.importorskip("langchain_tests")

from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests

from agents.langchain.model import VisionChatModel, shared_vision
from agents.langchain.request import NO_PICTURE
from core.hookspecs import GROUP
from core.registry import Registry
from core.vision import EncodedImage, Reply, ToolCall, VisualQuestion
from plugins.minigpt4.runtime.backend import MiniGPT4Backend
from plugins.openai_vision.backend import OpenAIBackend
from plugins.pocket.backend import MODEL
from tests.agents.langchain.chat_pictures import STYLES, block, words
from tests.fakes import FakeVision
from tests.plugins.minigpt4.tiny import make_model, save
from tests.plugins.openai_vision.seeing_server import VARIABLES, eye, seeing_openai

pytestmark = pytest.mark.anyio

CAT = Path(__file__).parents[3] / "examples" / "photos" / "cat.jpg"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def _diagram_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fake of the one thing that cannot be here: the suite downloads a diagram, and gets one that is drawn here."""
    import httpx

    image = Image.new("RGB", (640, 480), "white")
    draw = ImageDraw.Draw(image)
    draw.rectangle((200, 40, 440, 120), outline="black", width=3)
    draw.line((320, 120, 320, 300), fill="black", width=3)
    draw.ellipse((240, 300, 400, 400), fill="orange")
    image.save(tmp_path / "diagram.png")
    reply = httpx.Response(200, content=(tmp_path / "diagram.png").read_bytes())
    monkeypatch.setattr(httpx, "get", lambda *args, **kwargs: reply)


class Declared:
    """What every eye declares of itself."""

    params: ClassVar[dict[str, Any]] = {}
    other: ClassVar[str] = ""  # an eye that a call may ask instead

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return VisionChatModel

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return self.params

    @property
    def supports_image_inputs(self) -> bool:
        return True

    @property
    def has_tool_calling(self) -> bool:
        """The suite would take `bind_tools` for tools, which here says what to use instead."""
        return False

    @property
    def has_structured_output(self) -> bool:
        return False

    @property
    def model_override_value(self) -> str:
        return self.other


# ---- pocket, as it is shipped --------------------------------------------------------------------------------------


class Pocket(Declared):
    params: ClassVar[dict[str, Any]] = {"vision": "pocket"}
    other: ClassVar[str] = f"pocket:{MODEL}"

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _loaded(cls) -> Iterator[None]:
        """Models of one name share the eye while somebody holds it: here, while the tests run."""
        kept = [shared_vision("pocket"), shared_vision(cls.other)]
        yield
        kept.clear()


class TestPocketUnit(Pocket, ChatModelUnitTests):
    pass


class TestPocketIntegration(Pocket, ChatModelIntegrationTests):
    pass


# ---- MiniGPT-4 with random weights ---------------------------------------------------------------------------------


class MiniGPT4(Declared):
    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _made(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
        folders = [save(tmp_path_factory.mktemp("minigpt4"), make_model(seed)) for seed in (3, 4)]
        spec, cls.other = (f"minigpt4:{folder}" for folder in folders)
        cls.params = {"vision": spec}
        kept = [shared_vision(spec), shared_vision(cls.other)]
        yield
        kept.clear()


class TestMiniGPT4Unit(MiniGPT4, ChatModelUnitTests):
    pass


class TestMiniGPT4Integration(MiniGPT4, ChatModelIntegrationTests):
    pass


# ---- a model behind an OpenAI-compatible server --------------------------------------------------------------------


class Served(Declared):
    served: ClassVar[str] = "looks"

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _served(cls) -> Iterator[None]:
        registry = Registry(strict=True)
        registry.load([EntryPoint("openai_vision", "plugins.openai_vision", GROUP)], distribution="inquisight")
        with pytest.MonkeyPatch.context() as patch, seeing_openai() as url:
            for name in VARIABLES:
                patch.delenv(name, raising=False)
            patch.setattr("agents.langchain.model.get_registry", lambda: registry)
            cls.params = {"vision": f"openai:{cls.served}?base_url={url}"}
            cls.other = f"openai:looks.other?base_url={url}"
            yield


class TestServedUnit(Served, ChatModelUnitTests):
    pass


class TestServedIntegration(Served, ChatModelIntegrationTests):
    pass


class TestFillingIntegration(Served, ChatModelIntegrationTests):
    """A model that fills a schema, though only when it is told what does not fit."""

    served: ClassVar[str] = "fills"

    @property
    def has_structured_output(self) -> bool:
        return True


# ---- a fake that calls tools ---------------------------------------------------------------------------------------


class CallingVision(FakeVision):
    """A fake that calls the first tool that it may, with numbers, quoted words or the last words of the question."""

    label: ClassVar[str] = "calling"
    follows_instructions: ClassVar[bool] = True

    @property
    def calls_tools(self) -> bool:
        return True

    def together(self, images: Sequence[EncodedImage]) -> EncodedImage:
        return super().together(images) if images else EncodedImage("", self.revision, None)

    def answer(self, questions: Sequence[VisualQuestion]) -> list[str]:
        return [reply.text for reply in self.replies(questions)]

    def replies(self, questions: Sequence[VisualQuestion]) -> list[Reply]:
        return [self._reply(question) for question in questions]

    def _reply(self, question: VisualQuestion) -> Reply:
        tools, now = question.tools, len(question.history)
        results = [one.result for turn, _, calls in (tools.used if tools else ()) if turn == now for one in calls]
        if tools is None or results or not tools.offered:
            return Reply(f"It is {'; '.join(map(str, results)) or 'a picture'}.", "stop", 5, 4)
        function = json.loads(tools.offered[0])["function"]
        asked = question.question or ""
        numbers = [int(one) for one in re.findall(r"\d+", asked)]
        quoted = [*re.findall(r"'([^']*)'", asked), asked]
        arguments = {
            name: numbers.pop(0) if kind.get("type") == "integer" else quoted[0]
            for name, kind in function["parameters"].get("properties", {}).items()
        }
        return Reply("", "stop", 5, 4, calls=(ToolCall(function["name"], json.dumps(arguments)),))


class Calling(Declared):
    params: ClassVar[dict[str, Any]] = {"vision": CallingVision()}

    @property
    def has_tool_calling(self) -> bool:
        return True

    @property
    def supports_model_override(self) -> bool:
        """A fake has no name that a call could ask for."""
        return False


class TestCallingUnit(Calling, ChatModelUnitTests):
    pass


class TestCallingIntegration(Calling, ChatModelIntegrationTests):
    pass


# ---- beyond the suites: that the answer is about the picture ---------------------------------------------------------


@pytest.mark.slow
def test_pocket_names_the_cat_in_every_style_of_block() -> None:
    model = VisionChatModel(vision="pocket")
    data = CAT.read_bytes()
    asked = words("Describe this picture in detail.")
    answers = {str(model.invoke([HumanMessage([asked, block(data, style)])]).text) for style in STYLES}
    [answer] = answers
    assert "cat" in answer.lower() and answer != NO_PICTURE
    pieces = list(model.stream([HumanMessage([asked, block(data)])]))
    assert "".join(str(piece.text) for piece in pieces) == answer


def test_pocket_holds_a_conversation_about_the_cat() -> None:
    model = VisionChatModel(vision="pocket", folder=CAT.parent)
    talk: list[Any] = [HumanMessage([words("What is in the picture?"), {"type": "image", "url": "cat.jpg"}])]
    talk += [model.invoke(talk), HumanMessage("What is the background?")]
    reply = model.invoke(talk)
    assert reply.text and reply.usage_metadata is not None
    assert reply.usage_metadata["input_tokens"] > model.get_num_tokens("What is the background?"), "with what was said"


def test_minigpt4_counts_with_its_own_tokenizer(tmp_path: Path) -> None:
    model = VisionChatModel(vision=MiniGPT4Backend(str(save(tmp_path / "m", make_model(3)))), max_tokens=8)
    assert model.get_num_tokens("the ant") == len(model.backend.engine.tokenizer("the ant").input_ids)  # type: ignore[attr-defined]
    reply = model.invoke([HumanMessage([words("the ant"), block(CAT.read_bytes())])])
    assert reply.response_metadata["tokens_counted_by"] == "the model, image tokens included"
    assert reply.usage_metadata is not None
    image_tokens = model.backend.engine.model.config.num_query_tokens  # type: ignore[attr-defined]
    assert reply.usage_metadata["input_tokens"] > image_tokens + model.get_num_tokens("the ant"), "and the format's"
    assert model.invoke("the ant").text != NO_PICTURE, "Vicuna talks without a picture too"


def test_a_server_is_sent_the_picture_and_counts_its_tokens() -> None:
    with seeing_openai() as url:
        remote = eye(url)
        model = VisionChatModel(vision=remote)
        reply = model.invoke([HumanMessage([words("What is it?"), block(CAT.read_bytes())])])
        assert str(reply.text).startswith("user: ") and str(reply.text).endswith(", What is it?")
        assert reply.response_metadata["tokens_counted_by"] == "the model, image tokens included"
        assert reply.usage_metadata is not None and reply.usage_metadata["input_tokens"] == 110
        assert model.invoke("Hello").text == "user: Hello"
        assert isinstance(remote, OpenAIBackend) and remote.describe()["requests"] == "2"
