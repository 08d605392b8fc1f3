"""The data of the small stages: a model directory, pictures with texts, and cached features.

    OUT/model       pocket as `inquisight train` takes a model
    OUT/captions    composed pictures with short captions, a table: the data of stage 1
    OUT/true        other ones with their true descriptions, in the layout of cc_sbu_align: what is to be described
    OUT/features    features of the frozen vision model and Q-Former for all of them

All that MiniGPT-4 trains is the projection between a frozen vision model and a frozen language model; pocket has the
same linear layer (`language_projection`), 256 to 256. Besides its 16 tokens, pocket's language model gets 40
hints, which bypass the layer. Here they hold no names: only the colours of the picture and constants.
"""

from __future__ import annotations

import hashlib
import io
import json
import random
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from core.datasets.text_lines import split_lines
from core.errors import UsageError, printable
from core.files.journal import Record, SharedJournal, write_json, write_lines
from core.images.picture import open_picture
from plugins.pocket.backend import FILES, PocketBackend, nameless
from plugins.pocket.modeling import CELL_DIM, CELLS, FACTS, HINT_TOKENS
from plugins.pocket.speech.tidy import sentences
from plugins.pocket.training import trainer_tokenizer
from training.features.store import FeatureStore, FeatureWriter, Manifest, create_store
from training.features.vision import vision_fingerprint
from training.pocket.features import truth
from training.pocket.foundation import known_names
from training.pocket.scene_questions import SceneQuestions
from training.pocket.scenes import Composer

CHUNK: Final = 32
DESCRIBED_FROM: Final = 1_000_000  # seeds that no training of pocket took
UNLIKE: Final = 0.05  # least mean difference between the features of two vision models
JPEG_QUALITY: Final = 95


# --- the model -------------------------------------------------------------------------------------------------------


def write_model(source: Path, to: Path) -> None:
    """`source`, a directory of pocket's, as `inquisight train` takes it. Raises UsageError where it is none.

    The weights are the same; the tokenizer is `trainer_tokenizer`'s.
    """
    if (to / "manifest.json").is_file():
        return
    missing = [name for name in FILES if not (source / name).is_file()]
    if missing:
        raise UsageError(f"{printable(source)} is no directory of pocket's: it has no {', '.join(missing)}.")
    partial = to.with_name(f"{to.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(source, partial)
    trainer_tokenizer(source).save_pretrained(partial)
    queries = json.loads((source / "config.json").read_text("utf-8"))["num_query_tokens"]
    tokens = {"tokens_per_picture": queries + HINT_TOKENS, "projected_tokens": queries}
    write_json(partial / "manifest.json", {"format": "vicuna", "language_model": "pocket", **tokens})
    shutil.rmtree(to, ignore_errors=True)
    partial.rename(to)


# --- pictures and texts ----------------------------------------------------------------------------------------------


def compose(
    composer: Composer, folder: Path, number: int, first: int, kind: str, done: Callable[[int], None]
) -> list[Record]:
    """`number` scenes from the seed `first` on, as files of `folder`; one record each, kept in `truth.jsonl`.

    A photograph on which nothing was put is left out: nothing is known of it. Goes on where it was interrupted.
    """
    pictures = folder / "image"
    pictures.mkdir(parents=True, exist_ok=True)
    journal = SharedJournal(folder / "truth.jsonl")
    rows = journal.read()

    def make(seed: int) -> Record | None:
        scene = composer.scene(seed)
        facts = json.loads(json.dumps(truth(scene)))  # as it will be read again
        if not facts["things"] and facts["background"] == "photo":
            return None
        name = f"{seed:07d}.{kind}"
        buffer = io.BytesIO()
        if kind == "png":
            scene.image.save(buffer, "PNG", compress_level=1)
        else:
            scene.image.save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling=0)
        data = buffer.getvalue()
        (pictures / name).write_bytes(data)
        return {"seed": seed, "file": name, "sha256": hashlib.sha256(data).hexdigest(), "truth": facts}

    seeds = count(int(rows[-1]["seed"]) + 1 if rows else first)
    with ThreadPoolExecutor(2, thread_name_prefix="scenes") as pool:
        while len(rows) < number:
            chunk = [next(seeds) for _ in range(min(CHUNK, number - len(rows)))]
            new = [row for row in pool.map(make, chunk) if row is not None]
            journal.append(*new)
            rows += new
            done(len(rows))
    return rows[:number]


def write_captions(rows: list[Record], folder: Path) -> None:
    """The data of stage 1: `captions.jsonl`, a table of pictures and what a caption says of them."""
    if (folder / "captions.jsonl").exists():
        return
    names = known_names()
    lines = [
        {"picture": f"image/{row['file']}", "caption": SceneQuestions(row["truth"], names).caption()} for row in rows
    ]
    write_lines(folder / "captions.jsonl", lines)


def write_descriptions(rows: list[Record], folder: Path) -> None:
    """The true descriptions, in the layout of the released data of stage 2."""
    annotations = [{"image_id": Path(row["file"]).stem, "caption": described(row["truth"])} for row in rows]
    write_json(folder / "filter_cap.json", {"annotations": annotations})


def described(facts: dict[str, Any]) -> str:
    """What is true of a scene, in pocket's words."""
    return sentences(SceneQuestions(facts, known_names()).description(random.Random(0)))


# --- features --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Cached:
    """What `training.pocket.foundation` kept of the pictures that pocket was trained on; the row is the seed."""

    features: np.ndarray  # (N, 81, CELL_DIM) float16, on disk
    facts: np.ndarray  # (N, FACTS)
    truths: list[str]

    @classmethod
    def open(cls, folder: Path) -> Cached:
        """Raises UsageError where the folder has none."""
        try:
            lines = split_lines((folder / "train-truth.jsonl").read_text("utf-8"))
            features, facts = (np.load(folder / f"train-{name}.npy", mmap_mode="r") for name in ("features", "facts"))
            return cls(features, facts, lines)
        except OSError as error:
            raise UsageError(f"--features {printable(folder)}: {printable(error.filename)} cannot be read.") from None

    def row(self, record: Record) -> int | None:
        """The row of this very picture; None where it is another one, or was never looked at."""
        seed = int(record["seed"])
        known = seed < min(len(self.truths), len(self.features)) and self.truths[seed] == json.dumps(record["truth"])
        return seed if known else None


class Reader:
    """Pocket's frozen half: from pictures to what the projection takes, and the hints beside it."""

    def __init__(self, directory: Path) -> None:
        self.vision = PocketBackend(str(directory))
        self.model = self.vision.engine.model
        self.fingerprint = vision_fingerprint(directory)

    @torch.inference_mode()
    def seen(self, files: list[Path]) -> tuple[Tensor, Tensor]:
        """The features (B, 81, CELL_DIM) and facts (B, FACTS) of the pictures in these files."""
        seen = self.model.vision_model(self.vision.pixels([open_picture(file) for file in files]))
        return seen.cells.cpu(), seen.facts.cpu()

    @torch.inference_mode()
    def features(self, cells: Tensor, facts: Tensor) -> Tensor:
        """What the Q-Former makes of it, and the hints without names: (B, 16 + 40, 256)."""
        queries = self.model.query_tokens.expand(len(cells), -1, -1)
        cells = cells.to(queries.device, queries.dtype)
        asked = self.model.query(queries, cells)
        hints = self.model.hint_embeddings(self.model.hint_ids(nameless(facts).to(queries.device)))
        return torch.cat([asked, hints], 1)

    def store(self, folder: Path) -> FeatureStore:
        config = self.model.config
        tokens, width = config.num_query_tokens + HINT_TOKENS, config.qformer_config.hidden_size
        manifest = Manifest(self.fingerprint, tokens, width, "float16")
        return create_store(folder, manifest)


def keep_features(
    reader: Reader, to: Path, sets: list[tuple[Path, list[Record]]], cached: Cached | None, done: Callable[[int], None]
) -> None:
    """Keep what the projection takes of all pictures of `sets` (folder, records), unless it is kept already.

    Raises UsageError if `cached` belongs to another vision model.
    """
    checked = False
    with FeatureWriter(reader.store(to), "small") as writer:
        waiting = [(folder, row) for folder, rows in sets for row in rows if not writer.has(row["sha256"])]
        for start in range(0, len(waiting), CHUNK):
            chunk = waiting[start : start + CHUNK]
            files = [folder / "image" / row["file"] for folder, row in chunk]
            places = [cached.row(row) if cached else None for _, row in chunk]
            known = [i for i, place in enumerate(places) if place is not None]
            unknown = [i for i, place in enumerate(places) if place is None]
            cells, facts = torch.empty(len(chunk), CELLS, CELL_DIM), torch.empty(len(chunk), FACTS, dtype=torch.long)
            if cached and known:
                rows = [place for place in places if place is not None]
                cells[known] = torch.from_numpy(cached.features[rows]).float()
                facts[known] = torch.from_numpy(cached.facts[rows]).long()
                if not checked:
                    _check_same(reader.seen([files[i] for i in known])[0], cells[known])
                    checked = True
            if unknown:
                cells[unknown], facts[unknown] = reader.seen([files[i] for i in unknown])
            for (_, row), features in zip(chunk, reader.features(cells, facts), strict=True):
                writer.add(row["sha256"], features)
            done(start + len(chunk))


def _check_same(seen: Tensor, kept: Tensor) -> None:
    """Half of the pictures may differ: close to a threshold, rounding changes the features."""
    unlike = (seen - kept).abs().mean((1, 2)).median()
    if unlike > UNLIKE:
        raise UsageError("--features was written by another vision model; leave it out.")
