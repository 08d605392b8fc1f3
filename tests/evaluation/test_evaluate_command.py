"""`inquisight evaluate` from request to result: figures by hand, resuming, and requests that cannot work."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agents.cli.main import run
from evaluation.report import FILES
from tests.evaluation.knowing import KnowingVision, register, write_images, write_instances

Evaluate = Any


@pytest.fixture
def evaluate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], home: Path
) -> Evaluate:
    """Runs the command in a folder with labelled images; gives back code, result and standard error."""
    register(monkeypatch)
    monkeypatch.chdir(tmp_path)
    write_instances(tmp_path / "data")

    def command(task: str, *words: str, vision: str = "knowing", code: int = 0) -> tuple[Any, str]:
        arguments = ["evaluate", task, "--vision", vision, "--json", *words]
        for name, value in (("--data", "data/instances.json"), ("--out", "out"), ("--witness", "none")):
            arguments += [] if name in words else [name, value]
        capsys.readouterr()
        assert run(arguments) == code
        printed = capsys.readouterr()
        return (json.loads(printed.out) if code in (0, 1) and printed.out else None), printed.err

    return command


def values(result: Any, name: str, group: str = "") -> dict[str, float]:
    """The figures of the row with this group whose name begins so."""
    [row] = [row for row in result["rows"] if row["group"] == group and row["name"].startswith(name)]
    return {key: figure["value"] for key, figure in row["figures"].items()}


# ---- figures by hand -----------------------------------------------------------------------------------------------


def test_pope(evaluate: Evaluate) -> None:
    result, _ = evaluate("pope", "--per-image", "2")
    # right about everything: "Yes, there is." is no strict yes
    for sampling in ("random", "popular", "adversarial"):
        for parser in ("official", "lenient"):
            found = values(result, parser, sampling)
            assert (found["accuracy"], found["F1"], found["yes ratio"]) == (1, 1, 0.5)
        strict = values(result, "strict", sampling)
        assert (strict["accuracy"], strict["unparsed"], strict["recall"]) == (0.5, 0.5, 0)
        assert values(result, "baseline: always yes", sampling)["accuracy"] == 0.5
    assert result["recipe"]["prompt"] == "Is there {} in the image?" and result["recipe"]["questions"] == "48"
    assert "knowing" in result["recipe"]["vision"] and "sha256" in result["recipe"]["data"]
    assert result["left_out"] == {"count": 0, "reasons": {}}
    only, _ = evaluate(
        "pope", "--sampling", "popular", "--limit", "2", "--out", "other", "--prompt", "Is there {} now?"
    )
    assert {row["group"] for row in only["rows"]} == {"popular"} and only["rows"][0]["images"] <= 2


def test_chair(evaluate: Evaluate) -> None:
    # each caption is "A X and a cat.": X is there, no image has a cat
    result, _ = evaluate("chair", "--captions", "plain,detailed")
    found = values(result, "plain")
    assert (found["CHAIRi"], found["CHAIRs"], found["mentions"], found["words"]) == (0.5, 1, 2, 5)
    assert found["recall"] == pytest.approx(4 / 9, abs=1e-6)
    assert values(result, "detailed") == found
    baseline = values(result, "baseline: There is a person.")  # in three of four images
    assert (baseline["CHAIRi"], baseline["CHAIRs"]) == (0.25, 0.25)
    references = {"annotations": [{"image_id": 1, "caption": "A kitten."}]}
    Path("references.json").write_text(json.dumps(references), encoding="utf-8")
    result, _ = evaluate("chair", "--captions", "plain", "--references", "references.json", "--out", "referred")
    found = values(result, "plain")
    assert found["CHAIRi"] == 3 / 8 and found["CHAIRs"] == 3 / 4 and found["recall"] == 5 / 10


def test_captions_of_others_need_no_model(evaluate: Evaluate) -> None:
    rows = [{"image_id": 1, "caption": "A dog."}, {"image_id": 2, "caption": "A pizza and a man."}]
    Path("theirs.json").write_text(json.dumps(rows), encoding="utf-8")
    result, _ = evaluate("chair", "--caption-file", "theirs.json", vision="nothing-of-the-kind")
    found = values(result, "theirs")
    assert (found["CHAIRi"], found["CHAIRs"], found["recall"]) == pytest.approx((1 / 3, 1 / 2, 2 / 5), abs=1e-6)
    assert "sha256" in result["recipe"]["captions of theirs.json"]
    assert "vision" not in result["recipe"] and result["rows"][0]["images"] == 2
    both, _ = evaluate("chair", "--caption-file", "theirs.json", "--captions", "plain", "--out", "both")
    assert [row["name"] for row in both["rows"]][:2] == ["plain", "theirs"]


def test_captions_of_an_earlier_run(evaluate: Evaluate, capsys: pytest.CaptureFixture[str]) -> None:
    first, _ = evaluate("chair", "--captions", "plain")
    asked = len(KnowingVision.asked)
    again, _ = evaluate("chair", "--caption-file", "out", "--out", "again")
    assert values(again, "plain") == values(first, "plain") and len(KnowingVision.asked) == asked
    assert "knowing" in again["recipe"]["captions of out"]
    _, errors = evaluate("coverage", "--caption-file", "data", "--out", "third", code=2)
    assert "'data' is no folder of a run with captions of these images" in errors
    _, errors = evaluate("coverage", "--caption-file", "out", "--captions", "plain", "--out", "third", code=2)
    assert "two kinds of captions are called 'plain'" in errors


def test_coverage(evaluate: Evaluate) -> None:
    result, _ = evaluate("coverage", "--captions", "plain")
    # a dog and a cat may be persons by WordNet's senses: all but the bicycle and the dining table
    assert values(result, "plain") == {"covered": pytest.approx(7 / 9, abs=1e-6), "objects": 9 / 4, "words": 5}


def test_failures(evaluate: Evaluate) -> None:
    result, _ = evaluate("failures", "--captions", "plain")
    found = values(result, "plain")
    assert (found["failed"], found["broken off"], found["off the subject"]) == (0, 0, 0)
    poem = values(result, "poem")
    assert (poem["failed"], poem["repeating"], poem["broken off"]) == (1, 1, 1)
    assert poem["off the subject"] == 0.5, "no dog is on the boat and none on the pizza"
    story = values(result, "story")
    assert (story["failed"], story["broken off"], story["words"]) == (0, 0, 9)


def test_mirror(evaluate: Evaluate) -> None:
    result, _ = evaluate("mirror")
    lenient, strict = values(result, "lenient"), values(result, "strict")
    assert (lenient["swapped"], lenient["same side"], lenient["unparsed"], lenient["left ratio"]) == (1, 0, 0, 0.5)
    assert strict["unparsed"] == 0.5 and strict["swapped"] is None
    baseline = values(result, "baseline: always left")
    assert (baseline["swapped"], baseline["same side"]) == (0, 1)


def test_mirror_without_labels(evaluate: Evaluate) -> None:
    write_images(Path("alone"))
    result, _ = evaluate("mirror", "--data", "alone")
    assert values(result, "lenient")["swapped"] == 1
    assert any(question.startswith("is the cat on the left") for question in KnowingVision.asked)


def test_vqa(evaluate: Evaluate) -> None:
    rows = [f"data/{colour}.png,What colour is it?,{colour},colour" for colour in ("red", "blue")]
    rows += ["data/red.png,Is there a dog in the image?,yes,yes/no"]
    Path("questions.csv").write_text("\n".join(["image,question,answers,kind", *rows]), encoding="utf-8")
    result, _ = evaluate("vqa", "--data", "questions.csv")
    assert values(result, "strict", "all")["accuracy"] == 0
    assert values(result, "lenient", "all")["accuracy"] == 1
    assert values(result, "baseline: always", "all")["accuracy"] == pytest.approx(1 / 3, abs=1e-6)
    assert values(result, "lenient", "yes/no")["accuracy"] == 1
    pope, _ = evaluate("pope", "--data", "questions.csv", "--out", "pope")
    assert values(pope, "official")["accuracy"] == 1 and pope["left_out"]["count"] == 1


def test_reading(evaluate: Evaluate) -> None:
    Path("texts.csv").write_text("image,text\ndata/red.png,Red|sign\ndata/blue.png,Blue\n", encoding="utf-8")
    result, _ = evaluate("reading", "--data", "texts.csv")
    lenient, strict = values(result, "lenient"), values(result, "strict")
    # "REDsign" is right; "BLUEsign" has four letters too many; 7 + 4 letters are labelled
    assert lenient["CER"] == pytest.approx(4 / 11, abs=1e-6) and (lenient["exact"], lenient["lines read"]) == (0.5, 1)
    assert strict["exact"] == 0 and strict["lines read"] == pytest.approx(1 / 3, abs=1e-6), "sign"
    assert values(result, "baseline")["CER"] == 1


def test_telling(evaluate: Evaluate) -> None:
    result, _ = evaluate("telling", "--captions", "plain")
    found = values(result, "lenient", "plain")
    # it knows all nine objects, says yes to no other, and tells of the first in each image
    assert (found["knows"], found["false yes"]) == (1, 0)
    assert found["tells of known"] == found["tells of all"] == pytest.approx(4 / 9, abs=1e-6)
    strict = values(result, "strict", "plain")
    assert (strict["knows"], strict["tells of known"]) == (0, None)


def test_interviews_stand_beside_plain_captions(evaluate: Evaluate) -> None:
    result, _ = evaluate("chair", "--rounds", "3", "--questioner", "scripted", "--seed", "1")
    assert [row["name"] for row in result["rows"]][:4] == ["plain", "detailed", "interview", "audited"]
    assert all(row["images"] == 4 for row in result["rows"])
    assert values(result, "audited")["CHAIRi"] < values(result, "interview")["CHAIRi"], "the cats are taken out"
    assert "scripted" in result["recipe"]["questioner"] and '"rounds": 3' in result["recipe"]["interview"]


# ---- results, resuming ---------------------------------------------------------------------------------------------


def test_the_folder_holds_json_table_and_plot(evaluate: Evaluate, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    result, errors = evaluate("pope", "--per-image", "2")
    assert "results in out" in errors
    assert json.loads(Path("out/result.json").read_text("utf-8")) == result
    table = Path("out/result.md").read_text("utf-8")
    assert table.startswith("| pope |") and "- parser strict: " in table and "- versions: python" in table
    assert Path("out/result.png").read_bytes().startswith(b"\x89PNG")
    assert run(["evaluate", "pope", "--vision", "knowing", "--per-image", "2", "--data", "data", "--out", "out"]) == 2
    assert "was begun with data" not in capsys.readouterr().out


def test_a_second_run_asks_nothing(evaluate: Evaluate) -> None:
    first, _ = evaluate("pope", "--per-image", "2")
    asked = len(KnowingVision.asked)
    again, _ = evaluate("pope", "--per-image", "2")
    assert again == first and len(KnowingVision.asked) == asked
    evaluate("pope", "--per-image", "2", "--fresh")
    assert len(KnowingVision.asked) == 2 * asked


def test_a_torn_journal_is_continued(evaluate: Evaluate) -> None:
    first, _ = evaluate("pope", "--per-image", "2")
    journal = Path("out/answers.jsonl")
    journal.write_bytes(journal.read_bytes()[:-30])
    for name in FILES:
        Path("out", name).unlink(missing_ok=True)
    again, _ = evaluate("pope", "--per-image", "2")
    assert again == first


def test_other_options_need_another_folder(evaluate: Evaluate) -> None:
    evaluate("pope", "--per-image", "2")
    for words in (("--seed", "3"), ("--limit", "2"), ("--prompt", "A {}?"), ("--per-image", "1")):
        _, errors = evaluate("pope", "--per-image", "2", *words, code=2)
        assert "take the same options, another --out, or --fresh" in errors and errors.count("\n") == 1
    _, errors = evaluate("chair", "--captions", "plain", code=2)
    assert "was begun with task 'pope', not 'chair'" in errors


@pytest.mark.parametrize("task", ["pope", "chair", "telling", "failures", "mirror"])
def test_a_failing_model_is_counted(evaluate: Evaluate, task: str) -> None:
    words = ["--captions", "plain"] if task not in ("pope", "mirror") else ["--per-image", "2"]
    result, errors = evaluate(task, *words, vision="failing", code=1)
    assert result["rows"][0]["images"] == 1 and result["left_out"]["reasons"]["image that failed"]["count"] >= 3
    assert "images that failed" in errors and "Traceback" not in errors


@pytest.mark.parametrize("task", ["pope", "chair", "coverage", "telling", "failures", "mirror"])
def test_spoilt_answers_are_measured(evaluate: Evaluate, task: str) -> None:
    result, errors = evaluate(task, *(["--per-image", "2"] if task in ("pope", "mirror") else ["--captions", "plain"]),
                              vision="spoilt")  # fmt: skip
    assert result["rows"] and "Traceback" not in errors
    assert "\x1b" not in Path("out/result.md").read_text("utf-8")


# ---- requests that cannot work -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("nonsense",), "there is no task 'nonsense': take pope, chair"),
        (("pope", "--data", "missing.json"), "--data 'missing.json' does not exist"),
        (("pope", "--per-image", "9"), "has 9 objects; take fewer objects per image with --per-image"),
        (("pope", "--per-image", "0"), "--per-image is 0: it must be 1 or more"),
        (("pope", "--sampling", "unfair"), "--sampling is 'unfair': take random, popular, adversarial"),
        (("pope", "--per-image", "1", "--prompt", "Is it?"), "has no {} in the place of the object"),
        (("pope", "--captions", "plain"), "pope measures no captions"),
        (("chair", "--captions", "long"), "--captions names 'long': take plain, detailed"),
        (("chair", "--captions", "none"), "leaves nothing to measure"),
        (("chair", "--caption-file", "missing.json"), "'missing.json' cannot be read"),
        (("vqa",), "has questions with answers; vqa needs VQA's files"),
        (("reading",), "has labelled text; reading needs a table"),
        (("pope", "--export", "excel"), "--export is 'excel': take lmms-eval or vlmevalkit"),
        (("pope", "--limit", "0"), "--limit is 0"),
        (("pope", "--seed", "-1"), "the seed must be between 0"),
        (("mirror", "--sampling", "random"), "--sampling has no effect on mirror; it is for pope"),
        (("chair", "--rounds", "0"), "rounds must be 1 or more, not 0"),
        (("pope", "--per-image", "1", "--vision", "nothing-of-the-kind"), "there is no vision backend"),
    ],
)
def test_a_wrong_request_is_one_line(evaluate: Evaluate, words: tuple[str, ...], message: str) -> None:
    code = 3 if "nothing-of-the-kind" in words else 2
    _, errors = evaluate(*words, code=code)
    assert message in errors and errors.count("\n") == 1 and "Traceback" not in errors


def test_two_runs_do_not_share_a_folder(evaluate: Evaluate) -> None:
    from agents.batch.plan import locked

    with locked(Path("out")):
        _, errors = evaluate("pope", "--per-image", "2", code=2)
    assert "another process is at work on 'out'" in errors
