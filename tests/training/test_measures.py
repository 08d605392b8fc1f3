"""What counts as right where detector and reader are measured on labelled photographs."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from core.testing import make_thing
from core.witness import Box, Thing
from plugins.detector.coco import NAMES
from training.detector.measure import MEANT, judge
from training.detector.measure import main as measure_detector
from training.photographs.labels import LabelledThing, Labels, labels
from training.photographs.measure_reader import Tally, is_read


def labelled(*things: tuple[str, int, bool], maybe: str = "", writing: tuple[str, ...] = ()) -> Labels:
    made = tuple(LabelledThing(name, count, exact, ("left",)) for name, count, exact in things)
    return Labels("x", made, frozenset(filter(None, maybe.split(", "))), writing, False)


def test_things_beyond_an_exact_count_are_wrong() -> None:
    tally = judge(labelled(("person", 1, True)), [make_thing("person", 0), make_thing("person", 50)], 90)
    assert (tally.right, tally.wrong, tally.people, tally.people_right) == (1, 1, 1, 0)
    tally = judge(labelled(("person", 9, False)), [make_thing("person", 0)] * 12, 90)
    assert (tally.right, tally.wrong, tally.expected, tally.found, tally.people) == (12, 0, 5, 5, 0)


def test_names_that_mean_the_same_are_right_and_related_ones_are_neither() -> None:
    assert judge(labelled(("sofa", 1, True)), [make_thing("couch")], 90).right == 1
    tally = judge(labelled(("statue", 1, True), maybe="dog"), [make_thing("person"), make_thing("dog")], 90)
    assert (tally.right, tally.wrong) == (0, 0)
    assert judge(labelled(("dog", 1, True)), [make_thing("cat")], 90).wrong == 1


def test_the_place_of_a_single_thing_is_judged_by_its_third() -> None:
    left, right = make_thing("dog", 0), Thing(name="dog", score=1, box=Box(left=70, top=0, right=90, bottom=9))
    assert judge(labelled(("dog", 1, True)), [left], 90).places_right == 1
    assert judge(labelled(("dog", 1, True)), [right], 90).places_right == 0


def test_the_table_of_meanings_has_names_of_coco() -> None:
    assert set(MEANT) <= set(NAMES)


def test_a_line_is_read_if_words_of_a_certain_line_are_like_it() -> None:
    assert is_read("Sports Centre", ["the SPORTS-CENTRE is open"]) and is_read("2,500", ["2500"])
    assert is_read("Canon", ["CanonCanon"]), "two lines side by side may have been read as one"
    assert not is_read("RIZLA", ["AZ", "SUZUKI"]) and not is_read("A", ["BTC"])


def test_lines_on_photographs_without_writing_are_invented() -> None:
    tally = Tally()
    tally.add(labelled(), ["EXIT"])
    tally.add(labelled(writing=("NO ENTRY", "28")), ["NO ENTRY", "STOP"])
    assert (tally.lines, tally.read, tally.wordless, tally.invented) == (2, 1, 1, ["x: EXIT"])


def test_the_development_half_is_the_default(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    halves = [{one.id for one in labels(half)} for half in ("development", "held-out")]
    assert [len(half) for half in halves] == [75, 75] and not halves[0] & halves[1]
    two = labels("development")[:2]
    monkeypatch.setattr("training.photographs.labels.labels", lambda half: two if half == "development" else [])
    assert measure_detector([str(tmp_path)]) != 0
    assert "is missing; fetch the photographs with `python -m training.photographs.fetch" in capsys.readouterr().err
    for one in two:
        Image.new("RGB", (8, 8)).save(tmp_path / f"{one.id}.jpg")
    assert measure_detector([str(tmp_path)]) == 0
    assert capsys.readouterr().out.startswith("2 photographs of the half 'development'")
