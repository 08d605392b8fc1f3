"""What a run does: models and options, as the command line of `inquisight batch`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final

from agents.batch.request import BatchRequest
from core.errors import UsageError, printable

LIST: Final = "pictures.txt"
OUTPUT: Final = "captions.jsonl"
CONCURRENCY: Final = 8
BATCH: Final = 8  # small batches: captions come one after another, and little is lost when a run is paused


@dataclass(frozen=True, slots=True)
class RunRequest:
    """One run over some pictures of a folder."""

    vision: str
    questioner: str
    witnesses: tuple[str, ...] = ()
    rounds: int = 10
    audit: str = "none"
    style: str = "description"
    purpose: str = ""
    """What an alt text is for."""
    prefix: str = ""
    suffix: str = ""
    trigger: str = ""
    """The word that a training caption teaches."""
    max_chars: int | None = None
    language: str = ""
    seed: int | None = None
    price_in: float | None = None
    price_out: float | None = None
    replace: bool = False
    """Whether captions that are there are replaced; else their pictures are left out."""

    def batch(self, folder: Path) -> BatchRequest:
        """The request of the batch with its files in `folder`."""
        return BatchRequest(
            inputs=(str(folder / LIST),),
            out=(folder / OUTPUT,),
            vision=self.vision,
            questioner=self.questioner,
            witness=",".join(self.witnesses) or "none",
            rounds=self.rounds,
            audit=self.audit,
            language=self.language or None,
            style=() if self.style == "description" else (self.style,),
            purpose=self.purpose or None if self.style == "alt" else None,
            prefix=self.prefix or None if self.style == "prompt" else None,
            suffix=self.suffix or None if self.style == "prompt" else None,
            trigger=self.trigger or None if self.style == "prompt" else None,
            max_chars=self.max_chars,
            seed=self.seed,
            concurrency=CONCURRENCY,
            batch=BATCH,
            price_in=self.price_in,
            price_out=self.price_out,
        )

    def arguments(self, folder: Path) -> list[str]:
        """The same as arguments of the command `batch`."""
        request = self.batch(folder)
        given: dict[str, object] = {
            "vision": request.vision,
            "questioner": request.questioner,
            "witness": request.witness,
            "rounds": request.rounds,
            "audit": request.audit,
            "language": request.language,
            "style": ",".join(request.style) or None,
            "purpose": request.purpose,
            "prefix": request.prefix,
            "suffix": request.suffix,
            "trigger": request.trigger,
            "max-chars": request.max_chars,
            "seed": request.seed,
            "concurrency": request.concurrency,
            "batch": request.batch,
            "price-in": request.price_in,
            "price-out": request.price_out,
        }
        named = [f"--{name}={value}" for name, value in given.items() if value is not None]
        return ["batch", *request.inputs, "--out", str(request.out[0]), *named, "--json"]

    def as_json(self) -> dict[str, Any]:
        """For `read`."""
        return asdict(self)

    @classmethod
    def read(cls, values: dict[str, Any]) -> RunRequest:
        """What `as_json` wrote; fields of later versions are ignored."""
        known = {one.name for one in fields(cls)}
        return cls(**{**{name: value for name, value in values.items() if name in known},
                      "witnesses": tuple(values.get("witnesses", ()))})  # fmt: skip


def write_list(folder: Path, paths: Sequence[Path]) -> None:
    """The list of pictures that the batch reads. Raises UsageError."""
    lines = [str(path) for path in paths]
    if odd := next((line for line in lines if not set(line).isdisjoint("\r\n")), None):
        raise UsageError(f"'{printable(odd)}' has a line break in its name; rename it, or leave it out")
    text = "".join(f"{line}\n" for line in lines)
    (folder / LIST).write_bytes(text.encode("utf-8", "surrogateescape"))
