"""Step 1: a vision model describes each picture at length, and continues where the text is too short.

After Zhu et al. 2023, section 3.2: the model of the first stage describes 5,000 pictures; under 80 tokens it is told
"###Human: Continue ###Assistant:" and both parts are joined. The backend writes that in its own conversation format.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import Field, field_validator

from core.errors import BackendError, ImageError, UsageError, printable
from core.files.journal import Record, write_json, write_lines
from core.images.picture import MAX_PIXELS, Picture, open_picture
from core.net.budgets import MORE
from core.net.remote import for_all
from core.text import whole_sentences
from core.vision import GenerationOptions, VisionBackend, VisualQuestion
from training.curation.folder import LEFT_OUT, CurationFolder
from training.curation.steps.pictures import CurationPicture, fingerprint
from training.curation.steps.progress import Advance
from training.curation.toml import Closed, TomlFile

_PIECES: Final = re.compile(r"\w+|[^\w\s]")


class GenerateSettings(Closed):
    """All settings that affect the texts."""

    vision: str = Field(min_length=1)
    """Vision model, "name" or "name:argument"."""
    instructions: tuple[str, ...] = Field(min_length=1)
    """Instructions, used in turn."""
    continue_with: str = Field(min_length=1)
    """Instruction to continue a short description."""
    min_tokens: int = Field(default=80, ge=0)
    """Descriptions with fewer tokens are continued (80 in the paper)."""
    continues: int = Field(default=1, ge=0, le=10)
    """Maximum continuations (1 in the paper)."""
    max_new_tokens: int = Field(default=300, ge=1)
    """Maximum tokens per part (300 in the original)."""
    temperature: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    """Sampling temperature; 0 is greedy (1.0 in the original)."""
    top_p: float = Field(default=0.9, gt=0, le=1)
    """Nucleus sampling threshold (0.9 in the original)."""
    batch: int = Field(default=16, ge=1)
    """Pictures per batch; a setting, because a batch is sampled with one seed."""
    seed: int = Field(default=42, ge=0, lt=2**32)
    """Random seed."""

    @field_validator("instructions")
    @classmethod
    def _not_empty(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        if any(not value.strip() for value in values):
            raise ValueError("an instruction must not be empty")
        return tuple(value.strip() for value in values)


class Instructions(TomlFile):
    """The file `instructions.toml`."""

    default = "instructions"

    instructions: tuple[str, ...] = Field(min_length=1)
    continue_with: str = Field(default="Continue", alias="continue", min_length=1)


def check_vision(name: str, *, anyway: bool) -> None:
    """Raise RegistryError or UsageError for an unknown or unsuitable model, before anything is written or loaded."""
    from core.registry import get_registry

    entry = get_registry().find("vision backend", name.partition(":")[0])
    check_capable(name, entry.capabilities.get("follows_instructions", True), anyway=anyway)


def check_capable(vision: str, follows_instructions: bool, *, anyway: bool) -> None:
    """Raise UsageError for a model that only gives short answers, unless `anyway`."""
    if not follows_instructions and not anyway:
        raise UsageError(
            f"{printable(vision)} follows no instructions, so it may not describe at length or continue; choose "
            "another one (`inquisight plugins`), or add --anyway."
        )


def remember_pictures(
    folder: CurationFolder, entries: Sequence[CurationPicture], left_out: Record | None = None
) -> None:
    """Write the list of pictures, or check that the folder was begun with the same one. Raises UsageError.

    `left_out` counts what the sources hold besides, for `status`.
    """
    known = known_pictures(folder)
    begun = bool(folder.settings("generate") or folder.generated.path.exists())
    if begun and fingerprint(known) != fingerprint(entries):
        raise UsageError(
            f"'{printable(folder.path)}' was begun with other pictures ({len(known)}, not these {len(entries)}); take "
            "another folder, omit the pictures to resume with those, or add --again to start over."
        )
    if not begun:
        write_lines(folder.pictures.path, [entry.record() for entry in entries])
        if left_out is not None:
            write_json(folder.path / LEFT_OUT, left_out)


def known_pictures(folder: CurationFolder) -> list[CurationPicture]:
    """The pictures of this curation, in order; empty if it was not begun."""
    return [CurationPicture(str(record["id"]), str(record["path"])) for record in folder.pictures.read()]


def generated(folder: CurationFolder) -> dict[str, Record]:
    """The last record of each picture, by name."""
    return {str(record["id"]): record for record in folder.generated.read()}


def generate(
    folder: CurationFolder,
    settings: GenerateSettings,
    load: Callable[[], VisionBackend],
    *,
    failed_only: bool = False,
    max_pixels: int = MAX_PIXELS,
) -> Iterator[Advance]:
    """Describe the pictures that are not described yet; `load` is called only if there are any.

    A batch always holds the same pictures: they share padding and seed, so an interrupted run gives the same texts. A
    picture that cannot be opened, or that the backend fails on, is recorded with its reason; `failed_only` retries only
    those, each alone. Raises BackendError if the backend fails on a whole batch.
    """
    entries = known_pictures(folder)
    done = generated(folder)
    plain = {**settings.model_dump(mode="json"), "pictures": fingerprint(entries)}
    folder.check("generate", plain)
    places = {entry.id: place for place, entry in enumerate(entries)}
    first_of: dict[str, str] = {
        str(one["sha256"]): name for name, one in done.items() if one.get("sha256") and not one.get("same_as")
    }
    if failed_only:
        again = [one for one in entries if _is_failed(done.get(one.id, {}))]
        batches = {f"{places[one.id]}:again": [one] for one in again}
        for entry in again:
            done.pop(entry.id)
    else:
        starts = range(0, len(entries), settings.batch)
        batches = {str(start): entries[start : start + settings.batch] for start in starts}
    total, count = (len(batches), 0) if failed_only else (len(entries), sum(one.id in done for one in entries))
    worker: _Batches | None = None
    for label, batch in batches.items():
        if all(entry.id in done for entry in batch):
            continue
        if worker is None:
            backend = load()
            folder.begin("generate", {**plain, "revision": backend.revision})
            worker = _Batches(backend, settings, max_pixels, places)
        new = [record for record in worker.run(label, batch, first_of) if record["id"] not in done]
        folder.generated.append(*new)
        for record in new:
            done[record["id"]] = record
            count += 1
            yield Advance(count, total, record["id"], record.get("reason", ""))


def _is_failed(record: Record) -> bool:
    return record.get("status") == "failed" and "same_as" not in record


@dataclass(slots=True)
class _Batches:
    """Runs the model on one batch after the other."""

    backend: VisionBackend
    settings: GenerateSettings
    max_pixels: int
    places: dict[str, int]  # of all pictures
    succeeded: bool = False

    def run(self, label: str, batch: Sequence[CurationPicture], first_of: dict[str, str]) -> list[Record]:
        """One record per picture, in order. `first_of` maps a picture's sha256 to the name of its first copy."""
        records: dict[str, Record] = {}
        pictures: dict[str, Picture] = {}
        for entry in batch:
            base = {"id": entry.id, "path": entry.path}
            try:
                picture = open_picture(entry.path, max_pixels=self.max_pixels)
            except ImageError as error:
                records[entry.id] = {**base, "status": "failed", "reason": str(error)}
                continue
            earlier = first_of.setdefault(picture.sha256, entry.id)
            if earlier != entry.id:
                reason = f"duplicate of {earlier}"
                twin = {"sha256": picture.sha256, "same_as": earlier}
                records[entry.id] = {**base, **twin, "status": "failed", "reason": reason}
                continue
            pictures[entry.id] = picture
            records[entry.id] = {**base, "sha256": picture.sha256}
        turns = {name: self._instruction(self.places[name]) for name in pictures}
        for name, outcome in self._describe_all(label, pictures, turns).items():
            records[name] |= {"instruction": turns[name], **outcome}
        return [records[entry.id] for entry in batch]

    def _instruction(self, place: int) -> str:
        return self.settings.instructions[place % len(self.settings.instructions)]

    def _describe_all(
        self, label: str, pictures: dict[str, Picture], turns: dict[str, str]
    ) -> dict[str, dict[str, Any]]:
        """The outcome of each picture. If a batch fails, each picture is retried alone."""
        if not pictures:
            return {}
        try:
            outcomes = self._describe(label, pictures, turns)
        except BackendError as error:
            if for_all(error):
                raise
            outcomes = {}
            for name, picture in pictures.items():
                try:
                    outcomes |= self._describe(f"{label}:{name}", {name: picture}, turns)
                except BackendError as own:
                    if for_all(own):
                        raise
                    outcomes[name] = {"status": "failed", "reason": str(own)}
            hopeless = all(one["status"] == "failed" for one in outcomes.values())
            if hopeless and (len(pictures) > 1 or not self.succeeded):
                raise error
        self.succeeded = True
        return outcomes

    def _describe(self, place: str, pictures: dict[str, Picture], turns: dict[str, str]) -> dict[str, dict[str, Any]]:
        images = dict(zip(pictures, self.backend.encode(list(pictures.values())), strict=True))
        parts: dict[str, list[str]] = {name: [] for name in pictures}
        truncated: set[str] = set()
        waiting = list(pictures)
        for part in range(self.settings.continues + 1):
            options = self._options(place, part)
            questions = []
            for name in waiting:
                asked = [turns[name], *[self.settings.continue_with] * part]
                history = tuple(zip(asked, parts[name], strict=False))
                questions.append(VisualQuestion(images[name], asked[-1], history, options))
            for name, reply in zip(waiting, self.backend.replies(questions), strict=True):
                parts[name].append((whole_sentences(reply.text) if reply.truncated else reply.text).strip())
                if reply.truncated:
                    truncated.add(name)
            waiting = [name for name in waiting if sum(map(self.count, parts[name])) < self.settings.min_tokens]
            if not waiting:
                break
        return {name: self._outcome(said, name in truncated) for name, said in parts.items()}

    def _outcome(self, parts: list[str], truncated: bool) -> dict[str, Any]:
        text = " ".join(part for part in parts if part)
        said = {"parts": parts, "tokens": [self.count(part) for part in parts], "text": text}
        if not text:
            return {"status": "failed", "reason": "the model answered with nothing", **said}
        return {"status": "ok", **said, "truncated": truncated}

    def _options(self, place: str, part: int) -> GenerationOptions:
        seed = int.from_bytes(hashlib.sha256(f"{self.settings.seed}:{place}:{part}".encode()).digest()[:4], "big")
        chosen = self.settings
        room = chosen.max_new_tokens
        return GenerationOptions(room, chosen.temperature, chosen.top_p, seed, retry_tokens=MORE * room)

    def count(self, text: str) -> int:
        """Tokens, if the backend counts them (`count_tokens`), else words and punctuation marks."""
        counter = getattr(self.backend, "count_tokens", None)
        return int(counter(text)) if callable(counter) else len(_PIECES.findall(text))
