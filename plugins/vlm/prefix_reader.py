"""Reuse the keys and values of earlier prompts, so that a model reads a picture once and of a chat only the new part.

This works if all layers keep them and no token attends to later ones. The cache's layers show the first. The second is
checked once, with the first picture of a second question: reading in one go and continuing must agree. Other models
read everything with every question.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import torch
from torch import Tensor
from transformers import BatchFeature, DynamicCache
from transformers.cache_utils import DynamicLayer

from core.entries import one_line
from plugins.hf.checkpoint import LOADING_ERRORS
from plugins.hf.generation import GREEDY_SEARCH
from plugins.minigpt4.runtime.prefixes import Key, Prefix, PrefixStore, common_prefix, concat_caches, slice_cache
from plugins.vlm import features
from plugins.vlm.prompts import PER_TOKEN, PromptRow, batched

# Root mean square of the difference as a share of the numbers' own: rounding, never another position or mask.
NEAR: Final = {torch.float32: 1e-3}
NEAR_IN_16_BIT: Final = 0.15


@dataclass(frozen=True, slots=True)
class RowTokens:
    """A row's tokens, with the keys of its pictures, and where each picture begins and ends."""

    keys: tuple[Key, ...]
    places: tuple[tuple[int, int], ...]
    answer: int = 0  # tokens of an answer at the end; what comes out of them and of the one before is asked for

    @property
    def head(self) -> tuple[Key, ...]:
        """Up to the end of the first picture."""
        return self.keys[: self.places[0][1]]

    def cut(self, length: int) -> int:
        """`length` or less, so that it is in no picture: those tokens may attend to each other in both directions."""
        return next((start for start, end in self.places if start < length < end), length)


@dataclass(slots=True)
class Reading:
    """A batch to be read: arguments of generate(), and the rows to keep afterwards."""

    arguments: dict[str, Any] = field(repr=False)
    keep: dict[int, RowTokens] = field(default_factory=dict, repr=False)  # by place in the batch


class PrefixReader:
    """Turn rows into arguments of generate(), and keep what was read within `limit` bytes. Not locked."""

    def __init__(self, model: Any, pad: int, limit: int) -> None:
        self.model = model
        self.pad = pad
        self.store = PrefixStore(limit)
        self.why_not = _unfit(model)  # why nothing can be reused; "" if it can
        self._tried = False

    def begin(self, rows: Sequence[PromptRow]) -> Reading | None:
        """Rows whose pictures are all encoded, as one batch; None if they cannot be one.

        What several of them have in common is read first, by itself.
        """
        tokens = [] if self.why_not else [self._tokens(row) for row in rows]
        known = [one for one in tokens if one is not None]
        if not known or len(known) < len(rows):
            arguments = self._arguments(rows, [(None, 0)] * len(rows), [row.pictures for row in rows])
            return None if arguments is None else Reading(arguments)
        alone = self._share(rows, known)
        if self.why_not:
            return self.begin(rows)
        continued = self._continued(rows, known)
        if continued is None:
            return None
        if self.why_not:
            return self.begin(rows)
        return Reading(continued, {place: known[place] for place in alone})

    def keep(self, reading: Reading) -> None:
        """After generate(): keep the questions that share no beginning with others of the batch."""
        arguments = reading.arguments
        for place, tokens in reading.keep.items():
            cache, mask = arguments["past_key_values"], arguments["attention_mask"]
            self.store.add(slice_cache(tokens.keys, cache, mask, place))

    def place(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """On the model's device and in its type."""
        return dict(BatchFeature(dict(inputs)).to(self.model.device, self.model.dtype))

    # -- means ------------------------------------------------------------------------------------------------------

    def _tokens(self, row: PromptRow) -> RowTokens | None:
        """None if it is not clear which tokens belong to which picture."""
        mark = self.model.config.image_token_id
        keys: list[Key] = row.inputs["input_ids"][0].tolist()
        marked = [place for place, token in enumerate(keys) if token == mark]
        counts = [picture.tokens for picture in row.pictures]
        if "attention_mask" not in row.inputs or not counts or 0 in counts or sum(counts) != len(marked):
            return None
        places: list[tuple[int, int]] = []
        for picture, count in zip(row.pictures, counts, strict=True):
            own, marked = marked[:count], marked[count:]
            for number, place in enumerate(own):
                keys[place] = (picture.key, number)
            places.append((own[0], own[-1] + 1))
        return RowTokens(tuple(keys), tuple(places), row.answer)

    def _known(self, tokens: RowTokens) -> tuple[Prefix | None, int]:
        """What was read before of these tokens, without the answer and the last one before it.

        Nothing if that is less than a picture.
        """
        prefix, length = self.store.find(tokens.keys)
        length = tokens.cut(min(length, len(tokens.keys) - tokens.answer - 1))
        return (prefix, length) if length >= tokens.places[0][1] else (None, 0)

    def _share(self, rows: Sequence[PromptRow], tokens: Sequence[RowTokens]) -> list[int]:
        """Read once what several rows about one picture have in common. Returns the places of all other rows."""
        groups: dict[tuple[Key, ...], list[int]] = {}
        for place, one in enumerate(tokens):
            groups.setdefault(one.head, []).append(place)
        for group in groups.values():
            first = min(group, key=lambda place: len(tokens[place].places))
            one = tokens[first]
            shared = min((common_prefix(one.keys, tokens[other].keys) for other in group if other != first), default=0)
            shared = min([shared, *(len(tokens[place].keys) - 1 for place in group)])
            # a start that ends before the last picture would need that picture's part of the inputs taken out
            if len(group) > 1 and shared >= one.places[-1][1] and self.store.find(one.keys[:shared])[1] < shared:
                self._read(rows[first], RowTokens(one.keys[:shared], one.places))
        return [group[0] for group in groups.values() if len(group) == 1]

    def _read(self, row: PromptRow, tokens: RowTokens) -> None:
        """Read the row's first tokens and keep that."""
        end = len(tokens.keys)
        start = {name: value[..., :end] if name in PER_TOKEN else value for name, value in row.inputs.items()}
        arguments = self._continued([PromptRow(row.pictures, start)], [tokens])
        if arguments is not None and not self.why_not:
            self._run(arguments)
            self.store.add(slice_cache(tokens.keys, arguments["past_key_values"], arguments["attention_mask"], 0))

    def _continued(self, rows: Sequence[PromptRow], tokens: Sequence[RowTokens]) -> dict[str, Any] | None:
        """Arguments of generate() that reuse what is known; the first time, it is checked whether this works."""
        known = [self._known(one) for one in tokens]
        place = next((place for place, (_, length) in enumerate(known) if length), None)
        if place is not None and not self._tried:
            self._tried = True
            self._try(rows[place], tokens[place], known[place])
        pictures = [
            [picture for picture, (start, _) in zip(row.pictures, one.places, strict=True) if start >= length]
            for row, one, (_, length) in zip(rows, tokens, known, strict=True)
        ]
        return self._arguments(rows, known, pictures)

    def _arguments(
        self,
        rows: Sequence[PromptRow],
        known: Sequence[tuple[Prefix | None, int]],
        pictures: Sequence[Sequence[features.EncodedPicture]],
    ) -> dict[str, Any] | None:
        """`pictures` are each row's pictures that are still to be read."""
        cuts = [length for _, length in known]
        inputs = batched(rows, self.pad, cuts)
        if inputs is None:
            return None
        arguments = self.place(inputs)
        past = max(cuts)
        if past:
            # generate() would reuse the positions of the previous batch, if a model keeps them
            others = {name: value for name, value in arguments.items() if name != "input_ids"}
            arguments["position_ids"] = self.model._prepare_position_ids_for_generation(arguments["input_ids"], others)
        if unread := [picture for row in pictures for picture in row]:
            arguments["mm_encoder_outputs"] = {"image": features.joined(unread)}
        if not self.why_not:
            arguments["past_key_values"] = concat_caches(known, past)
        return arguments

    def _run(self, arguments: dict[str, Any]) -> DynamicCache:
        """One pass over the prompt; the cache of `arguments` has read it then."""
        self.model.generate(**arguments, **GREEDY_SEARCH, max_new_tokens=1, pad_token_id=self.pad)
        cache: DynamicCache = arguments["past_key_values"]
        return cache

    def _try(self, row: PromptRow, tokens: RowTokens, known: tuple[Prefix | None, int]) -> None:
        """Check whether the row reads the same in one go and continued; if not, nothing is kept from here on."""
        whole = self._arguments([row], [(None, 0)], [row.pictures])
        unread = [picture for picture, (start, _) in zip(row.pictures, tokens.places, strict=True) if start >= known[1]]
        rest = self._arguments([row], [known], [unread])
        assert whole is not None and rest is not None, "one row is always a batch"
        try:
            difference = _difference(self._run(whole).layers[-1].keys, self._run(rest).layers[-1].keys)
        except torch.OutOfMemoryError:
            self._tried = False
            raise
        except (*LOADING_ERRORS, IndexError) as error:
            self.why_not = one_line(error)
        else:
            if not difference <= NEAR.get(self.model.dtype, NEAR_IN_16_BIT):
                self.why_not = "what it reads of a picture depends on what follows"
        if self.why_not:
            self.store.clear()


def _unfit(model: Any) -> str:
    """The reason why nothing that the model read can be reused; "" if it may work."""
    kind = type(model).__name__
    parameters = inspect.signature(model.forward).parameters
    if not {"position_ids", "past_key_values"} <= set(parameters):
        return f"{kind} takes no positions"
    if not hasattr(model, "_prepare_position_ids_for_generation"):
        return "the installed transformers does not compute positions"
    if model.generation_config.cache_implementation is not None or model.generation_config.use_cache is False:
        return "it needs its own kind of cache"
    try:
        layers = DynamicCache(config=model.config.get_text_config(decoder=True)).layers
    except (*LOADING_ERRORS, IndexError):
        layers = []
    if not layers or any(type(layer) is not DynamicLayer for layer in layers):
        return "not all of its layers keep what they read"
    return ""


def _difference(one: Tensor, other: Tensor) -> float:
    if one.shape != other.shape:
        return float("inf")
    one, other = one.float(), other.float()
    return float((one - other).pow(2).mean().sqrt() / one.pow(2).mean().sqrt())
