"""`inquisight caption --witness`: who takes part, what is printed, what is resumed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agents.cli.caption import run_caption
from agents.cli.history import run_show
from agents.cli.requests import CaptionRequest, ShowRequest
from core.errors import RegistryError
from core.records import Caption
from core.settings import get_settings
from core.store.transcripts import TranscriptStore
from core.testing import FakeWitness, make_line, make_thing
from tests.agents.batch.making import HashedEye, register
from tests.fakes import register_witness
from tests.pictures import saved


@pytest.fixture
def picture(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A picture, with the vision model `hashed` and no setting for witnesses."""
    monkeypatch.delenv("INQUISIGHT_WITNESS")
    get_settings.cache_clear()
    register(monkeypatch, HashedEye())
    saved(tmp_path / "dog.png", (200, 100, 50), (300, 200))
    return str(tmp_path / "dog.png")


def caption(picture: str, **options: object) -> int:
    fields = {"vision": "hashed", "questioner": "scripted", "rounds": 3, "seed": 1} | options
    return run_caption(CaptionRequest(pictures=(picture,), **fields))  # type: ignore[arg-type]


def test_the_default_is_every_witness_that_works(
    picture: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    register_witness(monkeypatch, FakeWitness(things=[make_thing("dog")], lines=[make_line("m0re", 0.5)]))
    assert caption(picture) == 0
    printed = capsys.readouterr()
    assert "  2 Q  Which things can be made out, and where?\n    A  A dog on the left.  [fake]\n" in printed.out
    assert 'A  Perhaps it says "m0re".  [fake]  [unsure: not used]' in printed.out
    assert "witnesses 0." in printed.out and printed.err == ""
    id = TranscriptStore().recent(1)[0].id
    assert run_show(ShowRequest(id)) == 0
    assert "A dog on the left.  [fake]" in capsys.readouterr().out
    assert run_show(ShowRequest(id, json=True)) == 0
    assert json.loads(capsys.readouterr().out)["findings"][0]["things"][0]["name"] == "dog"


def test_none_and_names(picture: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    fake = FakeWitness(things=[make_thing("dog")])
    register_witness(monkeypatch, fake)
    assert caption(picture, witness="none", json=True) == 0
    assert Caption.from_json(capsys.readouterr().out).findings == () and fake.examined == []
    assert caption(picture, witness="fake", json=True) == 0
    assert Caption.from_json(capsys.readouterr().out).options["witnesses"] == ["fake"]
    with pytest.raises(RegistryError, match="there is no witness 'fak': did you mean 'fake'"):
        caption(picture, witness="fak")
    monkeypatch.setenv("INQUISIGHT_WITNESS", "none")
    get_settings.cache_clear()
    assert caption(picture, json=True) == 0
    assert Caption.from_json(capsys.readouterr().out).findings == ()


@pytest.mark.parametrize("how", [{}, {"json": True}, {"quiet": True}])
def test_a_witness_that_fails_is_one_line(
    picture: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], how: dict[str, bool]
) -> None:
    register_witness(monkeypatch, FakeWitness(fails=True))
    assert caption(picture, **how) == 0
    printed = capsys.readouterr()
    assert printed.err == "inquisight: the witness 'fake' failed: out of order; the interview goes on without it\n"
    assert ("without a witness: the witness 'fake' failed" in printed.out) == (not how)


def test_a_resumed_interview_keeps_its_witnesses(
    picture: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fake = FakeWitness(things=[make_thing("dog")])
    register_witness(monkeypatch, fake)
    assert caption(picture, json=True) == 0
    whole = Caption.from_json(capsys.readouterr().out)
    begun = whole.model_copy(update={"status": "stopped", "summary": ""})
    id = TranscriptStore().add(begun)
    monkeypatch.setenv("INQUISIGHT_WITNESS", "none")
    get_settings.cache_clear()
    assert run_caption(CaptionRequest(resume=id, json=True)) == 0
    again = Caption.from_json(capsys.readouterr().out)
    assert again.summary == whole.summary and again.findings == whole.findings and len(fake.examined) == 1
