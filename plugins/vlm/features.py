"""Encode a picture once: its processed form and, if the model class supports it, the features of its vision tower.

transformers' interface: `base_model.get_image_features(...)` returns one output per picture, whose `pooler_output`
replaces the picture's placeholder tokens, and `generate(mm_encoder_outputs={"image": output})` takes it in place of
pixels. The first picture shows whether a model supports it.
"""

from __future__ import annotations

import inspect
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import torch
from PIL import Image
from torch import Tensor
from transformers import BatchFeature

# The raw numbers of a picture, by the names that transformers' generate() knows them under.
PIXELS: Final = ("pixel_values", "pixel_values_images", "image_patches", "high_res_pixel_values")
# The parts of an output that are passed on; attentions and hidden states are for inspection.
KEPT: Final = ("pooler_output", "last_hidden_state", "deepstack_features")
DROPPED: Final = ("hidden_states", "attentions")


@dataclass(slots=True)
class EncodedPicture:
    """One picture as a model keeps it. Without `features` the model encodes it again with each question."""

    image: Image.Image = field(repr=False)
    features: dict[str, Any] | None = field(default=None, repr=False)
    kind: type[Any] | None = None  # class of the output the features came in
    key: str = ""  # sha256 of the picture

    @property
    def tokens(self) -> int:
        """How many placeholders its features stand for; 0 if there are none."""
        pooled = _tensors([self.features["pooler_output"]]) if self.features else ()
        return sum(tensor.numel() // tensor.shape[-1] for tensor in pooled)

    @property
    def nbytes(self) -> int:
        tensors = _tensors(self.features.values()) if self.features else ()
        return self.image.width * self.image.height * 3 + sum(int(tensor.nbytes) for tensor in tensors)


class PictureProcessor:
    """An image processor that caches its results, up to `limit` bytes. Not locked."""

    def __init__(self, inner: Any, limit: int) -> None:
        self._inner = inner
        self._limit = limit
        self._nbytes = 0
        self._kept: OrderedDict[tuple[int, ...], tuple[list[Any], BatchFeature, int]] = OrderedDict()
        self.calls = 0  # that were really computed

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def __call__(self, images: Any, **options: Any) -> BatchFeature:
        flat = list(_flat(images))
        key = tuple(id(image) for image in flat)  # the pictures are kept, so that no other one gets their identity
        if key in self._kept:
            self._kept.move_to_end(key)
            return _copied(self._kept[key][1])
        self.calls += 1
        made = self._inner(images, **options)
        size = sum(tensor.nbytes for tensor in _tensors(made.values()))
        if size <= self._limit:
            self._kept[key] = (flat, made, size)
            self._nbytes += size
        while self._nbytes > self._limit:
            _, (_, _, gone) = self._kept.popitem(last=False)
            self._nbytes -= gone
        return _copied(made)

    def forget(self) -> None:
        self._kept.clear()
        self._nbytes = 0


def feature_method(model: Any) -> tuple[Any, str]:
    """The method that encodes a picture, or None and the reason."""
    kind = type(model).__name__
    if "mm_encoder_outputs" not in inspect.signature(model.forward).parameters:
        return None, f"{kind} takes pixels only"
    method = getattr(model.base_model, "get_image_features", None)
    if method is None:
        return None, f"{kind} has no get_image_features"
    if getattr(model.config, "image_token_id", None) is None:
        return None, f"{kind} names no placeholder for pictures"
    return method, ""


def features(method: Any, inputs: Mapping[str, Any], placeholders: int) -> tuple[dict[str, Any], type[Any]] | str:
    """The features of one picture and the class of the output, or the reason why they cannot be passed on.

    `inputs` are the processor's; `placeholders` is the number of the picture's tokens in them.
    """
    names = [name for name in inspect.signature(method).parameters if name in inputs]
    output = method(**{name: inputs[name] for name in names}, return_dict=True)
    given = {name: value for name, value in output.items() if value is not None}
    unknown = sorted(set(given) - {*KEPT, *DROPPED})
    if unknown:
        return f"its vision output has {', '.join(unknown)} as well"
    pooled = given.get("pooler_output")
    rows = sum(tensor.numel() // tensor.shape[-1] for tensor in _tensors([pooled]))
    if rows != placeholders:
        return f"its vision output has {rows} rows for {placeholders} placeholders"
    return {name: _detached(given[name]) for name in KEPT if name in given}, type(output)


def joined(pictures: Sequence[EncodedPicture]) -> Any:
    """The outputs for several pictures, in order, as one output of the same class."""
    first = pictures[0]
    assert first.kind is not None
    parts = [picture.features or {} for picture in pictures]
    whole = {}
    for name in parts[0]:
        values = [part[name] for part in parts]
        value = _layers(values) if name == "deepstack_features" else _joined(values)
        if value is not None:
            whole[name] = value
    return first.kind(**whole)


def _joined(values: Sequence[Any]) -> Any:
    """Tensors one below the other, or lists one after the other; None if the sizes differ."""
    if not isinstance(values[0], Tensor):
        return [tensor for value in values for tensor in value]
    if len({tuple(value.shape[1:]) for value in values}) > 1:
        return None
    return torch.cat(list(values))


def _layers(values: Sequence[Any]) -> list[Any]:
    """Features that enter at several layers: a list with one entry per layer, of each picture."""
    return [_joined([value[layer] for value in values]) for layer in range(len(values[0]))]


def _detached(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.detach()
    if isinstance(value, list | tuple):
        return [_detached(one) for one in value]
    return value


def _tensors(values: Iterable[Any]) -> list[Tensor]:
    found: list[Tensor] = []
    for value in values:
        if isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, list | tuple):
            found += _tensors(value)
    return found


def _flat(images: Any) -> Iterable[Any]:
    if isinstance(images, list | tuple):
        for image in images:
            yield from _flat(image)
    else:
        yield images


def _copied(made: BatchFeature) -> BatchFeature:
    """Some processors take entries out of what they get."""
    return BatchFeature(data=dict(made.data))
