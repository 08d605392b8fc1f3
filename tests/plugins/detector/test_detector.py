"""The detector: equal to the graph its weights come from, boxes where things are, names that the classifier accepts."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

from core.errors import UsageError
from core.images.picture import open_picture
from core.registry import get_registry
from core.testing import make_picture
from core.witness import Box, Thing
from plugins.detector.network import NAMES, SIZE, STRIDES, NanoDet
from plugins.detector.witness import WEIGHTS, Limits, NanoDetWitness, classes_of, letterboxed, phrases

ROOT = Path(__file__).resolve().parents[3]
CAT = ROOT / "examples" / "photos" / "cat.jpg"


def pattern() -> Tensor:
    """An input (1, 3, 416, 416) that needs no random numbers."""
    steps = torch.arange(SIZE, dtype=torch.float64)
    waves = [
        torch.sin(steps[:, None] / (7 + 5 * channel)) * torch.cos(steps[None] / (11 + 3 * channel))
        + torch.sin((steps[:, None] * steps[None]) / (4000 + 900 * channel))
        for channel in range(3)
    ]
    return torch.stack(waves)[None].float().contiguous()


@pytest.fixture(scope="module")
def detector() -> NanoDetWitness:
    return NanoDetWitness()


def test_the_numbers_are_those_of_the_original_graph() -> None:
    levels = json.loads((Path(__file__).with_name("original.json")).read_text("utf-8"))["levels"]
    network = NanoDet.load(WEIGHTS)
    with torch.inference_mode():
        found = dict(zip(STRIDES, network.levels(pattern()), strict=True))
    for stride, (scores, bins) in found.items():
        expected = levels[str(stride)]
        for place, value in expected["scores"].items():
            assert math.isclose(float(scores.flatten()[int(place)]), value, abs_tol=1e-5), (stride, place)
        for place, value in expected["bins"].items():
            assert math.isclose(float(bins.flatten()[int(place)]), value, abs_tol=1e-4), (stride, place)


def test_a_cat_is_found_where_it_is(detector: NanoDetWitness) -> None:
    picture = open_picture(CAT)
    [found] = detector.examine([picture])
    assert [thing.name for thing in found.things] == ["cat"]
    assert (found.width, found.height) == (451, 300) and found.counts() == {"cat": 1}
    assert found.things[0].finer == "egyptian cat"
    assert found.things[0].box.area > 0.8 * 451 * 300


def test_the_box_moves_with_the_thing(detector: NanoDetWitness) -> None:
    """On a wide canvas, on the left and, mirrored, on the right."""
    cat = Image.open(CAT).convert("RGB").resize((300, 200))
    wide = Image.new("RGB", (900, 200), (124, 116, 104))
    wide.paste(cat, (0, 0))
    left, right = detector.examine([open_picture(wide), open_picture(wide.transpose(Image.Transpose.FLIP_LEFT_RIGHT))])
    assert left.things[0].box.third(left.width) == "left"
    assert right.things[0].box.third(right.width) == "right"


def test_pictures_are_examined_alike_alone_and_together(detector: NanoDetWitness) -> None:
    pictures = [open_picture(CAT), make_picture(colour=(0, 90, 200)), open_picture(CAT.with_name("coffee.jpg"))]
    together = detector.examine(pictures)
    alone = [detector.examine([picture])[0] for picture in pictures]
    assert [[thing.name for thing in one.things] for one in together] == [
        [thing.name for thing in one.things] for one in alone
    ]
    assert together[1].things == ()


def test_a_name_that_the_classifier_rejects_is_dropped(
    detector: NanoDetWitness, monkeypatch: pytest.MonkeyPatch
) -> None:
    box = Box(left=0, top=0, right=40, bottom=30)
    things = [Thing(name=name, score=0.9, box=box) for name in ("dog", "person", "giraffe", "car")]
    cat, taxi = 285, 468
    answers = [(0.9, cat), (0.7, taxi)]
    monkeypatch.setattr(detector, "_odds", lambda crops: answers[: len(crops)])
    kept = detector.judged(Image.new("RGB", (40, 30)), things)
    assert [(thing.name, thing.finer) for thing in kept] == [("person", None), ("giraffe", None), ("car", "taxi")]
    answers[:] = [(Limits().veto - 0.01, cat), (0.7, taxi)]
    assert kept != detector.judged(Image.new("RGB", (40, 30)), things), "an unsure classifier rejects nothing"


def test_overlapping_boxes_of_one_name_are_one_thing(detector: NanoDetWitness) -> None:
    scores, boxes = torch.zeros(3549, 80), torch.zeros(3549, 4)
    dog, cat = NAMES.index("dog"), NAMES.index("cat")
    for cell, kind, score, left in ((5, dog, 0.9, 0.0), (6, dog, 0.8, 10.0), (7, cat, 0.7, 2.0), (8, dog, 0.6, 300.0)):
        scores[cell, kind] = score
        boxes[cell] = torch.tensor([left, 0.0, left + 100, 100.0])
    found = detector.things(scores, boxes, (SIZE, SIZE), 1.0, 0, 0)
    assert [(thing.name, round(thing.box.left)) for thing in found] == [("dog", 0), ("dog", 300)]


def test_below_the_limit_the_best_box_of_each_other_name_is_kept(detector: NanoDetWitness) -> None:
    scores, boxes = torch.zeros(3549, 80), torch.zeros(3549, 4)
    dog, cat, kite, cow = (NAMES.index(name) for name in ("dog", "cat", "kite", "cow"))
    cells = [
        (5, dog, 0.9, 0.0),
        (6, dog, 0.4, 300.0),
        (7, cat, 0.3, 210.0),
        (8, cat, 0.45, 300.0),
        (9, kite, 0.14, 90.0),
    ]
    for cell, kind, score, left in (*cells, (10, cow, 0.4, 5.0)):
        scores[cell, kind] = score
        boxes[cell] = torch.tensor([left, 0.0, left + 100, 100.0])
    found = detector.things(scores, boxes, (SIZE, SIZE), 1.0, 0, 0)
    shown = [(thing.name, round(thing.score, 2), round(thing.box.left)) for thing in found]
    assert shown == [("dog", 0.9, 0), ("cat", 0.45, 300)], "a cow in the place of the dog is the dog"


def test_unsure_things_are_no_things_and_are_checked_too(
    detector: NanoDetWitness, monkeypatch: pytest.MonkeyPatch
) -> None:
    [found] = detector.examine([open_picture(CAT.with_name("coffee.jpg"))])
    assert {thing.name for thing in found.maybe} == {"cup", "carrot"} and not found.things
    assert all(Limits().weak < thing.score <= Limits().score for thing in found.maybe)
    cat = 285
    monkeypatch.setattr(detector, "_odds", lambda crops: [(0.9, cat)] * len(crops))
    [found] = detector.examine([open_picture(CAT.with_name("coffee.jpg"))])
    assert [thing.name for thing in found.maybe] == ["carrot"], "ImageNet has no class for it"


def test_letterboxing_keeps_the_proportions() -> None:
    pixels, scale, left, top = letterboxed(Image.new("RGB", (832, 208), "white"))
    assert (pixels.shape, scale, left, top) == ((3, SIZE, SIZE), 0.5, 0, 156)
    assert pixels[:, :156].max() == 0 and pixels[:, 156:260].min() > 2


@pytest.mark.parametrize("size", [(1, 1), (2000, 3), (3, 2000)])
def test_odd_pictures_are_examined(detector: NanoDetWitness, size: tuple[int, int]) -> None:
    assert detector.examine([open_picture(Image.new("RGB", size, "red"))])[0].width == size[0]


def test_the_table_of_names_belongs_to_the_classes_of_the_classifier() -> None:
    assert len(phrases()) == 1000
    assert phrases()[207] == "golden retriever" and 207 in classes_of()["dog"]
    assert classes_of()["giraffe"] == set() and "sofa" in {phrases()[number] for number in classes_of()["couch"]}


def test_it_is_registered_and_takes_no_argument() -> None:
    assert get_registry().create_witness("detector").describe()["revision"].startswith("nanodet-g-")
    with pytest.raises(UsageError, match="takes no argument, but got 'coco'"):
        get_registry().create_witness("detector:coco")
