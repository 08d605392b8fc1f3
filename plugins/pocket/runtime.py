"""pocket in plain PyTorch: Q-Former, projection and Llama beside the vision model, read from the same files.

    model = PocketModel.load(Path("plugins/pocket/model"))
    encoded = model.vision_model(pixel_values)                         # (B, 3, 260, 260)
    tokens = model.image_tokens(encoded.cells, encoded.facts)          # (B, 56, 256)
    for ids in model.generate(embeddings, mask, max_new_tokens=60):    # one (B,) tensor of token ids per step

The names of parameters are those of transformers' `Blip2ForConditionalGeneration`, and so are the results
(`tests/plugins/pocket/test_pocket_runtime.py`): Q-Former as in Li et al. 2023 (https://arxiv.org/abs/2301.12597),
language model as in Touvron et al. 2023 (https://arxiv.org/abs/2302.13971). Letters: B pictures or prompts, N queries,
L positions, H heads, D hidden size.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from plugins.hf.token_scores import TokenRecorder
from plugins.pocket.modeling import CertaintyLimits, ImageTokens, PocketVision


@dataclass(frozen=True, slots=True)
class QFormerConfig:
    """The part of `qformer_config` in config.json that decides the shape."""

    hidden_size: int
    encoder_hidden_size: int
    intermediate_size: int
    num_attention_heads: int
    num_hidden_layers: int
    layer_norm_eps: float


@dataclass(frozen=True, slots=True)
class LlamaConfig:
    """The part of `text_config` in config.json that decides the shape."""

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_attention_heads: int
    num_hidden_layers: int
    max_position_embeddings: int
    rms_norm_eps: float
    rope_parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class PocketConfig:
    """What config.json says of a pocket model."""

    num_query_tokens: int
    pocket_known: int
    qformer_config: QFormerConfig
    text_config: LlamaConfig
    pocket_limits: Mapping[str, Any] = field(default_factory=dict)
    pocket_scene: Mapping[str, float] = field(default_factory=dict)  # scene words, each with the odds to say it from
    pocket_copied: Sequence[int] = ()  # tokens of names, written of a photograph only where its prompt holds them

    @classmethod
    def read(cls, text: str) -> Self:
        """From the text of config.json. Raises ValueError where something is missing."""
        raw = json.loads(text)
        try:
            queries, language = raw["qformer_config"], raw["text_config"]
            return cls(
                raw["num_query_tokens"],
                raw["pocket_known"],
                QFormerConfig(**{one.name: queries[one.name] for one in fields(QFormerConfig)}),
                LlamaConfig(**{one.name: language[one.name] for one in fields(LlamaConfig)}),
                raw.get("pocket_limits", {}),
                raw.get("pocket_scene", {}),
                tuple(raw.get("pocket_copied", ())),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"config.json has no {error}") from error


class WeightsError(Exception):
    """Weights that do not fit the configuration beside them; the text names the first of them."""


def attend(query: Tensor, key: Tensor, value: Tensor, **mask: Any) -> Tensor:
    """Attention over heads (B, H, L, D / H), joined again: (B, L, D)."""
    return F.scaled_dot_product_attention(query, key, value, **mask).transpose(1, 2).flatten(2)


class QFormerAttention(nn.Module):
    """Queries attend to themselves, or to the cells of a picture; then the sum, then the norm, as in BERT."""

    def __init__(self, config: QFormerConfig, memory_size: int) -> None:
        super().__init__()
        self.heads = config.num_attention_heads
        self.attention = nn.ModuleDict(
            {
                "query": nn.Linear(config.hidden_size, config.hidden_size),
                "key": nn.Linear(memory_size, config.hidden_size),
                "value": nn.Linear(memory_size, config.hidden_size),
            }
        )
        self.output = ResidualOutput(config.hidden_size, config)

    def forward(self, queries: Tensor, memory: Tensor) -> Tensor:  # (B, N, D), (B, M, memory_size) -> (B, N, D)
        sources = {"query": queries, "key": memory, "value": memory}
        query, key, value = (
            self.attention[name](source).unflatten(2, (self.heads, -1)).transpose(1, 2)
            for name, source in sources.items()
        )
        result: Tensor = self.output(attend(query, key, value), queries)
        return result


class ResidualOutput(nn.Module):
    """A linear layer, the sum with what came in, a layer norm."""

    def __init__(self, width: int, config: QFormerConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(width, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, hidden: Tensor, residual: Tensor) -> Tensor:
        result: Tensor = self.LayerNorm(self.dense(hidden) + residual)
        return result


class QFormerLayer(nn.Module):
    """Self-attention, cross-attention to the picture, a feed-forward network."""

    def __init__(self, config: QFormerConfig) -> None:
        super().__init__()
        self.attention = QFormerAttention(config, config.hidden_size)
        self.crossattention = QFormerAttention(config, config.encoder_hidden_size)
        self.intermediate_query = nn.ModuleDict({"dense": nn.Linear(config.hidden_size, config.intermediate_size)})
        self.output_query = ResidualOutput(config.intermediate_size, config)

    def forward(self, queries: Tensor, cells: Tensor) -> Tensor:
        queries = self.crossattention(self.attention(queries, queries), cells)
        result: Tensor = self.output_query(F.gelu(self.intermediate_query["dense"](queries)), queries)
        return result


class QFormer(nn.Module):
    """BLIP-2's querying transformer, with cross-attention in every layer."""

    def __init__(self, config: QFormerConfig) -> None:
        super().__init__()
        self.layernorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        layers = nn.ModuleList(QFormerLayer(config) for _ in range(config.num_hidden_layers))
        self.encoder = nn.ModuleDict({"layer": layers})

    def forward(self, queries: Tensor, cells: Tensor) -> Tensor:  # (B, N, D), (B, M, encoder_hidden_size)
        hidden: Tensor = self.layernorm(queries)
        for layer in self.encoder["layer"]:  # type: ignore[union-attr]
            hidden = layer(hidden, cells)
        return hidden


class Cache:
    """Keys and values of one generation, for every layer: (B, H, room, D / H)."""

    def __init__(self, config: LlamaConfig, batch: int, room: int, like: Tensor) -> None:
        heads = config.num_attention_heads
        shape = (config.num_hidden_layers, 2, batch, heads, room, config.hidden_size // heads)
        self.values = torch.zeros(shape, dtype=like.dtype, device=like.device)
        self.length = 0

    def extended(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """All keys and values of a layer, the new ones behind those that are there."""
        stop = self.length + key.shape[2]
        keys, values = self.values[layer].unbind(0)
        keys[:, :, self.length : stop] = key
        values[:, :, self.length : stop] = value
        return keys[:, :, :stop], values[:, :, :stop]


class LlamaAttention(nn.Module):
    """Causal self-attention with rotary positions (Su et al. 2021, https://arxiv.org/abs/2104.09864)."""

    def __init__(self, config: LlamaConfig, layer: int) -> None:
        super().__init__()
        self.heads, self.layer, width = config.num_attention_heads, layer, config.hidden_size
        self.q_proj, self.k_proj, self.v_proj, self.o_proj = (nn.Linear(width, width, bias=False) for _ in range(4))

    def forward(self, x: Tensor, rotation: tuple[Tensor, Tensor], cache: Cache, mask: Tensor) -> Tensor:
        query, key, value = (
            project(x).unflatten(2, (self.heads, -1)).transpose(1, 2)
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        keys, values = cache.extended(self.layer, rotated(key, *rotation), value)
        result: Tensor = self.o_proj(attend(rotated(query, *rotation), keys, values, attn_mask=mask))
        return result


def rotated(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """x (B, H, L, D / H), turned by the angles of its positions (B, 1, L, D / H)."""
    first, second = x.chunk(2, -1)
    return x * cosine + torch.cat([-second, first], -1) * sine


class LlamaMLP(nn.Module):
    """SwiGLU (Shazeer 2020, https://arxiv.org/abs/2002.05202)."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))
        return result


class LlamaLayer(nn.Module):
    """Attention and feed-forward network, each behind a norm and beside a residual connection."""

    def __init__(self, config: LlamaConfig, layer: int) -> None:
        super().__init__()
        self.self_attn = LlamaAttention(config, layer)
        self.mlp = LlamaMLP(config)
        self.input_layernorm = nn.RMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.post_attention_layernorm = nn.RMSNorm(config.hidden_size, eps=config.rms_norm_eps)

    def forward(self, x: Tensor, rotation: tuple[Tensor, Tensor], cache: Cache, mask: Tensor) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), rotation, cache, mask)
        result: Tensor = x + self.mlp(self.post_attention_layernorm(x))
        return result


class Llama(nn.Module):
    """The language model; the output layer shares its weights with the word embeddings."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.config = config
        self.model = nn.ModuleDict(
            {
                # not nn.Embedding(...): its random numbers on the meta device import torch._dynamo, which takes seconds
                "embed_tokens": nn.Embedding.from_pretrained(torch.empty(config.vocab_size, config.hidden_size)),
                "layers": nn.ModuleList(LlamaLayer(config, number) for number in range(config.num_hidden_layers)),
                "norm": nn.RMSNorm(config.hidden_size, eps=config.rms_norm_eps),
            }
        )

    def get_input_embeddings(self) -> nn.Embedding:
        """The word embeddings."""
        embeddings = self.model["embed_tokens"]
        assert isinstance(embeddings, nn.Embedding)
        return embeddings

    def forward(self, inputs_embeds: Tensor, positions: Tensor, cache: Cache, mask: Tensor) -> Tensor:
        """Logits of the token after the last position, (B, vocabulary); arguments as for `hidden`."""
        return self.logits(self.hidden(inputs_embeds, positions, cache, mask)[:, -1])

    def logits(self, hidden: Tensor) -> Tensor:
        """(..., vocabulary) of the tokens that follow hidden states (..., D)."""
        return F.linear(self.model["norm"](hidden), self.get_input_embeddings().weight)

    def hidden(self, inputs_embeds: Tensor, positions: Tensor, cache: Cache, mask: Tensor) -> Tensor:
        """Hidden states (B, L, D) before the last norm.

        inputs_embeds (B, L, D), positions (B, L), mask (B, 1, L, all positions so far) of bool.
        """
        size = self.config.hidden_size // self.config.num_attention_heads
        steps = torch.arange(0, size, 2, device=positions.device, dtype=torch.float32) / size
        angles = positions[:, None, :, None].float() / self.config.rope_parameters["rope_theta"] ** steps
        rotation = (torch.cat([angles.cos()] * 2, -1), torch.cat([angles.sin()] * 2, -1))
        hidden = inputs_embeds
        for layer in self.model["layers"]:  # type: ignore[union-attr]
            hidden = layer(hidden, rotation, cache, mask)
        cache.length += inputs_embeds.shape[1]
        return hidden


class PocketModel(ImageTokens, nn.Module):
    """The whole model, for answering; `transformers_model.py` has the one that trains."""

    def __init__(self, config: PocketConfig) -> None:
        super().__init__()
        self.config = config
        width = config.qformer_config.hidden_size
        limits = CertaintyLimits(**config.pocket_limits)
        self.vision_model = PocketVision(config.pocket_known, limits, len(config.pocket_scene))
        self.query_tokens = nn.Parameter(torch.zeros(1, config.num_query_tokens, width))
        self.qformer = QFormer(config.qformer_config)
        self.language_projection = nn.Linear(width, config.text_config.hidden_size)
        self.language_model = Llama(config.text_config)
        self.register_buffer("hint_words", torch.zeros(33, dtype=torch.long))

    @classmethod
    def load(cls, directory: Path) -> Self:
        """The model of a directory, in float32, ready to answer.

        Raises OSError, ValueError or SafetensorError where a file cannot be read, and WeightsError.
        """
        from safetensors.torch import load_file

        with torch.device("meta"):
            model = cls(PocketConfig.read((directory / "config.json").read_text("utf-8")))
        expected = {name: tensor.shape for name, tensor in model.state_dict().items()}
        weights = load_file(directory / "model.safetensors")
        wrong = sorted(
            name
            for name in expected.keys() | weights.keys()
            if name not in weights or expected.get(name) != weights[name].shape
        )
        if wrong:
            raise WeightsError(
                f"do not fit the model: {len(wrong)} tensors are missing, unknown or of another shape, first {wrong[0]}"
            )
        floats = {name: one.float() if one.is_floating_point() else one for name, one in weights.items()}
        model.load_state_dict(floats, assign=True)
        return model.eval().requires_grad_(False)

    def query(self, queries: Tensor, cells: Tensor) -> Tensor:
        read: Tensor = self.qformer(queries, cells)
        return read

    @torch.inference_mode()
    def read(self, embeds: Tensor, positions: Tensor, visible: Tensor) -> Tensor:
        """Hidden states (B, L, D) of embeds (B, L, D) in one pass; positions (B, L), visible (B, 1, L, L) of bool."""
        cache = Cache(self.config.text_config, positions.shape[0], positions.shape[1], embeds)
        return self.language_model.hidden(embeds, positions, cache, visible)

    @torch.inference_mode()
    def generate(
        self,
        embeds: Tensor,
        mask: Tensor,
        *,
        max_new_tokens: int,
        eos_token_id: int,
        temperature: float = 0.0,
        top_p: float = 1.0,
        generator: torch.Generator | None = None,
        forbidden: Tensor | None = None,
        recorder: TokenRecorder | None = None,
    ) -> Iterator[Tensor]:
        """The next token of every prompt, (B,) long, step by step, until each has ended or the number is reached.

        embeds (B, L, D) are padded on the left; mask (B, L) is 0 there. What comes after a prompt's end mark means
        nothing. Greedy at temperature 0, else sampled from the likeliest tokens that together have the share `top_p`.
        `forbidden` (B, V) bool: tokens that a prompt's answer may not hold. `recorder` keeps what was chosen.
        """
        batch, length = mask.shape
        device = embeds.device
        cache = Cache(self.config.text_config, batch, length + max_new_tokens, embeds)
        known = torch.cat([mask.bool(), mask.new_ones(batch, max_new_tokens, dtype=torch.bool)], 1)  # (B, room)
        causal = torch.ones(length, length, dtype=torch.bool, device=device).tril()
        # a padded position attends to itself: a row without any key would give NaN
        visible = (known[:, None, :length] & causal | torch.eye(length, dtype=torch.bool, device=device))[:, None]
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        ended = torch.zeros(batch, dtype=torch.bool, device=device)
        for step in range(max_new_tokens):
            logits = self.language_model(inputs_embeds=embeds, positions=positions, cache=cache, mask=visible)
            if forbidden is not None:
                logits = logits.masked_fill(forbidden, -torch.inf)
            ids = sampled(logits, temperature, top_p, generator) if temperature > 0 else logits.argmax(-1)
            if recorder is not None:
                recorder.take(logits, ids)
            yield ids
            ended |= ids == eos_token_id
            if ended.all():
                return
            embeds = self.language_model.get_input_embeddings()(ids[:, None])
            positions = positions[:, -1:] + 1
            visible = known[:, None, None, : length + step + 1]


def sampled(logits: Tensor, temperature: float, top_p: float, generator: torch.Generator | None) -> Tensor:
    """Token ids (B,) drawn from logits (B, V) by nucleus sampling (Holtzman et al. 2019, arXiv:1904.09751)."""
    ordered, order = (logits / temperature).sort(-1)
    rare = ordered.softmax(-1).cumsum(-1) <= 1 - top_p
    rare[:, -1] = False
    odds = logits.new_zeros(logits.shape).scatter(-1, order, ordered.masked_fill(rare, -torch.inf).softmax(-1))
    return torch.multinomial(odds, 1, generator=generator).squeeze(-1)
