"""The detector: equal to the graph its weights come from, boxes where things are, names that the classifier accepts."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from core.errors import UsageError
from core.images.picture import open_picture
from core.registry import get_registry
from core.testing import WitnessTests, make_picture
from plugins.detector.merging import merged, people
from plugins.detector.network import NAMES, SIZE, STRIDES, NanoDet
from plugins.detector.people import HEADS, SIDE, PersonNet, decoded
from plugins.detector.views import letterboxed, tiles, whole
from plugins.detector.witness import (
    MOST_CROPS,
    PEOPLE_WEIGHTS,
    WEIGHTS,
    Candidates,
    Limits,
    NanoDetWitness,
    classes_of,
    phrases,
)

ROOT = Path(__file__).resolve().parents[3]
CAT = ROOT / "examples" / "photos" / "cat.jpg"


class TestDetector(WitnessTests):
    spec = "detector"


def pattern(size: int = SIZE) -> Tensor:
    """An input (1, 3, size, size) that needs no random numbers."""
    steps = torch.arange(size, dtype=torch.float64)
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


def test_the_numbers_of_the_network_for_people_are_those_of_its_graph() -> None:
    expected = json.loads((Path(__file__).with_name("original_people.json")).read_text("utf-8"))["maps"]
    network = PersonNet.load(PEOPLE_WEIGHTS)
    with torch.inference_mode():
        found = network(((pattern(SIDE) + 2) * 63).round())
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        for place, value in values.items():
            assert math.isclose(float(found[name].flatten()[int(place)]), value, abs_tol=5e-3), (name, place)


def test_people_are_decoded_from_the_maps() -> None:
    """One centre with a box of 8 x 4 cells around it; its joints decide the score."""
    maps = {name: torch.full((channels, 32, 64), -9.0) for name, channels in HEADS.items()}
    maps["offset"].zero_()
    maps["towards"].zero_()
    maps["centre"][0, 16, 20] = 9.0
    maps["size"][:, 16, 20] = torch.tensor([8.0, 4.0])
    maps["joints"][:5, 16, 20] = 0.0
    boxes, scores, _ = decoded(maps)
    assert boxes.tolist() == [[18, 12, 22, 20]] and math.isclose(float(scores[0]), 0.5, abs_tol=1e-3)
    maps["joints"][:] = -9.0
    assert len(decoded(maps)[0]) == 0


LARGE, HALF = (10.0, 10.0, 60.0, 90.0), (10.0, 45.0, 60.0, 90.0)


@pytest.mark.parametrize(
    ("first", "second", "certain"),
    [
        ([(LARGE, 0.9)], [], 1),  # much evidence of one network is enough
        ([(LARGE, 0.5)], [], 0),
        ([(LARGE, 0.4)], [(LARGE, 0.2)], 1),
        ([], [(LARGE, 0.55)], 1),
        ([(LARGE, 0.9), (HALF, 0.5)], [(LARGE, 0.4)], 1),  # a person whose lower half is another box
        ([(LARGE, 0.5), ((70.0, 10.0, 95.0, 90.0), 0.5)], [(LARGE, 0.3), ((70.0, 12.0, 95.0, 90.0), 0.3)], 2),
        ([((10.0, 10.0, 14.0, 16.0), 0.5)], [], 1),  # too small for the second network
    ],
)
def test_people_count_where_both_networks_see_them(
    first: list[tuple[tuple[float, ...], float]], second: list[tuple[tuple[float, ...], float]], certain: int
) -> None:
    def arrays(found: list[tuple[tuple[float, ...], float]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return np.array([box for box, _ in found]).reshape(-1, 4), np.array([score for _, score in found])

    boxes, scores, which = people(*arrays(first), *arrays(second), 100, least=0.4)
    assert len(boxes) == len(scores) == len(which) and (np.diff(scores) <= 0).all()
    assert (scores > 0.4).sum() == certain


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


def candidates(*found: tuple[str, float, tuple[float, float, float, float]]) -> Candidates:
    return Candidates(
        np.array([edges for *_, edges in found], float),
        np.array([NAMES.index(name) for name, *_ in found]),
        np.array([score for _, score, _ in found]),
        np.zeros(len(found), bool),
        np.full((len(found), 4), np.nan),
    )


def shares(confidence: dict[int, float]) -> NDArray[np.float32]:
    """What the classifier says of a crop."""
    found = np.zeros(1000, np.float32)
    for number, share in confidence.items():
        found[number] = share
    return found


CAT_CLASS, TAXI, GOOSE = 285, 468, 99


def test_a_name_that_the_classifier_rejects_is_dropped(
    detector: NanoDetWitness, monkeypatch: pytest.MonkeyPatch
) -> None:
    edges = (0, 0, 40, 30)
    found = candidates(*((name, 0.9, edges) for name in ("dog", "person", "giraffe", "car")))
    answers = [shares({CAT_CLASS: 0.9}), shares({TAXI: 0.7})]
    monkeypatch.setattr(detector, "_odds", lambda crops: answers[: len(crops)])
    kept, _ = detector.judged(Image.new("RGB", (40, 30)), found)
    assert [(thing.name, thing.finer) for thing in kept] == [("person", None), ("giraffe", None), ("car", "taxi")]
    answers[0] = shares({CAT_CLASS: 0.9, min(classes_of()["dog"]): Limits().veto + 0.01})
    kept, _ = detector.judged(Image.new("RGB", (40, 30)), found)
    assert kept[0].name == "dog", "an unsure classifier rejects nothing"


def test_the_classifier_confirms_what_the_detector_is_less_sure_of(
    detector: NanoDetWitness, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = candidates(("car", 0.35, (0, 0, 40, 30)), ("cat", 0.35, (0, 0, 10, 10)))
    answers = [shares({TAXI: 0.55}), shares({CAT_CLASS: 0.45})]
    monkeypatch.setattr(detector, "_odds", lambda crops: answers)
    kept, maybe = detector.judged(Image.new("RGB", (40, 30)), found)
    assert [thing.name for thing in kept] == ["car"] and [thing.name for thing in maybe] == ["cat"]


def test_an_unsure_person_that_is_an_animal_is_dropped(
    detector: NanoDetWitness, monkeypatch: pytest.MonkeyPatch
) -> None:
    edges = (0, 0, 20, 30)
    found = candidates(("person", 0.8, edges), ("person", 0.5, edges), ("person", 0.5, (0, 0, 4, 4)))
    monkeypatch.setattr(detector, "_odds", lambda crops: [shares({GOOSE: 0.9})] * len(crops))
    kept, _ = detector.judged(Image.new("RGB", (40, 30)), found)
    assert [(thing.score, thing.box.right) for thing in kept] == [(0.8, 20), (0.5, 4)]


def test_the_classifier_checks_the_surest_boxes_alone(
    detector: NanoDetWitness, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = candidates(*(("car", 0.9 - 0.03 * number, (0, 0, 40, 30)) for number in range(16)))
    crops: list[int] = []
    monkeypatch.setattr(detector, "_odds", lambda images: crops.append(len(images)) or [shares({TAXI: 0.4})] * 8)
    kept, _ = detector.judged(Image.new("RGB", (40, 30)), found)
    assert crops == [MOST_CROPS]
    assert min(thing.score for thing in kept) > Limits().unchecked, "what is not checked must be surer"


def test_overlapping_boxes_of_one_name_are_one_thing(detector: NanoDetWitness) -> None:
    scores, boxes = torch.zeros(3549, 80), torch.zeros(3549, 4)
    dog, cat = NAMES.index("dog"), NAMES.index("cat")
    for cell, kind, score, left in ((5, dog, 0.9, 0.0), (6, dog, 0.8, 10.0), (7, cat, 0.7, 2.0), (8, dog, 0.6, 300.0)):
        scores[cell, kind] = score
        boxes[cell] = torch.tensor([left, 0.0, left + 100, 100.0])
    found = detector.above_limits(scores, boxes, (SIZE, SIZE), 1.0, 0, 0)
    assert shown(found) == [("dog", 0.9, 0), ("dog", 0.6, 300)]


def shown(found: Candidates) -> list[tuple[str, float, int]]:
    """Name, score and left edge."""
    rows = zip(found.kinds.tolist(), found.scores.tolist(), found.edges.tolist(), strict=True)
    return [(NAMES[kind], round(score, 2), round(edges[0])) for kind, score, edges in rows]


def test_below_the_limit_the_best_box_of_each_name_is_kept(detector: NanoDetWitness) -> None:
    scores, boxes = torch.zeros(3549, 80), torch.zeros(3549, 4)
    dog, cat, kite, cow = (NAMES.index(name) for name in ("dog", "cat", "kite", "cow"))
    cells = [
        (5, dog, 0.9, 0.0),
        (6, dog, 0.2, 300.0),
        (7, cat, 0.2, 210.0),
        (8, cat, 0.25, 300.0),
        (9, kite, 0.14, 90.0),
    ]
    for cell, kind, score, left in (*cells, (10, cow, 0.4, 5.0)):
        scores[cell, kind] = score
        boxes[cell] = torch.tensor([left, 0.0, left + 100, 100.0])
    found = detector.above_limits(scores, boxes, (SIZE, SIZE), 1.0, 0, 0)
    assert shown(found) == [("dog", 0.9, 0), ("cat", 0.25, 300)], "a cow in the place of the dog is the dog"


def test_unsure_things_are_no_things_and_are_checked_too(
    detector: NanoDetWitness, monkeypatch: pytest.MonkeyPatch
) -> None:
    coffee = open_picture(CAT.with_name("coffee.jpg"))
    [found] = detector.examine([coffee])
    assert [(thing.name, thing.finer) for thing in found.things] == [("cup", "cup of coffee")]
    assert [thing.name for thing in found.maybe] == ["carrot"], "ImageNet has no class for it"
    assert all(Limits().weak < thing.score <= Limits().unchecked for thing in found.maybe)
    monkeypatch.setattr(detector, "_odds", lambda crops: [shares({CAT_CLASS: 0.9})] * len(crops))
    [found] = detector.examine([coffee])
    assert not found.things and [thing.name for thing in found.maybe] == ["carrot"]


def test_a_small_thing_in_a_large_picture_is_found_by_tiles(detector: NanoDetWitness) -> None:
    """Two tiles see the cat in the middle."""
    image = Image.new("RGB", (1500, 1000), (124, 116, 104))
    cat = Image.open(CAT).convert("RGB").resize((260, 173))
    places = [(100, 150), (675, 200), (1100, 700)]
    for place in places:
        image.paste(cat, place)
    [found] = detector.examine([open_picture(image)])
    [plain] = NanoDetWitness(tiled=False).examine([open_picture(image)])
    assert found.counts() == {"cat": 3} and plain.counts() != {"cat": 3}
    centres = sorted((thing.box.left + thing.box.right) / 2 for thing in found.things)
    assert all(abs(centre - left - 130) < 20 for centre, (left, _) in zip(centres, places, strict=True))


def test_tiles_cover_a_large_picture_and_share_a_third() -> None:
    assert tiles(999, 400) == []
    assert tiles(1000, 500) == [(0, 0, 600, 300), (400, 0, 1000, 300), (0, 200, 600, 500), (400, 200, 1000, 500)]
    boxes = np.array([[0, 0, 50, 50], [400, 100, 599, 200], [100, 100, 200, 299], [100, 100, 200, 200]], float)
    assert whole(boxes, (0, 0, 600, 300), 1000, 500).tolist() == [True, False, False, True]


def test_a_part_that_a_tile_shows_is_no_second_thing() -> None:
    boxes = np.array([[0, 0, 400, 800], [100, 0, 300, 200], [500, 0, 600, 100], [420, 0, 800, 300]], float)
    names, tiled = np.array([0, 0, 0, 0]), np.array([False, True, False, True])
    assert merged(boxes, names, tiled) == [0, 2], "a head is a part of a person; a box around a person joins several"
    assert merged(boxes, np.array([0, 1, 0, 1]), tiled) == [0, 1, 2, 3], "a hat is another thing"


def test_letterboxing_keeps_the_proportions() -> None:
    pixels, scale, left, top = letterboxed(Image.new("RGB", (832, 208), "white"))
    assert (pixels.shape, scale, left, top) == ((3, 128, SIZE), 0.5, 0, 12), "sides are multiples of 32"
    assert pixels[:, :12].max() == 0 and pixels[:, 12:116].min() > 2


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
