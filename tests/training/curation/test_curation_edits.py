"""A text that a person puts right, and what hangs on it: labels, rules, export; and where curations are found."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.errors import UsageError
from tests.training.curation.fakes import FakeMender, generated_folder
from training.curation.desk import apply_rules, compare, find_curations, sit_down, try_rules
from training.curation.edits import edit
from training.curation.export import export
from training.curation.folder import Folder
from training.curation.labels import Kinds, Label, Labels
from training.curation.repair import How, Settings, load_files, prompts_digest, repair, repaired
from training.curation.rules import Rules

BETTER = "A wooden house with a red door stands by the sea, two boats lie before it, and a dog sleeps on the steps."


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """A curation of four pictures with repaired texts."""
    made = generated_folder(tmp_path, 4)
    files = load_files(None)
    list(repair(made, Settings(repairer="fake-repairer", prompts=prompts_digest(files)), files, FakeMender(), How()))
    return made


def test_an_edited_text_is_the_one_that_is_exported_with_who_changed_it(folder: Folder, tmp_path: Path) -> None:
    review = sit_down(folder, "Ada")
    [item, *_] = review.items
    assert edit(folder, item, f"  {BETTER}\n", "Ada").text == BETTER
    without_people = Rules.parse("[near_duplicates]\nsimilarity = 2.0\n")
    apply_rules(folder, without_people)
    list(export(folder, tmp_path / "out", max_pixels=10_000_000))
    lines = [json.loads(line) for line in (tmp_path / "out" / "provenance.jsonl").read_text().splitlines()]
    found = {line["image_id"]: line["repaired"] for line in lines}
    assert found[item.id]["text"] == BETTER and found[item.id]["changed by"] == "Ada"
    assert sum("changed by" in one for one in found.values()) == 1


def test_labels_belong_to_the_text_they_were_given_to(folder: Folder) -> None:
    review = sit_down(folder, "Ada")
    item = review.items[0]
    Labels(folder).add(Label(item.id, "Ada", item.of, ("wrong",)))
    new = edit(folder, item, BETTER, "Ben")
    assert Labels(folder).get("Ada", new) is None
    edit(folder, new, item.text, "Ben")
    assert Labels(folder).get("Ada", item) is not None
    assert [record["text"] for record in folder.repaired.read()][-2:] == [BETTER, item.text], "nothing is lost"


def test_an_edit_never_overwrites_what_somebody_else_wrote(folder: Folder) -> None:
    item = sit_down(folder, "Ada").items[0]
    edit(folder, item, BETTER, "Ben")
    with pytest.raises(UsageError, match="somebody else has changed"):
        edit(folder, item, "Another text.", "Ada")
    for text, reason in (("", "empty"), (f" {BETTER} ", "as it was")):
        with pytest.raises(UsageError, match=reason):
            edit(folder, sit_down(folder, "Ada").items[0], text, "Ada")
    assert repaired(folder)[item.id]["text"] == BETTER


def test_rules_on_trial_write_nothing(folder: Folder) -> None:
    verdict = try_rules(folder, Rules.parse('[[rule]]\nname = "all"\npattern = "There"\naction = "drop"\n'))
    assert len(verdict.dropped) == 4 and len(verdict.hits["all"]) == 4
    assert not folder.verified.path.exists()


def test_differences_of_two_reviewers_come_in_the_order_of_the_sample(folder: Folder) -> None:
    items = sit_down(folder, "Ada").items
    labels = Labels(folder)
    for number, item in enumerate(items):
        labels.add(Label(item.id, "Ada", item.of, ("thin",)))
        labels.add(Label(item.id, "Ben", item.of, ("thin",) if number % 2 else ()))
    [pair], differences = compare(folder, "repair", Kinds.load().names)
    assert pair.texts == 4 and pair.equal == 2
    assert [one.item.id for one in differences] == [item.id for item in items[::2]]
    assert all(Path(one.item.picture).is_file() for one in differences)


def test_curations_are_found_below_a_folder(folder: Folder, tmp_path: Path) -> None:
    assert find_curations(tmp_path) == [folder.path] == find_curations(folder.path)
    assert find_curations(tmp_path / "pictures") == []
