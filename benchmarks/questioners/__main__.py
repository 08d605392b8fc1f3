"""Let questioners interview the same pictures, and print a table to compare them.

    python -m benchmarks.questioners scripted openai:NAME
    python -m benchmarks.questioners openai:NAME --pictures FOLDER --transcripts KEPT --json

The vision model is the built-in `pocket`. With `--transcripts`, the same command resumes a stopped run. A server's
address is in INQUISIGHT_BASE_URL or behind the name: 'openai:NAME?base_url=http://localhost:8000/v1'.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from benchmarks.questioners.figures import Row, count, refusals, sample, table
from core import InquisightError

ROUNDS, SEED = 10, 1


def measure(options: argparse.Namespace) -> list[Row]:
    """One row for each questioner. Raises InquisightError."""
    from agents.interview.protocol import InterviewOptions
    from agents.llm.questioners import check_questioner, load_questioner
    from agents.witnesses.choice import chosen
    from benchmarks.questioners.interviews import Held, Interviewer, folder_name
    from benchmarks.questioners.pictures import twelve
    from core.datasets.folders import find_pictures
    from core.registry import get_registry

    for name in options.questioners:
        check_questioner(name)
    pictures = (find_pictures([options.pictures]) if options.pictures else twelve())[: options.limit]
    vision = get_registry().create_vision("pocket")
    asking = InterviewOptions(
        rounds=options.rounds,
        fallback=options.fallback,
        asking=options.asking,
        witnesses=tuple(chosen("auto")),
    )
    rows = []
    for name in options.questioners:
        folder = options.transcripts / folder_name(name) if options.transcripts else None
        interviewer = Interviewer(load_questioner(name, seed=options.seed), vision, asking, options.seed, folder)
        held: list[Held] = []
        for number, path in enumerate(pictures, start=1):
            print(f"{name}: {number} of {len(pictures)}, {path.name}", file=sys.stderr, flush=True)
            held.append(interviewer.hold(path))
        rows.append(count(name, held))
        for line in sample(held, options.sample, options.seed):
            print(" | ".join(line), file=sys.stderr)
    return rows


def main(argv: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.questioners",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("questioners", nargs="+", metavar="QUESTIONER", help="such as scripted or openai:NAME")
    parser.add_argument("--pictures", type=Path, metavar="FOLDER", help="a folder of images [twelve out of packages]")
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N pictures")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"questions for each picture [{ROUNDS}]")
    parser.add_argument("--asking", choices=("free", "guided"), default="free", help="as of inquisight caption [free]")
    parser.add_argument("--fallback", choices=("scripted", "none"), default="scripted", help="likewise [scripted]")
    parser.add_argument("--seed", type=int, default=SEED, help=f"makes a run repeatable [{SEED}]")
    parser.add_argument("--transcripts", type=Path, metavar="FOLDER", help="keep every interview here, and resume")
    parser.add_argument("--sample", type=int, default=0, metavar="N", help="show N accepted questions, to be read [0]")
    parser.add_argument("--json", action="store_true", help="print figures as JSON instead of a table")
    options = parser.parse_args(argv)
    try:
        rows = measure(options)
    except InquisightError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        again = "the same command goes on" if options.transcripts else "nothing was kept; --transcripts keeps it"
        print(f"{parser.prog}: stopped; {again}", file=sys.stderr)
        return 130
    if options.json:
        print(json.dumps([asdict(row) for row in rows], indent=1, ensure_ascii=False))
    else:
        print("\n\n".join(filter(None, (table(rows), refusals(rows)))))
    for row in rows:
        for reason in row.errors:
            print(f"{parser.prog}: {row.questioner}: {reason}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
