"""Tests for witnesses, and a witness whose findings a test chooses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import pytest

from core.errors import BackendError
from core.images.picture import Picture
from core.registry import get_registry
from core.testing.vision import make_picture
from core.witness import Box, Findings, Remembering, TextLine, Thing, Witness


class WitnessTests:
    """Tests for every witness. Set `spec`, or override `make_witness`."""

    spec: ClassVar[str] = ""

    def make_witness(self) -> Witness:
        """The witness under test, by default from the registry, without the memory that the registry adds."""
        made = get_registry().create_witness(self.spec)
        return made.witness if isinstance(made, Remembering) else made

    @pytest.fixture(scope="class")
    @classmethod
    def witness(cls) -> Witness:
        """One witness for the whole class."""
        return cls().make_witness()

    @pytest.fixture(scope="class")
    @classmethod
    def pictures(cls) -> list[Picture]:
        """Pictures of several colours and shapes."""
        shapes = [(64, 48, (255, 255, 255)), (1, 1, (255, 0, 0)), (300, 20, (0, 0, 0)), (3, 50, (40, 160, 40))]
        return [make_picture(*shape) for shape in shapes]

    def test_is_a_witness_that_describes_itself(self, witness: Witness) -> None:
        assert isinstance(witness, Witness) and isinstance(witness.takes_names, bool)
        assert witness.name and witness.name.isprintable() and witness.revision
        description = witness.describe()
        assert description["name"] == witness.name and description["revision"] == witness.revision
        assert all(isinstance(key, str) and isinstance(value, str) for key, value in description.items())

    def test_is_registered_with_a_description(self) -> None:
        if not self.spec:
            pytest.skip("no spec: the witness is not tested through the registry")
        assert get_registry().find("witness", self.spec.partition(":")[0]).description

    def test_findings_of_each_picture_in_order(self, witness: Witness, pictures: list[Picture]) -> None:
        found = witness.examine(pictures)
        assert [(one.width, one.height) for one in found] == [(one.width, one.height) for one in pictures]
        for one in found:
            self.check(one, witness)

    def test_pictures_are_examined_alike_alone_and_again(self, witness: Witness, pictures: list[Picture]) -> None:
        assert witness.examine([]) == []
        assert witness.examine(pictures[:1]) == witness.examine(pictures[:1])
        together = [one.kept() for one in witness.examine(pictures)]
        assert [witness.examine([picture])[0].counts() for picture in pictures] == [one.counts() for one in together]

    def test_looks_for_names(self, witness: Witness, pictures: list[Picture]) -> None:
        found = witness.look_for(pictures[:2], ["red car", "猫"])
        assert [(one.width, one.height) for one in found] == [(one.width, one.height) for one in pictures[:2]]
        if not witness.takes_names:
            assert found == witness.examine(pictures[:2])
        for one in found:
            self.check(one, witness)

    @staticmethod
    def check(found: Findings, witness: Witness) -> None:
        """Fail unless scores are 0..1, boxes lie in the picture and only kinds that were looked for are found."""
        assert (found.witness, found.revision) == (witness.name, witness.revision)
        assert found.looked_for
        assert "things" in found.looked_for or not found.things
        assert "text" in found.looked_for or not found.lines
        assert [thing.score for thing in found.things] == sorted((one.score for one in found.things), reverse=True)
        assert all(thing.name.strip() for thing in found.things) and all(line.text.strip() for line in found.lines)
        boxed: list[Thing | TextLine] = [*found.things, *found.maybe, *found.lines]
        for one in boxed:
            assert 0 <= one.score <= 1
            assert 0 <= one.box.left <= one.box.right <= found.width
            assert 0 <= one.box.top <= one.box.bottom <= found.height


def make_thing(name: str, left: float = 0, score: float = 0.9, finer: str | None = None) -> Thing:
    """A thing whose box is 10 pixels wide and high."""
    return Thing(name=name, score=score, finer=finer, box=Box(left=left, top=0, right=left + 10, bottom=10))


def make_line(text: str, score: float = 0.99) -> TextLine:
    """A line of text in a box of 20 by 10 pixels."""
    return TextLine(text=text, score=score, box=Box(left=0, top=0, right=20, bottom=10))


class FakeWitness(Witness):
    """Finds the same in every picture. `examined` has their sha256, one list per call; `fails` makes it fail."""

    name = "fake"
    revision = "1"

    def __init__(
        self, *, things: Sequence[Thing] = (), lines: Sequence[TextLine] = (), name: str = "fake", fails: bool = False
    ) -> None:
        self.name = name
        self.things, self.lines, self.fails = tuple(things), tuple(lines), fails
        self.examined: list[list[str]] = []

    def examine(self, pictures: Sequence[Picture]) -> list[Findings]:
        self.examined.append([one.sha256 for one in pictures])
        if self.fails:
            raise BackendError(f"the witness '{self.name}' failed: out of order.")
        return [
            Findings(
                witness=self.name,
                revision=self.revision,
                width=one.width,
                height=one.height,
                things=self.things,
                lines=self.lines,
            )
            for one in pictures
        ]
