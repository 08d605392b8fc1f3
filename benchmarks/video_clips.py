"""Measure whether video stories name what appears, in the right order, on clips with a known truth.

    python -m benchmarks.video_clips SOURCES --clips 100          about half an hour on two CPU cores
    python -m benchmarks.video_clips SOURCES --clips 5 --keep DIR --stories
    python -m benchmarks.video_clips SOURCES --audit     also: the audit of the stories, with false things planted

SOURCES is the folder that `python -m training.pocket.sources SOURCES` fills: cut-outs and photographs. Each clip lies
on a ground of its own, half of them plain and half photographs that pocket was not trained on, and shows one thing from
its beginning; two more come at times drawn at random, at least 1.5 seconds apart, and all drift. In a quarter of the
clips the first one goes away before the end. The clips are films like any other: encoded as H.264, opened, eight frames
chosen evenly, and talked about as `inquisight video` does.

Counted in the finished story, word for word: the names of what appeared after the beginning (bar: 60 %); of the things
that were named, those that stand behind all named ones that came before and before all that came after (bar: 80 %); and
names of known things that are not there at all.

With `--audit`, three things that the clip does not show are added to each story, which is then audited at the default
threshold. Counted: how many of them no frame supports, and how many things that the clip shows are lost.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from core import InquisightError, get_registry

if TYPE_CHECKING:
    from PIL import Image

    from core.records import Caption
    from training.pocket.scenes import Composer

RATE: Final = 10  # frames per second
SECONDS: Final = 8
SIZE: Final = 256
GAP: Final = 1.5  # seconds between two appearances, so that eight frames can tell them apart
THINGS: Final = 3
PLANTED: Final = 3  # false things that are added to a story
NAMED_BAR, ORDER_BAR = 0.60, 0.80


@dataclass(frozen=True, slots=True)
class Appearance:
    """What is there from `begin` to `end`, in seconds."""

    name: str
    begin: float
    end: float


@dataclass(frozen=True, slots=True)
class Score:
    """One clip's result; names of what appears after the beginning, and of what the story named."""

    appear: tuple[str, ...]
    named: tuple[str, ...]  # of those
    in_order: int
    ordered: int  # named things whose order was checked
    invented: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AuditScore:
    """What the audit of one clip's story found, of PLANTED false things and of the things that are there."""

    found: int
    there: int
    lost: int
    questions: int
    seconds: float


# --- clips ------------------------------------------------------------------------------------------------------------


def make_clip(composer: Composer, seed: int, path: Path) -> tuple[Appearance, ...]:
    """Write the clip of `seed` as MP4 and give back its truth."""
    import av
    from PIL import Image

    pyav: Any = av  # in part without annotations
    rng = random.Random(f"clip {seed}")
    # A scene without things is a ground.
    ground = composer.scene(seed, count=0).image.resize((SIZE, SIZE), Image.Resampling.BICUBIC)
    cut_outs = _different(composer, rng)
    times = [0.0, *_times(rng, THINGS - 1)]
    leaves = rng.random() < 0.25
    columns = rng.sample((0.2, 0.5, 0.8), THINGS)
    things = []
    for place, cut_out in enumerate(cut_outs):
        piece = composer._cut_out(cut_out.path)
        ratio = rng.uniform(78, 112) / max(piece.size)
        piece = piece.resize((max(8, int(piece.width * ratio)), max(8, int(piece.height * ratio))))
        end = SECONDS - 1.5 if leaves and place == 0 and times[-1] < SECONDS - 2.5 else float(SECONDS)
        things.append((Appearance(cut_out.name, times[place], end), piece, columns[place], rng.uniform(0.25, 0.75)))
    drifts = [(rng.uniform(-14, 14), rng.uniform(-14, 14)) for _ in things]
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=RATE, options={"crf": "18", "preset": "veryfast"})
        stream.width = stream.height = SIZE
        stream.pix_fmt = "yuv420p"
        for number in range(SECONDS * RATE):
            image = _frame(ground, things, drifts, number / RATE)
            frame = pyav.VideoFrame.from_image(image)
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return tuple(thing[0] for thing in things)


def _different(composer: Composer, rng: random.Random) -> list[Any]:
    """Things none of whose words is another's: "apple" and "green apple" could not be told apart in a story."""
    chosen: list[Any] = []
    while len(chosen) < THINGS:
        cut_out = rng.choice(composer.cut_outs)
        words = set(cut_out.name.split())
        if not any(words & set(other.name.split()) for other in chosen):
            chosen.append(cut_out)
    return chosen


def _times(rng: random.Random, count: int) -> list[float]:
    while True:
        times = sorted(rng.uniform(1.0, SECONDS - 1.3) for _ in range(count))
        if all(later - earlier >= GAP for earlier, later in zip(times, times[1:], strict=False)):
            return times


def _frame(
    ground: Image.Image, things: Sequence[tuple[Appearance, Any, float, float]], drifts: Sequence[Any], now: float
) -> Image.Image:
    image = ground.copy()
    for (appearance, piece, column, row), (dx, dy) in zip(things, drifts, strict=True):
        if appearance.begin <= now < appearance.end:
            share = now / SECONDS
            x = int(column * SIZE - piece.width / 2 + dx * share)
            y = int(row * SIZE - piece.height / 2 + dy * share)
            image.paste(piece, (x, y), piece)
    return image


# --- scores -----------------------------------------------------------------------------------------------------------


def mentioned_at(name: str, story: str) -> int | None:
    """Where the story first names it, in the singular or plural; None where it does not."""
    found = re.search(rf"\b{re.escape(name)}(?:s|es)?\b", story, re.IGNORECASE)
    return found.start() if found else None


def score(story: str, truth: Sequence[Appearance], known: Sequence[str]) -> Score:
    """Compare a story with the truth. `known` are the names that the vision model knows."""
    places = {one.name: mentioned_at(one.name, story) for one in truth}
    begins = {one.name: one.begin for one in truth}
    named = [name for name, place in places.items() if place is not None]
    in_order = 0
    for name in named:
        others = [other for other in named if other != name]
        in_order += all((places[other] < places[name]) == (begins[other] < begins[name]) for other in others)  # type: ignore[operator]
    appear = tuple(one.name for one in truth if one.begin > 0)
    there = {word for name in places for word in name.split()}
    invented = tuple(name for name in known if mentioned_at(name, story) is not None and not set(name.split()) & there)
    return Score(
        appear,
        tuple(name for name in named if begins[name] > 0),
        in_order if len(named) > 1 else 0,
        len(named) if len(named) > 1 else 0,
        invented,
    )


def summary(scores: Sequence[Score], seconds: Sequence[float]) -> dict[str, float]:
    """Shares over all clips; a share of nothing is 0."""
    appear = sum(len(one.appear) for one in scores)
    ordered = sum(one.ordered for one in scores)
    return {
        "clips": len(scores),
        "appear": appear,
        "named": round(sum(len(one.named) for one in scores) / max(appear, 1), 3),
        "in order": round(sum(one.in_order for one in scores) / max(ordered, 1), 3),
        "invented per clip": round(sum(len(one.invented) for one in scores) / max(len(scores), 1), 2),
        "seconds per clip": round(statistics.median(seconds), 1) if seconds else 0.0,
    }


def audit_summary(scores: Sequence[AuditScore]) -> dict[str, float]:
    """Shares and means over all clips."""
    clips, there = max(len(scores), 1), sum(one.there for one in scores)
    return {
        "planted found": round(sum(one.found for one in scores) / (PLANTED * clips), 3),
        "true things": there,
        "true things lost": round(sum(one.lost for one in scores) / max(there, 1), 3),
        "audit questions": round(sum(one.questions for one in scores) / clips, 1),
        "audit seconds": round(statistics.fmean([one.seconds for one in scores] or [0.0]), 2),
    }


# --- the run ----------------------------------------------------------------------------------------------------------


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Make the clips, have each talked about, and score the stories. Raises InquisightError."""
    from agents.llm.questioners import load_questioner
    from agents.video.driver import interview_video, plan_video
    from agents.video.interview import VideoOptions
    from core.video.clip import open_video
    from training.pocket.foundation import known_names
    from training.pocket.scenes import Composer

    composer = Composer(options.sources, held_out=True)
    if not composer.cut_outs or not composer.cut_outs[0].path.is_file():
        raise InquisightError(
            f"'{options.sources}' holds no cut-outs; fill it with: python -m training.pocket.sources {options.sources}"
        )
    known = sorted({name for name, _ in known_names()})
    vision = get_registry().create_vision(options.vision)
    questioner = load_questioner(options.questioner, seed=1)
    scores, seconds, stories, audits = [], [], [], []
    for number in range(options.clips):
        path = folder / f"clip-{number:03}.mp4"
        truth = make_clip(composer, options.seed + number, path)
        start = time.perf_counter()
        with open_video(path, name=path.name) as video:
            plan = plan_video(video, frames=options.frames)
            resumed = partial(interview_video, video, plan, vision, questioner, seed=1)
            *_, last = resumed(VideoOptions(rounds=options.rounds))
            seconds.append(time.perf_counter() - start)
            caption = last.caption  # type: ignore[union-attr]
            if caption.status != "complete":
                raise InquisightError(f"the interview about {path.name} ended early: {caption.error}")
            if options.audit and caption.dialogue.certain:
                audit = partial(resumed, VideoOptions(rounds=options.rounds, audit="mark"))
                audits.append(audit_score(caption, truth, known, number, audit))
        scores.append(score(caption.summary, truth, known))
        stories.append({"truth": [asdict(one) for one in truth], "story": caption.summary, **asdict(scores[-1])})
        if options.stories:
            print(json.dumps(stories[-1]), flush=True)
        so_far = summary(scores, seconds)
        print(
            f"\r{number + 1}/{options.clips}: named {so_far['named']:.0%}, in order {so_far['in order']:.0%} ...",
            end="",
            file=sys.stderr,
            flush=True,
        )
    print(file=sys.stderr)
    return {"figures": summary(scores, seconds) | (audit_summary(audits) if audits else {}), "clips": stories}


def audit_score(
    caption: Caption, truth: Sequence[Appearance], known: Sequence[str], seed: int, audit: Callable[..., Any]
) -> AuditScore:
    """Add false things to the story, and resume the interview, which lacks only its audit then."""
    from agents.interview.events import Audited
    from core.nouns import with_article

    said = {word for one in (caption.summary.lower(), *(one.name for one in truth)) for word in one.split()}
    absent = [name for name in known if not set(name.split()) & said]
    planted = random.Random(f"planted {seed}").sample(absent, PLANTED)
    text = " ".join([caption.summary, *(f"There is also {with_article(name)}." for name in planted)])
    events = list(audit(earlier=caption.model_copy(update={"summary": text, "unaudited": "not begun"})))
    [audited] = [event for event in events if isinstance(event, Audited)]
    things = [claim for claim in audited.claims if claim.kind == "thing"]
    names = {one.name.split()[-1] for one in truth}
    false = [claim for claim in things if claim.start >= len(caption.summary)]
    true = [claim for claim in things if claim not in false and claim.about in names]
    return AuditScore(
        PLANTED - sum(claim.verdict == "supported" for claim in false),
        len(true),
        sum(claim.verdict != "supported" for claim in true),
        audited.questions,
        audited.seconds,
    )


def report(options: argparse.Namespace, figures: dict[str, float]) -> str:
    """The figures as Markdown."""
    rows = [
        ("things that appear and are named", f"{figures['named']:.0%}", f">= {NAMED_BAR:.0%}"),
        ("named things told in the right order", f"{figures['in order']:.0%}", f">= {ORDER_BAR:.0%}"),
        ("things named that are not there, per clip", f"{figures['invented per clip']:.2f}", ""),
        ("seconds per clip", f"{figures['seconds per clip']:.1f}", ""),
    ]
    if "planted found" in figures:
        rows += [
            ("planted things that no frame supports", f"{figures['planted found']:.1%}", ""),
            (f"true things lost, of {figures['true things']}", f"{figures['true things lost']:.1%}", ""),
            ("questions of an audit", f"{figures['audit questions']:.1f}", ""),
            ("seconds of an audit", f"{figures['audit seconds']:.2f}", ""),
        ]
    table = [("", "measured", "bar"), ("---", "---:", "---:"), *rows]
    return "\n".join(
        [
            *(f"| {' | '.join(row)} |" for row in table),
            "",
            f"{figures['clips']} clips of {SECONDS} s, {figures['appear']} appearances; {options.vision} looks, "
            f"{options.questioner} asks, {options.frames} frames, {options.rounds} rounds at most; "
            f"{os.cpu_count()} CPU cores.",
        ]
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0 where both bars are reached, 1 where not, or one line on standard error and the error's own code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.video_clips", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("sources", type=Path, help="folder filled by training.pocket.sources")
    parser.add_argument("--clips", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1_000, help="seed of the first clip")
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--vision", default="pocket")
    parser.add_argument("--questioner", default="scripted")
    parser.add_argument("--keep", type=Path, help="keep the clips in this folder")
    parser.add_argument("--audit", action="store_true", help="audit each story, with false things added")
    parser.add_argument("--stories", action="store_true", help="print each story with its truth as a line of JSON")
    parser.add_argument("--out", type=Path, help="write figures and stories as JSON")
    options = parser.parse_args(argv)
    try:
        if min(options.clips, options.frames, options.rounds) < 1:
            raise InquisightError("--clips, --frames and --rounds must be 1 or more")
        with tempfile.TemporaryDirectory() as temporary:
            folder = options.keep or Path(temporary)
            folder.mkdir(parents=True, exist_ok=True)
            result = measure(options, folder)
    except InquisightError as error:
        print(f"benchmark: {error}", file=sys.stderr)
        return error.exit_code
    if options.out:
        options.out.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    print(report(options, result["figures"]))
    figures = result["figures"]
    return 0 if figures["named"] >= NAMED_BAR and figures["in order"] >= ORDER_BAR else 1


if __name__ == "__main__":
    sys.exit(main())
