"""Read weights from safetensors and PyTorch files, one tensor at a time.

Pickles may contain only tensors and plain containers (`weights_only=True`). PyTorch files are mapped into memory, one
at a time. Safetensors tensors are read from their offsets: `safe_open` maps the whole file for writing when it returns
PyTorch tensors, which fails for files larger than the memory.
"""

from __future__ import annotations

import hashlib
import math
import pickle
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open

from core.errors import BackendError, UsageError, printable
from core.files.model_folder import is_pointer

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
    """A tensor in a file."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    file: Path

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * int(self.dtype.itemsize)


class Tensors:
    """The tensors of several files by name; the first of two equal names counts. Raises BackendError.

    `read` closes the previous file, so reading file by file keeps one in memory.
    """

    def __init__(self, files: Iterable[Path], *, inside: tuple[str, ...] = ()) -> None:
        """`inside`: keys under which a PyTorch file may store its tensors ("model", "state_dict")."""
        self._inside = inside
        self._open: tuple[Path, Any] | None = None
        self.files = tuple(files)
        self.stored: dict[str, Stored] = {}
        for file in self.files:
            for name, stored in self._list(file).items():
                self.stored.setdefault(name, stored)
        self.close()

    def refuse_quantised(self, names: Iterable[str], where: str) -> None:
        """Raise BackendError for tensors of integers, which are quantised weights."""
        for name in names:
            if not (dtype := self.stored[name].dtype).is_floating_point:
                raise BackendError(
                    f"{where}: '{printable(name, 80)}' is stored as {str(dtype).removeprefix('torch.')}: these are "
                    "quantised weights; take the model's float16, bfloat16 or float32 ones."
                )

    def read(self, name: str) -> torch.Tensor:
        """The tensor `name` as stored; valid until another file is read or `close`."""
        return self._opened(self.stored[name].file)(name)

    def close(self) -> None:
        """Unmap the open file."""
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
    """The tensors of a safetensors file, read without mapping the file. Raises BackendError."""

    def __init__(self, file: Path) -> None:
        _refuse_pointer(file)
        self.file = file
        self.stored: dict[str, Stored] = {}
        self._begins: dict[str, int] = {}
        try:
            with safe_open(file, framework="np") as opened:
                slices = {name: opened.get_slice(name) for name in opened.offset_keys()}
        except (SafetensorError, OSError, ValueError) as error:
            raise BackendError(f"{printable(file)} is damaged or cut off: fetch it again.") from error
        for name, one in slices.items():
            if (dtype := _SAFETENSORS_DTYPES.get(one.get_dtype())) is None:
                raise BackendError(
                    f"{printable(file)}: '{printable(name, 80)}' is stored as {printable(one.get_dtype(), 20)}, a "
                    "quantised type; take the model's float16, bfloat16 or float32 weights."
                )
            self.stored[name] = Stored(tuple(one.get_shape()), dtype, file)
        # The tensors fill the end of the file without gaps (https://github.com/huggingface/safetensors#format).
        begin = file.stat().st_size - sum(stored.nbytes for stored in self.stored.values())
        for name, stored in self.stored.items():
            self._begins[name] = begin
            begin += stored.nbytes

    def read(self, name: str) -> torch.Tensor:
        """Copy one tensor into memory."""
        stored = self.stored[name]
        data = np.fromfile(self.file, np.uint8, stored.nbytes, offset=self._begins[name])
        if len(data) < stored.nbytes:
            raise BackendError(f"{printable(self.file)} became shorter while it was read: start again.")
        return torch.from_numpy(data).view(stored.dtype).reshape(stored.shape)


def _refuse_pointer(file: Path) -> None:
    if is_pointer(file):
        raise BackendError(
            f"{printable(file)} is a Git LFS pointer and not the weights: run `git lfs pull` in its folder."
        )


def _open_pickle(file: Path, inside: tuple[str, ...]) -> dict[str, torch.Tensor]:
    """The tensors of a `torch.save` file, mapped if its format allows it."""
    _refuse_pointer(file)
    try:
        with file.open("rb") as opened:
            start = opened.read(4)
        if start == b"GGUF":
            raise BackendError(f"{printable(file)} is a GGUF file, llama.cpp's format: take the original weights.")
        # Files from before PyTorch 1.6 are no zip archives and cannot be mapped.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about pickles that are refused below
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
                "model in several shards, or as safetensors."
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
    """What a refused pickle tried to load, from PyTorch's long message."""
    words = str(error).replace("`", " ").split()
    for before, name in zip(words, words[1:], strict=False):
        if before == "GLOBAL":
            return f"it asks for {printable(name, 80)}"
    return "it holds something else or is damaged"


def existing_file(path: Path, option: str) -> Path:
    """`path` as absolute path. Raises UsageError if there is no such file."""
    path = path.expanduser()
    if not path.is_file():
        what = "is a directory, and a file is expected" if path.is_dir() else "does not exist"
        raise UsageError(f"{option} {printable(path)} {what}.")
    return path.resolve()


def sha256(file: Path) -> str:
    """Of the whole file, as hexadecimal digits."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
