"""Measure the time to the first caption, the cost of a further picture, and where the time goes.

    python -m benchmarks.first_caption                          the embedded models, about three minutes
    python -m benchmarks.first_caption --repeats 1 --pictures photo.jpg --vision NAME --questioner NAME

Two ways of holding the same interview, with the same weights, in the same run and in alternating order:

- one look: a picture is encoded once and every question is answered from what was kept;
- a look per question: every question encodes the picture again, as the published ChatCaptioner does
  (a VQA call takes the picture each time: the plain caption and ten questions make 11 encodes).

Both must end in the same dialogue, or the comparison is void and the program says so. "Cold start" runs from
starting a fresh process to its first finished caption, imports and loading included; the operating system
has the files in memory by then, since one unmeasured run goes first.

The floor is arithmetic: the floating-point operations of one encode and of all answers (counted by PyTorch),
divided by what a large matrix product reaches on this machine. Ratios and shares travel to other
machines; seconds do not.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from core import (
    Caption,
    EncodedImage,
    InquisightError,
    Picture,
    VisionBackend,
    VisualQuestion,
    find_pictures,
    get_registry,
    open_picture,
)

ROOT = Path(__file__).resolve().parents[1]
ONE, EACH = "one look", "a look per question"
PARTS = ("encode", "vision", "language", "rest")
MATRIX = 2048  # side of the matrices whose product stands for what the machine can do


class Counting(VisionBackend):
    """Another backend, with its encodes counted and timed; `again` makes it look anew for every question."""

    def __init__(self, inner: VisionBackend, *, again: bool) -> None:
        self.inner, self.again = inner, again
        self.follows_instructions = inner.follows_instructions  # type: ignore[misc]
        self.encodes = 0
        self.seconds_encode = 0.0
        self._pictures: dict[str, Picture] = {}

    @property
    def name(self) -> str:
        """The inner backend's: both ways must send the same prompts."""
        return self.inner.name

    @property
    def revision(self) -> str:
        """The inner backend's."""
        return self.inner.revision

    def encode(self, pictures: Sequence[Picture]) -> list[EncodedImage]:
        """Encode now, or only remember the pictures where each question encodes by itself."""
        if not self.again:
            return self._encode(pictures)
        self._pictures |= {picture.sha256: picture for picture in pictures}
        return [EncodedImage(picture.sha256, self.revision, None) for picture in pictures]

    def answer(self, questions: Sequence[VisualQuestion]) -> list[str]:
        """Answers of the inner backend."""
        if self.again:
            images = self._encode([self._pictures[question.image.sha256] for question in questions])
            questions = [
                VisualQuestion(image, question.question, question.history, question.options)
                for image, question in zip(images, questions, strict=True)
            ]
        return self.inner.answer(questions)

    def _encode(self, pictures: Sequence[Picture]) -> list[EncodedImage]:
        start = time.perf_counter()
        encoded = self.inner.encode(pictures)
        self.seconds_encode += time.perf_counter() - start
        self.encodes += len(pictures)
        return encoded


@dataclass(frozen=True, slots=True)
class Sample:
    """One interview: its encodes, seconds by part, and what was said."""

    encodes: int
    seconds: dict[str, float]  # encode, vision (answering without encoding), language, rest, total
    dialogue: list[tuple[str, str]] = field(repr=False)

    def share(self, part: str) -> float:
        """Part of the total, 0-1."""
        return self.seconds[part] / self.seconds["total"]


def interview(picture: Picture, vision: VisionBackend, questioner: Any, *, again: bool, rounds: int) -> Sample:
    """One interview from a decoded picture to the caption. Raises InquisightError where it fails."""
    from agents.interview.driver import caption_picture
    from agents.interview.protocol import InterviewOptions

    counting = Counting(vision, again=again)
    start = time.perf_counter()
    caption: Caption = caption_picture(picture, counting, questioner, InterviewOptions(rounds=rounds), seed=1)
    total = time.perf_counter() - start
    if caption.status != "complete":
        raise InquisightError(f"the interview about '{picture.source}' ended early: {caption.error}")
    spent = caption.seconds.get("vision", 0.0) + caption.seconds.get("encode", 0.0)
    language = caption.seconds.get("language", 0.0)
    seconds = {
        "encode": counting.seconds_encode,
        "vision": spent - counting.seconds_encode,
        "language": language,
        "rest": total - spent - language,
        "total": total,
    }
    return Sample(counting.encodes, seconds, [(turn.question, turn.answer) for turn in caption.dialogue.turns])


# --- the processes that are measured ------------------------------------------------------------------------------


def first(options: argparse.Namespace) -> None:
    """In a fresh process: load, caption one picture, say so. Whoever started it holds the watch."""
    vision, questioner = load(options)
    sample = interview(
        open_picture(options.pictures[0]), vision, questioner, again=options.child == EACH, rounds=options.rounds
    )
    print(json.dumps(asdict(sample)), flush=True)


def further(options: argparse.Namespace) -> None:
    """In one process: every picture both ways, in alternating order, after one unmeasured round."""
    vision, questioner = load(options)
    pictures = [open_picture(path) for path in options.pictures]
    interview(pictures[0], vision, questioner, again=False, rounds=options.rounds)
    pairs = []
    for repeat in range(options.repeats):
        for number, picture in enumerate(pictures):
            order = (False, True) if (repeat + number) % 2 == 0 else (True, False)
            pair = {
                again: interview(picture, vision, questioner, again=again, rounds=options.rounds) for again in order
            }
            pairs.append((asdict(pair[False]), asdict(pair[True])))
    flop = {}
    for kind in (ONE, EACH):
        with counted() as flops:
            for picture in pictures:
                interview(picture, vision, questioner, again=kind == EACH, rounds=options.rounds)
        flop[kind] = flops[0] / len(pictures)
    print(json.dumps({"pairs": pairs, "flop": flop, "peak": peak() if any(flop.values()) else 0.0}))


def load(options: argparse.Namespace) -> tuple[VisionBackend, Any]:
    """Both models by name."""
    from agents.llm.questioners import load_questioner

    return get_registry().create_vision(options.vision), load_questioner(options.questioner, seed=1)


@contextmanager
def counted() -> Iterator[list[float]]:
    """Floating-point operations of PyTorch within the block; 0 where the models do not use it."""
    found = [0.0]
    if "torch" not in sys.modules:
        yield found
        return
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        yield found
    found[0] = float(counter.get_total_flops())


def peak() -> float:
    """Operations per second of a large float32 matrix product: the best of several."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    a, b = torch.rand(2, MATRIX, MATRIX, device=device)
    best = float("inf")
    for _ in range(6):
        start = time.perf_counter()
        (a @ b).sum().item()  # .item() waits for a GPU
        best = min(best, time.perf_counter() - start)
    return 2 * MATRIX**3 / best


# --- the parent ---------------------------------------------------------------------------------------------------


def child(options: argparse.Namespace, kind: str) -> tuple[float, Any]:
    """(seconds from starting a fresh process to what it printed, that as JSON). Raises InquisightError."""
    command = [sys.executable, "-m", "benchmarks.first_caption", "--child", kind, "--repeats", str(options.repeats)]
    command += ["--rounds", str(options.rounds), "--vision", options.vision, "--questioner", options.questioner]
    command += ["--pictures", *map(str, options.pictures)]
    with tempfile.TemporaryFile("w+", encoding="utf-8") as errors:
        start = time.perf_counter()
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=errors, text=True) as process:
            assert process.stdout is not None
            line = process.stdout.readline()
            seconds = time.perf_counter() - start
        errors.seek(0)
        trouble = errors.read().strip().splitlines()
    if not line:
        said = trouble[-1] if trouble else f"a process ended with code {process.returncode} and without a word"
        raise InquisightError(said.removeprefix("benchmark: "))
    return seconds, json.loads(line)


def measure(options: argparse.Namespace) -> str:
    """Run everything; the report as Markdown."""
    say("one unmeasured run")
    child(options, ONE)
    cold: dict[str, list[float]] = {ONE: [], EACH: []}
    for repeat in range(options.repeats):
        say(f"cold starts, {repeat + 1} of {options.repeats}")
        for kind in (ONE, EACH) if repeat % 2 == 0 else (EACH, ONE):
            cold[kind].append(child(options, kind)[0])
    say("further pictures")
    _, result = child(options, "further")
    pairs = [(Sample(**one), Sample(**each)) for one, each in result["pairs"]]
    floors = {kind: flop / result["peak"] for kind, flop in result["flop"].items()} if result["peak"] else {}
    return report(options, cold, pairs, floors)


def report(
    options: argparse.Namespace,
    cold: dict[str, list[float]],
    pairs: Sequence[tuple[Sample, Sample]],
    floors: dict[str, float],
) -> str:
    """The Markdown; ratios are medians of paired ratios."""
    one, each = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    ratio = statistics.median(b.seconds["total"] / a.seconds["total"] for a, b in pairs)
    seeing = statistics.median(_seeing(b) / _seeing(a) for a, b in pairs)
    cold_ratio = statistics.median(b / a for a, b in zip(cold[ONE], cold[EACH], strict=True))
    totals, looks = ([[what(sample) for sample in side] for side in (one, each)] for what in (_total, _seeing))
    rows = [
        ("encodes per picture", _encodes(one), _encodes(each), f"{_mean_encodes(each) / _mean_encodes(one):.1f}"),
        ("first caption from a cold start, s", *map(_seconds, cold.values()), f"{cold_ratio:.2f}"),
        ("each further picture, s", *map(_seconds, totals), f"{ratio:.2f}"),
        ("of that seeing (encoding and answering), s", *map(_seconds, looks), f"{seeing:.2f}"),
    ]
    if floors:
        low, high = floors[ONE], floors[EACH]
        rows += [("arithmetic floor of a further picture, s", f"{low:.3f}", f"{high:.3f}", f"{high / low:.2f}")]
    labels = {"encode": "encoding", "vision": "answering", "language": "asking and summing up", "rest": "the rest"}
    rows += [
        (
            f"share of {labels[part]}",
            *(f"{statistics.mean(s.share(part) for s in side):.0%}" for side in (one, each)),
            "",
        )
        for part in PARTS
    ]
    same = all(a.dialogue == b.dialogue for a, b in pairs)
    table = [("", ONE, EACH, "ratio"), ("---", "---:", "---:", "---:"), *rows]
    return "\n".join(
        [
            *(f"| {' | '.join(row)} |" for row in table),
            "",
            f"{options.vision} looks, {options.questioner} asks, {options.rounds} rounds at most, "
            f"{len(options.pictures)} pictures, {options.repeats} repeats, medians; {os.cpu_count()} CPU cores.",
            "Both ways held the same dialogues." if same else "THE DIALOGUES DIFFER: do not compare these columns.",
        ]
    )


def _total(sample: Sample) -> float:
    return sample.seconds["total"]


def _seeing(sample: Sample) -> float:
    return sample.seconds["encode"] + sample.seconds["vision"]


def _mean_encodes(side: Sequence[Sample]) -> float:
    return statistics.mean(sample.encodes for sample in side)


def _encodes(side: Sequence[Sample]) -> str:
    counts = sorted({sample.encodes for sample in side})
    return str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"


def _seconds(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.2f}"


def say(text: str) -> None:
    """Progress, on standard error."""
    print(f"{text} ...", file=sys.stderr, flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0, or one line on standard error and the error's own code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.first_caption", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--pictures", nargs="+", default=[ROOT / "examples" / "photos"], help="files or folders")
    parser.add_argument("--vision", default="pocket")
    parser.add_argument("--questioner", default="scripted")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=5, help="cold starts per way, and rounds over the pictures")
    parser.add_argument("--child", choices=(ONE, EACH, "further"), help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    try:
        if options.repeats < 1 or options.rounds < 1:
            raise InquisightError("--repeats and --rounds must be 1 or more")
        options.pictures = [path.resolve() for path in find_pictures(options.pictures)]
        if options.child == "further":
            further(options)
        elif options.child:
            first(options)
        else:
            for path in options.pictures:
                open_picture(path)  # what is wrong with one is told before anything is measured
            print(measure(options))
    except InquisightError as error:
        print(f"benchmark: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
