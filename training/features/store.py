"""The feature store on disk: written by several processes at once, read by the picture's sha256.

`features.json` says what all rows have in common; safetensors shards hold `features` (N, tokens, width) and `keys`
(N, 32). A shard gets its name when it is whole, so a killed writer loses the pictures since its last shard and nothing
else. Every process writes shards of its own. In memory: 16 bytes per picture.
"""

from __future__ import annotations

import json
import os
import struct
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO, Final, Literal, Self

import numpy as np
import torch
from filelock import FileLock, Timeout
from safetensors.torch import save

from core.datasets.samples.sample import DataError
from core.errors import UsageError, printable
from core.files.atomic import replacing
from plugins.minigpt4.convert.writing import write_json
from training.features.vision import safetensors_header, vision_fingerprint

KIND: Final = "inquisight-features"
MANIFEST: Final = "features.json"
HOW: Final = "inquisight train features"
ROWS: Final = 2048  # per shard: 100 MB, and what a kill may cost
FLUSH_SECONDS: Final = 120.0
OPEN_FILES: Final = 128
WAIT: Final = 10.0  # seconds for a name: another writer may just be sweeping behind a killed one of that name
DType = Literal["float16", "bfloat16", "float32"]
_DTYPES: Final[dict[str, torch.dtype]] = {
    "float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32
}  # fmt: skip
_SAFE: Final = {"F16": "float16", "BF16": "bfloat16", "F32": "float32"}


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


@dataclass(slots=True)
class _Shard:
    path: Path
    rows: int
    features: int  # first byte
    keys: int  # first byte


@dataclass(frozen=True, slots=True)
class _Run:
    """Keys of some shards, in order."""

    prefixes: np.ndarray  # (N,) uint64: the first 8 bytes of each key
    places: np.ndarray  # (N,) uint64: shard << 32 | row


def _joined(runs: Sequence[_Run]) -> _Run:
    """All of them as one, sorted; of equal prefixes the one that came first stays first."""
    prefixes = np.concatenate([run.prefixes for run in runs])
    places = np.concatenate([run.places for run in runs])
    order = np.argsort(prefixes, kind="stable")
    return _Run(prefixes[order], places[order])


class FeatureStore:
    """Features by the picture's sha256. Opening reads 32 bytes per picture; `get` may be called from several threads.

    `model` is the directory of the model that will be trained, or its fingerprint: a store of another one is refused.
    Raises DataError, one line.
    """

    def __init__(self, directory: Path, model: Path | str | None = None) -> None:
        self.directory = directory
        self.manifest = _read_manifest(directory)
        if model is not None:
            wanted = vision_fingerprint(model) if isinstance(model, Path) else model
            if wanted != self.manifest.model:
                raise DataError(
                    f"{printable(directory)} holds features of another vision model ({self.manifest.model}, not "
                    f"{wanted}): write them into another directory with `{HOW}`."
                )
        self._shards: list[_Shard] = []
        self._names: set[str] = set()
        self._runs: list[_Run] = []  # the older the longer, so that there are few of them however many shards came
        self._looked_at = 0  # shards that were known when the folder was listed last
        self._files: OrderedDict[int, BinaryIO] = OrderedDict()
        self._lock = threading.Lock()
        self.refresh()

    def __len__(self) -> int:
        """Rows; a picture that two processes met counts twice."""
        return sum(len(run.prefixes) for run in self._runs)

    def __contains__(self, sha256: str) -> bool:
        return self._find(bytes.fromhex(sha256)) is not None

    def get(self, sha256: str) -> torch.Tensor:
        """(tokens, width) in the store's dtype. Raises DataError where there are none of this picture."""
        found = self._find(bytes.fromhex(sha256))
        if found is None:
            raise DataError(
                f"{printable(self.directory)} has no features of the picture {sha256[:12]}...: run `{HOW}` again on "
                "the same data; it adds what is missing."
            )
        shard, row = found
        size = self.manifest.row_bytes
        data = self._read(shard, self._shards[shard].features + row * size, size)
        return torch.frombuffer(data, dtype=_DTYPES[self.manifest.dtype]).view(
            self.manifest.tokens, self.manifest.width
        )

    def get_many(self, sha256s: Sequence[str]) -> torch.Tensor:
        """(B, tokens, width), in order. Raises DataError."""
        return torch.stack([self.get(one) for one in sha256s])

    def refresh(self) -> None:
        """Take in the shards that were finished since. Raises DataError for one that is damaged."""
        new = [path for path in sorted(self.directory.glob("part-*.safetensors")) if path.name not in self._names]
        self._add(new)
        self._looked_at = len(self._shards)

    def take_in(self, path: Path) -> None:
        """Take in a shard that was just finished; those of other writers now and then. Raises DataError."""
        if len(self._shards) >= 2 * self._looked_at:  # so that all listings together are as long as a few of the last
            self.refresh()
        elif path.name not in self._names:
            self._add([path])

    def close(self) -> None:
        """Close the files; the next `get` opens what it needs."""
        with self._lock:
            while self._files:
                self._files.popitem()[1].close()

    def _add(self, paths: Sequence[Path]) -> None:
        """Put the keys of these shards in order, and together with runs that are no longer than they are."""
        runs: list[_Run] = []
        for path in paths:
            shard = _open_shard(path, self.manifest)
            number = len(self._shards)
            self._shards.append(shard)
            self._names.add(path.name)
            keys = np.frombuffer(self._read(number, shard.keys, shard.rows * 32), np.uint8).reshape(-1, 32)
            prefixes = np.ascontiguousarray(keys[:, :8]).view(">u8")[:, 0].astype(np.uint64)
            rows = np.arange(len(prefixes), dtype=np.uint64)
            runs.append(_Run(prefixes, (np.uint64(number) << np.uint64(32)) | rows))
        if not runs:
            return
        length = sum(len(run.prefixes) for run in runs)
        while self._runs and len(self._runs[-1].prefixes) <= length:
            run = self._runs.pop()
            length += len(run.prefixes)
            runs.insert(0, run)
        self._runs.append(_joined(runs))

    def _find(self, key: bytes) -> tuple[int, int] | None:
        prefix = np.uint64(int.from_bytes(key[:8]))
        for run in self._runs:
            place = int(np.searchsorted(run.prefixes, prefix))
            while place < len(run.prefixes) and run.prefixes[place] == prefix:
                shard, row = divmod(int(run.places[place]), 1 << 32)
                if self._read(shard, self._shards[shard].keys + row * 32, 32) == key:
                    return shard, row
                place += 1
        return None

    def _read(self, shard: int, offset: int, size: int) -> bytearray:
        """So many bytes of a shard; the files used last stay open."""
        data = bytearray(size)
        path = self._shards[shard].path
        try:
            with self._lock:
                file = self._files.pop(shard, None) or path.open("rb", buffering=0)
                self._files[shard] = file
                if len(self._files) > OPEN_FILES:
                    self._files.popitem(last=False)[1].close()
                got = os.preadv(file.fileno(), [data], offset)
        except OSError as error:
            raise DataError(f"{printable(path)} cannot be read: {error.strerror}.") from None
        if got != size:
            raise DataError(f"{printable(path)} ends too early: delete it and run `{HOW}` again.")
        return data


class FeatureWriter:
    """Adds to a store, as the process called `name`. Use it in a `with`; leaving it, even by an error, keeps all.

    Raises UsageError where a process of that name is writing there already.
    """

    def __init__(
        self, store: FeatureStore, name: str, *, rows: int = ROWS, flush_seconds: float = FLUSH_SECONDS
    ) -> None:
        self.store, self.name = store, name
        self.rows, self.flush_seconds = rows, flush_seconds
        self.written = 0
        self._rows: dict[str, torch.Tensor] = {}
        self._since = time.monotonic()
        self._lock = FileLock(store.directory / f".writer-{name}.lock", thread_local=False)

    def __enter__(self) -> Self:
        try:
            self._lock.acquire(timeout=WAIT)
        except Timeout:
            raise UsageError(
                f"another process writes features to {printable(self.store.directory)} as {self.name}: wait for it."
            ) from None
        self._sweep()
        numbers = [int(path.stem.rpartition("-")[2]) for path in self._own("part-*.safetensors")]
        self._next = max(numbers, default=-1) + 1
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.flush()
        finally:
            self._lock.release()

    def has(self, sha256: str) -> bool:
        """Whether the store has it or will have it with the next shard."""
        return sha256 in self._rows or sha256 in self.store

    def add(self, sha256: str, features: torch.Tensor) -> None:
        """Keep (tokens, width) for a picture. Raises DataError where the numbers do not fit into the store's dtype."""
        manifest = self.store.manifest
        kept = features.detach().to("cpu", _DTYPES[manifest.dtype])
        if not torch.isfinite(kept).all():
            why = "are not finite" if not torch.isfinite(features).all() else f"do not fit into {manifest.dtype}"
            raise DataError(f"the features of the picture {sha256[:12]}... {why}: take dtype bfloat16 or float32.")
        self._rows[sha256] = kept.reshape(manifest.tokens, manifest.width).clone()
        if len(self._rows) >= self.rows or time.monotonic() - self._since > self.flush_seconds:
            self.flush()

    def flush(self) -> None:
        """Write what is waiting as one shard, whole or not at all. Raises DataError."""
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
        self.store.take_in(path)

    def _sweep(self) -> None:
        """Remove what killed writers left half written: their locks are free."""
        for path in self.store.directory.glob("part-*.safetensors.part"):
            writer = path.name.removeprefix("part-").rpartition("-")[0]
            if writer == self.name:
                path.unlink(missing_ok=True)
                continue
            lock = FileLock(self.store.directory / f".writer-{writer}.lock", thread_local=False)
            try:
                lock.acquire(blocking=False)
            except Timeout:
                continue
            path.unlink(missing_ok=True)
            lock.release()

    def _own(self, pattern: str) -> list[Path]:
        start = f"part-{self.name}-"
        return [path for path in self.store.directory.glob(pattern) if path.name.startswith(start)]


def create_store(directory: Path, manifest: Manifest) -> FeatureStore:
    """The store at `directory`, made where there is none. Raises DataError where it holds something else."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with FileLock(directory / ".create.lock", timeout=60):
            if not (directory / MANIFEST).is_file():
                if any(not path.name.startswith(".") for path in directory.iterdir()):
                    raise DataError(f"{printable(directory)} holds other things: name an empty or a new directory.")
                write_json(directory / MANIFEST, {"kind": KIND, "version": 1, **asdict(manifest)})
    except OSError as error:
        raise DataError(f"{printable(directory)} cannot be written: {error.strerror or error}.") from None
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


def _open_shard(path: Path, manifest: Manifest) -> _Shard:
    try:
        start, header = safetensors_header(path)
        features, keys = header["features"], header["keys"]
        rows, tokens, width = features["shape"]
        there = (tokens, width, _SAFE.get(features["dtype"]))
        if (*keys["shape"], *there) != (rows, 32, manifest.tokens, manifest.width, manifest.dtype):
            raise ValueError
        last = max(features["data_offsets"][1], keys["data_offsets"][1])
        if path.stat().st_size != start + last:
            raise ValueError
        return _Shard(path, rows, start + features["data_offsets"][0], start + keys["data_offsets"][0])
    except OSError as error:
        raise DataError(f"{printable(path)} cannot be read: {error.strerror}.") from None
    except (ValueError, KeyError, TypeError, struct.error):
        raise DataError(f"{printable(path)} is damaged: delete it and run `{HOW}` again.") from None
