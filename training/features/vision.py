"""The frozen half of a converted MiniGPT-4, and what tells two of them apart.

eye = FrozenVision.open(Path("minigpt4-7b"))
eye(torch.stack([eye.pixels(picture)]))   # (1, 32, 768): what `language_projection` takes in
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import struct
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import torch
from PIL import Image

from core.datasets.samples.sample import DataError
from core.errors import printable
from core.images.picture import Picture
from plugins.minigpt4.runtime.loading import Checked, check
from plugins.pocket.training import is_pocket

EDITION: Final = 1  # to be raised when the code computes other features from the same weights
_NOT_VISION: Final = ("language_model.", "language_projection.")


class FrozenVision:
    """The frozen half of a converted MiniGPT-4: vision tower and Q-Former, without the language model."""

    def __init__(self, model: Any, checked: Checked, fingerprint: str, device: str, choice: str) -> None:
        self.model, self.fingerprint, self.device, self.choice = model, fingerprint, device, choice
        self.image_size = checked.image_size
        self.mean = torch.tensor(checked.mean)[:, None, None]
        self.std = torch.tensor(checked.std)[:, None, None]
        blank = Picture(Image.new("RGB", (8, 8)), "", "")
        self.tokens, self.width = self(self.pixels(blank)[None]).shape[1:]

    @classmethod
    def open(cls, directory: Path, *, device: str = "auto") -> Self:
        """Load the vision half; of the language model nothing is read. Raises BackendError or DataError."""
        from transformers import AutoConfig
        from transformers.utils import logging

        from plugins.minigpt4.runtime.modeling import as_the_original, model_class

        checked = check(directory, prefix="model=")
        if is_pocket(checked.config):
            return PocketEye(checked)  # type: ignore[return-value]
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        half = device.startswith("cuda") and torch.cuda.is_bf16_supported(including_emulation=False)
        config = AutoConfig.from_pretrained(directory, local_files_only=True, trust_remote_code=False)
        # The class builds its language model in any case: here it has no layers and eight words.
        config.text_config.num_hidden_layers = 0
        config.text_config.vocab_size = 8
        config.text_config.pad_token_id = None
        verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
        logging.set_verbosity_error()
        logging.disable_progress_bar()
        try:
            model, report = model_class(directory).from_pretrained(
                directory,
                config=config,
                dtype=torch.bfloat16 if half else torch.float32,
                attn_implementation="sdpa",
                ignore_mismatched_sizes=True,  # of those eight words
                output_loading_info=True,
                local_files_only=True,
            )
        except (OSError, ValueError, RuntimeError) as error:
            reason = printable(str(error).partition("\n")[0])
            raise DataError(f"the eye in {printable(directory)} cannot be loaded: {reason}") from error
        finally:
            logging.set_verbosity(verbosity)
            if bars:
                logging.enable_progress_bar()
        names = [*report["missing_keys"], *(entry[0] for entry in report["mismatched_keys"])]
        if wrong := [name for name in names if not name.startswith("language_model.")]:
            raise DataError(f"{printable(directory)} lacks {len(wrong)} weights of its eye, the first is {wrong[0]}.")
        model.language_model = torch.nn.Identity()
        model.language_projection = torch.nn.Identity()  # so that `pooler_output` is what would go into it
        choice = f"{'bfloat16' if half else 'float32'} on {device}"
        return cls(as_the_original(model).eval().to(device), checked, vision_fingerprint(directory), device, choice)

    def pixels(self, picture: Picture) -> torch.Tensor:
        """(3, size, size), normalised: the same numbers as `plugins.minigpt4.runtime.backend` gives its model."""
        size = self.image_size
        image = picture.image.resize((size, size), Image.Resampling.BICUBIC)
        pixels = torch.from_numpy(np.asarray(image, dtype=np.float32) / 255).permute(2, 0, 1)
        return (pixels - self.mean) / self.std

    @torch.inference_mode()
    def __call__(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """(B, 3, size, size) -> what the projection takes in, (B, tokens, width)."""
        weight = next(self.model.vision_model.parameters())
        # Another order in memory would take another kernel, with other last bits.
        pixels = pixel_values.to(weight.device, weight.dtype).contiguous()
        seen: torch.Tensor = self.model.get_image_features(pixels).pooler_output
        return seen


class PocketEye(FrozenVision):
    """Pocket's frozen half: what its projection takes in, and beside it the tokens that bypass the projection."""

    def __init__(self, checked: Checked) -> None:
        from plugins.pocket.backend import PocketBackend

        self._vision = PocketBackend(str(checked.directory))
        fingerprint = vision_fingerprint(checked.directory)
        device = self._vision.device
        super().__init__(self._vision.engine.model, checked, fingerprint, device, f"float32 on {device}")

    def pixels(self, picture: Picture) -> torch.Tensor:
        """(3, 260, 260), as `plugins.pocket.backend` gives it to its model."""
        pixels: torch.Tensor = self._vision.pixels([picture])[0]
        return pixels

    @torch.inference_mode()
    def __call__(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """(B, 3, 260, 260) -> (B, 16 + 40, 256)."""
        encoded = self.model.vision_model(pixel_values)
        return torch.cat(self.model.unprojected(encoded.cells, encoded.facts), 1)


def vision_fingerprint(directory: Path) -> str:
    """16 hex digits of all that decides the features: vision weights and queries, their shapes, the picture settings.

    Every byte of the vision part is read (2 to 3 GB for the released ones, some seconds); files of the language model
    are not, so models that share their eye share their features. Raises BackendError.
    """
    checked = check(directory, prefix="model=")
    settings = {name: checked.config.get(name) for name in ("vision_config", "qformer_config", "num_query_tokens")}
    settings |= {"edition": EDITION, "size": checked.image_size, "mean": checked.mean, "std": checked.std}
    hashes: dict[str, str] = {}
    for file in sorted(checked.files):
        hashes |= _vision_hashes(file)
    state = json.dumps([_plain(settings), sorted(hashes.items())], sort_keys=True, default=str)
    return hashlib.sha256(state.encode()).hexdigest()[:16]


def _vision_hashes(file: Path) -> dict[str, str]:
    """sha256 of each tensor of the vision part, with its type and shape."""
    start, header = safetensors_header(file)
    wanted = {
        name: entry
        for name, entry in header.items()
        if name != "__metadata__" and not name.removeprefix("model.").startswith(_NOT_VISION)
    }
    if not wanted:
        return {}
    with file.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        view = memoryview(mapped)

        def digest(entry: dict[str, Any]) -> str:
            first, last = entry["data_offsets"]
            with view[start + first : start + last] as part:  # hashing large parts lets other threads run
                return f"{entry['dtype']}{entry['shape']}{hashlib.sha256(part).hexdigest()}"

        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            found = dict(zip(wanted, pool.map(digest, wanted.values()), strict=True))
        view.release()
    return found


def _plain(value: Any) -> Any:
    """Without what transformers adds on its own: versions and names that change nothing."""
    if isinstance(value, dict):
        ignored = ("transformers_version", "_name_or_path", "dtype", "torch_dtype", "architectures")
        return {name: _plain(one) for name, one in value.items() if name not in ignored}
    return value


def safetensors_header(file: Path) -> tuple[int, dict[str, Any]]:
    """(first byte of the data, header) of a safetensors file."""
    with file.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        if length > file.stat().st_size:
            raise ValueError(f"{file.name} is no safetensors file")
        header: dict[str, Any] = json.loads(stream.read(length))
    return 8 + length, header
