"""Random sights: what could be made out in a photograph, in symbols, for the language model to speak of."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache

from plugins.detector.network import NAMES
from plugins.detector.witness import classes_of
from plugins.imagenet.classes import phrases
from plugins.pocket.colours import COLOURS
from plugins.pocket.sight import APART, MOST, OUTDOORS, Seen, Sight, columns_of, common_place, third
from training.pocket.sight.scene_words import WORDS

COMMON = "person car chair dining table bottle dog cat bird boat book cup potted plant couch laptop bus bicycle".split()


@cache
def finer_names() -> dict[str, list[str]]:
    """More exact names for the names of the detector, after WordNet."""
    named = {name: sorted({phrases()[number] for number in numbers} - {name}) for name, numbers in classes_of().items()}
    return {name: [one for one in finer if len(one.split()) <= 3] for name, finer in named.items()}


def random_sight(rng: random.Random, others: Sequence[str]) -> Sight:
    """One sight. `others`: names beside those of the detector, such as the classes of ImageNet."""
    entries: list[tuple[Seen, tuple[float, float]]] = []
    kinds = rng.choices((0, 1, 2, 3, 4, 5, 6), (14, 26, 20, 16, 12, 7, 5))[0]
    names: list[str] = []
    while len(names) < kinds:
        draw = rng.random()
        name = "person" if draw < 0.25 else rng.choice(NAMES) if draw < 0.6 else rng.choice(others)
        if name not in names:
            names.append(name)
    for name in names:
        entries += random_things(rng, name)
    entries = entries[:MOST]
    if entries and rng.random() < 0.08:
        entries.append((Seen(rng.choice(others), place=rng.randrange(9)), (0.5, 0.5)))
    if not entries and rng.random() < 0.6:
        entries = [(Seen(rng.choice(others), place=rng.randrange(9), sure=False), (0.5, 0.5))]
    lines = rng.choices((0, 1, 2, 3, 4, 6, 8), (62, 14, 8, 6, 4, 3, 3))[0]
    scene = random_scene(rng)
    return Sight(
        things=tuple(entry for entry, _ in entries),
        scene=scene,
        lines=tuple(f"line {number}" for number in range(lines)),
        blurred=not lines and rng.random() < 0.08,
        reads=rng.random() < 0.85,
        maybe=tuple(
            Seen(name, place=rng.randrange(9), sure=False)
            for name in rng.sample(NAMES, rng.choice((0, 0, 1, 2)))
            if name not in names
        ),
        odds=random_odds(rng, scene, others),
        spots=tuple(spot for _, spot in entries),
    )


def random_things(rng: random.Random, name: str) -> list[tuple[Seen, tuple[float, float]]]:
    """One thing or a group of one name, as `plugins.pocket.sight.listed` would list it."""
    most = (
        (45, 20, 12, 8, 4, 3, 3, 2, 3) if name == "person" or rng.random() < 0.3 else (80, 11, 5, 2, 1, 0.5, 0.5, 0, 0)
    )
    count = rng.choices((1, 2, 3, 4, 5, 6, 8, 10, 0), most)[0] or rng.randint(7, 30)
    finer = (
        rng.choice(finer_names()[name]) if name != "person" and finer_names().get(name) and rng.random() < 0.3 else ""
    )
    home = rng.random(), rng.random()
    reach = rng.choice((0.1, 0.3, 0.6))
    spots = sorted(
        (
            min(max(home[0] + rng.uniform(-reach, reach), 0.03), 0.97),
            min(max(home[1] + rng.uniform(-reach, reach) / 3, 0.03), 0.97),
        )
        for _ in range(count)
    )
    coloured = rng.random() < 0.7
    things = [
        Seen(
            name,
            finer=finer,
            place=3 * third(y) + third(x),
            colours=tuple(rng.sample(COLOURS, rng.choice((1, 1, 1, 2)))) if coloured and rng.random() < 0.9 else (),
            size="" if name == "person" else rng.choice(("", "", "small", "large")),
            edge=rng.choice(("left", "right", "top", "bottom")) if rng.random() < 0.12 else "",
        )
        for x, y in spots
    ]
    if count == 1:
        return [(things[0], spots[0])]
    middle = sum(x for x, _ in spots) / count, sum(y for _, y in spots) / count
    group = Seen(name, finer=finer, count=count, place=common_place(things), columns=columns_of(things))
    members = [replace(one, member=True, finer="") for one in things] if count <= APART else []
    return [(group, middle), *zip(members, spots, strict=False)]


def random_scene(rng: random.Random) -> tuple[str, ...]:
    """Scene words that may stand together."""
    number = rng.choices((0, 1, 2, 3, 4, 5), (22, 24, 22, 16, 10, 6))[0]
    words = set(rng.sample(WORDS, number))
    for one, other in (("night", "sunset"), ("indoors", "outdoors")):
        if {one, other} <= words:
            words.discard(rng.choice((one, other)))
    if words & OUTDOORS:
        words = words - {"indoors"} if rng.random() < 0.9 else words - OUTDOORS
    return settled(words)


def settled(words: Iterable[str]) -> tuple[str, ...]:
    """The words in order; whatever is only outdoors says that it is outdoors."""
    found = set(words)
    if found & OUTDOORS:
        found = found - {"indoors"} | {"outdoors"}
    return tuple(word for word in WORDS if word in found)


def random_odds(rng: random.Random, scene: Sequence[str], others: Sequence[str]) -> dict[str, float]:
    """Odds of all scene words, and of a few class names."""
    low = {word: rng.choices((0.02, 0.15, 0.35, 0.7), (70, 13, 10, 7))[0] for word in WORDS if word not in scene}
    classes = {rng.choice(others): rng.choice((0.3, 0.6)) for _ in range(rng.choice((0, 0, 1)))}
    return {**classes, **low, **dict.fromkeys(scene, 0.95)}
