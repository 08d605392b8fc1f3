"""The tables of English words in core/english, made of WordNet 3.0 (Debian's `wordnet-base`).

    python -m training.english /usr/share/wordnet core/english

words.tsv has one word a line, sorted, and its senses: part of speech and number of the synset, number of the sense, and
how often WordNet's texts use the word in it. Irregular forms have a line too: part of speech and base form. kinds.tsv
has one synset a line, the first is 0, with the synsets above it; for an adjective, those that are similar. A "+" is
before synsets of words that are derived from each other: "rain" and "rainy".
Left out are names in capitals, phrases of three words and more, and abstract nouns that those texts never use.
"""

from __future__ import annotations

import argparse
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

# WordNet's lexicographer files of nouns for what can be seen, all of whose words are kept.
SEEN = {3, 5, 6, 8, 13, 14, 15, 17, 18, 19, 20, 25, 27}
PARTS = {"noun": "n", "verb": "v", "adj": "a", "adv": "r"}
WORD = re.compile(r"[a-z][a-z'-]+(?:_[a-z'-]+)?")
PARTS_BY_MARK = {"n": "n", "v": "v", "a": "a", "s": "a", "r": "r"}
ABOVE = {"@": "nv", "@i": "n", "&": "a"}


class Synset(NamedTuple):
    """One line of WordNet's data files: the words that are kept, the synsets above it."""

    part: str
    file: int
    words: tuple[str, ...]
    above: tuple[str, ...]
    derived: tuple[str, ...]


def read_synsets(folder: Path) -> dict[str, Synset]:
    """All synsets by part and offset."""
    found = {}
    for name, part in PARTS.items():
        for line in (folder / f"data.{name}").read_text("ascii").splitlines():
            if line.startswith("  "):
                continue
            offset, file, _, count, *rest = line.split(" | ")[0].split()
            words = [re.sub(r"\([a-z]+\)$", "", word) for word in rest[: 2 * int(count, 16) : 2]]
            pointers = rest[2 * int(count, 16) + 1 :]
            above = [
                part + pointers[at + 1]
                for at in range(0, 4 * int(rest[2 * int(count, 16)]), 4)
                if part in ABOVE.get(pointers[at], "")
            ]
            derived = [
                PARTS_BY_MARK[pointers[at + 2]] + pointers[at + 1]
                for at in range(0, 4 * int(rest[2 * int(count, 16)]), 4)
                if pointers[at] in ("+", "\\")
            ]
            kept = tuple(word for word in words if WORD.fullmatch(word))
            found[part + offset] = Synset(part, int(file), kept, tuple(above), tuple(derived))
    return found


def read_senses(folder: Path, synsets: dict[str, Synset]) -> dict[tuple[str, str], tuple[int, int]]:
    """(synset, word) -> number of the sense, how often it was used."""
    used: dict[tuple[str, str, int], int] = {}
    for line in (folder / "cntlist.rev").read_text("ascii").splitlines():
        key, number, count = line.split()
        word, _, kind = key.partition("%")
        used[word, "?nvara"[int(kind[0])], int(number)] = int(count)
    found = {}
    for name, part in PARTS.items():
        for line in (folder / f"index.{name}").read_text("ascii").splitlines():
            if line.startswith("  "):
                continue
            word, _, count, *rest = line.split()
            for sense, offset in enumerate(rest[-int(count) :], start=1):
                found[part + offset, word] = sense, used.get((word, part, sense), 0)
    return found


def tables(folder: Path) -> tuple[list[str], list[str]]:
    """The lines of words.tsv and of kinds.tsv."""
    synsets = read_synsets(folder)
    senses = read_senses(folder, synsets)
    kept = [
        name
        for name, one in synsets.items()
        if one.words
        and (one.part != "n" or one.file in SEEN or any(senses.get((name, word), (0, 0))[1] for word in one.words))
    ]
    place = {name: number for number, name in enumerate(kept)}

    def above(name: str) -> Iterator[int]:
        for other in synsets[name].above:
            if other in place:
                yield place[other]
            elif synsets[other].part != "a":
                yield from above(other)

    words: dict[str, list[str]] = defaultdict(list)
    for name in kept:
        one = synsets[name]
        for word in one.words:
            number, count = senses.get((name, word), (9, 0))
            words[word.replace("_", " ")].append(f"{one.part}{place[name]}.{number}.{count}")
    for name, part in PARTS.items():
        for line in (folder / f"{name}.exc").read_text("ascii").splitlines():
            form, word = line.split()[:2]
            if part in "nv" and form != word and WORD.fullmatch(form) and word in words and "_" not in form + word:
                words[form].append(f"{part}={word}")
    kinds = [
        " ".join(
            [str(number) for number in dict.fromkeys(above(name))]
            + [f"+{place[other]}" for other in dict.fromkeys(synsets[name].derived) if other in place]
        )
        for name in kept
    ]
    return [f"{word}\t{' '.join(found)}" for word, found in sorted(words.items())], kinds


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the tables of English words.")
    parser.add_argument("wordnet", type=Path, help="folder with the data of WordNet 3.0")
    parser.add_argument("out", type=Path, help="folder of the tables")
    options = parser.parse_args()
    for name, lines in zip(("words", "kinds"), tables(options.wordnet), strict=True):
        options.out.joinpath(f"{name}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
