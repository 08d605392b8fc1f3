"""Where weights lie and how they are read: safetensors and PyTorch files, one tensor at a time.

Nothing is unpickled but tensors and plain containers (`weights_only=True`), and nothing is read before it is asked for.
PyTorch's files are mapped into memory, one at a time. Safetensors files are read with `seek` and `readinto`: the
library maps a whole file for writing, which the system refuses where it is larger than the memory (26 GB in one file).
"""

from __future__ import annotations

import hashlib
import json
import math
import pickle
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from core.errors import BackendError, UsageError, printable

_MAX_HEADER = 100 << 20
_LFS = b"version https://git-lfs"
_SAFETENSORS_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


@dataclass(frozen=True, slots=True)
class Stored:
    """A tensor that lies in a file."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    file: Path


class Tensors:
    """The tensors of one or several files by name; of two equal names the first counts. Raises BackendError.

    `read` opens the file it needs and closes the one before, so reading file by file keeps one in memory.
    """

    def __init__(self, files: Iterable[Path], *, inside: tuple[str, ...] = ()) -> None:
        """`inside` are keys under which a PyTorch file may keep its tensors ("model", "state_dict")."""
        self._inside = inside
        self._open: tuple[Path, Any] | None = None
        self.files = tuple(files)
        self.stored: dict[str, Stored] = {}
        for file in self.files:
            for name, stored in self._list(file).items():
                self.stored.setdefault(name, stored)
        self.close()

    def refuse_quantised(self, names: Iterable[str], where: str) -> None:
        """Whole numbers are quantised weights, noise when read as they are. Raises BackendError."""
        for name in names:
            if not (dtype := self.stored[name].dtype).is_floating_point:
                raise BackendError(
                    f"{where}: '{printable(name, 80)}' is stored as {str(dtype).removeprefix('torch.')}: these are "
                    "quantised weights; take the model's float16, bfloat16 or float32 ones."
                )

    def read(self, name: str) -> torch.Tensor:
        """The tensor called `name`, as it is stored; valid until another file is read or `close`."""
        return self._opened(self.stored[name].file)(name)

    def close(self) -> None:
        """Unmap the file that is open."""
        self._open = None

    def _opened(self, file: Path) -> Callable[[str], torch.Tensor]:
        if self._open is None or self._open[0] != file:
            self._open = None  # unmapped before the next one is mapped
            if file.suffix == ".safetensors":
                self._open = (file, _Safetensors(file).read)
            else:
                self._open = (file, _open_pickle(file, self._inside).__getitem__)
        opened: Callable[[str], torch.Tensor] = self._open[1]
        return opened

    def _list(self, file: Path) -> dict[str, Stored]:
        if file.suffix != ".safetensors":
            tensors = _open_pickle(file, self._inside)
            return {name: Stored(tuple(value.shape), value.dtype, file) for name, value in tensors.items()}
        return _Safetensors(file).stored


class _Safetensors:
    """A safetensors file: 8 bytes with the header's length, the header in JSON, the tensors. Raises BackendError."""

    def __init__(self, file: Path) -> None:
        _refuse_pointer(file)
        self.file = file
        self.stored: dict[str, Stored] = {}
        self._places: dict[str, tuple[int, int]] = {}
        damaged = BackendError(f"{printable(file)} is damaged or cut off: fetch it again.")
        size = file.stat().st_size
        with file.open("rb") as opened:
            length = int.from_bytes(opened.read(8), "little")
            if not 2 <= length <= min(size - 8, _MAX_HEADER):
                raise damaged
            try:
                header = json.loads(opened.read(length))
                header.pop("__metadata__", None)
                for name, entry in header.items():
                    self._add(name, entry, 8 + length)
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                raise damaged from error
        if max((end for _, end in self._places.values()), default=8 + length) != size:
            raise damaged

    def _add(self, name: str, entry: dict[str, Any], start: int) -> None:
        dtype = _SAFETENSORS_DTYPES.get(entry["dtype"])
        if dtype is None:
            raise BackendError(
                f"{printable(self.file)}: '{printable(name, 80)}' is stored as {printable(entry['dtype'], 20)}, a "
                "quantised "
                "type; take the model's float16, bfloat16 or float32 weights."
            )
        shape = tuple(int(length) for length in entry["shape"])
        begin, end = (start + int(offset) for offset in entry["data_offsets"])
        if begin < start or min(shape, default=0) < 0 or end - begin != math.prod(shape) * dtype.itemsize:
            raise ValueError(name)
        self.stored[name] = Stored(shape, dtype, self.file)
        self._places[name] = (begin, end)

    def read(self, name: str) -> torch.Tensor:
        """One tensor, in memory of its own."""
        stored, (begin, end) = self.stored[name], self._places[name]
        tensor = torch.empty(stored.shape, dtype=stored.dtype)
        with self.file.open("rb", buffering=0) as opened:
            opened.seek(begin)
            view = memoryview(tensor.reshape(-1).view(torch.uint8).numpy())
            done = 0
            while done < end - begin:  # one call reads 2 GB at most
                count = opened.readinto(view[done:])
                if not count:
                    raise BackendError(f"{printable(self.file)} became shorter while it was read: start again.")
                done += count
        return tensor


def _refuse_pointer(file: Path) -> None:
    try:
        with file.open("rb") as opened:
            beginning = opened.read(len(_LFS))
    except OSError as error:
        raise BackendError(f"{printable(file)} cannot be read: {error.strerror or error}.") from error
    if beginning == _LFS:
        raise BackendError(
            f"{printable(file)} is a Git LFS pointer and not the weights: run `git lfs pull` in its folder."
        )


def _open_pickle(file: Path, inside: tuple[str, ...]) -> dict[str, torch.Tensor]:
    """The tensors of a `torch.save` file, mapped and not copied where its format allows that."""
    _refuse_pointer(file)
    try:
        with file.open("rb") as opened:
            start = opened.read(4)
        if start == b"GGUF":
            raise BackendError(f"{printable(file)} is a GGUF file, llama.cpp's format: take the original weights.")
        # files from before PyTorch 1.6 are no zip archives and cannot be mapped
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about pickles that are refused below, or read as well
            content = torch.load(file, map_location="cpu", weights_only=True, mmap=start[:2] == b"PK")
    except pickle.UnpicklingError as error:
        raise BackendError(
            f"{printable(file)} is not a file of tensors only ({_forbidden(error)}): "
            "it is not opened, because loading such a file could run a program; get the original one."
        ) from error
    except (OSError, RuntimeError, EOFError, ValueError, LookupError, TypeError, AttributeError) as error:
        reason = printable(str(error).partition("\n")[0], 120)
        if "allocate memory" in reason:
            raise BackendError(
                f"{printable(file)} is larger than the memory, and PyTorch's own format is read through it: take the "
                "model in "
                "several shards, or as safetensors."
            ) from error
        raise BackendError(f"{printable(file)} is damaged or cut off ({reason}): fetch it again.") from error
    for key in inside:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
            break
    if not isinstance(content, dict):
        raise BackendError(
            f"{printable(file)} holds a {type(content).__name__} and no tensors by name: it is not a checkpoint."
        )
    return {str(name): value for name, value in content.items() if isinstance(value, torch.Tensor)}


def _forbidden(error: BaseException) -> str:
    """What a refused pickle wanted to load, out of PyTorch's long explanation."""
    words = str(error).replace("`", " ").split()
    for before, name in zip(words, words[1:], strict=False):
        if before == "GLOBAL":
            return f"it asks for {printable(name, 80)}"
    return "it holds something else or is damaged"


def read_json(file: Path) -> dict[str, Any]:
    """A JSON object. Raises BackendError where the file is missing, cut off or something else."""
    try:
        value = json.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        raise BackendError(
            f"{printable(file)} is missing: {printable(file.parent)} is not a Hugging Face model."
        ) from None
    except (OSError, ValueError) as error:
        raise BackendError(f"{printable(file)} cannot be read ({printable(error, 100)}): fetch it again.") from error
    if not isinstance(value, dict):
        raise BackendError(f"{printable(file)} holds no JSON object: fetch it again.")
    return value


def existing_file(path: Path, option: str) -> Path:
    """`path` made absolute. Raises UsageError where there is no such file."""
    path = path.expanduser()
    if not path.is_file():
        what = "is a directory, and a file is expected" if path.is_dir() else "does not exist"
        raise UsageError(f"{option} {printable(path)} {what}.")
    return path.resolve()


def sha256(file: Path) -> str:
    """Of the whole file, as hexadecimal digits."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
