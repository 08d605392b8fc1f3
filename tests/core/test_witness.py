"""Witnesses of the registry are shared and examine no picture twice."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest

from core.entries import Register
from core.errors import BackendError
from core.images.picture import Picture
from core.registry import Registry
from core.testing import FakeWitness, make_picture, make_thing
from core.witness import Findings, Remembering

RED, BLUE, GREEN = (make_picture(colour=colour) for colour in ((255, 0, 0), (0, 0, 255), (0, 255, 0)))


def test_no_picture_is_examined_twice() -> None:
    fake = FakeWitness(things=[make_thing("dog")])
    witness = Remembering(fake)
    assert witness.name == "fake" and witness.describe() == fake.describe()
    first = witness.examine([RED, BLUE, RED])
    assert first[0] is first[2] and first[0].counts() == {"dog": 1}
    assert witness.examine([GREEN, BLUE])[1] is first[1]
    assert witness.examine([]) == []
    assert fake.examined == [[RED.sha256, BLUE.sha256], [GREEN.sha256]]


def test_the_oldest_is_forgotten_and_a_changed_witness_examines_again() -> None:
    fake = FakeWitness()
    witness = Remembering(fake, limit=2)
    assert len(witness.examine([RED, BLUE, GREEN])) == 3
    witness.examine([GREEN])
    witness.examine([BLUE])
    witness.examine([RED])
    assert [len(call) for call in fake.examined] == [3, 1], "only the red one was forgotten"
    fake.revision = "2"
    assert witness.examine([RED])[0].revision == "2"


def test_a_failure_is_not_remembered() -> None:
    fake = FakeWitness(fails=True)
    witness = Remembering(fake)
    with pytest.raises(BackendError):
        witness.examine([RED])
    fake.fails = False
    assert witness.examine([RED])[0].witness == "fake"


def test_threads_share_one_examination() -> None:
    begun, go_on = threading.Event(), threading.Event()

    class Slow(FakeWitness):
        def examine(self, pictures: Sequence[Picture]) -> list[Findings]:
            begun.set()
            assert go_on.wait(20)
            return super().examine(pictures)

    fake = Slow()
    witness = Remembering(fake)
    found: list[Findings] = []
    threads = [threading.Thread(target=lambda: found.extend(witness.examine([RED]))) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert begun.wait(20)
    go_on.set()
    for thread in threads:
        thread.join(20)
    assert len(found) == 3 and len(fake.examined) == 1


def test_the_registry_loads_a_witness_once() -> None:
    made: list[str | None] = []

    def make(argument: str | None) -> FakeWitness:
        made.append(argument)
        return FakeWitness()

    registry = Registry()
    register = Register("witness", "tests", "tests")
    register("fake", make)
    [registry.witnesses["fake"]] = register.entries
    witness = registry.create_witness("fake")
    assert registry.create_witness("fake") is witness is not registry.create_witness("fake:other")
    assert made == [None, "other"]
