"""Write the words by which a question may mean classes of ImageNet, after WordNet 3.0 (Debian's `wordnet-base`).

    python -m training.pocket.sight.class_words /usr/share/wordnet

A noun means the classes that its usual sense names or includes: "parrot" the macaw and the cockatoo, "tram" the
streetcar. Nouns that include more than `MOST` classes say too little, and people are no classes.
"""

from __future__ import annotations

import argparse
from functools import cache
from pathlib import Path
from typing import Final

from plugins.imagenet.classes import classes
from plugins.imagenet.tower import CLASSES
from training.detector.names import synsets
from training.pocket.vocabulary import IMAGENET

MOST: Final = 60
NO_THINGS: Final = frozenset(  # words that questions use otherwise, or that say too little
    "can location material medium part relation stuff surface solid liquid fluid drug seed signal setup system portion "
    "piece feed cloth clothes clothing apparel attire garb garment wearable workwear ware pan lock fitting opening "
    "covering structure device equipment means support substance matter matters nutrient instrumentality".split()
)
TABLE: Final = Path("plugins/pocket/class_words.tsv")


def class_words(wordnet: Path) -> dict[str, list[int]]:
    """For each noun the numbers of the classes that it may mean."""
    senses, above = synsets(wordnet)

    @cache
    def kinds(synset: str) -> frozenset[str]:
        return frozenset({synset}).union(*map(kinds, above[synset]))

    rows = [line.split("\t") for line in IMAGENET.read_text("utf-8").splitlines() if not line.startswith("#")]
    assert len(rows) == CLASSES
    below: dict[str, list[int]] = {}
    for number, row in enumerate(rows):
        for synset in kinds(row[1][1:]):
            below.setdefault(synset, []).append(number)
    people = set(below.get(senses["person"][0], ()))
    known = {name for name, _ in classes()}
    found = {}
    for lemma, meant in senses.items():
        word = lemma.replace("_", " ")
        numbers = [one for one in below.get(meant[0], ()) if one not in people]
        if (
            0 < len(numbers) <= MOST
            and word not in known | NO_THINGS
            and word.replace(" ", "").isalpha()
            and len(word.split()) < 4
        ):
            found[word] = numbers
    return dict(sorted(found.items()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wordnet", type=Path, help="folder with index.noun and data.noun of WordNet 3.0")
    found = class_words(parser.parse_args().wordnet)
    lines = ["# noun\tclasses of ImageNet that its usual sense in WordNet 3.0 names or includes"]
    lines += [f"{word}\t{' '.join(map(str, numbers))}" for word, numbers in found.items()]
    TABLE.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"{len(found)} nouns in {TABLE}")


if __name__ == "__main__":
    main()
