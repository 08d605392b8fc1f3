"""Which witnesses take part, and how a missing one is reported."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from agents.witnesses.choice import chosen, examine, left_out, load_witnesses
from core.entries import Register
from core.errors import BackendError, RegistryError, UsageError
from core.images.picture import Picture
from core.registry import Registry
from core.testing import make_picture
from core.witness import Findings, Remembering, Witness


class Nothing(Witness):
    """Finds nothing."""

    def __init__(self, argument: str | None) -> None:
        self.argument = argument

    @property
    def name(self) -> str:
        return "nothing"

    @property
    def revision(self) -> str:
        return "1"

    def examine(self, pictures: Sequence[Picture]) -> list[Findings]:
        return [Findings(witness="nothing", revision="1", width=one.width, height=one.height) for one in pictures]


def fails(argument: str | None) -> None:
    raise BackendError("its model is not installed.")


@pytest.fixture
def registry() -> Registry:
    registry = Registry()
    register = Register("witness", "tests", "tests")
    register("nothing", Nothing)
    register("missing", Nothing, check=fails)
    register("wrong", lambda argument: object())
    for entry in register.entries:
        registry.witnesses[entry.name] = entry
    return registry


def test_auto_takes_those_that_work(registry: Registry) -> None:
    assert chosen("auto", registry) == ["nothing", "wrong"]
    assert chosen("none", registry) == []
    assert chosen(" nothing , wrong,nothing", registry) == ["nothing", "wrong"]


def test_commas_in_options_do_not_end_a_name(registry: Registry) -> None:
    assert chosen("nothing:x?queries=dog,cat, wrong", registry) == ["nothing:x?queries=dog,cat", "wrong"]
    with pytest.raises(RegistryError, match="there is no witness 'dog'"):
        chosen("nothing,dog", registry)


def test_names_are_for_witnesses_that_take_them() -> None:
    class Finder(Nothing):
        takes_names = True
        asked: Sequence[str] = ()

        def look_for(self, pictures: Sequence[Picture], names: Sequence[str]) -> list[Findings]:
            self.asked = names
            return self.examine(pictures)

    finder = Finder(None)
    assert len(examine([Remembering(finder), Nothing(None)], make_picture(), ["red car"])) == 2
    assert finder.asked == ["red car"]


def test_what_cannot_take_part_is_named(registry: Registry) -> None:
    with pytest.raises(BackendError, match="its model is not installed"):
        chosen("nothing,missing", registry)
    with pytest.raises(RegistryError, match="there is no witness 'nothin': did you mean 'nothing'"):
        chosen("nothin", registry)
    with pytest.raises(UsageError, match="auto and none stand alone"):
        chosen("nothing,auto", registry)
    with pytest.raises(UsageError, match="name at least one witness"):
        chosen(" , ", registry)
    with pytest.raises(RegistryError, match="made a object, which is not a Witness"):
        load_witnesses(["wrong"], registry)


def test_one_that_auto_leaves_out_is_named(registry: Registry) -> None:
    assert left_out("auto", chosen("auto", registry), registry) == ["missing"]
    assert left_out("nothing", ["nothing"], registry) == []


def test_a_failure_of_a_model_is_one_line() -> None:
    class Broken(Nothing):
        def examine(self, pictures: Sequence[Picture]) -> list[Findings]:
            raise RuntimeError("shape [1, 3]\nexpected")

    with pytest.raises(BackendError, match=r"the witness 'nothing' failed: RuntimeError: shape \[1, 3\]\."):
        examine([Broken(None)], make_picture())


def test_a_witness_gets_what_stands_behind_its_name(registry: Registry) -> None:
    [made] = load_witnesses(["nothing:here"], registry)
    assert isinstance(made, Remembering) and isinstance(made.witness, Nothing) and made.witness.argument == "here"
    assert load_witnesses(["nothing:here", "nothing"], registry)[0] is made
