"""After a fatal error or at the cost limit, no further paid call begins; counted by a server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("langchain_openai")

from agents.llm.mender import ChatMender
from core.errors import BackendError, QuestionerError, UsageError
from core.settings import Settings as Environment
from core.settings import get_settings
from plugins.openai_vision.backend import OpenAIBackend
from tests.servers.gate import Gate, Request, known_by_the_client
from tests.training.curation.fakes import generated_folder, make_pictures, sentences, settings
from training.curation.folder import CurationFolder
from training.curation.steps.checking import Repair
from training.curation.steps.generate import generate, generated, remember_pictures
from training.curation.steps.pictures import list_pictures
from training.curation.steps.repair import (
    Prices,
    RepairConfig,
    RepairSettings,
    prompts_digest,
    repair,
    repaired,
)

FILES = Repair.load()
COUNT, AT_ONCE = 12, 2


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> Any:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_API_BASE"):
        monkeypatch.delenv(name, raising=False)
    yield
    get_settings.cache_clear()


def mender(gate: Gate, monkeypatch: pytest.MonkeyPatch, retries: int = 3) -> ChatMender:
    monkeypatch.setenv("INQUISIGHT_BASE_URL", gate.address)
    monkeypatch.setenv("INQUISIGHT_API_KEY", "sk-1234567")
    monkeypatch.setenv("INQUISIGHT_MAX_RETRIES", str(retries))
    get_settings.cache_clear()
    return ChatMender("openai:any")


def mend(folder: CurationFolder, repairer: ChatMender, **how: Any) -> None:
    chosen = RepairSettings(repairer=repairer.name, prompts=prompts_digest(FILES))
    list(repair(folder, chosen, FILES, repairer, RepairConfig(**{"concurrency": AT_ONCE} | how)))


def texts() -> dict[str, str | Exception]:
    return {f"p{number:02}": f"{sentences(str(number))} ### " for number in range(COUNT)}


@pytest.mark.parametrize(("status", "code"), [(401, None), (429, "insufficient_quota")])
def test_a_fatal_error_ends_the_repair_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int, code: str | None
) -> None:
    def answer(request: Request) -> None:
        request.wait_for(AT_ONCE)
        request.fail(status, code)

    folder = generated_folder(tmp_path, COUNT, texts())
    with Gate(answer) as gate:
        with pytest.raises(QuestionerError, match="nothing is lost, the same command resumes"):
            mend(folder, mender(gate, monkeypatch))
        assert gate.count == AT_ONCE
    assert repaired(folder) == {}, "no text is to blame"


def test_a_repair_under_way_is_kept_when_another_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = known_by_the_client(monkeypatch)

    def answer(request: Request) -> None:
        request.wait_for(AT_ONCE)
        if request.number == 1:
            request.fail(401)
        else:
            assert known.wait(120)
            said = request.body["messages"][-1]["content"]
            inside = said[said.index("<description-") :]
            request.say(inside[inside.index("\n") + 1 : inside.rindex("\n</description-")].removesuffix("### ").strip())

    folder = generated_folder(tmp_path, COUNT, texts())
    with Gate(answer) as gate:
        with pytest.raises(QuestionerError, match="key"):
            mend(folder, mender(gate, monkeypatch))
        assert gate.count == AT_ONCE
    assert [one["status"] for one in repaired(folder).values()] == ["repaired"]


def test_at_the_limit_on_cost_no_text_begins_and_none_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every reply is unusable, so that each text would be sent several times; the first one reaches the limit."""
    folder = generated_folder(tmp_path, COUNT, texts())
    with Gate(lambda request: request.say("No.")) as gate:
        dear = Prices(input=1e6, output=1e6)
        with pytest.raises(UsageError, match="--max-cost"):
            mend(folder, mender(gate, monkeypatch), concurrency=1, prices=dear, max_cost=1.0)
        tries = RepairSettings(repairer="x", prompts="x").tries
        assert gate.count == tries, "the text under way, whose cost is known when it is through"
    assert len(repaired(folder)) == 1


def test_a_fatal_error_ends_the_generation_at_once(tmp_path: Path) -> None:
    def answer(request: Request) -> None:
        request.wait_for(AT_ONCE)
        request.fail(401)

    folder = CurationFolder(tmp_path / "curation", create=True)
    remember_pictures(folder, list_pictures([str(make_pictures(tmp_path / "pictures", COUNT))]))
    with Gate(answer) as gate:
        environment = Environment(vision_base_url=gate.address, vision_api_key="sk-1234567", max_retries=3)
        eye = OpenAIBackend(f"any?workers={AT_ONCE}", settings=environment)
        with pytest.raises(BackendError, match="key"):
            list(generate(folder, settings(batch=6), lambda: eye))
        assert gate.count == AT_ONCE
    assert generated(folder) == {}
