"""Open a directory in Hugging Face's layout: checked before anything large is read, each choice with its reason.

Shared by the eyes that take such a directory as it is, `transformers:` and `blip2:`.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, Final, Self, get_args
from urllib.parse import parse_qsl

from core.entries import one_line
from core.errors import BackendError, UsageError, printable
from plugins.minigpt4.choices import DType, Quantize
from plugins.minigpt4.memory import BYTES, GB, free_memory

WEIGHTS: Final = ("model.safetensors", "pytorch_model.bin")
SAMPLES: Final = 256  # of 4 KB, read from a file that is too large to be read as a whole
# What from_pretrained raises for files that are missing, broken or of another model.
LOADING_ERRORS: Final = (
    OSError, ValueError, RuntimeError, ImportError, KeyError, TypeError, AttributeError, AssertionError,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """How a model is opened. On the command line: `PLUGIN:DIRECTORY?dtype=float16&quantize=8bit`."""

    plugin: ClassVar[str] = "transformers"

    dtype: DType = "auto"
    device: str = "auto"  # "cpu", "cuda:1", ...
    device_map: str | None = None  # "auto", "balanced", ...: spread over several devices by accelerate
    quantize: Quantize = "none"  # of the language model, by bitsandbytes

    @classmethod
    def parse(cls, argument: str) -> tuple[str, Self]:
        """ "NAME?option=value&..." as name and options. Raises UsageError."""
        text, mark, query = argument.rpartition("?")
        if not mark or Path(argument).expanduser().exists():
            return argument, cls()
        known = [one.name for one in fields(cls)]
        given: dict[str, Any] = dict(parse_qsl(query, keep_blank_values=True))
        for name in given:
            if name not in known:
                raise UsageError(
                    f"{cls.plugin} has no option {printable(name)!r}; it has {', '.join(known)}, as in "
                    f"{cls.plugin}:{printable(text)}?dtype=float32."
                )
        return text, cls(**given)

    def __post_init__(self) -> None:
        allowed = {"dtype": get_args(DType), "quantize": get_args(Quantize)}
        for name, values in allowed.items():
            if getattr(self, name) not in values:
                words = ", ".join(values)
                raise UsageError(f"{name}={printable(getattr(self, name))!r} is not known; choose one of {words}.")


@dataclass(frozen=True, slots=True)
class Directory:
    """A model's directory with readable configuration and weights that are all there."""

    path: Path
    config: Mapping[str, Any]
    shapes: Mapping[str, tuple[int, ...]]  # of the stored tensors; empty for a pickle, which is not opened for that
    digest: str

    def bytes(self, dtype: str) -> int:
        """Size of the weights as numbers of this type; 0 where that is not known."""
        return int(sum(math.prod(shape) for shape in self.shapes.values()) * BYTES[dtype])

    def shape(self, ending: str) -> tuple[int, ...] | None:
        """Shape of the tensor whose name ends so."""
        return next((shape for name, shape in self.shapes.items() if name.endswith(ending)), None)


def find(text: str, plugin: str) -> Path:
    """The directory that `text` is, or that holds the hub's model of this name. Raises UsageError, BackendError."""
    path = Path(text).expanduser()
    if path.is_dir():
        return path.resolve()
    from plugins.minigpt4.hub import model_directory  # imports torch, which a mistyped directory need not wait for

    return model_directory(text, f"{plugin}:")


def check(path: Path) -> Directory:
    """What can be known without reading the weights. Raises BackendError, one line."""
    config = read_json(path / "config.json", "give the directory of a model in Hugging Face's layout")
    return Directory(path, config, _shapes(path), _digest(path))


def read_json(file: Path, way_out: str = "fetch the model again") -> dict[str, Any]:
    """Raises BackendError, one line, where there is no such file or no JSON object in it."""
    try:
        value = json.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        raise BackendError(f"{printable(file.parent)} has no {file.name}; {way_out}.") from None
    except (OSError, ValueError):
        raise BackendError(f"{printable(file)} cannot be read as JSON; {way_out}.") from None
    if not isinstance(value, dict):
        raise BackendError(f"{printable(file)} holds no JSON object; {way_out}.")
    return value


def _shapes(path: Path) -> dict[str, tuple[int, ...]]:
    from safetensors import SafetensorError, safe_open

    shapes: dict[str, tuple[int, ...]] = {}
    for file in _weight_files(path):
        if file.suffix != ".safetensors":
            continue
        try:
            with safe_open(file, framework="np") as opened:
                shapes |= {name: tuple(opened.get_slice(name).get_shape()) for name in opened.keys()}  # noqa: SIM118
        except (SafetensorError, OSError, ValueError):
            raise BackendError(
                f"{printable(file)} ({file.stat().st_size} bytes) is cut short or no safetensors file; fetch it again."
            ) from None
    return shapes


def _weight_files(path: Path) -> list[Path]:
    for single in WEIGHTS:
        index = path / f"{single}.index.json"
        if index.is_file():
            named = read_json(index).get("weight_map")
            names = sorted({str(name) for name in named.values()}) if isinstance(named, dict) else []
        else:
            names = [single] if (path / single).is_file() else []
        if not names and not index.is_file():
            continue
        missing = [name for name in names if not (path / name).is_file()]
        if missing or not names:
            more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
            what = f"{', '.join(missing[:3])}{more} is missing" if missing else f"{index.name} names no file"
            raise BackendError(f"{printable(path)} lacks weights: {what}; fetch the model again.")
        return [path / name for name in names]
    raise BackendError(f"{printable(path)} has no weights: neither {WEIGHTS[0]} nor {WEIGHTS[1]} is there.")


def _digest(path: Path) -> str:
    """12 hex digits of everything that decides an answer.

    Files up to 64 MB count as a whole, of larger ones the size and samples: reading 15 GB would take longer than
    loading them does.
    """
    hasher = hashlib.sha256()
    small = {*path.glob("*.json"), *path.glob("*.jinja"), *path.glob("*.model"), *path.glob("*.txt")}
    for file in sorted({*small, *_weight_files(path)}):
        size = file.stat().st_size
        hasher.update(f"{file.name}:{size}\n".encode())
        with file.open("rb") as stream:
            if size <= 64 << 20:
                hasher.update(stream.read())
                continue
            hasher.update(stream.read(1 << 20))
            for sample in range(SAMPLES):
                stream.seek((size - 4096) * sample // (SAMPLES - 1))
                hasher.update(stream.read(4096))
    return hasher.hexdigest()[:12]


def choose_device(options: LoadOptions) -> tuple[str, str]:
    """The device and why. Raises UsageError, BackendError."""
    import torch

    if options.device == "auto":
        if torch.cuda.is_available():
            return "cuda:0", "a CUDA GPU is there"
        return "cpu", "no CUDA GPU is there"
    try:
        device = torch.device(options.device)
    except RuntimeError:
        raise UsageError(f"device={printable(options.device)!r} is not known; say cpu, cuda, cuda:1 or mps.") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise BackendError(f"there is no {device}: {torch.cuda.device_count()} CUDA GPUs were found; say device=cpu.")
    return str(device), f"{device} was asked for"


def choose_dtype(directory: Directory, options: LoadOptions, device: str, half: bool = True) -> tuple[str, str]:
    """The type of the numbers and why. `half=False`: the model does not survive float16.

    Raises BackendError where the weights alone are larger than the free memory: later the system would end the process.
    """
    dtype, why = _dtype(options, device, half)
    if options.device_map or options.quantize != "none" or (free := free_memory(device)) is None:
        return dtype, why
    if directory.bytes(dtype) > free and options.dtype == "auto" and device == "cpu":
        why = f"bfloat16 because float32 would take {directory.bytes(dtype) / GB:.1f} GB, and {free / GB:.1f} are free"
        dtype = "bfloat16"
    if (size := directory.bytes(dtype)) > free:
        smaller = "?dtype=bfloat16" if device == "cpu" else "?quantize=8bit, ?quantize=4bit or ?device_map=auto"
        way_out = "take a smaller model" if device == "cpu" and dtype != "float32" else f"say {smaller} behind the name"
        raise BackendError(
            f"{printable(directory.path)} takes {size / GB:.1f} GB as {dtype}, and {free / GB:.1f} GB are free on "
            f"{device}: close other programs, or {way_out}."
        )
    return dtype, why


def _dtype(options: LoadOptions, device: str, half: bool) -> tuple[str, str]:
    import torch

    if options.dtype != "auto":
        return options.dtype, f"{options.dtype} was asked for"
    if device == "cpu":
        return "float32", "float32 because CPUs are slow and less exact in 16 bit"
    if device.startswith("cuda") and torch.cuda.is_bf16_supported(including_emulation=False):
        return "bfloat16", "bfloat16 because this GPU computes it and it has the range of float32"
    where = "this GPU" if device.startswith("cuda") else device
    if not half:
        return "float32", f"float32 because {where} may not compute bfloat16 and the range of float16 is too small"
    return "float16", f"float16 because {where} may not compute bfloat16"


def placing(options: LoadOptions, device: str, dtype: str, exact: Sequence[str] = ()) -> dict[str, Any]:
    """Arguments of `from_pretrained`: type, place and quantization. Modules in `exact` keep their type.

    Raises BackendError where quantization is asked for and cannot be.
    """
    import torch

    arguments: dict[str, Any] = {"dtype": getattr(torch, dtype), "local_files_only": True}
    if options.device_map:
        arguments["device_map"] = options.device_map
    elif device != "cpu":
        arguments["device_map"] = {"": device}  # straight to the device: no second copy in main memory
    if options.quantize == "none":
        return arguments
    if importlib.util.find_spec("bitsandbytes") is None:
        raise BackendError(
            f"quantize={options.quantize} needs the package bitsandbytes: `pip install bitsandbytes`, or leave it out."
        )
    if not device.startswith("cuda"):
        raise BackendError(f"quantize={options.quantize} needs a CUDA GPU, and the device is {device}; leave it out.")
    from transformers import BitsAndBytesConfig

    skip = list(exact) or None
    if options.quantize == "8bit":
        arguments["quantization_config"] = BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=skip)
    else:
        arguments["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_compute_dtype=arguments["dtype"],
            llm_int8_skip_modules=skip,
        )
    return arguments


def load(path: Path, opener: Callable[..., Any], *, strict: bool, **arguments: Any) -> tuple[Any, list[str]]:
    """`opener(path, ...)`, which is a `from_pretrained`, and the stored tensors that the model has no use for.

    Such tensors are an error where `strict` is set. Missing ones and those of another shape always are. Raises
    BackendError, one line.
    """
    import torch
    from safetensors import SafetensorError

    where = printable(path)
    try:
        with quiet():
            # sizes that do not match are reported here, by name, instead of raised without one
            model, report = opener(
                path, output_loading_info=True, trust_remote_code=False, ignore_mismatched_sizes=True, **arguments
            )
    except torch.OutOfMemoryError as error:
        raise BackendError(
            f"{where} does not fit into the memory of the device; add ?quantize=8bit or ?device_map=auto behind it."
        ) from error
    except (*LOADING_ERRORS, SafetensorError) as error:
        raise BackendError(f"the model in {where} cannot be loaded: {one_line(error)}.") from error
    unused = sorted(map(str, report.get("unexpected_keys") or ()))
    wrong = {
        "missing": sorted(map(str, report.get("missing_keys") or ())),
        "of another size": sorted(
            f"{name}: {list(stored)} instead of {list(wanted)}"
            for name, stored, wanted in report.get("mismatched_keys") or ()
        ),
        "unexpected": unused if strict else [],
    }
    if any(wrong.values()):
        counted = ", ".join(f"{len(keys)} {kind} (first {printable(keys[0])})" for kind, keys in wrong.items() if keys)
        raise BackendError(
            f"the weights in {where} do not fit the model that its config.json describes: {counted}; nothing it says "
            "could be trusted, so fetch or convert it again."
        )
    model.eval()
    return model, unused


@contextmanager
def quiet() -> Iterator[None]:
    """Without transformers' progress bars and warnings: what matters of them becomes one line of our own."""
    from transformers.utils import logging

    bars, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
