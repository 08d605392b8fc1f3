"""The feature store on disk: written by several processes at once, read by the picture's sha256.

`features.json` holds what all rows have in common; safetensors shards hold `features` (N, tokens, width) and `keys`
(N, 32). A shard gets its name when it is complete, so a killed writer loses only the pictures since its last shard.
Every process writes its own shards. Shards are mapped into memory; the index takes 40 bytes per picture.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal, Self

import numpy as np
import torch
from filelock import FileLock, Timeout
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from core.datasets.samples.sample import DataError
from core.errors import UsageError, printable, why
from core.files.atomic import replacing
from plugins.minigpt4.convert.writing import write_json
from training.features.vision import vision_fingerprint

KIND: Final = "inquisight-features"
MANIFEST: Final = "features.json"
HOW: Final = "inquisight train features"
ROWS: Final = 2048  # per shard: 100 MB, and what a kill may cost
FLUSH_SECONDS: Final = 120.0
WAIT: Final = 10.0  # seconds for a name: another writer may be removing what a killed one of that name left
DType = Literal["float16", "bfloat16", "float32"]
_DTYPES: Final[dict[str, torch.dtype]] = {
    "float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32
}  # fmt: skip
_STORED: Final = {"float16": "F16", "bfloat16": "BF16", "float32": "F32"}


@dataclass(frozen=True, slots=True)
class Manifest:
    """What all features of a store have in common."""

    model: str  # fingerprint of the vision part
    tokens: int  # per picture
    width: int
    dtype: DType

    @property
    def row_bytes(self) -> int:
        return self.tokens * self.width * _DTYPES[self.dtype].itemsize


@dataclass(frozen=True, slots=True)
class _Index:
    """Sorted keys; of equal ones the first shard's comes first."""

    keys: NDArray[np.bytes_]  # (N,)
    places: NDArray[np.uint64]  # (N,): shard << 32 | row


def _merged(parts: Sequence[_Index]) -> _Index:
    keys = np.concatenate([part.keys for part in parts])
    order = np.argsort(keys, kind="stable")
    return _Index(keys[order], np.concatenate([part.places for part in parts])[order])


class FeatureStore:
    """Features by the picture's sha256; `get` may be called from several threads.

    `model` is the directory of the model that will be trained, or its fingerprint: a store of another one is refused.
    Raises DataError, one line.
    """

    def __init__(self, directory: Path, model: Path | str | None = None) -> None:
        self.directory = directory
        self.manifest = _read_manifest(directory)
        if model is not None:
            expected = vision_fingerprint(model) if isinstance(model, Path) else model
            if expected != self.manifest.model:
                raise DataError(
                    f"{printable(directory)} holds features of another vision model ({self.manifest.model}, not "
                    f"{expected}): write them into another directory with `{HOW}`."
                )
        self._shards: list[Any] = []  # the features of each, mapped
        self._names: set[str] = set()
        self._index = _Index(np.array([], "S32"), np.array([], np.uint64))
        self._recent: dict[bytes, int] = {}  # key -> place, of shards that were added since the index was sorted
        self.refresh()

    def __len__(self) -> int:
        """Return the number of rows; a picture that two processes encoded counts twice."""
        return len(self._index.keys) + len(self._recent)

    def __contains__(self, sha256: str) -> bool:
        return self._find(bytes.fromhex(sha256)) is not None

    def get(self, sha256: str) -> torch.Tensor:
        """Return (tokens, width) in the store's dtype. Raises DataError if there are no features of this picture."""
        place = self._find(bytes.fromhex(sha256))
        if place is None:
            raise DataError(
                f"{printable(self.directory)} has no features of the picture {sha256[:12]}...: run `{HOW}` again on "
                "the same data; it adds what is missing."
            )
        features: torch.Tensor = self._shards[place >> 32][place & 0xFFFFFFFF]
        return features

    def get_many(self, sha256s: Sequence[str]) -> torch.Tensor:
        """Return (B, tokens, width), in order. Raises DataError."""
        return torch.stack([self.get(one) for one in sha256s])

    def refresh(self) -> None:
        """Add the shards that were finished since. Raises DataError for a damaged one."""
        new = [path for path in sorted(self.directory.glob("part-*.safetensors")) if path.name not in self._names]
        parts = [self._index, *map(self._open, new)]
        if self._recent:
            places = np.array(list(self._recent.values()), np.uint64)
            parts.insert(1, _Index(np.array(list(self._recent), "S32"), places))
        if len(parts) > 1:
            self._index, self._recent = _merged(parts), {}

    def add(self, path: Path) -> None:
        """Add a shard that was just finished, and sometimes those of other writers. Raises DataError."""
        shard = self._open(path)
        keys = (key.ljust(32, b"\0") for key in shard.keys.tolist())
        self._recent |= dict(zip(keys, shard.places.tolist(), strict=True))
        if len(self._recent) > len(self._index.keys):  # so that each key is sorted a few times in all
            self.refresh()

    def _open(self, path: Path) -> _Index:
        manifest, number = self.manifest, len(self._shards)
        try:
            opened: Any = safe_open(path, framework="pt")
            features = opened.get_slice("features")
            keys = opened.get_tensor("keys").numpy()
            expected = ([len(keys), manifest.tokens, manifest.width], _STORED[manifest.dtype])
            if (features.get_shape(), features.get_dtype()) != expected or keys.shape[1:] != (32,):
                raise ValueError
        except OSError as error:
            raise DataError(f"{printable(path)} cannot be read: {error.strerror}.") from None
        except (ValueError, SafetensorError):
            raise DataError(f"{printable(path)} is damaged: delete it and run `{HOW}` again.") from None
        self._shards.append(features)
        self._names.add(path.name)
        places = np.arange(len(keys), dtype=np.uint64) | np.uint64(number << 32)
        return _Index(np.frombuffer(keys.tobytes(), "S32"), places)

    def _find(self, key: bytes) -> int | None:
        """Return shard << 32 | row."""
        if (place := self._recent.get(key)) is not None:
            return place
        keys = self._index.keys
        number = int(np.searchsorted(keys, np.bytes_(key)))
        found = number < len(keys) and keys[number] == key.rstrip(b"\0")  # NumPy drops zeros at the end
        return int(self._index.places[number]) if found else None


class FeatureWriter:
    """Add to a store, as the process called `name`. Use it in a `with`; leaving it, even by an error, keeps all.

    Raises UsageError if a process of that name is writing there.
    """

    def __init__(
        self, store: FeatureStore, name: str, *, rows: int = ROWS, flush_seconds: float = FLUSH_SECONDS
    ) -> None:
        self.store, self.name = store, name
        self.rows, self.flush_seconds = rows, flush_seconds
        self.written = 0
        self._rows: dict[str, torch.Tensor] = {}
        self._since = time.monotonic()
        self._lock = self._lock_of(name)

    def __enter__(self) -> Self:
        try:
            self._lock.acquire(timeout=WAIT)
        except Timeout:
            raise UsageError(
                f"another process writes features to {printable(self.store.directory)} as {self.name}: wait for it."
            ) from None
        self._remove_partial()
        own = f"part-{self.name}-"
        paths = [path for path in self.store.directory.glob("part-*.safetensors") if path.name.startswith(own)]
        self._next = max((int(path.stem.removeprefix(own)) for path in paths), default=-1) + 1
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.flush()
        finally:
            self._lock.release()

    def has(self, sha256: str) -> bool:
        """Whether the store has these features, or will have them with the next shard."""
        return sha256 in self._rows or sha256 in self.store

    def add(self, sha256: str, features: torch.Tensor) -> None:
        """Keep (tokens, width) for a picture. Raises DataError if the numbers do not fit into the store's dtype."""
        manifest = self.store.manifest
        kept = features.detach().to("cpu", _DTYPES[manifest.dtype])
        if not torch.isfinite(kept).all():
            reason = "are not finite" if not torch.isfinite(features).all() else f"do not fit into {manifest.dtype}"
            raise DataError(f"the features of the picture {sha256[:12]}... {reason}: take dtype bfloat16 or float32.")
        self._rows[sha256] = kept.reshape(manifest.tokens, manifest.width).clone()
        if len(self._rows) >= self.rows or time.monotonic() - self._since > self.flush_seconds:
            self.flush()

    def flush(self) -> None:
        """Write the pending rows as one shard, whole or not at all. Raises DataError."""
        self._since = time.monotonic()
        if not self._rows:
            return
        path = self.store.directory / f"part-{self.name}-{self._next:06d}.safetensors"
        keys = np.frombuffer(b"".join(map(bytes.fromhex, self._rows)), np.uint8).reshape(-1, 32).copy()
        rows = {"features": torch.stack(list(self._rows.values())), "keys": torch.from_numpy(keys)}
        with replacing(path, DataError, part=f"{path.name}.part") as file:
            file.write(save(rows, metadata={"format": "pt", "kind": KIND, "model": self.store.manifest.model}))
        self.written += len(self._rows)
        self._next += 1
        self._rows.clear()
        self.store.add(path)

    def _lock_of(self, name: str) -> FileLock:
        return FileLock(self.store.directory / f".writer-{name}.lock", thread_local=False)

    def _remove_partial(self) -> None:
        """Remove what killed writers left unfinished: their locks are free."""
        for path in self.store.directory.glob("part-*.safetensors.part"):
            writer = path.name.removeprefix("part-").rpartition("-")[0]
            lock = self._lock if writer == self.name else self._lock_of(writer)  # our own lock may be taken again
            try:
                with lock.acquire(blocking=False):
                    path.unlink(missing_ok=True)
            except Timeout:
                continue


def create_store(directory: Path, manifest: Manifest) -> FeatureStore:
    """Open the store at `directory`, or create it. Raises DataError if it holds something else."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with FileLock(directory / ".create.lock", timeout=60):
            if not (directory / MANIFEST).is_file():
                if any(not path.name.startswith(".") for path in directory.iterdir()):
                    raise DataError(f"{printable(directory)} holds other things: name an empty or a new directory.")
                write_json(directory / MANIFEST, {"kind": KIND, "version": 1, **asdict(manifest)})
    except OSError as error:
        raise DataError(f"{printable(directory)} cannot be written: {why(error)}.") from None
    store = FeatureStore(directory, manifest.model)
    if store.manifest != manifest:
        there = store.manifest
        raise DataError(
            f"{printable(directory)} holds {there.tokens} x {there.width} numbers in {there.dtype}, not "
            f"{manifest.tokens} x {manifest.width} in {manifest.dtype}: name another directory."
        )
    return store


def _read_manifest(directory: Path) -> Manifest:
    file = directory / MANIFEST
    try:
        value = json.loads(file.read_text("utf-8"))
        if value.pop("kind") != KIND or value.pop("version") != 1:
            raise ValueError
        return Manifest(**value)
    except FileNotFoundError:
        raise DataError(f"{printable(directory)} holds no features: write them with `{HOW}`.") from None
    except OSError as error:
        raise DataError(f"{printable(file)} cannot be read: {error.strerror}.") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise DataError(f"{printable(file)} is not what `{HOW}` writes: name another directory.") from None
