"""Which classes of ImageNet may be what a box of the detector shows, after WordNet 3.0 (Debian's `wordnet-base`).

    python -m training.detector.names /usr/share/wordnet plugins/detector/names.tsv

A class belongs to a COCO name where one of the name's roots below is among its hypernyms, or where `ALSO` lists it:
WordNet puts a laptop under machines, and a crop of a dining table mostly shows what stands on it.
"""

from __future__ import annotations

import argparse
import sys
from functools import cache
from importlib.resources import files
from pathlib import Path

ROOTS = {  # COCO name -> WordNet nouns as lemma.sense
    "person": "person.1",
    "bicycle": "bicycle.1 tricycle.1 unicycle.1",
    "car": "car.1",
    "motorcycle": "motorcycle.1 minibike.1 motor_scooter.1",
    "airplane": "airplane.1",
    "bus": "bus.1 trolleybus.1",
    "train": "train.1 locomotive.1 railcar.1",
    "truck": "truck.1 van.5 recreational_vehicle.1",
    "boat": "vessel.2",
    "traffic light": "traffic_light.1",
    "stop sign": "street_sign.1",
    "parking meter": "parking_meter.1",
    "bench": "bench.1",
    "bird": "bird.1",
    "cat": "domestic_cat.1",
    "dog": "dog.1",
    "horse": "horse.1",
    "sheep": "sheep.1",
    "cow": "bovine.1",
    "elephant": "elephant.1",
    "bear": "bear.1",
    "zebra": "zebra.1",
    "backpack": "backpack.1",
    "umbrella": "umbrella.1 parasol.1",
    "handbag": "bag.4 purse.2",
    "tie": "necktie.1 bow_tie.1",
    "suitcase": "luggage.1",
    "skis": "ski.1",
    "sports ball": "ball.1",
    "baseball bat": "bat.5",
    "tennis racket": "racket.4",
    "bottle": "bottle.1",
    "wine glass": "glass.2",
    "cup": "cup.1 mug.4",
    "fork": "fork.1",
    "knife": "knife.1 knife.2",
    "spoon": "spoon.1",
    "bowl": "bowl.1 bowl.3",
    "banana": "banana.2",
    "apple": "apple.1",
    "sandwich": "sandwich.1",
    "orange": "citrus.1",
    "broccoli": "broccoli.2",
    "hot dog": "frank.2 hotdog.2",
    "pizza": "pizza.1",
    "cake": "cake.3",
    "chair": "chair.1",
    "couch": "sofa.1",
    "potted plant": "flowerpot.1 flower.1",
    "bed": "bed.1",
    "dining table": "table.2",
    "toilet": "toilet_seat.1 toilet.2",
    "tv": "television_receiver.1 screen.3 monitor.4",
    "laptop": "laptop.1",
    "mouse": "mouse.4",
    "remote": "remote_control.1",
    "keyboard": "keyboard.1",
    "cell phone": "telephone.1",
    "microwave": "microwave.2",
    "oven": "stove.1 oven.1",
    "toaster": "toaster.2",
    "sink": "sink.1 washbasin.2 basin.1",
    "refrigerator": "refrigerator.1",
    "book": "book.1 book.2",
    "clock": "clock.1 watch.1",
    "vase": "vase.1",
    "teddy bear": "teddy.1",
    "hair drier": "hand_blower.1",
}
ALSO = {
    "bed": "n04344873 n03125729 n04033995",  # studio couch, cradle, quilt
    "book": "n02870880 n02871525 n03291819",  # bookcase, bookshop, envelope
    "bottle": "n04560804 n02823428 n03983396 n04557648 n04591713 n03937543 n04131690",  # jugs, bottles, salt shaker
    "bowl": "n07583066 n07584110 n07613480 n07590611 n04263257",  # guacamole, consomme, trifle, hot pot, soup bowl
    "couch": "n02870880",
    "cow": "n02410509 n02408429",
    "cup": "n07920052 n07930864 n03063599 n03733805",  # espresso, cup, coffee mug, measuring cup
    "dining table": "n03179701 n07579787 n03201208",  # desk, plate, pool table
    "handbag": "n04026417 n03709823 n02769748",  # mailbag, backpack
    "keyboard": "n03085013 n04505470",  # computer keyboard, typewriter keyboard
    "laptop": "n03642806 n03832673 n03180011 n04152593 n03085013 n03782006",  # laptop, notebook, desktop, screen
    "oven": "n03259280 n04111531 n03761084",
    "potted plant": "n03991062 n04522168 n11939491 n12620546",
    "tv": "n03180011 n03782006 n04152593 n04404412 n03529860",  # desktop computer, monitor, screen, television
    "wine glass": "n03443371 n07892512 n03062245",  # goblet, red wine
}


def synsets(folder: Path) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """The senses of every noun as synset numbers, and the hypernyms of every synset."""
    senses, above = {}, {}
    for line in (folder / "index.noun").read_text("utf-8").splitlines():
        if not line.startswith(" "):
            fields = line.split()
            senses[fields[0]] = fields[-int(fields[2]) :]
    for line in (folder / "data.noun").read_text("utf-8").splitlines():
        if not line.startswith(" "):
            fields = line.split(" | ")[0].split()
            above[fields[0]] = [fields[place + 1] for place, mark in enumerate(fields) if mark in ("@", "@i")]
    return senses, above


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Write which ImageNet classes belong to which COCO name.")
    parser.add_argument("wordnet", type=Path, help="folder with index.noun and data.noun of WordNet 3.0")
    parser.add_argument("out", type=Path, help="table to write")
    given = parser.parse_args(arguments)
    senses, above = synsets(given.wordnet)

    @cache
    def hypernyms(synset: str) -> frozenset[str]:
        return frozenset({synset}).union(*map(hypernyms, above[synset]))

    roots = {
        name: {senses[lemma][int(sense) - 1] for lemma, _, sense in (root.rpartition(".") for root in text.split())}
        for name, text in ROOTS.items()
    }
    lines = ["# index in ImageNet\tWordNet 3.0 synset\tnames of COCO that it may be"]
    for line in files("plugins.imagenet").joinpath("classes.tsv").read_text("utf-8").splitlines():
        if line.startswith("#"):
            continue
        index, synset, *_ = line.split("\t")
        kinds = hypernyms(synset[1:])
        names = [name for name in ROOTS if kinds & roots[name] or synset in ALSO.get(name, "").split()]
        lines.append(f"{index}\t{synset}\t{', '.join(names)}")
    given.out.write_text("\n".join(lines) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
