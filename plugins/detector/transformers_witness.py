"""`detector:transformers:NAME` as a witness: any object detection model of transformers.

NAME is a name on the hub or a directory. A model with fixed names (DETR, RT-DETR, YOLOS, ...) finds these. A zero-shot
model (OWL-ViT, OWLv2, Grounding DINO) finds the names it is given: those in the spec (`?queries=person,red car`), those
of `look_for`, else the 80 names of COCO.
"""

from __future__ import annotations

import hashlib
import importlib.util
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np

from core.entries import one_line
from core.errors import BackendError, UsageError, printable
from core.nouns import singular
from core.witness import Box, Findings, Thing, Witness
from plugins.detector.coco import NAMES
from plugins.detector.merging import MOST, merged, unsure
from plugins.hf import checkpoint
from plugins.hf.checkpoint import Directory
from plugins.hf.load_options import BaseLoadOptions, placing, revision

if TYPE_CHECKING:
    from core.images.picture import Picture

PLUGIN: Final = "detector:transformers"
WEAK: Final = 0.15  # least score of a thing that is kept apart as unsure
ZERO_SHOT: Final = {"owlvit": 0.25, "owlv2": 0.25, "grounding-dino": 0.35, "mm-grounding-dino": 0.35}  # score limits
SCORE: Final = 0.5  # of a model with fixed names
MOST_TOKENS: Final = 256  # that a Grounding DINO reads at once


@dataclass(frozen=True, slots=True)
class DetectorLoadOptions(BaseLoadOptions):
    """How a model is opened and asked: `detector:transformers:NAME?score=0.4&queries=person,dog`."""

    plugin: ClassVar[str] = PLUGIN
    example: ClassVar[str] = "NAME?score=0.4"
    needs: ClassVar[str] = f"{PLUGIN} needs a model: {PLUGIN}:PekingU/rtdetr_r50vd or {PLUGIN}:DIRECTORY."

    score: float | None = None  # least score of a thing
    queries: str = ""  # names for a zero-shot model, separated by commas

    def __post_init__(self) -> None:
        BaseLoadOptions.__post_init__(self)
        if self.score is not None and not 0 < self.score < 1:
            raise UsageError(f"score={self.score:g} is not between 0 and 1; take {SCORE:g}, for example.")


def check(text: str, options: DetectorLoadOptions) -> Directory:
    """What can be known without reading the weights. Raises UsageError, BackendError, one line."""
    directory = checkpoint.check(checkpoint.find(text, PLUGIN), PLUGIN)
    model_type, where = str(directory.config.get("model_type")), printable(directory.path)
    from transformers.models.auto.modeling_auto import MODEL_FOR_OBJECT_DETECTION_MAPPING_NAMES as KNOWN

    if model_type not in KNOWN and model_type not in ZERO_SHOT:
        raise BackendError(
            f"{where} holds a model of type {printable(model_type)!r}, no object detection model that can be used "
            f"here; take one of DETR, RT-DETR, YOLOS, OWLv2 or Grounding DINO."
        )
    if options.queries and model_type not in ZERO_SHOT:
        raise UsageError(
            f"{where} holds a model of type {printable(model_type)!r}, which only finds the names it was trained on; "
            "leave out queries, or take OWLv2 or Grounding DINO."
        )
    if directory.config.get("use_timm_backbone") and importlib.util.find_spec("timm") is None:
        raise BackendError(
            f"{where} has a backbone of timm, which is not installed; pip install timm, or take a model without it, "
            "such as PekingU/rtdetr_r50vd."
        )
    return directory


class TransformersWitness(Witness):
    """An object detection model of transformers. Thread-safe. Raises UsageError, BackendError, one line.

    `argument` is "NAME?option=value&...", see `DetectorLoadOptions`.
    """

    def __init__(self, argument: str) -> None:
        text, options = DetectorLoadOptions.parse(argument)
        self._name = f"{PLUGIN}:{argument}"
        self._directory = check(text, options)
        model_type = str(self._directory.config.get("model_type"))
        self.takes_names = model_type in ZERO_SHOT
        self.score = options.score if options.score is not None else ZERO_SHOT.get(model_type, SCORE)
        self.queries = normalised(options.queries.split(",")) or list(NAMES)
        from transformers import AutoModelForObjectDetection, AutoModelForZeroShotObjectDetection

        opener = AutoModelForZeroShotObjectDetection if self.takes_names else AutoModelForObjectDetection
        self._processor = image_processor(self._directory)
        tokenizer = checkpoint.load_tokenizer(self._directory.path) if self.takes_names else None
        device, dtype, why = checkpoint.choose(self._directory, options, half=False)
        self.model, _ = checkpoint.load(
            self._directory.path,
            opener.from_pretrained,
            strict=False,
            again="fetch it again",
            **placing(options, device, dtype),
        )
        self.choices = {
            "device": str(options.device_map or device),
            "dtype": dtype,
            "why": why,
            "quantize": options.quantize,
            "least score": f"{self.score:g}",
        }
        kind = Fixed if tokenizer is None else Grounding if "grounding" in model_type else Owl
        self._finder: Finder = kind(self.model, self._processor, tokenizer)
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        return self._name

    @property
    def revision(self) -> str:
        asked = hashlib.sha256(repr((self.score, self.takes_names and self.queries)).encode()).hexdigest()
        return f"{revision('detector', self._directory.digest, self.choices)}-{asked[:6]}"

    def describe(self) -> dict[str, str]:
        return {"name": self.name, "model": type(self.model).__name__, "revision": self.revision, **self.choices}

    def examine(self, pictures: Sequence[Picture]) -> list[Findings]:
        return [self._examined(picture, self.queries) for picture in pictures]

    def look_for(self, pictures: Sequence[Picture], names: Sequence[str]) -> list[Findings]:
        queries = normalised(names) if self.takes_names else []
        return [self._examined(picture, queries or self.queries) for picture in pictures]

    def _examined(self, picture: Picture, names: Sequence[str]) -> Findings:
        import torch

        try:
            with self._lock, torch.inference_mode():
                found = self._finder.find(picture, names, min(WEAK, self.score))
        except (*checkpoint.LOADING_ERRORS, torch.OutOfMemoryError) as error:
            raise BackendError(f"the witness {printable(self.name)!r} failed: {one_line(error)}.") from error
        found = distinct(found)
        things = tuple(thing for thing in found if thing.score > self.score)[:MOST]
        return Findings(
            witness=self.name,
            revision=self.revision,
            width=picture.width,
            height=picture.height,
            looked_for=("things",),
            things=things,
            maybe=unsure(found, things),
        )


class Finder(ABC):
    """Runs a model on one picture."""

    def __init__(self, model: Any, processor: Any, tokenizer: Any) -> None:
        self.model, self.processor, self.tokenizer = model, processor, tokenizer

    @abstractmethod
    def find(self, picture: Picture, names: Sequence[str], least: float) -> list[Thing]:
        """Things of at least this score, with boxes in pixels of the picture; boxes may overlap."""

    def _run(self, picture: Picture, **text: Any) -> Any:
        """The model's output for one picture, in float32."""
        inputs = {**self.processor(images=picture.image, return_tensors="pt"), **text}
        inputs = {name: value.to(self.model.device) for name, value in inputs.items()}
        inputs["pixel_values"] = inputs["pixel_values"].to(self.model.dtype)
        output = self.model(**inputs)
        output.logits, output.pred_boxes = output.logits.float().cpu(), output.pred_boxes.float().cpu()
        return output

    def _things(self, output: Any, picture: Picture, names: Sequence[str | None], least: float) -> list[Thing]:
        """The boxes as the image processor places them; a name of None has none."""
        size = [(picture.height, picture.width)]
        [found] = self.processor.post_process_object_detection(output, threshold=least, target_sizes=size)
        rows = zip(found["scores"].tolist(), found["labels"].tolist(), found["boxes"].tolist(), strict=True)
        return [
            Thing(name=name, score=score, box=inside(edges, picture))
            for score, label, edges in rows
            if (name := names[label] if label < len(names) else None) is not None
        ]


class Fixed(Finder):
    """A model that finds the names it was trained on."""

    def find(self, picture: Picture, names: Sequence[str], least: float) -> list[Thing]:
        labels = self.model.config.id2label
        own = [noun(str(labels.get(number, ""))) or None for number in range(max(labels, default=-1) + 1)]
        return self._things(self._run(picture), picture, own, least)


class Owl(Finder):
    """OWL-ViT and OWLv2: one text per name."""

    def find(self, picture: Picture, names: Sequence[str], least: float) -> list[Thing]:
        text = self.tokenizer(
            [f"a photo of a {name}" for name in names],
            padding="max_length",
            truncation=True,
            max_length=self.model.config.text_config.max_position_embeddings,
            return_tensors="pt",
        )
        output = self._run(picture, input_ids=text["input_ids"], attention_mask=text["attention_mask"])
        return self._things(output, picture, list(names), least)


class Grounding(Finder):
    """Grounding DINO: all names in one text, each ended by a full stop; a name scores as its best token does."""

    def find(self, picture: Picture, names: Sequence[str], least: float) -> list[Thing]:
        return [thing for group in self._groups(names) for thing in self._find(picture, group, least)]

    def _find(self, picture: Picture, names: Sequence[str], least: float) -> list[Thing]:
        text = self.tokenizer(f"{'. '.join(names)}.", return_tensors="pt", return_token_type_ids=True)
        output = self._run(picture, **text)
        scores = output.logits[0].sigmoid()  # (queries, tokens)
        found = []
        spans = self._spans(text["input_ids"][0].tolist())
        for centre, row in zip(output.pred_boxes[0].tolist(), scores, strict=True):
            score, place = max((max(row[span].tolist(), default=0.0), place) for place, span in enumerate(spans))
            if score > least:
                x, y, wide, high = centre
                edges = (x - wide / 2, y - high / 2, x + wide / 2, y + high / 2)
                box = inside(
                    [edge * (picture.height if side % 2 else picture.width) for side, edge in enumerate(edges)], picture
                )
                found.append(Thing(name=names[place], score=score, box=box))
        return found

    def _spans(self, ids: Sequence[int]) -> list[list[int]]:
        """The places of each name's tokens in the text."""
        stop, special = self.tokenizer.convert_tokens_to_ids("."), set(self.tokenizer.all_special_ids)
        spans: list[list[int]] = [[]]
        for place, number in enumerate(ids):
            if number == stop:
                spans.append([])
            elif number not in special or number == self.tokenizer.unk_token_id:
                spans[-1].append(place)
        return spans[:-1]

    def _groups(self, names: Sequence[str]) -> list[list[str]]:
        """The names in groups that the model reads at once."""
        limit = min(MOST_TOKENS, self.model.config.max_text_len) - 2
        groups: list[list[str]] = [[]]
        room = limit
        for name in names:
            length = len(self.tokenizer.tokenize(name)) + 1
            if length > room and groups[-1]:
                groups.append([])
                room = limit
            groups[-1].append(name)
            room -= length
        return groups


def distinct(things: Sequence[Thing]) -> list[Thing]:
    """Things whose boxes overlap merged, the surest first; boxes outside the picture are left out."""
    ordered = sorted((thing for thing in things if thing.box.area >= 1), key=lambda thing: -thing.score)
    if not ordered:
        return []
    names = list(dict.fromkeys(thing.name for thing in ordered))
    boxes = np.array([[thing.box.left, thing.box.top, thing.box.right, thing.box.bottom] for thing in ordered])
    kinds = np.array([names.index(thing.name) for thing in ordered])
    return [ordered[place] for place in merged(boxes, kinds, np.zeros(len(ordered), bool))]


def inside(edges: Sequence[float], picture: Picture) -> Box:
    """A box within the picture, from left, top, right, bottom in pixels."""
    left, top, right, bottom = (
        min(max(edge, 0.0), float(limit))
        for edge, limit in zip(edges, (picture.width, picture.height) * 2, strict=True)
    )
    return Box(left=left, top=top, right=right, bottom=bottom)


def image_processor(directory: Directory) -> Any:
    """The model's image processor on Pillow and NumPy. Raises BackendError if it needs torchvision or is missing."""
    from transformers import AutoImageProcessor

    where = printable(directory.path)
    try:
        with checkpoint.quiet():
            found = AutoImageProcessor.from_pretrained(
                directory.path, local_files_only=True, trust_remote_code=False, backend="pil"
            )
    except checkpoint.LOADING_ERRORS as error:
        if importlib.util.find_spec("torchvision") is None and "torchvision" in str(error).lower():
            raise BackendError(
                f"{where} needs torchvision to prepare pictures, which is not installed; pip install torchvision, or "
                "take a model of DETR, RT-DETR, YOLOS, OWLv2 or Grounding DINO."
            ) from error
        raise BackendError(f"the image processor of {where} cannot be opened: {one_line(error)}.") from error
    if not hasattr(found, "post_process_object_detection"):
        raise BackendError(f"{where} has a {type(found).__name__}, which does not place boxes; fetch the model again.")
    return found


def normalised(names: Iterable[str]) -> list[str]:
    """Names as `noun` has them, each once; empty ones are left out."""
    return list(dict.fromkeys(filter(None, map(noun, names))))


def noun(text: str) -> str:
    """A name in lower case and in the singular: "traffic light" for "Traffic_Lights"; "" if it names nothing."""
    words = "".join(letter if letter.isalnum() or letter in "-'/" else " " for letter in text.lower()).split()
    name = " ".join(words)
    if name in ("", "n/a", "background", "no object"):
        return ""
    return name if name in NAMES else " ".join([*words[:-1], singular(words[-1])])
