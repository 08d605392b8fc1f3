"""Write all styles of stored interviews, and count: within their limits, supported by the answers, how long, by whom.

    python -m benchmarks.styles --scenes SOURCES FOLDER        # writes 40 made scenes as pictures
    inquisight caption PHOTOS FOLDER --json --seed 1 > captions.jsonl
    python -m benchmarks.styles captions.jsonl --questioner scripted --questioner openai:NAME

A text is within its limits if it has no more characters than its style allows, cuts no word of the draft (checked by
the tests), does not say "image of", and is not empty; tags are different from each other. A word is supported if a
certain answer, or what the owner told, has it, a synonym or something of its kind.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from agents.claims.known import base_forms, said_in
from agents.claims.phrases import tokens
from agents.claims.words import AUXILIARIES, COPULAS, DETERMINERS, PICTURE, PREPOSITIONS, PRONOUNS
from agents.interview.prompts import Prompts
from agents.interview.restyle import restyle
from agents.interview.turns import usable
from agents.llm.questioners import load_questioner
from agents.styles.options import StyleOptions
from agents.styles.vocabulary import tag_key, vocabulary_of
from core.errors import InquisightError
from core.records import Caption, StyledText
from core.tasks import OWNER

RUNS: Final = {
    "as they are": StyleOptions(("alt", "short", "tags", "prompt")),
    "60 characters": StyleOptions(("alt", "short", "tags", "prompt"), max_chars=60),
    "purpose": StyleOptions(("alt",), purpose="profile of the people in a travel magazine"),
    "vocabulary": StyleOptions(
        ("tags",), vocabulary=vocabulary_of("animal person vehicle building furniture plant sky food text".split())
    ),
    "trigger": StyleOptions(("prompt",), prefix="photo of", trigger="ohwx", suffix=", sharp", max_chars=120),
}
SCENES: Final = 40
_IMAGE_OF: Final = re.compile(r"\b(?:image|picture|photo|photograph)s?\s+of\b", re.IGNORECASE)
_SMALL: Final = (
    DETERMINERS | COPULAS | AUXILIARIES | PRONOUNS | PICTURE | {part for phrase in PREPOSITIONS for part in phrase}
    | frozenset("and or also text reads read unclear content subject outdoors indoors view photo ohwx sharp".split())
)  # fmt: skip


def is_within(one: StyledText, options: StyleOptions, limit: int | None) -> bool:
    """Whether a text keeps the rules of its style."""
    body = one.text.removeprefix(options.prefix)
    if one.style == "tags":
        keys = [tag_key(tag) for tag in one.tags]
        return len(one.text) <= (limit or len(one.text)) and len(set(keys)) == len(keys)
    framed = one.text.count(options.trigger) == 1 and one.text.startswith(options.prefix) if options.trigger else True
    return 0 < len(one.text) <= (limit or len(one.text)) and not _IMAGE_OF.search(body) and framed


def supported(one: StyledText, caption: Caption) -> tuple[int, int]:
    """How many words of a text the answers say, and how many there are that say anything."""
    known = said_in([turn for turn in usable(caption.dialogue.turns) if turn.asked_by != OWNER or turn.answer])
    spoken = [token.text for token in tokens(one.text) if token.kind == "word" and token.text not in _SMALL]
    return sum(known.has(word) or bool(base_forms(word) & known.hedged) for word in spoken), len(spoken)


def captions_in(files: list[Path]) -> Iterator[Caption]:
    """The complete captions of files of `inquisight caption --json`. Raises InquisightError."""
    for file in files:
        for line in file.read_text("utf-8").splitlines():
            if line.startswith('{"schema_version"'):
                caption = Caption.from_json(line)
                if caption.status == "complete":
                    yield caption


def write_scenes(sources: Path, folder: Path) -> None:
    """Write made scenes as pictures."""
    from training.pocket.scenes import Composer

    folder.mkdir(parents=True, exist_ok=True)
    composer = Composer(sources, held_out=True)
    for number in range(SCENES):
        composer.scene(2_000_000 + number).image.save(folder / f"scene{number:02d}.png")


def measure(name: str, captions: list[Caption]) -> None:
    """Print one row for each style and run of a questioner. Raises InquisightError."""
    model, prompts = load_questioner(name, seed=1), Prompts.load()
    for run, options in RUNS.items():
        texts: dict[str, list[tuple[StyledText, Caption]]] = defaultdict(list)
        start = time.perf_counter()
        for number, caption in enumerate(captions, start=1):
            print(f"{name}: {run}: {number} of {len(captions)}", file=sys.stderr, flush=True)
            plain = caption.model_copy(update={"styles": ()})
            for one in restyle(plain, options, prompts, model).styles:
                texts[one.style].append((one, caption))
        seconds = (time.perf_counter() - start) / max(1, len(captions))
        for style, found in texts.items():
            limit = options.limit_of(prompts.styles[style])
            within = sum(is_within(one, options, limit) for one, _ in found)
            counts = [supported(one, caption) for one, caption in found]
            said, spoken = sum(one for one, _ in counts), sum(count for _, count in counts)
            lengths = sorted(len(one.text) for one, _ in found)
            by = Counter(one.by for one, _ in found)
            why = Counter(reason for one, _ in found for reason in one.refused)
            row = (
                name, run, style, f"{within} of {len(found)}", f"{said / max(1, spoken):.3f}",
                f"{lengths[len(lengths) // 2]} / {lengths[-1]}", ", ".join(f"{who} {n}" for who, n in by.items()),
                ", ".join(f"{reason} {n}" for reason, n in why.most_common()) or "-", f"{seconds:.2f}",
            )  # fmt: skip
            print(f"| {' | '.join(row)} |", flush=True)


def main(argv: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.styles", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("captions", nargs="*", type=Path, help="output of `inquisight caption --json`")
    parser.add_argument("--questioner", action="append", metavar="NAME", help="who writes; repeatable [scripted]")
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N captions")
    parser.add_argument(
        "--scenes", nargs=2, type=Path, metavar=("SOURCES", "FOLDER"), help="write made scenes, and end"
    )
    options = parser.parse_args(argv)
    try:
        if options.scenes:
            write_scenes(*options.scenes)
            return 0
        captions = list(captions_in(options.captions))[: options.limit]
        print(f"{len(captions)} interviews\n")
        print("| questioner | run | style | within limits | words supported | characters, median / most | by | drafts "
              "refused | seconds a picture |\n|---|---|---|---:|---:|---:|---|---|---:|")  # fmt: skip
        for name in options.questioner or ["scripted"]:
            measure(name, captions)
    except InquisightError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
