"""How well the scores of a vision model agree with its words and with the truth, on held-out composed scenes.

    python -m benchmarks.scores SOURCES --scenes 200 --vision pocket

SOURCES is the folder that `training.pocket.sources` filled. Every scene gets yes/no questions about things that are
there and not there, colours and sides, each with `--behind` behind it. Printed per kind: how often the likelier
choice is the one that the model says, how often each is right, the area under the ROC curve of the scores (ties count
half), and the time per question.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.registry import get_registry
from core.scoring import named_choice
from core.vision import EncodedImage, VisualQuestion
from training.pocket.evaluate import picture
from training.pocket.features import truth
from training.pocket.foundation import known_names
from training.pocket.scene_questions import SceneQuestions
from training.pocket.scenes import ComposedScene, Composer

YES_NO = ("yes", "no")
KINDS = {"presence": "presence", "is_colour": "colour", "is_side": "side", "relation": "relation"}


@dataclass(frozen=True, slots=True)
class Asked:
    """A yes/no question with its true answer."""

    kind: str
    question: VisualQuestion
    truth: str


def questions(scene: ComposedScene, image: EncodedImage, rng: random.Random, each: int, behind: str) -> Iterator[Asked]:
    """`each` questions of every kind about a scene, as far as it has what they ask about."""
    source = SceneQuestions(truth(scene), known_names())
    for method, kind in KINDS.items():
        for _ in range(each):
            text, answer, _ = getattr(source, method)(rng)
            said = answer.split(",")[0]
            if said in YES_NO:
                yield Asked(kind, VisualQuestion(image, f"{text.capitalize()} {behind}".strip()), said)


def auroc(margins: Sequence[float], truths: Sequence[bool]) -> float:
    """The share of pairs of a true and a false statement in which the true one has the higher score."""
    true = [one for one, is_true in zip(margins, truths, strict=True) if is_true]
    false = [one for one, is_true in zip(margins, truths, strict=True) if not is_true]
    pairs = [(one > other) + 0.5 * (one == other) for one in true for other in false]
    return sum(pairs) / len(pairs) if pairs else float("nan")


@dataclass(frozen=True, slots=True)
class Result:
    """A question with its scores and the model's answer."""

    asked: Asked
    scores: tuple[float, ...]  # of yes and no
    answer: str

    @property
    def said(self) -> str:
        """ "yes" or "no"; "" for another answer."""
        named = named_choice(self.answer, YES_NO, self.asked.question.question or "")
        return "" if named is None else YES_NO[named]

    @property
    def likelier(self) -> str:
        return YES_NO[self.scores[1] > self.scores[0]]


def line(kind: str, results: Sequence[Result]) -> str:
    """A line of the table."""
    clear = [one for one in results if one.said]
    agree = sum(one.said == one.likelier for one in clear) / max(len(clear), 1)
    words = sum(one.said == one.asked.truth for one in results) / len(results)
    right = sum(one.likelier == one.asked.truth for one in results) / len(results)
    area = auroc([one.scores[0] - one.scores[1] for one in results], [one.asked.truth == "yes" for one in results])
    return f"| {kind} | {len(results)} | {len(clear)} | {agree:.3f} | {words:.3f} | {right:.3f} | {area:.3f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", type=Path, help="folder filled by training.pocket.sources")
    parser.add_argument("--vision", default="pocket", help="backend to measure")
    parser.add_argument("--scenes", type=int, default=200)
    parser.add_argument("--each", type=int, default=2, help="questions of every kind about a scene")
    parser.add_argument("--behind", default="", help='for example "Answer yes or no."')
    options = parser.parse_args()
    vision = get_registry().create_vision(options.vision)
    composer = Composer(options.sources, held_out=True)
    scenes = [composer.scene(4_000_000 + seed) for seed in range(options.scenes)]
    images = vision.encode([picture(scene.image, f"scored scene {at}") for at, scene in enumerate(scenes)])
    rng = random.Random(11)
    asked = [
        one
        for scene, image in zip(scenes, images, strict=True)
        for one in questions(scene, image, rng, options.each, options.behind)
    ]
    visual = [one.question for one in asked]
    start = time.perf_counter()
    scored = vision.score(visual, [YES_NO] * len(asked))
    scoring = time.perf_counter() - start
    start = time.perf_counter()
    answers = vision.answer(visual)
    answering = time.perf_counter() - start
    count = len(asked)
    print(
        f"{options.vision}: {options.scenes} held-out scenes, {count} yes/no questions; "
        f"per question {1000 * scoring / count:.1f} ms to score, {1000 * answering / count:.1f} ms to answer\n\n"
        "| kind | n | answered yes or no | score agrees | words right | score right | AUROC |\n"
        "|---|---|---|---|---|---|---|"
    )
    results = [Result(*each) for each in zip(asked, scored, answers, strict=True)]
    for kind in [*KINDS.values(), "all"]:
        if some := [one for one in results if kind in (one.asked.kind, "all")]:
            print(line(kind, some))


if __name__ == "__main__":
    main()
