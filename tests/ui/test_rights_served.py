"""A dashboard behind a password as it really runs, and a browser that sends what no page has offered."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("websockets", reason="the browser of the test speaks with the server by a websocket")

from benchmarks.dashboard_load import Browser, Report
from tests.servers.listener import Listener

ROOT = Path(__file__).resolve().parents[2]
KEYS = ("OPENAI_API_KEY", "INQUISIGHT_API_KEY", "INQUISIGHT_VISION_API_KEY")


@pytest.fixture(scope="module")
def where(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of `inquisight ui --password-file`, whose owner has keys."""
    home = tmp_path_factory.mktemp("served")
    (home / "secret").write_text("open sesame\n")
    (home / "secret").chmod(0o600)
    command = [sys.executable, "-m", "agents.cli", "ui", "--port", "0", "--no-browser", "--password-file"]
    own = {"INQUISIGHT_HOME": str(home), "INQUISIGHT_ROUNDS": "1"}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("INQUISIGHT_")}
    with subprocess.Popen(
        [*command, str(home / "secret")],
        cwd=ROOT,
        env={**kept, **own, **dict.fromkeys(KEYS, "sk-secret")},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        yield process.stdout.readline().removeprefix("Inquisight is at ").partition(" ")[0]
        process.terminate()
        process.communicate()  # its last words are read: who writes into a closed pipe does not end


async def send(where: str, forged: str) -> None:
    """Give the password, then start an interview with `forged` as both models, and wait for its end."""
    async with Browser(where, "visitor", 1, Report(visitors=1, waves=1, questions=1, cores=1)) as browser:
        field = await browser.until(lambda: browser.find("text_input"), "the password")
        browser.states = {field.id: "open sesame"}
        enter = await browser.until(lambda: browser.find("button", lambda one: one.label == "Log in"), "Log in")
        await browser.rerun(trigger=enter.id)
        await browser.upload()
        start = await browser.until(
            lambda: browser.find("button", lambda one: one.label == "Start" and not one.disabled), "the button Start"
        )
        chosen = [element.selectbox for _, _, element in browser.elements.values() if element.HasField("selectbox")]
        boxes = [box for box in chosen if box.label in ("Vision model", "Language model")]
        assert len(boxes) == 2
        browser.states = {box.id: forged for box in boxes}
        await browser.rerun(trigger=start.id)
        with contextlib.suppress(RuntimeError):  # refused, or an offered model was taken
            await browser.until(lambda: browser.find("download_button"), "an answer")


def test_a_browser_that_names_models_of_its_own_reaches_nobody(where: str) -> None:
    with Listener() as listener:
        asyncio.run(send(where, f"openai:x?base_url={listener.address}&max_side=64"))
        assert listener.received == []
