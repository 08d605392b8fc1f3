"""Step 3, people: sample, labels, keys of the view, sheets, and the agreement of two reviewers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import UsageError
from tests.training.curation.fakes import FakeMender, generated_folder
from training.curation.folder import CurationFolder
from training.curation.report.figures import count
from training.curation.review.labels import (
    Kinds,
    Label,
    LabelItem,
    Labels,
    agreement,
    check_reviewer,
    cohens_kappa,
    draw_sample,
    read_sheet,
    write_sheet,
)
from training.curation.review.review import Review, application, lines, thumbnail
from training.curation.steps.checking import Repair
from training.curation.steps.repair import RepairConfig, RepairSettings, prompts_digest, repair

KINDS = Kinds.load()
FILES = Repair.load()


def repaired_folder(root: Path, count: int = 8, how: RepairConfig | None = None) -> CurationFolder:
    folder = generated_folder(root, count)
    chosen = RepairSettings(repairer="fake-repairer", prompts=prompts_digest(FILES))
    list(repair(folder, chosen, FILES, FakeMender(), how or RepairConfig()))
    return folder


def sample_of(folder: CurationFolder, size: int | None = None, seed: int | None = None) -> list[LabelItem]:
    return draw_sample(folder, stage="repair", size=size, seed=seed)


def screen(review: Review) -> str:
    return "".join(text for _, text in lines(review))


# ---- the sample ----------------------------------------------------------------------------------------------------


def test_the_sample_is_drawn_once_with_its_seed(tmp_path: Path) -> None:
    folder = repaired_folder(tmp_path)
    first = sample_of(folder, 3, 5)
    assert len(first) == 3 and first == sample_of(folder)
    with pytest.raises(UsageError, match="drawn with --sample 3, not 4"):
        sample_of(folder, 4)
    with pytest.raises(UsageError, match="drawn with --seed 5, not 6"):
        sample_of(folder, 3, 6)
    (folder.path / "sample.json").unlink()
    assert sample_of(folder, 3, 5) == first
    (folder.path / "sample.json").unlink()
    assert [item.id for item in sample_of(folder, 8, 6)] != [item.id for item in first]


def test_no_sample_before_the_texts_are_there(tmp_path: Path) -> None:
    folder = generated_folder(tmp_path)
    with pytest.raises(UsageError, match="curate repair"):
        sample_of(folder)
    half = repaired_folder(tmp_path / "half", how=RepairConfig(limit=4))
    with pytest.raises(UsageError, match=r"4 texts are not repaired yet.*--partly"):
        sample_of(half)
    assert len(draw_sample(half, stage="repair", size=None, seed=None, partly=True)) == 4
    with pytest.raises(UsageError, match="curate rules"):
        draw_sample(half, stage="rules", size=None, seed=None)


# ---- the keys ------------------------------------------------------------------------------------------------------


def test_keys_tick_kinds_and_enter_keeps_them(tmp_path: Path) -> None:
    folder = repaired_folder(tmp_path, 3)
    items = sample_of(folder)
    review = Review(items, Labels(folder), "anna", KINDS)
    for key in "rii":
        review.tick(key)
    review.tick("e")
    review.note = "odd"
    assert "x r  repetition" in screen(review) and "  i  invented" in screen(review)
    review.keep()
    assert review.item == items[1] and not review.ticked and not review.note
    review.keep()
    review.skip()
    assert review.item is None and "All texts are reviewed" in screen(review)
    again = Labels(folder)
    first = again.get("anna", items[0])
    assert first is not None and first.kinds == ("repetition", "broken end") and first.note == "odd"
    second = again.get("anna", items[1])
    assert second is not None and second.kinds == ()
    assert again.get("anna", items[2]) is None and again.get("ben", items[0]) is None
    assert Review(items, again, "anna", KINDS).item == items[2], "a later sitting begins with the first open text"


def test_undo_takes_back_and_brings_back(tmp_path: Path) -> None:
    folder = repaired_folder(tmp_path, 2)
    items = sample_of(folder)
    review = Review(items, Labels(folder), "anna", KINDS)
    review.tick("r")
    review.keep()
    review.back()
    assert review.ticked == {"repetition"}
    review.tick("r")
    review.keep()
    assert Labels(folder).get("anna", items[0]).kinds == ()  # type: ignore[union-attr]
    review.undo()
    assert review.item == items[0] and review.ticked == {"repetition"}
    assert Labels(folder).get("anna", items[0]).kinds == ("repetition",)  # type: ignore[union-attr]
    review.undo()
    assert Labels(folder).get("anna", items[0]) is None and review.done == 0
    review.undo()
    assert review.message == "nothing to undo"
    assert len(folder.labels.read()) == 5, "the file keeps every step"


def test_a_key_without_a_meaning_is_said(tmp_path: Path) -> None:
    folder = repaired_folder(tmp_path, 1)
    review = Review(sample_of(folder), Labels(folder), "anna", KINDS)
    review.tick("z")
    assert "the key z has no function" in screen(review) and not review.ticked


def test_texts_and_notes_cannot_steer_the_terminal(tmp_path: Path) -> None:
    item = LabelItem("a", "x\x1b[31m.png", "A dog \x1b]0;title\x07 runs.\u202e")
    review = Review([item], Labels(CurationFolder(tmp_path / "c", create=True)), "anna", KINDS)
    assert not {"\x1b", "\x07", "\u202e"} & set(screen(review))


def test_the_view_on_a_terminal(tmp_path: Path) -> None:
    from prompt_toolkit.input import create_pipe_input
    from prompt_toolkit.output import DummyOutput

    folder = repaired_folder(tmp_path, 4)
    items = sample_of(folder)
    review = Review(items, Labels(folder), "anna", KINDS)
    with create_pipe_input() as keys:
        # invented + a note; fine; skipped; picture on and off; a wrong one taken back
        keys.send_text("in" + "no tree; q\r" + "\r" + "\r" + "s" + "pp" + "r\ru" + "q")
        application(review, input=keys, output=DummyOutput()).run()
    kept = Labels(folder)
    first = kept.get("anna", items[0])
    assert first is not None and first.kinds == ("invented",) and first.note == "no tree; q"
    assert kept.get("anna", items[1]).kinds == ()  # type: ignore[union-attr]
    assert kept.get("anna", items[2]) is None and kept.get("anna", items[3]) is None


def test_a_picture_in_half_blocks_and_one_that_is_gone(tmp_path: Path) -> None:
    folder = repaired_folder(tmp_path, 1)
    [item] = sample_of(folder)
    rows = "".join(text for _, text in thumbnail(item.picture)).splitlines()
    assert len(rows) == 8 and set(rows[0]) == {"▀"}
    assert "does not exist" in thumbnail(str(tmp_path / "gone.png"))[0][1]


# ---- sheets --------------------------------------------------------------------------------------------------------


def test_a_sheet_is_filled_in_elsewhere_and_read_back(tmp_path: Path) -> None:
    folder = repaired_folder(tmp_path, 3)
    items = sample_of(folder)
    sheet = tmp_path / "sheet.jsonl"
    write_sheet(sheet, items, Labels(folder), "ben")
    rows = [json.loads(line) for line in sheet.read_text("utf-8").splitlines()]
    assert [row["kinds"] for row in rows] == [None] * 3 and rows[0]["text"] == items[0].text
    rows[0] |= {"kinds": ["wrong", "repetition"], "note": "two dogs"}
    rows[1]["kinds"] = []
    sheet.write_text("\n".join(json.dumps(row) for row in rows), "utf-8")
    labels = Labels(folder)
    assert read_sheet(sheet, items, labels, "ben", KINDS) == 2
    assert read_sheet(sheet, items, Labels(folder), "ben", KINDS) == 0, "the same again is nothing new"
    assert Labels(folder).get("ben", items[0]) == Label(
        items[0].id, "ben", items[0].of, ("repetition", "wrong"), "two dogs"
    )
    assert Labels(folder).get("ben", items[2]) is None


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("nonsense", "line 1 of the sheet"),
        ('{"id": "p00"}', "line 1 of the sheet"),
        ('{"id": "p99", "kinds": []}', "'p99' is not in this sample"),
        ('{"id": "p00", "kinds": ["typo"]}', "no kind of error 'typo': take repetition"),
        ('{"id": "p00", "kinds": "wrong"}', "must be a list"),
        ('{"id": "p00", "kinds": [], "text": "another"}', "has changed since"),
    ],
)
def test_a_sheet_with_an_error_changes_nothing(tmp_path: Path, line: str, words: str) -> None:
    folder = repaired_folder(tmp_path, 2)
    sheet = tmp_path / "sheet.jsonl"
    sheet.write_text(line + "\n", "utf-8")
    with pytest.raises(UsageError, match=words):
        read_sheet(sheet, sample_of(folder), Labels(folder), "ben", KINDS)
    assert not folder.labels.path.exists()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('key = "e"', 'key = "r"', "the key 'r' is there twice"),
        ('key = "e"', 'key = "u"', "kind 'broken end', key: the key 'u' is taken"),
        ('key = "e"', 'key = "ee"', "kind 'broken end', key"),
        ('name = "broken end"', 'name = "repetition"', "the name 'repetition' is there twice"),
    ],
)
def test_kinds_of_ones_own_are_checked(tmp_path: Path, old: str, new: str, words: str) -> None:
    from training.curation.toml import default_file

    file = tmp_path / "mine.toml"
    file.write_text(default_file("kinds").read_text("utf-8").replace(old, new), "utf-8")
    with pytest.raises(UsageError, match=words):
        Kinds.load(file)


def test_reviewers_have_names() -> None:
    assert check_reviewer(" anna ") == "anna"
    for bad in ("", " ", "a\x1b", "x" * 41):
        with pytest.raises(UsageError, match="--reviewer"):
            check_reviewer(bad)


# ---- agreement -----------------------------------------------------------------------------------------------------


def test_kappa_of_the_textbook_case() -> None:
    # 20 yes-yes, 5 yes-no, 10 no-yes, 15 no-no: observed .7, by chance .5, kappa .4
    one = [True] * 25 + [False] * 25
    other = [True] * 20 + [False] * 5 + [True] * 10 + [False] * 15
    assert cohens_kappa(one, other) == pytest.approx(0.4)


def test_kappa_where_it_is_not_defined() -> None:
    assert cohens_kappa([], []) is None
    assert cohens_kappa([1, 1], [1, 1]) is None
    with pytest.raises(ValueError, match="longer"):
        cohens_kappa([1], [1, 2])


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=30))
def test_kappa_is_symmetric_and_one_only_for_equal_labels(pairs: list[tuple[int, int]]) -> None:
    one, other = zip(*pairs, strict=True)
    kappa = cohens_kappa(one, other)
    assert kappa == cohens_kappa(other, one) == cohens_kappa([f"x{a}" for a in one], [f"x{b}" for b in other])
    if kappa is None:
        assert len(set(one) | set(other)) == 1
    else:
        assert -1 <= kappa <= 1 and (kappa == 1) == (one == other)


def test_two_reviewers_are_compared_on_the_texts_both_saw(tmp_path: Path) -> None:
    folder = repaired_folder(tmp_path, 6)
    items = sample_of(folder)
    labels = Labels(folder)
    for at, item in enumerate(items[:5]):
        labels.add(Label(item.id, "anna", item.of, ("wrong",) if at < 2 else ()))
    for at, item in enumerate(items[1:]):
        labels.add(Label(item.id, "ben", item.of, ("wrong", "thin") if at == 0 else ()))
    [found] = agreement(labels.of(items), ["wrong", "thin"])
    assert (found.reviewers, found.texts, found.equal) == (("anna", "ben"), 4, 3)
    assert found.faulty == 1 and found.kinds["wrong"] == 1 and found.kinds["thin"] == 0
    sample = count(folder).sample
    assert sample is not None and sample.labelled == {"anna": 5, "ben": 5}
    assert (sample.seen, sample.faulty, sample.kinds) == (6, 2, {"wrong": 2, "thin": 1})


def test_a_label_counts_for_the_text_it_was_given_to(tmp_path: Path) -> None:
    folder = repaired_folder(tmp_path, 2)
    items = sample_of(folder)
    Labels(folder).add(Label(items[0].id, "anna", items[0].of, ("wrong",)))
    changed = LabelItem(items[0].id, items[0].picture, "Another text.")
    assert Labels(folder).get("anna", changed) is None and Labels(folder).get("anna", items[0]) is not None
