"""`inquisight audit`: one caption, or those of a data set."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.agents.plugin_on_disk import Shell
from tests.processes import ROOT
from tests.servers.raw import raw_server, said, whole

CAPTION = "There is a cat. There is a red car."


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    made = Shell(tmp_path)
    shutil.copy(ROOT / "examples" / "photos" / "cat.jpg", tmp_path)
    return made


def test_what_is_false_is_marked_and_taken_out(shell: Shell) -> None:
    done = shell.run("audit", "cat.jpg", "--text", CAPTION, "--witness", "detector", "--vision", "pocket")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[:2] == ["cat.jpg", CAPTION]
    assert any(line.startswith("  +") and "a cat" in line for line in lines)
    assert any(line.startswith("  - ") and "a red car" in line for line in lines)
    assert lines[-1] == "without them: There is a cat."
    (shell.folder / "caption.txt").write_text(CAPTION, encoding="utf-8")
    done = shell.run("audit", "cat.jpg", "caption.txt", "--drop", "--witness", "none", "--vision", "pocket")
    assert done.stdout == "There is a cat.\n"


def test_the_captions_of_a_folder_as_json(shell: Shell) -> None:
    (shell.folder / "data").mkdir()
    shutil.move(shell.folder / "cat.jpg", shell.folder / "data" / "cat.jpg")
    (shell.folder / "data" / "cat.txt").write_text(CAPTION, encoding="utf-8")
    done = shell.run("audit", "data", "--json", "--witness", "none", "--vision", "pocket")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["text"] == CAPTION and found["without_false"] == "There is a cat."
    assert {one["text"]: one["verdict"] for one in found["claims"]}["a car"] == "contradicted"
    assert found["questions"] > 0


def test_the_claims_are_those_of_a_questioner(shell: Shell) -> None:
    claims = [
        {"id": 1, "kind": "thing", "words": "a cat"},
        {"id": 2, "kind": "thing", "words": "a red car"},
        {"id": 3, "kind": "attribute", "words": "red", "of": 2},
        {"id": 4, "kind": "thing", "words": "an elephant"},
    ]
    with raw_server() as server:
        server.answers["reader"] = [whole(said(json.dumps({"claims": claims})))]
        reader = ("--claims", "questioner", "--questioner", f"openai:reader?base_url={server.url}")
        arguments = ("audit", "cat.jpg", "--text", CAPTION, "--witness", "none", "--vision", "pocket", *reader)
        done = shell.run(*arguments)
        assert done.returncode == 0, done.stderr
        assert "claims by the questioner: 4 proposed, 1 dropped; the rules found those of 0 of 2 sent" in done.stdout
        found = json.loads(shell.run(*arguments, "--json").stdout)
        server.answers["reader"] = [whole({"error": {"message": "no such key"}}, status=401)]
        done = shell.run(*arguments)
    assert found["claim_counts"] == {"proposed": 4, "dropped": 1, "sentences": 2, "by_rules": 0}
    assert {one["text"]: one["claims_by"] for one in found["claims"]}["a red car"] == "questioner"
    assert done.returncode != 0 and done.stderr.count("\n") == 1 and "HTTP 401" in done.stderr


def test_rules_as_the_questioner_find_what_the_rules_find(shell: Shell) -> None:
    arguments = ("audit", "cat.jpg", "--text", CAPTION, "--witness", "none", "--vision", "pocket", "--json")
    done = shell.run(*arguments, "--claims", "questioner", "--questioner", "scripted")
    assert done.returncode == 0 and "this questioner follows rules" in done.stderr
    found, plain = json.loads(done.stdout), json.loads(shell.run(*arguments).stdout)
    assert found["claims"] == plain["claims"] and "claim_counts" not in found


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("cat.jpg", "--text", "A cat.", "--threshold", "2"), "--threshold is 2: it must lie between 0 and 1"),
        (("cat.jpg", "--text", " "), "the caption is empty"),
        (("cat.jpg", "--text", "A cat.", "--claims", "me"), "--claims is 'me': take rules or questioner"),
        (("cat.jpg", "--text", "A cat.", "--seed", "1"), "--seed only means something together with --claims"),
        (("cat.jpg", "--text", "A cat.", "--claims", "questioner", "--questioner", "openai:"), "is incomplete"),
        (("cat.jpg", "missing.txt"), "the caption in 'missing.txt' cannot be read"),
        (("cat.jpg", "missing.txt", "--text", "A cat."), "give the caption with --text or in a file, not both"),
    ],
)
def test_a_wrong_request_is_one_line(shell: Shell, arguments: tuple[str, ...], message: str) -> None:
    done = shell.run("audit", *arguments)
    assert done.returncode == 2 and message in done.stderr and done.stderr.count("\n") == 1


def test_an_audit_that_fails_is_the_only_thing_that_is_repeated(shell: Shell) -> None:
    shell.picture("red.png")
    shell.environment["UNSCORED"] = "1"
    command = ("caption", "--audit", "mark", "--save-beside", "red.png")
    done = shell.run(*command)
    assert done.returncode == 4 and done.stderr.count("\n") == 1
    assert "blocks cannot score today; the description is kept as" in done.stderr
    assert "the same command checks it" in done.stderr
    assert "the claims of the description were not checked" in done.stdout and "red block" in done.stdout
    assert not (shell.folder / "red.txt").exists()
    shown = shell.run("show", done.stderr.split("kept as ")[1][:10])
    assert "not checked: blocks cannot score today." in shown.stdout
    Path(shell.environment["MENDED"]).touch()
    again = shell.run(*command)
    assert again.returncode == 0 and again.stderr == (
        "inquisight: the description is there already; only its claims are checked\n"
    )
    assert "audit: " in again.stdout and (shell.folder / "red.txt").exists()
    assert shell.run("history", "--json").stdout.count("\n") == 1


def test_an_interview_is_audited_at_its_end(shell: Shell) -> None:
    options = ("--audit", "drop", "--threshold", "0.9999", "--rounds", "4", "--witness", "none", "--vision", "pocket")
    done = shell.run("caption", *options, "cat.jpg")
    assert done.returncode == 0, done.stderr
    assert "before the audit:" in done.stdout and "after the audit:" in done.stdout
    assert "audit: " in done.stdout and " unsupported" in done.stdout
    done = shell.run("caption", *options, "--json", "--fresh", "cat.jpg")
    found = json.loads(done.stdout)
    assert found["audited"] and found["summary"] != found["audited"] and found["claims"]
    done = shell.run("caption", "--threshold", "0.7", "cat.jpg")
    assert done.returncode == 2 and "--threshold only means something together with --audit" in done.stderr
