"""Open the language model and check that the projection was trained for it."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from core.errors import BackendError, printable
from core.files.model_folder import read_json
from plugins.hf.hub import model_files
from plugins.hf.tensors import Tensors
from plugins.minigpt4.convert.projection import Projection

_COMPUTED = re.compile(r"rotary_emb\.inv_freq$|\.masked_bias$|\.attn\.bias$")
_EMBEDDING = "model.embed_tokens.weight"
_FINAL_NORM = "model.norm.weight"
_SIZES = {4096: "7B", 5120: "13B"}


@dataclass
class LanguageModel:
    """A Llama-family causal language model in a directory."""

    title: str  # as the user named it
    directory: Path
    config: Any  # transformers.LlamaConfig
    weights: Tensors
    notes: list[str] = field(default_factory=list)

    @property
    def hidden(self) -> int:
        return int(self.config.hidden_size)

    @property
    def rows(self) -> int:
        """Rows of the embedding table, which may be more than the tokenizer's tokens."""
        return self.weights.stored[_EMBEDDING].shape[0]

    @property
    def stored_dtype(self) -> torch.dtype:
        """The type that most of its tensors are stored in."""
        return Counter(stored.dtype for stored in self.weights.stored.values()).most_common(1)[0][0]

    @property
    def family(self) -> str:
        """Which Llama this is, in words, by its configuration."""
        theta = (getattr(self.config, "rope_parameters", None) or {}).get("rope_theta", 10000.0)
        if self.config.vocab_size >= 100_000 or theta >= 500_000:
            return f"a Llama-3 (vocabulary {self.config.vocab_size}, rope_theta {theta:g})"
        size = _SIZES.get(self.hidden, f"width {self.hidden}")
        if self.config.vocab_size not in (32000, 32001):
            return f"a Llama-family model, {size} (vocabulary {self.config.vocab_size})"
        if self.config.max_position_embeddings >= 4096:
            return f"a Llama-2 or Vicuna v1.5, {size} (vocabulary {self.config.vocab_size})"
        if self.config.vocab_size == 32001:
            return f"a Vicuna v0, {size} (vocabulary 32001)"
        return f"a LLaMA or Vicuna v1.1 to v1.3, {size} (vocabulary {self.config.vocab_size})"

    def surplus(self, used: set[str]) -> list[str]:
        """Weights that the configuration does not use."""
        tied = {"lm_head.weight"} if self.config.tie_word_embeddings else set()
        return [name for name in self.weights.stored if name not in used | tied and not _COMPUTED.search(name)]


def open_llm(text: str) -> LanguageModel:
    """The language model that `--llm` names. Raises UsageError, BackendError."""
    where = f"--llm {printable(text)}"
    directory, files = model_files(text, "--llm")
    raw = read_json(directory / "config.json")
    if raw.get("model_type") != "llama":
        raise BackendError(
            f"{where}: expected a Llama-family model (model_type llama), found "
            f"{printable(raw.get('model_type', 'none'), 60)}; take Vicuna v0 or Llama-2-chat."
        )
    if quantised := raw.get("quantization_config"):
        method = quantised.get("quant_method", "unknown") if isinstance(quantised, dict) else "unknown"
        raise BackendError(
            f"{where}: expected plain weights, found quantised ones ({printable(method, 40)}); take the unquantised "
            "model: "
            "it can be loaded in 8 or 4 bits after the conversion."
        )
    if "num_attention_heads" not in raw:  # the same tensors serve any number of heads
        raise BackendError(
            f"{where}: its config.json does not say num_attention_heads, which its weights cannot tell; fetch it again."
        )
    model = LanguageModel(text, directory, _configuration(directory, where), Tensors(files))
    table = model.weights.stored.get(_EMBEDDING)
    if table is None:
        raise BackendError(f"{where}: expected {_EMBEDDING}, which is missing: these are not a whole model's weights.")
    if table.shape != (model.config.vocab_size, model.hidden):
        raise BackendError(
            f"{where}: its config.json says vocabulary {model.config.vocab_size} and width {model.hidden}, its "
            "weights have "
            f"{list(table.shape)}: they are of two models; fetch both from one place."
        )
    _refuse_delta(model, where)
    return model


def _configuration(directory: Path, where: str) -> Any:
    from transformers import LlamaConfig

    try:
        return LlamaConfig.from_pretrained(directory, local_files_only=True)
    except Exception as error:  # whatever transformers' validation finds
        reason = " ".join(str(error).split())
        raise BackendError(f"{where}: its config.json is not accepted ({printable(reason, 160)}).") from error


def _refuse_delta(model: LanguageModel, where: str) -> None:
    """Vicuna v0 was published as a difference to LLaMA: same names and shapes, and nothing but noise as a model.

    A LLaMA's last RMSNorm has weights around 1 to 2; a difference's are near 0.
    """
    norm = model.weights.stored.get(_FINAL_NORM)
    if norm is None:
        return
    mean = float(model.weights.read(_FINAL_NORM).float().abs().mean())
    model.weights.close()
    if mean < 0.05:
        raise BackendError(
            f"{where} looks like a delta (its last norm is {mean:.3f} on average, a model's is about 1): apply it to "
            "LLaMA "
            "first (FastChat's apply_delta)."
        )


def check_partner(model: LanguageModel, projection: Projection, *, own: bool) -> list[str]:
    """Check that the projection fits this language model, and return notes. Raises BackendError."""
    where = f"--llm {printable(model.title)}"
    release = projection.release
    if projection.outputs != model.hidden:
        ours, theirs = (f"{n}{f' ({_SIZES[n]})' if n in _SIZES else ''}" for n in (projection.outputs, model.hidden))
        expected = release.llm if release else f"the language model of width {projection.outputs} it was trained with"
        raise BackendError(
            f"the projection leads into a language model of width {ours}, but {where} has width {theirs}: give "
            f"{expected}, "
            f"or the projection for {theirs}."
        )
    if release is None or own:
        return ["the language model is taken on your word: nothing tells which one this projection was trained with"]
    escape = "give that, or --own-projection where you trained the projection with this very model"
    if "Llama-3" in model.family:
        raise BackendError(f"{release.title} expects {release.llm}, {where} is {model.family}: {escape}.")
    if model.config.vocab_size != release.vocabulary:
        raise BackendError(
            f"{release.title} expects {release.llm} with vocabulary {release.vocabulary}, {where} is {model.family}: "
            f"{escape}."
        )
    if release.positions and model.config.max_position_embeddings != release.positions:
        raise BackendError(
            f"{release.title} expects {release.llm} with {release.positions} positions, {where} has "
            f"{model.config.max_position_embeddings} ({model.family}): {escape}."
        )
    return [
        f"the language model has the sizes of {release.llm}; that it is this one and no other cannot be told from sizes"
    ]
