"""Many pictures, several witnesses: one that fails loses no picture; a record keeps a bounded number of findings."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from agents.witnesses.examination import examine_pictures, start_early
from core.entries import Register
from core.errors import BackendError
from core.findings import MOST_CHARACTERS, MOST_LINES, MOST_THINGS, Box, Findings, TextLine, Thing
from core.images.picture import Picture
from core.registry import Registry
from core.testing import FakeWitness, make_line, make_picture, make_thing

PICTURES = [make_picture(colour=(shade, 0, 0)) for shade in (10, 20, 30)]


class Picky(FakeWitness):
    """Fails for the second picture, and for any batch with it."""

    def examine(self, pictures: Sequence[Picture]) -> list[Findings]:
        if PICTURES[1].sha256 in [one.sha256 for one in pictures]:
            raise ValueError("a shape\nof many lines")
        return super().examine(pictures)


def test_one_bad_picture_fails_alone() -> None:
    witnesses = {"good": FakeWitness(name="good"), "picky": Picky(name="picky", things=[make_thing("dog")])}
    found = examine_pictures(list(witnesses), PICTURES, witnesses.__getitem__)
    assert [[one.witness for one in result.findings] for result in found] == [
        ["good", "picky"],
        ["good"],
        ["good", "picky"],
    ]
    assert [result.problems for result in found] == [(), ("the witness 'picky' failed: ValueError: a shape",), ()]
    assert len(witnesses["good"].examined) == 1, "one batch"
    assert all(result.seconds > 0 for result in found)


@pytest.mark.parametrize("count", [0, 2])
def test_a_witness_that_miscounts_is_reported(count: int) -> None:
    class Wrong(FakeWitness):
        def examine(self, pictures: Sequence[Picture]) -> list[Findings]:
            return super().examine([PICTURES[0]] * count)

    [result] = examine_pictures(["wrong"], PICTURES[:1], lambda name: Wrong())
    assert result.findings == () and f"gave {count} results for 1 pictures" in result.problems[0]


def test_one_that_cannot_be_loaded_is_loaded_once() -> None:
    tried: list[str] = []

    def find(name: str) -> FakeWitness:
        tried.append(name)
        raise BackendError("the witness 'gone' is gone.")

    found = examine_pictures(["gone"], PICTURES, find)
    assert tried == ["gone"] and {result.problems for result in found} == {("the witness 'gone' is gone",)}
    assert examine_pictures([], PICTURES)[0].findings == ()


def test_a_record_keeps_a_bounded_number() -> None:
    box = Box(left=1.234, top=0, right=9.876, bottom=10)
    things = [Thing(name="bird", score=0.123456, box=box)] * (MOST_THINGS + 5)
    lines = [TextLine(text="x" * 5000, score=0.99, box=box)] * (MOST_LINES + 7)
    [kept] = examine_pictures(["fake"], PICTURES[:1], lambda name: FakeWitness(things=things, lines=lines))[0].findings
    assert (len(kept.things), len(kept.lines), kept.left_out) == (MOST_THINGS, MOST_LINES, 12)
    assert kept.things[0].box.left == 1.2 and kept.things[0].score == 0.1235
    assert len(kept.lines[0].text) == MOST_CHARACTERS and kept.kept() == kept
    assert make_line("EXIT").rounded() == make_line("EXIT")


def test_only_a_witness_that_declares_it_starts_early(monkeypatch: pytest.MonkeyPatch) -> None:
    early, late = FakeWitness(name="early"), FakeWitness(name="late")
    registry, register = Registry(), Register("witness", "test", "test")
    register("early", lambda argument: early, capabilities={"starts_early": True})
    register("late", lambda argument: late)
    registry.witnesses.update({entry.name: entry for entry in register.entries})
    monkeypatch.setattr("agents.witnesses.examination.get_registry", lambda: registry)
    assert start_early(["late", "unknown"], PICTURES[0]) is None
    started = start_early(["late", "early"], PICTURES[0])
    assert started is not None
    [result] = started.result()
    assert [one.witness for one in result.findings] == ["early"] and not late.examined
    [result] = examine_pictures(["late", "early"], PICTURES[:1])
    assert [one.witness for one in result.findings] == ["late", "early"]
    assert len(early.examined) == 1, "its findings are remembered"
