"""How right the detector is on labelled photographs: precision, recall, counts of people, places.

    python -m training.detector.measure ~/photographs

Only names of COCO count. A thing is wrong if the labels do not have its name, or if they have counted fewer of it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Final

from core.errors import InquisightError
from core.witness import Thing, counted
from plugins.detector.network import NAMES
from training.photographs.labels import Labels, arguments, labelled_pictures

MOST: Final = 5  # things of one name in a photograph that count for recall: more are estimates
# The labels that a COCO name stands for, beside the name itself. The first part may be expected of a detector, the
# second is neither right nor wrong: a hand belongs to a person, a statue shows one.
MEANT: Final[Mapping[str, tuple[str, str]]] = {
    "person": ("astronaut", "hand, finger, face, arm, statue, sculpture, mannequin, poster, painting, mural, toy"),
    "bicycle": ("", "wheel, tricycle"),
    "car": ("taxi, van", "truck, pickup truck, vehicle, headlight, bus"),
    "motorcycle": ("scooter", "bicycle, wheel"),
    "airplane": ("", "space shuttle, propeller"),
    "bus": ("double-decker bus", "tram, van"),
    "train": ("tram", ""),
    "truck": ("pickup truck", "van, car, vehicle, container, tractor, bulldozer"),
    "boat": ("sailboat, ship", "model ship, buoy, pier"),
    "traffic light": ("", "light, street lamp"),
    "stop sign": ("", "sign, traffic sign, road sign"),
    "bench": ("", "chair, seat, table, lounge chair"),
    "bird": ("parrot, penguin, owl, swan, heron, toucan, chicken, duck, gosling", "toy bird"),
    "cat": ("kitten", "cheetah, leopard, tiger"),
    "dog": ("", ""),
    "sheep": ("", "goat, alpaca"),
    "cow": ("calf", "bison"),
    "bear": ("polar bear, panda", "red panda, koala"),
    "umbrella": ("parasol", "tent"),
    "handbag": ("purse", "bag, wallet, backpack"),
    "backpack": ("", "bag"),
    "suitcase": ("", "bag, box, laptop case"),
    "tie": ("bow tie", ""),
    "sports ball": ("ball, soccer ball, tennis ball, baseball", "billiard ball, ball of yarn"),
    "bottle": ("water bottle", "jug, jar, carafe, can"),
    "wine glass": ("cocktail glass", "glass"),
    "cup": ("mug, coffee cup", "glass, coffee, bowl, plastic container"),
    "knife": ("", "fork, spoon"),
    "bowl": ("", "plate, soup, plastic container, cup, flower pot"),
    "orange": ("", "lemon, lime"),
    "cake": ("cupcake", "chocolate"),
    "pizza": ("", ""),
    "chair": ("armchair, lounge chair", "stool, seat, throne, bench"),
    "couch": ("sofa", "armchair, seat"),
    "potted plant": ("", "plant, flower, flower pot, vase, tree, leaf, bush, dried flower"),
    "bed": ("", "pillow, blanket"),
    "dining table": ("table", "desk, pool table, bar counter, glass table, sideboard, counter, tray, plate"),
    "tv": ("television, monitor", "screen, laptop, projector, tablet"),
    "laptop": ("", "keyboard, notebook, screen"),
    "mouse": ("computer mouse", ""),
    "remote": ("remote control", ""),
    "keyboard": ("", "laptop, piano, organ"),
    "cell phone": ("phone, telephone", "tablet"),
    "oven": ("stove", ""),
    "book": ("", "notebook, notepad, magazine, newspaper, paper, bookshelf"),
    "clock": ("", "watch, wrist watch"),
    "vase": ("", "jug, flower pot, glass, bottle"),
    "teddy bear": ("", "stuffed toy, toy"),
}


@dataclass(slots=True)
class Tally:
    """What was right and wrong over all photographs."""

    right: int = 0  # things
    wrong: int = 0
    expected: int = 0  # things, up to MOST of each name in a photograph
    found: int = 0
    people: int = 0  # photographs with one to MOST people, exactly counted
    people_right: int = 0
    places: int = 0  # things that are alone of their name and found once
    places_right: int = 0

    @property
    def shares(self) -> str:
        """One row of the table."""
        precision, recall = share(self.right, self.right + self.wrong), share(self.found, self.expected)
        people, places = share(self.people_right, self.people), share(self.places_right, self.places)
        return f"{precision}  {recall}  {people}  {places}"

    def add(self, other: Tally) -> None:
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))


def share(part: int, whole: int) -> str:
    """ "0.83 (45 of 54)"."""
    return f"{part / whole if whole else 0:.2f} ({part} of {whole})".ljust(18)


def meant(name: str) -> tuple[set[str], set[str]]:
    """Labels that a COCO name stands for, and labels that excuse it."""
    right, excused = ({label for label in text.split(", ") if label} for text in MEANT.get(name, ("", "")))
    return right | {name}, excused


def judge(labels: Labels, things: Iterable[Thing], width: int) -> Tally:
    """The tally of one photograph of this width in pixels."""
    things = list(things)
    counts, tally = counted(thing.name for thing in things), Tally()
    for name in NAMES:
        right, excused = meant(name)
        labelled = [thing for thing in labels.things if thing.name in right]
        excused = (excused & {thing.name for thing in labels.things}) | (labels.maybe & (right | excused))
        there, found = sum(thing.count for thing in labelled), counts.get(name, 0)
        tally.expected += min(there, MOST)
        tally.found += min(there, found, MOST)
        exact = all(thing.exact for thing in labelled) and not labels.maybe & right
        tally.right += min(there, found) if exact else found * bool(labelled)
        tally.wrong += max(found - there, 0) if exact and not excused else 0
        if name == "person" and exact and 1 <= there <= MOST:
            tally.people += 1
            tally.people_right += there == found
        if there == found == 1 and exact and len(labelled[0].places) == 1:
            [box] = [thing.box for thing in things if thing.name == name]
            tally.places += 1
            tally.places_right += box.third(width) == labelled[0].places[0]
    return tally


def main(given: Sequence[str] | None = None) -> int:
    options = arguments("Measure the detector on labelled photographs.").parse_args(given)
    from plugins.detector.witness import Limits, NanoDetWitness

    unchecked = Limits(veto=0.0, animal=2.0, confident=2.0, unchecked=Limits().score)
    ways = {
        "as shipped": NanoDetWitness(),
        "without tiles": NanoDetWitness(tiled=False),
        "without checks": NanoDetWitness(limits=unchecked),
        "without either": NanoDetWitness(limits=unchecked, tiled=False),
    }
    totals, seconds = {way: Tally() for way in ways}, dict.fromkeys(ways, 0.0)
    photographs = 0
    try:
        for labels, picture in labelled_pictures(options.photographs, options.half):
            photographs += 1
            for way, witness in ways.items():
                begin = time.process_time()
                [findings] = witness.examine([picture])
                seconds[way] += time.process_time() - begin
                totals[way].add(judge(labels, findings.things, findings.width))
    except InquisightError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(f"{photographs} photographs of the half {options.half!r}")
    print(f"{'':16}{'precision':20}{'recall':20}{'people counted':20}{'place right':20}CPU seconds a picture")
    for way, total in totals.items():
        print(f"{way:16}{total.shares}  {seconds[way] / photographs:.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
