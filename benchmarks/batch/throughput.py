"""Measure pictures per second of a batch, against the original implementation and two upper limits.

    python -m benchmarks.batch.throughput                       pocket, about half an hour on two cores
    python -m benchmarks.batch.throughput --pictures 60 --alone 2 --delays 1
    python -m benchmarks.batch.throughput --vision blip2:DIRECTORY --pictures 2000 --rate 400

The questioner is a fake that answers after a fixed delay, as one behind a network would, so that only waiting and
seeing are measured. Same machine, same weights, same run, and the captions of both ways must be the same.

- the original's way: one picture at a time, one call after the other, and the picture is encoded again for every
  question, 11 times with 10 questions (ChatCaptioner calls its vision model with the picture each time);
- a batch: what `inquisight batch` does, from reading the files to the finished captions, the first and the last
  interviews included, in which the vision model or the callers are idle.

The limit of the vision model is measured before and after the batch (the speed of a machine varies; the mean counts):
the same pictures and the same questions in full batches, with nobody to wait for.
That of the questioner is arithmetic: calls per second it is held to / calls per picture. The smaller of the two bounds
a batch.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from agents.batch.engine import Captioned, EngineConfig, local
from agents.batch.pipeline import PipelineConfig
from agents.interview.calls import visual_question
from agents.interview.driver import caption_picture
from agents.interview.prompts import Prompts
from agents.interview.protocol import Interview, InterviewOptions, NeedAnswer, NeedPlainCaption
from benchmarks.batch.fakes import QUESTIONS, FixedQuestioner
from benchmarks.batch.figures import add_out, check_out, keep, say
from benchmarks.first_caption import Counting
from core import Caption, InquisightError, VisionBackend, find_pictures, get_registry, open_picture
from core.datasets.pictures.sources import Item

ROOT = Path(__file__).resolve().parents[2]
ROUNDS = len(QUESTIONS) + 1
Said = list[tuple[str, str]]
T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Row:
    """One delay."""

    delay: float
    rate: float | None
    alone: float  # pictures per second
    batch: float
    vision: float  # limits
    questioner: float
    encodes: float  # per picture, the original's way
    calls: float  # per picture

    @property
    def limit(self) -> float:
        """Pictures per second that no batch can pass."""
        return min(self.vision, self.questioner)

    def as_json(self) -> dict[str, float | None]:
        """With what the table makes of it."""
        ratios = {"ratio": self.batch / self.alone, "of_limit": self.batch / self.limit}
        return asdict(self) | ratios


def make_pictures(folder: Path, photos: Sequence[Path], count: int) -> list[Path]:
    """Cut-outs of photographs, 320 x 240, no two alike."""
    chance = random.Random(1)
    originals = [open_picture(path).image for path in photos]
    made = []
    for number in range(count):
        image = originals[number % len(originals)]
        width = chance.randint(image.width // 3, image.width)
        height = min(image.height, width * 3 // 4)
        left, top = chance.randint(0, image.width - width), chance.randint(0, image.height - height)
        cut = image.crop((left, top, left + width, top + height)).resize((320, 240))
        cut.putpixel((0, 0), (number % 256, number // 256, 0))  # or equal cuts would be captioned once
        made.append(folder / f"{number:05d}.png")
        cut.save(made[-1])
    return made


def alone(paths: Sequence[Path], vision: VisionBackend, delay: float) -> tuple[float, dict[str, Said], float]:
    """(seconds per picture, what was said, encodes per picture) in the original's way."""
    counting = Counting(vision, again=True)
    questioner = FixedQuestioner(seconds=delay)
    start = time.perf_counter()
    said = {
        str(path): _said(caption_picture(open_picture(path), counting, questioner, InterviewOptions(rounds=ROUNDS)))
        for path in paths
    }
    return (time.perf_counter() - start) / len(paths), said, counting.encodes / len(paths)


def batch(
    paths: Sequence[Path], vision: VisionBackend, delay: float, options: argparse.Namespace
) -> tuple[list[float], dict[str, Caption], float]:
    """(seconds at which each caption was there, captions, calls per picture) of a batch."""

    def items() -> Iterator[Item]:
        for number, path in enumerate(paths):
            yield Item(number, str(path), 0, -1, 0)

    how = PipelineConfig(
        InterviewOptions(rounds=ROUNDS), Prompts.load(), batch=options.batch, concurrency=options.concurrency
    )
    work = EngineConfig(
        items,
        lambda item: open_picture(item.key),
        lambda: (vision, FixedQuestioner(seconds=delay)),
        how,
        rate=options.rate,
    )
    captions: dict[str, Caption] = {}
    times = []
    start = time.perf_counter()
    for result in local(work):
        if not isinstance(result, Captioned):
            raise InquisightError(f"'{result.item.key}' got no caption: {getattr(result, 'reason', 'repeated')}")
        captions[result.item.key] = result.caption
        times.append(time.perf_counter() - start)
    return times, captions, work.meter.counts.calls / len(paths)


def eye_alone(paths: Sequence[Path], captions: dict[str, Caption], vision: VisionBackend, size: int) -> float:
    """Seconds per picture to look at them and answer what was asked of them, in full batches, as many as it likes."""
    pictures = [open_picture(path) for path in paths]
    prompts = Prompts.load()
    start = time.perf_counter()
    images = [image for some in _concurrently(vision, vision.encode, _batches(pictures, size)) for image in some]
    rows: list[list[Any]] = [[], [], []]
    for path, image in zip(paths, images, strict=True):
        interview = Interview(prompts, InterviewOptions(rounds=ROUNDS))
        pairs: Said = []
        rows[0].append(visual_question(NeedPlainCaption(), image, interview))
        for number, turn in enumerate(captions[str(path)].dialogue.turns):
            need = NeedAnswer(turn.question, tuple(pairs[-1:]), turn.asked_by, number)
            question = visual_question(need, image, interview, instructed=vision.follows_instructions)
            rows[1 if number == 0 else 2].append(question)
            if turn.answer:
                pairs.append((turn.question, turn.answer))
    _concurrently(vision, vision.answer, [some for row in rows for some in _batches(row, size)])
    return (time.perf_counter() - start) / len(paths)


def _batches(some: Sequence[T], size: int) -> list[Sequence[T]]:
    return [some[first : first + size] for first in range(0, len(some), size)]


def _concurrently(
    vision: VisionBackend, work: Callable[[Sequence[T]], list[R]], batches: Sequence[Sequence[T]]
) -> list[list[R]]:
    """What `work` makes of each of the batches, as many at a time as suit the vision model."""

    def one(batch: Sequence[T]) -> list[R]:
        with vision.batch_worker(vision.concurrent_batches):
            return work(batch)

    with ThreadPoolExecutor(vision.concurrent_batches) as threads:
        return list(threads.map(one, batches))


def measure(
    paths: list[Path], known: dict[str, Caption], vision: VisionBackend, delay: float, options: argparse.Namespace
) -> Row:
    """One delay: the limit of the vision model and the original's way, each before and after the batch.

    `known`: captions of some of the pictures, whose questions the vision model answers alone.
    """
    few = paths[: options.alone]
    some = [path for path in paths if str(path) in known]
    half = (len(few) + 1) // 2
    say(f"delay {delay:g} s: the original's way")
    first = alone(few[:half], vision, delay)
    say(f"delay {delay:g} s: the vision model alone")
    before = eye_alone(some, known, vision, options.batch)
    say(f"delay {delay:g} s: a batch of {len(paths)}")
    times, captions, calls = batch(paths, vision, delay, options)
    say(f"delay {delay:g} s: the vision model alone again")
    after = eye_alone(some, known, vision, options.batch)
    say(f"delay {delay:g} s: the original's way again")
    second = alone(few[half:] or few[:1], vision, delay)
    for path, said in (first[1] | second[1] | {path: _said(caption) for path, caption in known.items()}).items():
        if said != _said(captions[path]):
            raise InquisightError(f"THE DIALOGUES DIFFER for '{path}': the ways cannot be compared")
    return Row(
        delay=delay,
        rate=options.rate,
        alone=1 / statistics.mean((first[0], second[0])),
        batch=len(times) / times[-1],
        vision=1 / statistics.mean((before, after)),
        questioner=options.rate / calls if options.rate else float("inf"),
        encodes=first[2],
        calls=calls,
    )


def report(rows: Sequence[Row], options: argparse.Namespace, vision: VisionBackend) -> str:
    """The Markdown."""
    table = [
        "| questioner answers after | original's way | batch | ratio | limit of the vision model "
        "| limit of the questioner | batch / smaller limit |",
        "|---:|---:|---:|---:|---:|---:|---:|",
    ]
    table += [
        f"| {row.delay:g} s | {row.alone:.3f} | {row.batch:.2f} | {row.batch / row.alone:.1f}x | {row.vision:.2f} | "
        f"{row.questioner:.2f} | {row.batch / row.limit:.0%} |"
        for row in rows
    ]
    rate = f"at most {options.rate:g} calls per second" if options.rate else "as many calls per second as it likes"
    where = vision.describe().get("device", "unknown device")
    return "\n".join(
        [
            *table,
            "",
            f"Pictures per second. {options.vision} looks ({where}); the questioner is a fake that answers after a "
            f"fixed delay, {rate}; {options.pictures} pictures of 320 x 240, {ROUNDS} questions, "
            f"{rows[0].calls:.1f} calls per picture; {rows[0].encodes:.0f} encodes per picture in the original's way "
            f"({options.alone} pictures), 1 in a batch; batches of {options.batch}, {options.concurrency} calls at a "
            f"time; {os.cpu_count()} CPU cores. Both ways held the same dialogues.",
        ]
    )


def _said(caption: Caption) -> Said:
    if caption.status != "complete":
        raise InquisightError(f"the interview about '{caption.picture.source}' ended early: {caption.error}")
    return [(turn.question, turn.answer) for turn in caption.dialogue.turns]


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0, or one line on standard error and the error's own code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.batch.throughput", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--photos", nargs="+", default=[ROOT / "examples" / "photos"], help="photographs to crop from")
    parser.add_argument("--pictures", type=int, default=800, help="pictures per batch")
    parser.add_argument("--alone", type=int, default=6, help="pictures for the original implementation, per delay")
    parser.add_argument("--delays", type=float, nargs="+", default=[0, 0.3, 1], help="questioner delays in seconds")
    parser.add_argument("--rate", type=float, default=60, help="questioner calls per second; 0: no limit")
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--vision", default="pocket")
    add_out(parser)
    options = parser.parse_args(argv)
    options.rate = options.rate or None
    try:
        check_out(options)
        if options.pictures < 10 or not 1 <= options.alone <= options.pictures:
            raise InquisightError("--pictures must be 10 or more, and --alone 1 or more but not more than these")
        photos = find_pictures(options.photos)
        vision = get_registry().create_vision(options.vision)
        with tempfile.TemporaryDirectory(prefix="inquisight-") as folder:
            paths = make_pictures(Path(folder), photos, options.pictures)
            alone(paths[:1], vision, 0)
            known = batch(paths[: max(2 * options.batch, len(paths) // 6)], vision, 0, options)[1]
            rows = [measure(paths, known, vision, delay, options) for delay in options.delays]
        print(report(rows, options, vision))
        keep(options, vision=dict(vision.describe()), rows=[row.as_json() for row in rows])
        vision.close()
    except InquisightError as error:
        print(f"benchmark: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
