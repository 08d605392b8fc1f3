"""Texts edited by hand, and their effect on labels, rules and export; finding curations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from core.errors import UsageError
from tests.training.curation.fakes import FakeMender, generated_folder
from training.curation.folder import CurationFolder
from training.curation.report.export import export
from training.curation.review.edits import edit
from training.curation.review.labels import Kinds, Label, Labels
from training.curation.review.review import application, lines
from training.curation.rules.rules import Rules
from training.curation.steps.checking import Repair
from training.curation.steps.repair import (
    RepairConfig,
    RepairSettings,
    edited,
    prompts_digest,
    repair,
    repaired,
)
from training.curation.workspace import apply_rules, compare, find_curations, open_review, try_rules

BETTER = "A wooden house with a red door stands by the sea, two boats lie before it, and a dog sleeps on the steps."


@pytest.fixture
def folder(tmp_path: Path) -> CurationFolder:
    """A curation of four pictures with repaired texts."""
    made = generated_folder(tmp_path, 4)
    files = Repair.load()
    list(
        repair(
            made,
            RepairSettings(repairer="fake-repairer", prompts=prompts_digest(files)),
            files,
            FakeMender(),
            RepairConfig(),
        )
    )
    return made


def test_an_edited_text_is_the_one_that_is_exported_with_who_changed_it(folder: CurationFolder, tmp_path: Path) -> None:
    review = open_review(folder, "Ada")
    [item, *_] = review.items
    assert edit(folder, item, f"  {BETTER}\n", "Ada").text == BETTER
    without_people = Rules.parse("[near_duplicates]\nsimilarity = 2.0\n")
    apply_rules(folder, without_people)
    list(export(folder, tmp_path / "out", max_pixels=10_000_000))
    lines = [json.loads(line) for line in (tmp_path / "out" / "provenance.jsonl").read_text().splitlines()]
    found = {line["image_id"]: line["repaired"] for line in lines}
    assert found[item.id]["text"] == BETTER and found[item.id]["changed by"] == "Ada"
    assert sum("changed by" in one for one in found.values()) == 1


def test_labels_belong_to_the_text_they_were_given_to(folder: CurationFolder) -> None:
    review = open_review(folder, "Ada")
    item = review.items[0]
    Labels(folder).add(Label(item.id, "Ada", item.of, ("wrong",)))
    new = edit(folder, item, BETTER, "Ben")
    assert Labels(folder).get("Ada", new) is None
    edit(folder, new, item.text, "Ben")
    assert Labels(folder).get("Ada", item) is not None
    assert [record["text"] for record in folder.repaired.read()][-2:] == [BETTER, item.text], "nothing is lost"


def test_an_edit_never_overwrites_what_somebody_else_wrote(folder: CurationFolder) -> None:
    item = open_review(folder, "Ada").items[0]
    edit(folder, item, BETTER, "Ben")
    with pytest.raises(UsageError, match="somebody else has changed"):
        edit(folder, item, "Another text.", "Ada")
    for text, reason in (("", "empty"), (f" {BETTER} ", "unchanged")):
        with pytest.raises(UsageError, match=reason):
            edit(folder, open_review(folder, "Ada").items[0], text, "Ada")
    assert repaired(folder)[item.id]["text"] == BETTER


def test_rules_on_trial_write_nothing(folder: CurationFolder) -> None:
    verdict = try_rules(folder, Rules.parse('[[rule]]\nname = "all"\npattern = "There"\naction = "drop"\n'))
    assert len(verdict.dropped) == 4 and len(verdict.hits["all"]) == 4
    assert not folder.verified.path.exists()


def test_differences_of_two_reviewers_come_in_the_order_of_the_sample(folder: CurationFolder) -> None:
    items = open_review(folder, "Ada").items
    labels = Labels(folder)
    for number, item in enumerate(items):
        labels.add(Label(item.id, "Ada", item.of, ("thin",)))
        labels.add(Label(item.id, "Ben", item.of, ("thin",) if number % 2 else ()))
    [pair], differences = compare(folder, "repair", Kinds.load().names)
    assert pair.texts == 4 and pair.equal == 2
    assert [one.item.id for one in differences] == [item.id for item in items[::2]]
    assert all(Path(one.item.picture).is_file() for one in differences)


def test_curations_are_found_below_a_folder(folder: CurationFolder, tmp_path: Path) -> None:
    assert find_curations(tmp_path) == [folder.path] == find_curations(folder.path)
    assert find_curations(tmp_path / "pictures") == []


# ---- after the rules -----------------------------------------------------------------------------------------------

WIDE = "[near_duplicates]\nsimilarity = 2.0\n"
ALL = '[[rule]]\nname = "all"\npattern = "sea"\naction = "drop"\n[people]\ndrop = ["wrong"]\n' + WIDE


def exported(folder: CurationFolder, to: Path) -> dict[str, dict[str, Any]]:
    """Caption and provenance by picture."""
    list(export(folder, to, max_pixels=10_000_000))
    captions = json.loads((to / "filter_cap.json").read_text())["annotations"]
    found = {one["image_id"]: {"caption": one["caption"]} for one in captions}
    for line in (to / "provenance.jsonl").read_text().splitlines():
        found[json.loads(line)["image_id"]] |= json.loads(line)
    return found


def test_an_edit_after_the_rules_wins_over_them_and_says_so(folder: CurationFolder, tmp_path: Path) -> None:
    apply_rules(folder, Rules.parse(WIDE))
    review = open_review(folder, "Ada", stage="rules")
    item = review.items[0]
    review.edit(BETTER)
    assert review.item is not None and review.item.text == BETTER
    assert open_review(folder, "Ben", stage="rules").items[0].text == BETTER, "everybody sees it at once"
    assert open_review(folder, "Ben").items and repaired(folder)[item.id]["text"] == item.text
    with pytest.raises(UsageError, match="run `inquisight curate rules"):
        exported(folder, tmp_path / "early")
    verdict = apply_rules(folder, Rules.parse(ALL))  # a rule that would drop just this text
    assert not verdict.hits["all"] and len(verdict.kept) == 4
    found = exported(folder, tmp_path / "out")
    assert found[item.id]["caption"] == BETTER and found[item.id]["repaired"]["text"] == item.text
    after = found[item.id]["edited after the rules"]
    assert after["by"] == "Ada" and after["before"] == item.text
    assert sum("edited after the rules" in one for one in found.values()) == 1


def test_an_edit_after_the_rules_is_undone_to_what_was_there(folder: CurationFolder, tmp_path: Path) -> None:
    fixing = '[[rule]]\nname = "x"\npattern = "There is"\naction = "fix"\nreplace = "I see"\n'
    apply_rules(folder, Rules.parse(fixing + WIDE))
    review = open_review(folder, "Ada", stage="rules")
    ruled = review.items[0]
    assert ruled.text.startswith("I see")
    review.edit(BETTER)
    other = open_review(folder, "Ben", stage="rules")
    other.edit(f"{BETTER} It rains.")
    other.undo()
    assert open_review(folder, "Cid", stage="rules").items[0].text == BETTER, "the edit before is in force again"
    apply_rules(folder, Rules.parse(WIDE))
    review.undo()
    assert open_review(folder, "Cid", stage="rules").items[0].text != BETTER
    apply_rules(folder, Rules.parse(WIDE))
    found = exported(folder, tmp_path / "out")
    assert found[ruled.id]["caption"].startswith("There is") and "edited after the rules" not in found[ruled.id]


def test_the_later_change_counts_where_both_texts_were_edited(folder: CurationFolder) -> None:
    apply_rules(folder, Rules.parse(WIDE))
    item = open_review(folder, "Ada", stage="rules").items[0]
    edit(folder, item, BETTER, "Ada", "rules")
    new = edit(folder, item, "A boat lies in the sun on a long white beach.", "Ben")
    assert edited(folder) == {}
    edit(folder, new, item.text, "Ben")
    assert edited(folder)[item.id]["text"] == BETTER
    with pytest.raises(UsageError, match="somebody else has changed"):
        edit(folder, item, "Another one.", "Ada", "rules")


def test_only_people_drop_a_text_that_people_wrote(folder: CurationFolder) -> None:
    apply_rules(folder, Rules.parse(WIDE))
    one, other, *_ = open_review(folder, "Ada", stage="rules").items
    Labels(folder).add(Label(one.id, "Ben", one.of, ("wrong",)))
    new = edit(folder, one, BETTER, "Ada", "rules")
    edit(folder, other, BETTER, "Ada", "rules")
    strict = Rules.parse('[people]\ndrop = ["wrong"]\n[near_duplicates]\nsimilarity = 0.5\n')
    assert {one.id, other.id} <= {record["id"] for record in try_rules(folder, strict).kept}
    Labels(folder).add(Label(one.id, "Ben", new.of, ("wrong",)))
    assert [record["id"] for record in try_rules(folder, strict).dropped if record["stage"] == "people"] == [one.id]


def test_a_text_is_edited_in_the_terminal_too(folder: CurationFolder) -> None:
    from prompt_toolkit.input import create_pipe_input
    from prompt_toolkit.output import DummyOutput

    apply_rules(folder, Rules.parse(WIDE))
    review = open_review(folder, "Ada", stage="rules")
    before = [item.text for item in review.items]
    assert "Ctrl-E" in "".join(text for _, text in lines(review))
    with create_pipe_input() as keys:
        # " Yes." at the end of the first, fine; the second as it was, and changed to nothing, which says so
        keys.send_text("\x05 Yes.\r" + "\r" + "\x05\r" + "\x05\x15\r" + "q")
        application(review, input=keys, output=DummyOutput()).run()
    assert review.items[0].text == f"{before[0]} Yes." and review.items[1].text == before[1]
    assert "empty text" in review.message and review.done == 1
