"""Truncated and empty replies in both steps that call a model, over HTTP."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from agents.llm.mender import ChatMender
from core.settings import Settings, get_settings
from plugins.openai_vision.backend import OpenAIBackend
from tests.servers.raw import Raw, Server, raw_server, said, whole
from tests.training.curation.fakes import generated_folder, make_pictures, settings
from training.curation.folder import CurationFolder
from training.curation.report.figures import count
from training.curation.report.report import markdown
from training.curation.report.status import as_record, lines
from training.curation.steps.checking import Repair
from training.curation.steps.generate import generate, generated, remember_pictures
from training.curation.steps.pictures import list_pictures
from training.curation.steps.repair import RepairConfig, account, prompts_digest, repair, repaired
from training.curation.steps.repair import RepairSettings as RepairSettings

FILES = Repair.load()
TEXT = "There is a red boat in the middle. A green tree stands close by. Far behind there is a white house."


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with raw_server() as one:
        yield one


@pytest.fixture(autouse=True)
def _served(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("INQUISIGHT_BASE_URL", server.url)
    monkeypatch.setenv("INQUISIGHT_MAX_RETRIES", "0")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    get_settings.cache_clear()
    yield
    get_settings.cache_clear()


def put(server: Server, *answers: Raw) -> str:
    name = f"m-{uuid4().hex}"
    server.answers[name] = list(answers)
    return name


def described(server: Server, root: Path, model: str) -> CurationFolder:
    """A curation of two pictures that a served model describes."""
    folder = CurationFolder(root / "curation", create=True)
    remember_pictures(folder, list_pictures([str(make_pictures(root / "pictures", 2))]))
    limits = Settings(timeout=20.0, max_retries=0, base_url=server.url)  # type: ignore[call-arg]
    chosen = settings(batch=1, continues=0, max_new_tokens=50)
    list(generate(folder, chosen, lambda: OpenAIBackend(model, settings=limits)))
    return folder


def mended(folder: CurationFolder, model: str) -> None:
    name = f"openai:{model}"
    chosen = RepairSettings(repairer=name, prompts=prompts_digest(FILES), tries=1)
    list(repair(folder, chosen, FILES, ChatMender(name), RepairConfig(concurrency=1)))


def test_a_cut_description_is_asked_for_once_more_then_loses_its_unfinished_sentence(
    server: Server, tmp_path: Path
) -> None:
    model = put(server, whole(said(f"{TEXT} And a", "length")))
    folder = described(server, tmp_path, model)
    assert [one["max_tokens"] for one in server.requests(model)] == [50, 200, 200], "learned for the second picture"
    for record in generated(folder).values():
        assert (record["status"], record["text"], record["truncated"]) == ("ok", TEXT, True)
        assert record["parts"] == [TEXT]
    found = count(folder)
    assert as_record(found)["generated"]["truncated"] == 2 and "2 truncated" in lines(found)[0]
    assert re.search(r"truncated.*2 generated", markdown(folder, found, {}))


def test_a_description_that_is_whole_the_second_time_is_not_marked(server: Server, tmp_path: Path) -> None:
    model = put(server, whole(said("There is a", "length")), whole(said(TEXT)))
    folder = described(server, tmp_path, model)
    assert [(one["text"], one["truncated"]) for one in generated(folder).values()] == [(TEXT, False)] * 2
    assert "truncated" not in " ".join(lines(count(folder)))


@pytest.mark.parametrize("silence", [said(None), said(" "), said("", reasoning_content="Hm."), said("", "length")])
def test_a_description_that_is_empty_is_a_failure(server: Server, tmp_path: Path, silence: dict[str, Any]) -> None:
    """The first picture is described, so that the model is not taken for one that never works."""
    model = put(server, whole(said(TEXT)), whole(silence))
    first, second = generated(described(server, tmp_path, model)).values()
    assert first["status"] == "ok" and second["status"] == "failed" and not second.get("text")
    assert "nothing" in second["reason"] and "\n" not in second["reason"]


def test_a_cut_repair_is_asked_for_once_more_then_trimmed_and_counted(server: Server, tmp_path: Path) -> None:
    folder = generated_folder(tmp_path, 1, {"p00": TEXT})
    model = put(server, whole(said(f"{TEXT} And a", "length")))
    mended(folder, model)
    first, second = (one.get("max_completion_tokens") or one["max_tokens"] for one in server.requests(model))
    assert second == 4 * first
    [record] = repaired(folder).values()
    assert (record["status"], record["text"], record["truncated"]) == ("repaired", TEXT, True)
    found = count(folder)
    assert account(folder).calls == 2, "both are paid for"
    assert as_record(found)["repaired"]["truncated"] == 1 and "1 truncated" in lines(found)[1]
    assert re.search(r"truncated.*1 repaired", markdown(folder, found, {}))


def test_a_repair_that_is_whole_the_second_time_is_not_marked(server: Server, tmp_path: Path) -> None:
    folder = generated_folder(tmp_path, 1, {"p00": TEXT})
    mended(folder, put(server, whole(said("There is a", "length")), whole(said(TEXT))))
    [record] = repaired(folder).values()
    assert (record["status"], record["text"], record["truncated"]) == ("repaired", TEXT, False)


@pytest.mark.parametrize("silence", [said(None), said("", reasoning_content="Hm."), said("", "length")])
def test_a_repair_that_is_empty_is_a_failure(server: Server, tmp_path: Path, silence: dict[str, Any]) -> None:
    folder = generated_folder(tmp_path, 1, {"p00": TEXT})
    mended(folder, put(server, whole(silence)))
    [record] = repaired(folder).values()
    assert record["status"] == "failed" and "text" not in record and "answered with nothing" in record["reason"]
