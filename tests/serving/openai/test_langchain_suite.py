"""LangChain's standard suites over its OpenAI client and a real server with pocket."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

pytest.importorskip("langchain_tests")

from langchain_core.language_models import BaseChatModel
from langchain_openai import ChatOpenAI
from langchain_tests.integration_tests import ChatModelIntegrationTests

from core.registry import get_registry
from tests.agents.langchain.test_chat_model_standard import _diagram_without_a_network, anyio_backend  # noqa: F401
from tests.serving.openai.serving_world import serving

pytestmark = pytest.mark.anyio


class TestServedPocket(ChatModelIntegrationTests):
    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _served(cls) -> Iterator[None]:
        with serving(get_registry().create_vision("pocket")) as served:
            cls.address = f"{served.address}/v1"
            yield

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatOpenAI

    @property
    def chat_model_params(self) -> dict[str, Any]:
        """With a client for each test: LangChain's own one outlives the event loop of the test that made it."""
        client = httpx.AsyncClient(trust_env=False)
        named = {"model": "pocket", "base_url": self.address, "api_key": "none", "max_retries": 0}
        return {**named, "stream_usage": True, "http_async_client": client}

    @property
    def supports_image_inputs(self) -> bool:
        return True

    @property
    def has_tool_calling(self) -> bool:
        return False

    @property
    def has_structured_output(self) -> bool:
        """Its tests have no picture to answer about."""
        return False

    @property
    def model_override_value(self) -> str:
        return "interview/pocket"
