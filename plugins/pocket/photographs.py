"""The sight of photographs: what the witnesses and the classifier found, weighed.

The detector always takes part, since it ships with Inquisight; the reader where it is installed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from core.errors import InquisightError
from core.images.picture import Picture
from core.registry import get_registry
from core.witness import Findings, Witness
from plugins.imagenet.classes import classes
from plugins.pocket.asked import Vocabulary
from plugins.pocket.presence.evidence import heads
from plugins.pocket.sight import OUTDOORS, Guess, Sight, sight_of

if TYPE_CHECKING:
    from plugins.pocket.modeling import VisionOutput

NO_GUESS: Final = (0, 0, 0, 1, 1, 0)  # facts 1 to 6 of a picture whose sight holds all names


LEAST_ODDS: Final = 0.001  # of a class that is kept for questions


class Photographs:
    """Looks at photographs for pocket. Thread-safe."""

    def __init__(self, said: Mapping[str, float]) -> None:
        """`said`: the scene words in the order of the heads, each with the odds from which it may be said."""
        self.said = dict(said)

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The words by which questions name things."""
        return Vocabulary(list(self.said))

    @cached_property
    def witnesses(self) -> list[Witness]:
        """The detector, and the reader where it works."""
        registry = get_registry()
        found = [registry.create_witness("detector")]
        try:
            registry.check("witness", "reader")
        except InquisightError:
            return found
        return [*found, registry.create_witness("reader")]

    @property
    def revision(self) -> str:
        """Which witnesses there are."""
        return "-".join(witness.revision for witness in self.witnesses)

    def examine(self, pictures: Sequence[Picture]) -> Iterator[tuple[Findings, Findings | None]]:
        """What detector and reader find in each picture."""
        things, *lines = [witness.examine(pictures) for witness in self.witnesses]
        return zip(things, lines[0] if lines else [None] * len(pictures), strict=True)

    def sights(self, pictures: Sequence[Picture], seen: VisionOutput) -> list[Sight]:
        """The sight of each picture."""
        found = self.examine(pictures)
        return [
            self.sight(picture, things, lines, seen, row)
            for row, (picture, (things, lines)) in enumerate(zip(pictures, found, strict=True))
        ]

    def sight(self, picture: Picture, things: Findings, lines: Findings | None, seen: VisionOutput, row: int) -> Sight:
        """The sight of the picture in this row of the batch."""
        scene = dict(zip(self.said, seen.scene[row].tolist(), strict=True))
        said = {word for word, odds in scene.items() if odds >= self.said[word]}
        if said & OUTDOORS:
            said = said - {"indoors"} | {"outdoors"}
        odds = {classes()[at][0]: value for at, value in enumerate(seen.odds[row].tolist()) if value >= LEAST_ODDS}
        guess = self.guess(seen, row)
        found = sight_of(
            picture.image, things, lines, guess, [one for one in self.said if one in said], {**odds, **scene}
        )
        return replace(found, nouns=heads().evidence(seen.mean[row].cpu().numpy(), seen.odds[row].cpu().numpy()))

    def guess(self, seen: VisionOutput, row: int) -> Guess:
        """The classifier's guess, with the odds of its whole group."""
        odds = seen.odds[row]
        best = int(odds.argmax())
        name, group = classes()[best]
        same = [at for at, (_, other) in enumerate(classes()) if other == group] if group else []
        column, down = (int(value) for value in seen.facts[row, 4:6])
        return Guess(name, group, float(odds[best]), float(odds[same].sum()) if same else 0.0, 3 * down + column)


def without_guess(facts: Any) -> Any:
    """The facts (B, FACTS) without the classifier's guess and the list of things: the sight holds them."""
    from plugins.pocket.modeling import DETECTIONS, FACTS

    kept = facts.clone()
    kept[:, 1:7] = kept.new_tensor(NO_GUESS)
    kept[:, FACTS - 3 * DETECTIONS :] = 0
    return kept
