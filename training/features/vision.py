"""The frozen vision half of a converted MiniGPT-4, and the fingerprint that identifies it.

vision = FrozenVision.open(Path("minigpt4-7b"))
vision(torch.stack([vision.pixels(picture)]))   # (1, 32, 768): the input of `language_projection`
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final, Self

import torch
from PIL import Image

from core.images.picture import Picture
from plugins.hf import checkpoint
from plugins.hf.tensors import Tensors
from plugins.minigpt4.runtime.loading import Checked, check
from plugins.minigpt4.runtime.pixels import pixels
from plugins.pocket.training import is_pocket
from plugins.smol import is_smol

EDITION: Final = 2  # to be raised when the code computes other features from the same weights
_LANGUAGE: Final = ("language_model.", "language_projection.")


class VisionEncoder:
    """What fills a feature store: pictures in, (B, tokens, width) out, and a fingerprint of all that decides them."""

    def __init__(self, model: Any, settings: Any, fingerprint: str, device: str, choice: str) -> None:
        self.model, self.checked, self.fingerprint, self.device = model, settings, fingerprint, device
        self.choice = choice  # type and device, for people
        blank = Picture(Image.new("RGB", (8, 8)), "", "")
        self.tokens, self.width = self(self.pixels(blank)[None]).shape[1:]

    def pixels(self, picture: Picture) -> torch.Tensor:
        """Return (3, size, size), normalised."""
        return pixels([picture], self.checked.image_size, self.checked.mean, self.checked.std)[0]

    def __call__(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Encode (B, 3, size, size) to (B, tokens, width)."""
        raise NotImplementedError


class FrozenVision(VisionEncoder):
    """The frozen half of a converted MiniGPT-4: vision tower and Q-Former, without the language model."""

    @classmethod
    def open(cls, directory: Path, *, device: str = "auto") -> Self:
        """Load the vision half and nothing of the language model. Raises BackendError."""
        from plugins.minigpt4.runtime.modeling import as_the_original, model_class

        checked = check(directory, prefix="model=")
        if is_pocket(checked.config):
            return PocketVision(checked)  # type: ignore[return-value]
        if is_smol(checked.config):
            import plugins.smol.modeling  # noqa: F401 - makes its class known
        model, device, choice = load_half(directory, model_class(directory), device, again="convert it again")
        return cls(as_the_original(model).to(device), checked, vision_fingerprint(directory), device, choice)

    @torch.inference_mode()
    def __call__(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Encode (B, 3, size, size) to the projection's input, (B, tokens, width)."""
        weight = next(self.model.vision_model.parameters())
        # Another order in memory would select another kernel, with other last bits.
        pixel_values = pixel_values.to(weight.device, weight.dtype).contiguous()
        features: torch.Tensor = self.model.get_image_features(pixel_values).pooler_output
        return features


class PocketVision(FrozenVision):
    """Pocket's frozen half: the projection's input, followed by the tokens that bypass the projection."""

    def __init__(self, checked: Checked) -> None:
        from plugins.pocket.backend import PocketBackend

        self._backend = PocketBackend(str(checked.directory))
        device = self._backend.device
        fingerprint = vision_fingerprint(checked.directory)
        super().__init__(self._backend.engine.model, checked, fingerprint, device, f"float32 on {device}")

    def pixels(self, picture: Picture) -> torch.Tensor:
        """Return (3, 260, 260), as `plugins.pocket.backend` gives it to its model."""
        found: torch.Tensor = self._backend.pixels([picture])[0]
        return found

    @torch.inference_mode()
    def __call__(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Encode (B, 3, 260, 260) to (B, 16 + 40, 256)."""
        encoded = self.model.vision_model(pixel_values)
        return torch.cat(self.model.unprojected(encoded.cells, encoded.facts), 1)


def load_half(directory: Path, kind: Any, device: str, *, again: str) -> tuple[Any, str, str]:
    """Return a BLIP-2 of class `kind` without its language model, the device, and both type and device for people.

    Its projection does nothing, so that `pooler_output` is the projection's input. Raises BackendError.
    """
    from transformers import AutoConfig

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    half = device.startswith("cuda") and torch.cuda.is_bf16_supported(including_emulation=False)
    config = AutoConfig.from_pretrained(directory, local_files_only=True, trust_remote_code=False)
    # The class always builds its language model: here without layers and with eight tokens.
    config.text_config.num_hidden_layers = 0
    if hasattr(config.text_config, "num_decoder_layers"):
        config.text_config.num_decoder_layers = 0
    config.text_config.vocab_size = 8
    config.text_config.pad_token_id = None

    def opener(path: Path, **arguments: Any) -> tuple[Any, dict[str, list[Any]]]:
        model, report = kind.from_pretrained(path, **arguments)
        names = ("missing_keys", "mismatched_keys")
        # a mismatched key comes with its two shapes
        return model, {
            name: [key for key in report[name] if not (key if name == names[0] else key[0]).startswith(_LANGUAGE)]
            for name in names
        }

    dtype = torch.bfloat16 if half else torch.float32
    model, _ = checkpoint.load(
        directory,
        opener,
        strict=False,
        again=again,
        config=config,
        dtype=dtype,
        attn_implementation="sdpa",
        local_files_only=True,
    )
    model.language_model = torch.nn.Identity()
    model.language_projection = torch.nn.Identity()
    return model, device, f"{str(dtype).removeprefix('torch.')} on {device}"


def vision_fingerprint(directory: Path) -> str:
    """Return 16 hex digits of all that decides the features: vision weights, their shapes, the picture settings.

    Every byte of the vision part is read (2 to 3 GB for the released ones, some seconds), nothing of the language
    model: models with the same vision part share their features. Raises BackendError.
    """
    checked = check(directory, prefix="model=")
    settings = {name: checked.config.get(name) for name in ("vision_config", "qformer_config", "num_query_tokens")}
    settings |= {"edition": EDITION, "size": checked.image_size, "mean": checked.mean, "std": checked.std}
    return fingerprint(settings, checked.files, lambda name: not name.removeprefix("model.").startswith(_LANGUAGE))


def fingerprint(settings: dict[str, Any], files: Iterable[Path], selects: Callable[[str], bool]) -> str:
    """Return 16 hex digits of settings and of the weights that `selects` chooses by name. Raises BackendError."""
    tensors, hashes = Tensors(sorted(files)), {}
    for name, stored in sorted(tensors.stored.items()):
        if selects(name):
            content = tensors.read(name).flatten().view(torch.uint8).numpy()
            hashes[name] = f"{stored.dtype}{stored.shape}{hashlib.sha256(content).hexdigest()}"
    state = json.dumps([_plain(settings), hashes], sort_keys=True, default=str)
    return hashlib.sha256(state.encode()).hexdigest()[:16]


def _plain(value: Any) -> Any:
    """Remove what transformers adds: versions and names that change nothing."""
    if isinstance(value, dict):
        ignored = ("transformers_version", "_name_or_path", "dtype", "torch_dtype", "architectures")
        return {name: _plain(one) for name, one in value.items() if name not in ignored}
    return value
