"""What pocket makes out in a photograph, as symbols: things with counts, places and colours, scene words, writing.

The evidence comes from the witnesses `detector` and `reader`, from the ImageNet classifier, and from linear heads on
its features. `sight_of` weighs it; `entries` writes it in words that the language model reads.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
from PIL import Image

from core.nouns import plural
from core.witness import Box, Findings, TextLine, Thing, counted
from plugins.pocket.colours import COLOURS, shares
from plugins.pocket.presence.evidence import NounEvidence

MOST: Final = 16  # entries of the list of things
APART: Final = 4  # up to so many things of one name are listed one by one
LINES: Final = 8  # lines of writing that can be quoted
THUMBNAIL: Final = 512  # pixels of the longer side on which colours are measured
BLURRED, LETTERS = 0.6, 3  # least score and least letters of a line that counts as writing, but is not quoted
SMALL, LARGE = 0.03, 0.25  # share of the picture's area
BACKGROUND: Final = 0.15  # least share of the picture that lies outside all things
PREVAILING, BOTH_PREVAIL = 0.65, 0.8  # share of the background that one colour has, or two
NEARLY_ALL: Final = 0.8  # the same of the picture, where the background is not known
NUMBERS: Final = (
    "no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
)  # fmt: skip
COLUMNS: Final = ("left", "middle", "right")
BARE: Final = 0.5  # share of pixels like skin from which a body may be bare, or dressed in such a colour
LIKE_SKIN: Final = frozenset({"orange", "brown", "pink"})  # what is left of skin has one of these colours
CLOTHING: Final = "piece of clothing"  # a group of the classifier
WIDE: Final = frozenset({"container", "landscape"})  # groups of the classifier that are often something else
OUTDOORS: Final = frozenset({"sky", "sea", "beach", "snow", "forest", "mountain", "street", "sunset"})

THING, MEMBER, SPREAD, EDGE, PERHAPS = "<thing>", "<member>", "<spread>", "<edge>", "<perhaps>"
SIGHT, SCENE, TEXT = "<sight>", "<scene>", "<text>"
ASKED, YES, NO, UNKNOWN = "<asked>", "<yes>", "<no>", "<unknown>"
LINE_TOKENS: Final = tuple(f"<line{number}>" for number in range(LINES))
MARKS: Final = (THING, MEMBER, SPREAD, EDGE, PERHAPS, SIGHT, SCENE, TEXT, ASKED, YES, NO, UNKNOWN, *LINE_TOKENS)


@dataclass(frozen=True, slots=True)
class Seen:
    """One entry of the list: a thing, or a group of things of one name."""

    name: str
    finer: str = ""  # a more exact name: "golden retriever"
    count: int = 1  # of a group: 2 and more
    member: bool = False  # one of the group before it
    place: int | None = 4  # 3 * row + column; None for a group that is spread over the picture
    colours: tuple[str, ...] = ()  # of clothes, for persons
    size: str = ""  # "small", "large"
    edge: str = ""  # the side where the picture cuts it off: "left", "right", "top", "bottom"
    sure: bool = True
    columns: tuple[int, int, int] = (0, 0, 0)  # of a group that is spread: how many left, in the middle, right

    @property
    def column(self) -> str:
        """ "left", "middle", "right", or "" for a group that is spread."""
        return "" if self.place is None else COLUMNS[self.place % 3]

    @property
    def row(self) -> str:
        """ "top", "centre", "bottom", or "" for a group that is spread."""
        return "" if self.place is None else ("top", "centre", "bottom")[self.place // 3]


@dataclass(frozen=True, slots=True)
class Sight:
    """Everything that is made out in a photograph."""

    things: tuple[Seen, ...] = ()  # the most prominent first; members follow their group, from left to right
    scene: tuple[str, ...] = ()  # scene words that may be said
    lines: tuple[str, ...] = ()  # certain lines of writing, in reading order
    blurred: bool = False  # there is writing that cannot be read for certain
    reads: bool = True  # whether anybody looked for writing
    maybe: tuple[Seen, ...] = ()  # weaker evidence, which counts only where a question names it
    odds: Mapping[str, float] = field(default_factory=dict)  # of names and scene words, where one can tell at all
    spots: tuple[tuple[float, float], ...] = ()  # centre of each entry, in shares of width and height
    nouns: NounEvidence | None = None  # evidence of any noun, for questions that take only "yes" or "no"
    background: tuple[str, ...] = ()  # colours around the things; empty where none prevails

    def groups(self) -> list[tuple[Seen, tuple[Seen, ...]]]:
        """Each thing or group, with the members that are listed one by one."""
        found: list[tuple[Seen, list[Seen]]] = []
        for entry in self.things:
            if entry.member and found:
                found[-1][1].append(entry)
            else:
                found.append((entry, []))
        return [(entry, tuple(members)) for entry, members in found]


@dataclass(frozen=True, slots=True)
class Guess:
    """What the classifier makes of the whole picture."""

    name: str  # without article
    group: str  # "dog" for "golden retriever"; may be empty
    odds: float
    group_odds: float
    place: int


@dataclass(frozen=True, slots=True)
class SightLimits:
    """How sure the evidence must be; they belong to the weights."""

    guess: float = 0.6  # of the classifier, to name what no detector found
    group: float = 0.5  # the same for a whole group: "dog"; one of WIDE needs `guess`
    perhaps: float = 0.2
    weak: float = 0.25  # of a detection, where a question names the thing
    colour: float = 0.30  # share of a thing's pixels, beyond what its surroundings have


def sight_of(
    image: Image.Image,
    found: Findings,
    text: Findings | None,
    guess: Guess | None,
    scene: Sequence[str],
    odds: Mapping[str, float],
    limits: SightLimits = SightLimits(),
) -> Sight:
    """Weigh the evidence of one picture. `odds`: of scene words and class names, for questions."""
    size = found.width, found.height
    thumbnail = image.copy()
    thumbnail.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX, reducing_gap=2.0)
    pixels = np.asarray(thumbnail)
    entries: list[tuple[Seen, tuple[float, float]]] = []
    for name in prominent(found.things):
        same = sorted((one for one in found.things if one.name == name), key=lambda one: one.box.left + one.box.right)
        entries += listed(same, size, pixels, limits)
    things = [entry for entry, _ in entries[:MOST]]
    spots = [spot for _, spot in entries[:MOST]]
    worn = guess is not None and guess.group == CLOTHING and any(one.name == "person" for one in things)
    if guess is not None and not worn and not covers(found.things, guess):
        named = guessed(guess, limits)
        if named is not None and (named.sure or not things):
            things.append(named)
            spots.append(((guess.place % 3 + 0.5) / 3, (guess.place // 3 + 0.5) / 3))
    lines = [line.text for line in text.lines if line.certain] if text else []
    return Sight(
        things=tuple(things[:MOST]),
        scene=tuple(scene),
        lines=tuple(lines[:LINES]),
        blurred=bool(text and not lines and any(like_writing(line) for line in text.lines)),
        reads=text is not None,
        maybe=tuple(replace(seen_of(one, size), sure=False) for one in found.maybe if one.score >= limits.weak),
        odds=dict(odds),
        spots=tuple(spots),
        background=background_colours([one.box for one in found.things], size, pixels),
    )


def like_writing(line: TextLine) -> bool:
    """Whether an unsure line is likely to be writing: readers take fur and leaves for a letter or two."""
    return line.score >= BLURRED and sum(map(str.isalnum, line.text)) >= LETTERS


def prominent(things: Iterable[Thing]) -> list[str]:
    """The names, by the area that their things cover."""
    area: dict[str, float] = {}
    for thing in things:
        area[thing.name] = area.get(thing.name, 0.0) + thing.box.area * (2 if thing.name == "person" else 1)
    return sorted(area, key=lambda name: -area[name])


def listed(
    same: Sequence[Thing], size: tuple[int, int], pixels: np.ndarray, limits: SightLimits
) -> list[tuple[Seen, tuple[float, float]]]:
    """The entries of all things of one name, ordered from left to right, each with its centre."""
    seen = [replace(seen_of(one, size), colours=colours_of(one, size, pixels, limits.colour)) for one in same]
    spots = [centre(one.box, size) for one in same]
    if len(same) == 1:
        return [(seen[0], spots[0])]
    finer = {one.finer for one in seen}
    group = Seen(
        same[0].name,
        finer=finer.pop() if len(finer) == 1 else "",
        count=len(same),
        place=common_place(seen),
        columns=columns_of(seen),
    )
    middle = sum(x for x, _ in spots) / len(spots), sum(y for _, y in spots) / len(spots)
    members = [replace(one, member=True, finer="" if group.finer else one.finer) for one in seen]
    return [(group, middle), *(zip(members, spots, strict=True) if len(same) <= APART else ())]


def columns_of(seen: Sequence[Seen]) -> tuple[int, int, int]:
    """How many are on the left, in the middle and on the right; zeros where all of them have a common place."""
    if common_place(seen) is not None:
        return (0, 0, 0)
    left, middle, right = (sum(one.column == column for one in seen) for column in COLUMNS)
    return left, middle, right


def common_place(seen: Sequence[Seen]) -> int | None:
    """The place of a group: where four fifths of it are, else None."""
    column, many = next(iter(counted(one.column for one in seen).items()))
    if many < 0.8 * len(seen):
        return None
    row, in_row = next(iter(counted(one.row for one in seen).items()))
    rows = ("top", "centre", "bottom")
    return 3 * (rows.index(row) if in_row >= 0.8 * len(seen) else 1) + COLUMNS.index(column)


def seen_of(thing: Thing, size: tuple[int, int]) -> Seen:
    """One thing without its colours."""
    width, height = size
    x, y = centre(thing.box, size)
    share = thing.box.area / (width * height)
    return Seen(
        thing.name,
        finer=finer_name(thing),
        place=3 * third(y) + third(x),
        size="" if thing.name == "person" else "small" if share < SMALL else "large" if share > LARGE else "",
        edge=edge_of(thing.box, size),
    )


def finer_name(thing: Thing) -> str:
    """The more exact name, if it says more than the name."""
    finer = thing.finer or ""
    return "" if finer == thing.name or len(finer.split()) > 3 else finer


def centre(box: Box, size: tuple[int, int]) -> tuple[float, float]:
    """The centre of a box in shares of width and height."""
    return (box.left + box.right) / 2 / size[0], (box.top + box.bottom) / 2 / size[1]


def third(position: float) -> int:
    """0, 1 or 2 for a position in 0..1."""
    return int(position > 1 / 3) + int(position > 2 / 3)


def edge_of(box: Box, size: tuple[int, int]) -> str:
    """The one side of the picture that cuts the thing off, if it is one of left and right, else top, else bottom."""
    width, height = size
    near = 0.005
    sides = [
        side
        for side, distance in (
            ("left", box.left / width),
            ("right", 1 - box.right / width),
            ("top", box.top / height),
            ("bottom", 1 - box.bottom / height),
        )
        if distance <= near
    ]
    return sides[0] if len(sides) == 1 else ""


def colours_of(thing: Thing, size: tuple[int, int], pixels: np.ndarray, least: float) -> tuple[str, ...]:
    """Up to two colour words that cover the thing more than its surroundings; of a person the clothes.

    `pixels`: the picture (H, W, 3), uint8, of any size.
    """
    across, down = pixels.shape[1] / size[0], pixels.shape[0] / size[1]
    left, right = thing.box.left * across, thing.box.right * across
    top, bottom = thing.box.top * down, thing.box.bottom * down
    wide, high = right - left, bottom - top
    if min(wide, high) < 6:
        return ()
    if thing.name == "person":
        inner = clothes(thing, pixels, across, down)
        surroundings = inner[:0]
    else:
        inner = cut(pixels, left + 0.15 * wide, top + 0.15 * high, right - 0.15 * wide, bottom - 0.15 * high)
        outer = (left - 0.2 * wide, top - 0.2 * high, right + 0.2 * wide, bottom + 0.2 * high)
        surroundings = ring(pixels, outer, (left, top, right, bottom))
    if not len(inner):
        return ()
    inside = shares(inner)
    around = shares(surroundings) if len(surroundings) else np.zeros(len(COLOURS))
    worth = inside - 0.5 * np.minimum(around, inside)
    order = np.argsort(-worth)
    doubtful = LIKE_SKIN if thing.name == "person" else frozenset()
    limits = [max(least, 0.5) if COLOURS[at] in doubtful else least for at in order[:2]]
    return tuple(
        COLOURS[at] for at, limit in zip(order, limits, strict=False) if worth[at] >= limit and inside[at] >= limit
    )


def clothes(person: Thing, pixels: np.ndarray, across: float, down: float) -> np.ndarray:
    """The pixels (N, 3) of a person's clothes; none where they cannot be told from skin and surroundings.

    `across`, `down`: pixels of `pixels` for one of the picture. Where no shoulders were found, the middle of a person
    who is seen from head to foot counts.
    """
    box, body = person.box, person.body
    if body is not None:
        edges = body.left, body.top, body.right, body.bottom
    elif (high := box.bottom - box.top) > 1.6 * (wide := box.right - box.left):
        edges = box.left + 0.28 * wide, box.top + 0.22 * high, box.right - 0.28 * wide, box.top + 0.6 * high
    else:
        return pixels.reshape(-1, 3)[:0]
    inner = cut(pixels, edges[0] * across, edges[1] * down, edges[2] * across, edges[3] * down)
    if not len(inner):
        return inner
    skin = like_skin(inner)
    return inner[~skin] if (~skin).sum() >= 40 and skin.mean() <= BARE else inner[:0]


def background_colours(boxes: Sequence[Box], size: tuple[int, int], pixels: np.ndarray) -> tuple[str, ...]:
    """One colour word, or two, for what lies outside all boxes; empty where no colour prevails.

    Where the boxes leave hardly anything, and where there are none, only the colour of nearly the whole picture counts.
    """
    outside = np.ones(pixels.shape[:2], bool)
    across, down = pixels.shape[1] / size[0], pixels.shape[0] / size[1]
    for box in boxes:
        left, right = max(0, round(box.left * across)), max(0, round(box.right * across))
        outside[max(0, round(box.top * down)) : max(0, round(box.bottom * down)), left:right] = False
    known = bool(boxes) and outside.mean() >= BACKGROUND
    found = shares(pixels[outside] if known else pixels.reshape(-1, 3))
    first, second = np.argsort(-found)[:2]
    if found[first] >= (PREVAILING if known else NEARLY_ALL):
        return (COLOURS[first],)
    return (COLOURS[first], COLOURS[second]) if known and found[first] + found[second] >= BOTH_PREVAIL else ()


def cut(pixels: np.ndarray, left: float, top: float, right: float, bottom: float) -> np.ndarray:
    """The pixels (N, 3) of a rectangle, as far as it lies in the picture."""
    part = pixels[max(0, round(top)) : max(0, round(bottom)), max(0, round(left)) : max(0, round(right))]
    return part.reshape(-1, 3)


def ring(
    pixels: np.ndarray, outer: tuple[float, float, float, float], inner: tuple[float, float, float, float]
) -> np.ndarray:
    """The pixels (N, 3) of a rectangle without those of another inside it."""
    inside = np.zeros(pixels.shape[:2], bool)
    for box, value in ((outer, True), (inner, False)):
        left, top, right, bottom = (max(0, round(edge)) for edge in box)
        inside[top:bottom, left:right] = value
    return pixels[inside]


def like_skin(pixels: np.ndarray) -> np.ndarray:
    """Which pixels (N, 3) have a colour that skin often has, (N,) bool; they are left out of the colours of clothes.

    Limits in YCbCr after Chai & Ngan 1999 (https://doi.org/10.1109/76.767122).
    """
    red, green, blue = (pixels[:, channel].astype(np.float32) for channel in range(3))
    cb = 128 - 0.168736 * red - 0.331264 * green + 0.5 * blue
    cr = 128 + 0.5 * red - 0.418688 * green - 0.081312 * blue
    skin: np.ndarray = (cb >= 77) & (cb <= 127) & (cr >= 133) & (cr <= 173)
    return skin


def covers(things: Iterable[Thing], guess: Guess) -> bool:
    """Whether the classifier's guess names something that a detector has found."""
    from plugins.detector.witness import classes_of
    from plugins.imagenet.classes import phrases

    numbers = {number for number, phrase in phrases().items() if phrase == guess.name}
    return any(classes_of().get(thing.name, set()) & numbers or thing.finer == guess.name for thing in things)


def guessed(guess: Guess, limits: SightLimits) -> Seen | None:
    """The classifier's guess as an entry of the list."""
    if guess.odds >= limits.guess:
        return Seen(guess.name, place=guess.place)
    if guess.group and guess.group_odds >= (limits.guess if guess.group in WIDE else limits.group):
        return Seen(guess.group, place=guess.place)
    if guess.odds >= limits.perhaps:
        return Seen(guess.name, place=guess.place, sure=False)
    return None


def number_words(count: int) -> str:
    """ "three", "about fifteen", "more than twenty": beyond ten a detector's count is an estimate."""
    if count <= 10:
        return NUMBERS[count]
    if count > 22:
        return "more than twenty"
    return "about " + ("twelve" if count < 14 else "fifteen" if count < 18 else "twenty")


def plural_name(name: str) -> str:
    """The plural of a name of several words: "traffic lights"."""
    before, space, noun = name.rpartition(" ")
    return f"{before}{space}{plural(noun)}"


Piece = tuple[str, bool]  # text in the tokenizer's words, and whether it belongs to the entry before it


def written(seen: Seen) -> str:
    """One entry: "<thing> three person <place3>"."""
    parts = [MEMBER if seen.member else THING]
    if seen.count > 1:
        parts.append(number_words(seen.count))
    parts += [seen.size, *(f"<{colour}>" for colour in seen.colours), seen.finer, seen.name]
    parts.append(SPREAD if seen.place is None else f"<place{seen.place}>")
    parts += [f"{number_words(many)} {column}" for column, many in zip(COLUMNS, seen.columns, strict=True) if many]
    if seen.edge:
        parts.append(f"{EDGE} {seen.edge}")
    if not seen.sure:
        parts.append(PERHAPS)
    return " ".join(filter(None, parts))


def entries(sight: Sight) -> list[str]:
    """The sight in pieces of text, one per entry; the tokens of a piece belong together."""
    pieces = [SIGHT, *map(written, sight.things)]
    if sight.scene:
        pieces.append(" ".join([SCENE, *sight.scene]))
    if sight.lines:
        pieces.append(" ".join([TEXT, *LINE_TOKENS[: len(sight.lines)]]))
    return pieces


def quoted(text: str, lines: Sequence[str]) -> str:
    """The text with the marks of lines replaced by the lines, in quotation marks; marks without a line disappear."""
    for number, mark in enumerate(LINE_TOKENS):
        if mark in text:
            text = text.replace(mark, f'"{lines[number]}"' if number < len(lines) else "")
    return text


def tokens_of(tokenizer: Any, pieces: Sequence[str]) -> tuple[list[int], list[int]]:
    """Token ids of the pieces, and for each token the number of its piece."""
    ids: list[int] = []
    owner: list[int] = []
    for number, piece in enumerate(pieces):
        for part in piece.split():
            found = ids_of(tokenizer, part)
            ids += found
            owner += [number] * len(found)
    return ids, owner


def ids_of(tokenizer: Any, part: str) -> list[int]:
    """The ids of a mark, or of a word with a space before it."""
    encoded = tokenizer.encode(part if part.startswith("<") else f" {part}", add_special_tokens=False)
    return list(getattr(encoded, "ids", encoded))
