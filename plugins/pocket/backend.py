"""The vision backend `pocket`: pictures are encoded once, questions are answered in batches.

pocket                                          the built-in model
pocket:DIRECTORY                                a model that you trained
pocket:DIRECTORY?projection=RUN&hints=colours   with the projection that `inquisight train` wrote to RUN
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

from core.errors import BackendError, printable
from core.files.model_folder import weight_files
from core.images.picture import Picture
from core.scoring import ScoredToken, check_choices, named_choice
from core.vision import Aspect, EncodedImage, GenerationOptions, Reply, VisionBackend, VisualQuestion
from plugins.hf.batching import answered_in_groups
from plugins.options import QueryOptions

if TYPE_CHECKING:
    from plugins.pocket.engine import PocketEngine
    from plugins.pocket.lookup import EncodedCells
    from plugins.pocket.photographs import Photographs
    from plugins.pocket.sight import Sight

MODEL = Path(__file__).with_name("model")
FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
BATCH = 32  # pictures or questions at a time: memory stays flat however many are asked
ROWS = 8  # pictures whose questions are scored in one pass
Hints = Literal["all", "colours"]
YES_NO: Final = ("yes", "no")
DOUBTFUL: Final = 0.5  # odds of a composed scene from which a photograph is a doubtful one
PALETTE: Final = slice(7, 10)  # facts: the colours of the whole picture
BACKGROUND: Final = "what colour is the background?"
MAIN_COLOURS: Final = "what are the main colours?"
NAMELESS: Final = (0, *range(6, 12))  # facts that name nothing, see `PocketVision.facts`


@dataclass(frozen=True, slots=True)
class PocketOptions(QueryOptions):
    """Options behind the directory: `pocket:DIRECTORY?hints=colours`."""

    plugin: ClassVar[str] = "pocket"
    example: ClassVar[str] = "DIRECTORY?hints=colours"

    projection: str | None = None  # folder of a finished training, whose projection is used
    hints: Hints = "all"  # which hints bypass the projection: all, or only colours, without names


def nameless(facts: Any) -> Any:
    """The facts (B, FACTS) without the list of things and the classifier's guess."""
    kept = facts.clone().zero_()
    kept[:, NAMELESS] = facts[:, NAMELESS]
    return kept


def check_files(directory: Path) -> None:
    """Raise BackendError if the directory does not hold a complete pocket model."""
    way_out = "give a directory that `python -m training.pocket.export` wrote, or just `pocket`"
    weight_files(directory, "pocket:", otherwise=way_out)
    missing = [name for name in FILES if not (directory / name).is_file()]
    if missing:
        raise BackendError(
            f"pocket:{printable(directory)} is not a pocket model: it has no {', '.join(missing)}; {way_out}."
        )


class PocketBackend(VisionBackend):
    """`pocket` or `pocket:DIRECTORY`, with `PocketOptions` behind it.

    Raises BackendError if the directory holds no pocket model, or if `projection` belongs to another one.
    """

    follows_instructions: ClassVar[bool] = False
    streams: ClassVar[bool] = True
    scores: ClassVar[bool] = True
    reports_tokens: ClassVar[bool] = True
    max_images: ClassVar[int] = 1
    cannot_tell: ClassVar[frozenset[Aspect]] = frozenset({"action", "material", "weather", "scenery"})

    def __init__(self, argument: str | None = None, *, options: PocketOptions | None = None, name: str = "") -> None:
        import torch

        text, self.options = (argument or "", options) if options else PocketOptions.parse(argument or "")
        self.directory = Path(text).expanduser() if text else MODEL
        self._name = name or (f"pocket:{argument}" if argument else "pocket")
        check_files(self.directory)
        with (self.directory / "model.safetensors").open("rb") as weights:
            self._digest = hashlib.file_digest(weights, "sha256").hexdigest()[:12]
        self._trained = self._open_run()
        self.device, self.reason = self._choose_device()
        self._threads = torch.get_num_threads()
        self.engine = self._load()
        self.photographs = self._look_at_photographs()

    def _open_run(self) -> Any | None:
        """The training that `projection` names. Raises BackendError if it belongs to another directory."""
        if self.options.projection is None:
            return None
        from plugins.minigpt4.runtime.training_run import check_base, open_run

        trained = open_run(Path(self.options.projection))
        check_base(trained, self.directory)
        return trained

    @staticmethod
    def _choose_device() -> tuple[str, str]:
        import torch

        if torch.cuda.is_available():
            return "cuda", "a CUDA GPU is there"
        return "cpu", "no CUDA GPU is there"

    def _load(self) -> PocketEngine:
        from safetensors import SafetensorError
        from tokenizers import Tokenizer

        from plugins.pocket.engine import PocketEngine
        from plugins.pocket.runtime import PocketModel, WeightsError

        try:
            model = PocketModel.load(self.directory)
            tokenizer = Tokenizer.from_file(str(self.directory / "tokenizer.json"))
        except WeightsError as error:
            raise BackendError(f"the weights in {self.directory} {error}; export the model again.") from error
        except (OSError, ValueError, SafetensorError) as error:
            raise BackendError(
                f"the pocket model in {self.directory} cannot be read: {str(error).splitlines()[0]}"
            ) from error
        if self._trained is not None:
            from safetensors.torch import load_file

            from plugins.minigpt4.runtime.training_run import apply

            apply(model, load_file(self._trained.tensors), self._trained.lora_scale)
        return PocketEngine(model.to(self.device), tokenizer)

    def _look_at_photographs(self) -> Photographs | None:
        """None for a model without scene words, and where only the projection may speak."""
        from plugins.pocket.photographs import Photographs

        said = self.engine.model.config.pocket_scene
        if not said or self.options.hints != "all" or self._trained is not None:
            return None
        return Photographs(said)

    @property
    def name(self) -> str:
        return self._name

    @property
    def revision(self) -> str:
        trained = f"-{self._trained.sha256[:12]}" if self._trained is not None else ""
        hints = f"-{self.options.hints}" if self.options.hints != "all" else ""
        sight = f"-{self.photographs.revision}" if self.photographs is not None else ""
        return f"pocket-{self._digest}-{self.device}-fp32{trained}{hints}{sight}"

    @property
    def concurrent_batches(self) -> int:
        """Two on several cores: the layers are too small to use all cores for one batch."""
        return 2 if self.device == "cpu" and self._threads > 1 else 1

    @contextmanager
    def batch_worker(self, workers: int) -> Iterator[None]:
        import torch

        torch.get_num_threads()  # a thread inherits the number at its first call
        torch.set_num_threads(max(1, self._threads // workers))
        try:
            yield
        finally:
            torch.set_num_threads(self._threads)

    def encode(self, pictures: Sequence[Picture]) -> list[EncodedImage]:
        """Encode in batches, one forward pass per picture; `data` is an `EncodedCells`."""
        encoded: list[EncodedImage] = []
        for start in range(0, len(pictures), BATCH):
            group = pictures[start : start + BATCH]
            encoded += [
                EncodedImage(picture.sha256, self.revision, cells)
                for picture, cells in zip(group, self._encode(group), strict=True)
            ]
        return encoded

    def pixels(self, pictures: Sequence[Picture]) -> Any:
        """(B, 3, 260, 260): resized to a square without cropping, as BLIP-2 and MiniGPT-4 do."""
        import numpy as np
        import torch
        from PIL import Image

        from plugins.imagenet.tower import IMAGE_SIZE, normalise

        arrays = [
            np.asarray(picture.image.resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BICUBIC, reducing_gap=3.0))
            for picture in pictures
        ]
        return normalise(torch.from_numpy(np.stack(arrays)).to(self.device))

    def _encode(self, pictures: Sequence[Picture]) -> list[EncodedCells]:
        import torch

        from plugins.pocket.lookup import EncodedCells
        from plugins.pocket.photographs import without_guess

        model, named = self.engine.model, self.options.hints == "all"
        with torch.inference_mode():
            seen = model.vision_model(self.pixels(pictures))
            facts = seen.facts if named else nameless(seen.facts)
            sights = self._sights(pictures, seen)
            looked = torch.tensor([sight is not None for sight in sights], device=facts.device)
            facts = torch.where(looked[:, None], without_guess(facts), facts)
            tokens = model.image_tokens(seen.cells, facts)
        # copies: a view would keep the whole batch in memory as long as one of its pictures
        return [
            EncodedCells(row.clone(), fact.clone(), vote.clone() if named else None, sight, doubtful)
            for row, fact, vote, sight, doubtful in zip(
                tokens, facts.cpu(), seen.votes.cpu(), sights, (seen.composed >= DOUBTFUL).tolist(), strict=True
            )
        ]

    def _sights(self, pictures: Sequence[Picture], seen: Any) -> list[Sight | None]:
        """The sights of those pictures that are photographs; None for composed scenes."""
        sights: list[Sight | None] = [None] * len(pictures)
        places = [at for at, level in enumerate(seen.facts[:, 0].tolist()) if level == 0]
        if self.photographs is not None and places:
            found = self.photographs.sights([pictures[at] for at in places], seen.only(places))
            for at, sight in zip(places, found, strict=True):
                sights[at] = sight
        return sights

    def answer(self, questions: Sequence[VisualQuestion]) -> list[str]:
        """Answer questions with equal options together."""
        return [reply.text for reply in self.replies(questions)]

    def replies(self, questions: Sequence[VisualQuestion]) -> list[Reply]:
        """Like `answer`, with the finish reason and the token counts, image tokens included."""

        def answer(places: list[int], options: GenerationOptions) -> list[Reply]:
            prompts = [self._prompt(questions[place]) for place in places]
            scored = {"token_scores": options.token_scores}
            replies: list[Reply] = self.engine.answer(prompts, **self._sampling(options), **scored)
            return [self._brief(questions[place], reply) for place, reply in zip(places, replies, strict=True)]

        return answered_in_groups(questions, BATCH, answer)

    def _brief(self, question: VisualQuestion, reply: Reply) -> Reply:
        """The reply as "Yes" or "No", where a question about a composed scene asks for one of these words.

        The language model has learned to answer in sentences there; one that says neither is decided by the scores.
        """
        if not self._is_brief(question):
            return reply
        named = named_choice(reply.text, YES_NO, question.question or "")
        likeliest = question.options.token_scores
        odds: tuple[float, ...] = ()
        if named is None or likeliest is not None:
            [odds] = self.score([question], [YES_NO])
        named = odds.index(max(odds)) if named is None else named
        text = YES_NO[named].capitalize()
        tokens: tuple[ScoredToken, ...] = ()
        if likeliest is not None:
            ranked = sorted(zip(map(str.capitalize, YES_NO), odds, strict=True), key=lambda one: -one[1])
            tokens = (ScoredToken(text, odds[named], tuple(ranked[:likeliest])),)
        return replace(reply, text=text, reason="stop", output_tokens=1, tokens=tokens)

    def _is_brief(self, question: VisualQuestion) -> bool:
        from plugins.pocket.asked import asks_yes_or_no

        if question.question is None or not asks_yes_or_no(question.question):
            return False
        encoded: EncodedCells = question.image.data
        composed = encoded.sight is None or self.photographs is None
        return composed or self.engine.lookup.facts(encoded, question) is not None

    def score(self, questions: Sequence[VisualQuestion], choices: Sequence[Sequence[str]]) -> list[tuple[float, ...]]:
        """By the model's probabilities: all questions about a picture in one row, several pictures in one pass.

        Whether a thing is on a photograph, which was not made out for sure, is scored by the evidence for its noun.
        """
        from plugins.hf.scoring import by_picture

        check_choices(questions, choices)
        scores: dict[int, tuple[float, ...]] = {}
        rows = list(by_picture(questions))
        for start in range(0, len(rows), ROWS):
            group = rows[start : start + ROWS]
            prompts = [[self._prompt(questions[place]) for place in places] for places in group]
            found = self.engine.score(prompts, [[choices[place] for place in places] for places in group])
            for places, each in zip(group, found, strict=True):
                scores.update(zip(places, each, strict=True))
        for place, question in enumerate(questions):
            if (odds := self._presence(question, choices[place])) is not None:
                there = {"yes": -math.log1p(math.exp(-odds)), "no": -math.log1p(math.exp(odds))}
                scores[place] = tuple(there[choice.lower()] for choice in choices[place])
        return [scores[place] for place in range(len(questions))]

    def _presence(self, question: VisualQuestion, choices: Sequence[str]) -> float | None:
        """Log odds that the thing is there, if a question asks for that only, and about a photograph."""
        encoded: EncodedCells = question.image.data
        if {choice.lower() for choice in choices} != {"yes", "no"} or encoded.sight is None or self.photographs is None:
            return None
        if question.question is None or self.engine.lookup.facts(encoded, question) is not None:
            return None
        from plugins.pocket.asked import presence

        return presence(question.question, encoded.sight, self.photographs.vocabulary)

    def stream(self, question: VisualQuestion) -> Iterator[str]:
        yield from (piece for piece in self.pieces(question) if isinstance(piece, str))

    def pieces(self, question: VisualQuestion) -> Iterator[str | Reply]:
        """Like `stream`, with the complete Reply at the end."""
        if question.options.token_scores is not None or self._is_brief(question):
            [reply] = self.replies([question])
            yield reply.text
            yield reply
            return
        yield from self.engine.pieces(self._prompt(question), **self._sampling(question.options))

    def _prompt(self, question: VisualQuestion) -> Any:
        from plugins.pocket.engine import PocketPrompt

        if question.image.revision != self.revision:
            raise BackendError(
                f"this picture was encoded by {question.image.revision}, not by {self.revision}; "
                "encode it with this backend."
            )
        encoded: EncodedCells = question.image.data
        found = self.engine.lookup.facts(encoded, question)
        tokens = encoded.tokens if found is None else self.engine.model.with_hints(encoded.tokens, found)
        from plugins.pocket.asked import (
            asks_for_background,
            asks_for_palette,
            facts_for,
            refers_back,
            total,
            without_form,
        )
        from plugins.pocket.sight import entries

        if encoded.sight is None or self.photographs is None or found is not None:
            # about composed scenes the model has learned to answer in sentences only
            plain = without_form(question.question) if question.question else None
            # a trained projection may name what the list does not know
            own = self._trained is None and self.options.hints == "all"
            listed = self.engine.lookup.listed(encoded.facts if found is None else found) if own else ()
            return PocketPrompt(tokens, plain, question.history, listed=listed)
        sight, vocabulary = encoded.sight, self.photographs.vocabulary
        if question.question and asks_for_background(question.question, sight):
            return PocketPrompt(self._with_background(encoded, sight), BACKGROUND)
        if question.question and asks_for_palette(question.question, vocabulary):
            return PocketPrompt(
                self.engine.model.with_hints(encoded.tokens, nameless(encoded.facts[None])[0]), MAIN_COLOURS
            )
        said: list[str] = []
        facts: list[tuple[str, ...]] = []
        # the language model confuses what was said before with what it is asked now
        history = question.history if question.question and refers_back(question.question) else ()
        for asked, answer in (*history, (question.question or "", "")):
            facts.append(tuple(facts_for(asked, said, sight, vocabulary)))
            said += [asked, answer]
        return PocketPrompt(
            tokens,
            question.question,
            history,
            tuple(entries(sight)),
            tuple(facts),
            sight.lines,
            "" if facts[-1] else self._description(encoded, sight, short=question.question is None),
            count=total(question.question or "", facts[-1]),
        )

    @staticmethod
    def _description(encoded: EncodedCells, sight: Sight, *, short: bool) -> str:
        """The caption or the description that the symbols give."""
        from plugins.pocket.colours import COLOURS
        from plugins.pocket.speech.words import caption, description

        palette = [COLOURS[colour - 1] for colour in encoded.facts[PALETTE].tolist() if colour]
        return f"{caption(sight, palette)}." if short else description(sight, palette)

    def _with_background(self, encoded: EncodedCells, sight: Sight) -> Any:
        """The image tokens of a picture in which nothing is known but the colours of its background."""
        from plugins.pocket.colours import COLOURS

        facts = encoded.facts.clone()
        facts[0] = 1
        facts[PALETTE] = 0
        facts[PALETTE.start : PALETTE.start + len(sight.background)] = facts.new_tensor(
            [COLOURS.index(colour) + 1 for colour in sight.background]
        )
        return self.engine.model.with_hints(encoded.tokens, facts)

    @staticmethod
    def _sampling(options: GenerationOptions) -> dict[str, Any]:
        return {
            "max_new_tokens": max(options.max_new_tokens, 1),
            "temperature": options.temperature,
            "top_p": options.top_p,
            "seed": options.seed,
        }

    def count_tokens(self, text: str) -> int:
        """Number of tokens of `text`."""
        return len(self.engine.tokenizer.encode(text, add_special_tokens=False).ids)

    def describe(self) -> dict[str, str]:
        facts = {
            "name": self.name,
            "revision": self.revision,
            "device": self.device,
            "dtype": "float32",
            "why": f"{self.reason}; float32 because the model is small",
        }
        if self._trained is not None:
            facts["trained"] = f"stage {self._trained.facts['stage']}, {self._trained.facts['steps']} steps"
        if self.options.hints != "all":
            facts["hints"] = self.options.hints
        return facts
