"""What pocket says of a sight: noun phrases, places, and the description. The language model learns these sentences.

The truth of every sentence follows from the symbols of `plugins.pocket.sight`, so no picture is needed to make them.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from core.nouns import with_article
from plugins.pocket.sight import LINE_TOKENS, Seen, Sight, number_words, plural_name

_NOUNS: dict[str, Any] = tomllib.loads(files("plugins.pocket").joinpath("words.toml").read_text("utf-8"))["nouns"]
PLURAL: set[str] = set(_NOUNS["plural"])
MASS: set[str] = set(_NOUNS["mass"])
UNIQUE: dict[str, str] = _NOUNS["unique"]
STUFF = {  # scene words that can be seen, as one says them
    "sky": "the sky",
    "sea": "the sea",
    "beach": "a beach",
    "snow": "snow",
    "forest": "a forest",
    "mountain": "mountains",
    "street": "a street",
    "building": "buildings",
    "grass": "grass",
    "tree": "trees",
    "water": "water",
    "flower": "flowers",
    "plant": "plants",
    "rock": "rocks",
    "person": "people",
}
SAID_ALONE = {
    "indoors": "it is indoors.",
    "outdoors": "it is outdoors.",
    "night": "it seems to be night.",
    "sunset": "it looks like a sunset.",
}
SIDES = {"left": "on the left", "middle": "in the middle", "right": "on the right"}
ROWS = {"top": "at the top", "bottom": "at the bottom"}
MOST_APART = 6  # up to so many things, a text tells how many are left, in the middle and right
MOST_SENTENCES = 4  # of things in a description


def join(parts: Sequence[str]) -> str:
    """ "a, b and c"."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def named(seen: Seen, *, colour: bool = True) -> str:
    """ "golden retriever", "brown dog", without article; the clothes of a person are no colour of the person."""
    colours = " and ".join(seen.colours) if colour and seen.name != "person" else ""
    return f"{colours} {seen.finer or seen.name}".strip()


def phrase(seen: Seen, *, colour: bool = True, size: bool = False) -> str:
    """ "a golden retriever", "three people", "about fifteen people", "a large brown dog"."""
    words = named(seen, colour=colour)
    if seen.count > 1:
        return f"{number_words(seen.count)} {plural_of(words)}"
    if seen.name in UNIQUE and words == seen.name:
        return UNIQUE[seen.name]
    words = f"{seen.size} {words}" if size and seen.size else words
    return f"some {words}" if seen.name in PLURAL or seen.name in MASS else with_article(words)


def plural_of(words: str) -> str:
    """The plural of a phrase."""
    return plural_name(words)


def spot(seen: Seen) -> str:
    """ "on the left", "at the top right", "all over the picture"."""
    if seen.place is None:
        return "all over the picture"
    if seen.row == "centre":
        return SIDES[seen.column]
    return f"{ROWS[seen.row]} in the middle" if seen.column == "middle" else f"{ROWS[seen.row]} {seen.column}"


def of_picture(seen: Seen) -> str:
    """The place with "of the picture" where it needs it."""
    return spot(seen) if seen.place is None else f"{spot(seen)} of the picture"


def listing(entries: Sequence[Seen], *, colour: bool = True) -> str:
    """Several entries in one phrase."""
    return join([phrase(one, colour=colour) for one in entries])


def each_place(group: Seen) -> str:
    """ "one on the left and two in the middle"; empty for a group at one place, and for a crowd."""
    if group.count > MOST_APART:
        return ""
    columns = zip(SIDES, group.columns, strict=True)
    return join([f"{number_words(many)} {SIDES[column]}" for column, many in columns if many] or [""])


def clothes(entries: Sequence[Seen]) -> str:
    """The colours of people's clothes, from left to right; empty if one is not known."""
    if not entries or not all(one.colours for one in entries):
        return ""
    colours = [one.colours[0] for one in entries]
    if len(set(colours)) == 1:
        return colours[0]
    return join(colours)


def stuff(sight: Sight, without: Sequence[str] = ()) -> list[str]:
    """The scene words that can be seen, in words."""
    return [STUFF[word] for word in sight.scene if word in STUFF and word not in without]


def surroundings(sight: Sight) -> str:
    """One sentence on where it is: "it is outdoors, with buildings and the sky."."""
    seen = stuff(sight, without=("person",))
    where = next((word for word in ("indoors", "outdoors") if word in sight.scene), "")
    mood = " ".join(SAID_ALONE[word] for word in ("night", "sunset") if word in sight.scene)
    text = ""
    if where:
        text = f"it is {where}{f', with {join(seen)}' if seen else ''}."
    elif seen:
        text = f"{join(seen)} can be seen."
    return f"{text} {mood}".strip()


def writing(sight: Sight) -> str:
    """One sentence on the writing, or ""."""
    if sight.lines:
        marks = list(LINE_TOKENS[: min(len(sight.lines), 4)])
        more = " and more" if len(sight.lines) > 4 else ""
        return f"the writing says {join(marks) if not more else ', '.join(marks)}{more}."
    return "there is some writing that cannot be read for certain." if sight.blurred else ""


def first_sentence(seen: Seen) -> str:
    """What the picture mostly shows."""
    if seen.count > 1:
        apart = each_place(seen)
        if apart:
            return f"the picture shows {phrase(seen)}, {apart}."
        if seen.place is None:
            return f"the picture shows {phrase(seen)}, spread {spot(seen)}."
        return f"the picture shows {phrase(seen)} {spot(seen)}."
    return f"the picture shows {phrase(seen, size=True)} {spot(seen)}."


def dressed(seen: Seen, members: Sequence[Seen]) -> str:
    """A sentence on clothes, or ""."""
    if seen.name != "person":
        return ""
    people = members if seen.count > 1 else (seen,)
    colours = clothes(people)
    if not colours:
        return ""
    if len(people) == 1:
        return f"the person is dressed in {colours}."
    order = ", from left to right" if " and " in colours else ""
    return f"they are dressed in {colours}{order}."


def later_sentences(groups: Sequence[tuple[Seen, tuple[Seen, ...]]]) -> list[str]:
    """The other things, two in a sentence."""
    said = []
    for at in range(0, len(groups), 2):
        pair = [one for one, _ in groups[at : at + 2]]
        parts = [f"{phrase(one)} {spot(one)}" for one in pair]
        verb = "are" if pair[0].count > 1 or pair[0].name in PLURAL else "is"
        said.append(f"there {verb} {' and '.join(parts)}.")
    return said[: MOST_SENTENCES - 1]


def description(sight: Sight, palette: Sequence[str]) -> str:
    """The long description."""
    groups = sight.groups()
    sure = [(one, members) for one, members in groups if one.sure]
    said: list[str] = []
    if sure:
        said = [first_sentence(sure[0][0]), dressed(*sure[0]), *later_sentences(sure[1:])]
        people = next(((one, members) for one, members in sure[1:] if one.name == "person"), None)
        if people:
            said.append(dressed(*people))
    where = surroundings(sight)
    if not sure and groups:
        said = [f"i am not sure what this is, perhaps {phrase(groups[0][0])}."]
    elif not sure and not where:
        said = ["i am not sure what this is."]
    said += [where, writing(sight) if sight.lines else ""]  # what nobody can read is told only where it is asked for
    if not sure:
        said.append(main_colours(palette))
    return " ".join(filter(None, said))


def main_colours(palette: Sequence[str]) -> str:
    """The colours measured on the whole picture."""
    return f"the main colour{' is' if len(palette) == 1 else 's are'} {join(list(palette))}."


def caption(sight: Sight, palette: Sequence[str]) -> str:
    """The short caption."""
    sure = [one for one, _ in sight.groups() if one.sure]
    seen = stuff(sight, without=("person",))
    if sure:
        places = f" with {join(seen[:2])}" if seen else " indoors" if "indoors" in sight.scene else ""
        return f"{listing(sure[:3])}{places}"
    if seen:
        return join(seen[:3])
    if sight.lines:
        return f"a picture with the writing {LINE_TOKENS[0]}"
    if "indoors" in sight.scene or "outdoors" in sight.scene:
        return (
            f"a picture taken {'indoors' if 'indoors' in sight.scene else 'outdoors'}, mostly {join(list(palette[:2]))}"
        )
    return f"a picture in {join(list(palette[:2]))}"
