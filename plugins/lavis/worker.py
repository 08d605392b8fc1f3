"""salesforce-lavis's BLIP-2 as an isolated model. This file runs in the environment of `inquisight lavis install`.

    ENVIRONMENT/bin/python worker.py     # imports LAVIS and prints the installed versions

It uses LAVIS's classes and computes the same as their `generate`, but encodes each picture once. Weights are checked,
because LAVIS loads with strict=False: a file of another model would leave random weights without an error.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, ClassVar
from unittest.mock import patch

# Operators that torchvision expects if it was compiled for another PyTorch build (CUDA instead of CPU).
_DETECTION_OPERATORS = ("nms", "qnms")
# as `create_eva_vit_g` names it
EVA_VIT_G = "https://storage.googleapis.com/sfr-vision-language-research/LAVIS/models/BLIP2/eva_vit_g.pth"
_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


class UnusableError(Exception):
    """A problem that the user can solve; the text is shown to them."""

    for_people = True


def import_lavis() -> Any:
    """Import `lavis`, without torchvision's compiled operators if they do not fit this PyTorch."""
    import torch

    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "DEF")
        for operator in _DETECTION_OPERATORS:
            library.define(operator + _SCHEMA)
        import_lavis.keep = library  # type: ignore[attr-defined]  # the schemas live as long as this object
        importlib.import_module("torchvision")
        print("torchvision's compiled operators do not fit this PyTorch; its transforms are all that is used")
    return importlib.import_module("lavis")


class LavisVision:
    """One BLIP-2 of salesforce-lavis. `argument` is JSON: see `plugins.lavis.backend.LavisOptions`."""

    batch = 16
    # ViT-g/14 as `create_eva_vit_g` of lavis/models/eva_vit.py makes it
    vit: ClassVar[Mapping[str, Any]] = {"embed_dim": 1408, "depth": 39, "num_heads": 16, "mlp_ratio": 4.3637}
    # Changes to the defaults of LAVIS's BertConfig, which are those of bert-base-uncased
    bert: ClassVar[Mapping[str, Any]] = {}

    def __init__(self, argument: str) -> None:
        self.options: dict[str, Any] = json.loads(argument)
        import_lavis()
        import torch
        from lavis.common.registry import registry
        from omegaconf import OmegaConf

        self.kind = "opt" if self.options["model"] == "blip2_opt" else "t5"
        self.beams = int(self.options.get("beams", 1))
        model_class = registry.get_model_class(self.options["model"])
        config = OmegaConf.load(model_class.default_config_path(self.options["type"]))
        if self.options.get("llm"):
            config.model[f"{self.kind}_model"] = self.options["llm"]
        processing = config.preprocess.vis_processor.eval
        self.size = (int(processing.image_size), int(processing.image_size))
        self.transform = registry.get_processor_class(processing.name).from_config(processing)
        self.device = torch.device(self._device())
        self.caption = str(config.model.get("prompt") or "")  # "a photo of" for those fine-tuned on COCO

        self.files: list[Path] = []
        model = self._build(model_class, config.model).eval()
        self.model = model.float() if self.device.type == "cpu" else model.to(self.device)
        self.files += [Path(self.options["llm"])] if self.options.get("llm") else []
        self.revision = (
            f"lavis-1.0.2-{self.options['model']}-{self.options['type']}-{self._digest()}-{self.device}-{self.beams}"
        )

    def describe(self) -> dict[str, str]:
        """What was chosen, for transcripts."""
        import torch
        import transformers

        return {
            "model": f"{self.options['model']} {self.options['type']}",
            "library": f"salesforce-lavis 1.0.2, transformers {transformers.__version__}, torch {torch.__version__}",
            "device": str(self.device),
            "dtype": "float32" if self.device.type == "cpu" else "as LAVIS mixes it",
            "beams": str(self.beams),
        }

    def encode(self, pictures: Sequence[Any]) -> list[Any]:
        """Projected Q-Former tokens (num_query_token, width of the language model), one tensor per picture."""
        import torch

        pixels = torch.stack([self.transform(picture) for picture in pictures]).to(self.device)
        with torch.no_grad(), self.model.maybe_autocast():
            return list(self.tokens(pixels)[1].float().cpu())

    def tokens(self, pixels: Any) -> tuple[Any, Any]:
        """pixels (B, 3, H, W) -> Q-Former output (B, Q, D), projected (B, Q, width of the language model)."""
        import torch

        model = self.model
        seen = model.ln_vision(model.visual_encoder(pixels))
        if self.kind == "t5":  # as in blip2_t5.py
            seen = seen.float()
        everywhere = torch.ones(seen.shape[:-1], dtype=torch.long, device=seen.device)
        output = model.Qformer.bert(
            query_embeds=model.query_tokens.expand(seen.shape[0], -1, -1),
            encoder_hidden_states=seen,
            encoder_attention_mask=everywhere,
            return_dict=True,
        ).last_hidden_state
        return output, getattr(model, f"{self.kind}_proj")(output)

    def answer(self, questions: Sequence[Any]) -> list[str]:
        """Answer questions; those with prompts of equal length form a batch, so no padding is needed."""
        answers = [""] * len(questions)
        tokenizer = getattr(self.model, f"{self.kind}_tokenizer")
        groups: dict[tuple[Any, ...], list[tuple[int, list[int]]]] = {}
        for index, question in enumerate(questions):
            ids = list(tokenizer(self.prompt(question)).input_ids)
            sampled = question.temperature > 0
            options = (question.max_new_tokens, question.temperature, question.top_p, question.seed)
            # Sampled questions run alone, so that a seed gives the same answer in any batch.
            key = (len(ids), options, index if sampled else None)
            groups.setdefault(key, []).append((index, ids))
        for rows in groups.values():
            texts = self._generate([questions[index] for index, _ in rows], [ids for _, ids in rows])
            for (index, _), text in zip(rows, texts, strict=True):
                answers[index] = text.strip()
        return answers

    def prompt(self, question: Any) -> str:
        """BLIP-2's form (LAVIS, `examples/blip2_instructed_generation.ipynb`), on one line: new lines end answers."""
        if question.question is None:
            return self.caption
        pairs = [f"Question: {_plain(asked)} Answer: {_plain(texts).rstrip('.')}." for asked, texts in question.history]
        return " ".join([*pairs, f"Question: {_plain(question.question)} Answer:"])

    def _generate(self, questions: Sequence[Any], prompts: Sequence[Sequence[int]]) -> list[str]:
        """Answer `questions` with equal options and `prompts` of equal length."""
        import torch

        first = questions[0]
        sampled = first.temperature > 0
        model, device = self.model, self.device
        tokens = torch.stack([question.image for question in questions]).to(device)
        ids = torch.tensor(prompts, device=device)
        attention = torch.ones(len(questions), tokens.shape[1] + ids.shape[1], dtype=torch.long, device=device)
        beams = 1 if sampled else self.beams
        options: dict[str, Any] = {
            "attention_mask": attention,
            "do_sample": sampled,
            "num_beams": beams,
            "max_new_tokens": max(first.max_new_tokens, 1),
            "min_length": 1,
        }
        if sampled:
            options |= {"temperature": first.temperature, "top_p": first.top_p}
            if first.seed is not None:
                torch.manual_seed(first.seed)
        with torch.no_grad():
            if self.kind == "opt":
                with model.maybe_autocast():
                    output = model.opt_model.generate(
                        input_ids=ids,
                        query_embeds=tokens.repeat_interleave(beams, dim=0),
                        eos_token_id=model.eos_token_id,
                        **options,
                    )
                output = output[:, ids.shape[1] :]
                return list(model.opt_tokenizer.batch_decode(output, skip_special_tokens=True))
            with model.maybe_autocast(dtype=torch.bfloat16):
                embedded = torch.cat([tokens, model.t5_model.encoder.embed_tokens(ids)], dim=1)
                output = model.t5_model.generate(inputs_embeds=embedded, **options)
            return list(model.t5_tokenizer.batch_decode(output, skip_special_tokens=True))

    # Building

    def _device(self) -> str:
        import torch

        device = str(self.options.get("device", "auto"))
        if device == "auto":
            return "cuda" if torch.cuda.is_available() else "cpu"
        if device.startswith("cuda") and not torch.cuda.is_available():
            raise UnusableError(f"device={device}: this environment's PyTorch sees no GPU; use device=cpu")
        return device

    def _build(self, model_class: Any, config: Any) -> Any:
        """Construct LAVIS's model class with checked files and weights."""
        weights = self._checkpoint(config)
        self._check_pair(weights, str(config[f"{self.kind}_model"]))
        has_vit = "visual_encoder.cls_token" in weights or "visual_encoder.class_embedding" in weights
        with self._substitutes(has_vit):
            try:
                model = model_class.from_config(config)
            except OSError as error:
                raise _no_llm(str(config[f"{self.kind}_model"]), error) from error
        self._fill(model, weights)
        return model

    def _check_pair(self, weights: Mapping[str, Any], llm: str) -> None:
        """Raise UnusableError if the projection does not fit the language model, before gigabytes are read."""
        from transformers import AutoConfig

        name = f"{self.kind}_proj.weight"
        if name not in weights:
            raise UnusableError(
                f"the checkpoint is not one of blip2_{self.kind}: it lacks {name}; take the file that LAVIS names for "
                "this model type"
            )
        try:
            width = AutoConfig.from_pretrained(llm).hidden_size
        except (OSError, ValueError) as error:
            raise _no_llm(llm, error) from error
        if weights[name].shape[0] != width:
            raise UnusableError(
                f"the checkpoint was trained for a language model of width {weights[name].shape[0]}, but '{llm}' has "
                f"{width}; give the other one: llm=DIR"
            )

    def _checkpoint(self, config: Any) -> dict[str, Any]:
        """The tensors of LAVIS's checkpoint, memory-mapped."""
        address = config.finetuned if config.get("load_finetuned", True) else config.pretrained
        file = Path(self.options.get("checkpoint") or _download(address, "checkpoint"))
        stored = _load(file, "checkpoint")
        self.files.append(file)
        inner = stored.get("model", stored)
        return dict(inner)

    @contextmanager
    def _substitutes(self, has_vit: bool) -> Iterator[None]:
        """Patch LAVIS's constructors to use the given files and the checkpoint instead of downloads."""
        from lavis.models import clip_vit
        from lavis.models.base_model import BaseModel
        from lavis.models.blip2_models import blip2

        def fetch(address: str, **_: Any) -> str:
            file = Path(self.options.get("vit") or _download(address, "vit"))
            self.files.append(file)
            return str(file)

        def create_eva(size: int, drop_path: float, checkpoint: bool, precision: str) -> Any:
            return self._eva(size, drop_path, checkpoint, precision, None if has_vit else fetch)

        def create_clip(size: int, checkpoint: bool, precision: str) -> Any:
            with patch.object(clip_vit, "download_cached_file", fetch):
                return create_clip_vit(size, checkpoint, precision)

        create_clip_vit = clip_vit.create_clip_vit_L
        with ExitStack() as stack:
            for target, name, value in (
                (blip2, "create_eva_vit_g", create_eva),
                (blip2, "create_clip_vit_L", create_clip),
                (blip2.Blip2Base, "init_tokenizer", classmethod(lambda cls: None)),  # for training of stage 1 only
                (blip2.Blip2Base, "init_Qformer", classmethod(lambda cls, *sizes: self._qformer(*sizes))),
                (BaseModel, "load_checkpoint_from_config", lambda *_: None),
            ):
                stack.enter_context(patch.object(target, name, value))
            yield

    def _eva(self, size: int, drop_path: float, checkpoint: bool, precision: str, fetch: Any) -> Any:
        """Like `create_eva_vit_g`, but raise UnusableError for an incomplete file."""
        from functools import partial

        from lavis.models import eva_vit
        from torch import nn

        model = eva_vit.VisionTransformer(
            img_size=size,
            patch_size=14,
            use_mean_pooling=False,
            qkv_bias=True,
            drop_path_rate=drop_path,
            norm_layer=partial(nn.LayerNorm, eps=1e-6),
            use_checkpoint=checkpoint,
            **self.vit,
        )
        if fetch is not None:
            file = Path(fetch(EVA_VIT_G))
            stored = _load(file, "vit")
            eva_vit.interpolate_pos_embed(model, stored)
            missing = [name for name in model.state_dict() if name not in stored]
            if missing:
                raise UnusableError(
                    f"vit={file} is no eva_vit_g.pth: it lacks {missing[0]} and {len(missing) - 1} more"
                )
            model.load_state_dict(stored, strict=False)  # it has a 40th block, which BLIP-2 does not use
        if precision == "fp16":
            eva_vit.convert_weights_to_fp16(model)
        return model

    def _qformer(self, queries: int, vision_width: int, frequency: int = 2) -> Any:
        """Like `init_Qformer`, without downloading bert-base-uncased: the checkpoint has all weights."""
        import torch
        from lavis.models.blip2_models.Qformer import BertConfig, BertLMHeadModel

        config = BertConfig(**self.bert)
        config.encoder_width = vision_width
        config.add_cross_attention = True
        config.cross_attention_freq = frequency
        config.query_length = queries
        return BertLMHeadModel(config), torch.nn.Parameter(torch.zeros(1, queries, config.hidden_size))

    def _fill(self, model: Any, weights: dict[str, Any]) -> None:
        """Load the checkpoint into the model. Raises UnusableError if it belongs to another model."""
        present = model.state_dict()
        has_vit = any(name.startswith("visual_encoder.") for name in weights)
        elsewhere = (f"{self.kind}_model.", *(() if has_vit else ("visual_encoder.",)))
        for name, tensor in present.items():
            if name.startswith(elsewhere) or name.endswith(".position_ids"):
                continue
            if name not in weights:
                raise UnusableError(
                    f"the checkpoint is not one of {type(model).__name__}: it lacks {name}; take the file that LAVIS "
                    "names for this model type"
                )
            if weights[name].shape != tensor.shape:
                raise UnusableError(
                    f"the checkpoint is of another size: {name} is {tuple(weights[name].shape)} there, but "
                    f"{tuple(tensor.shape)} here; take the one that LAVIS names for this model type, or another llm"
                )
        model.load_state_dict({name: weights[name] for name in present if name in weights}, strict=False)

    def _digest(self) -> str:
        """12 hex digits from the sizes and 64 samples of 4 KB of each file, since the files are large."""
        hasher = hashlib.sha256()
        for given in self.files:
            inside = sorted(path for path in given.iterdir() if path.is_file()) if given.is_dir() else [given]
            for file in inside:
                size = file.stat().st_size
                hasher.update(f"{file.name}:{size}\n".encode())
                with file.open("rb") as stream:
                    for sample in range(64):
                        stream.seek(max(size - 4096, 0) * sample // 63)
                        hasher.update(stream.read(4096))
        return hasher.hexdigest()[:12]


def _download(address: str, option: str) -> str:
    """Download to LAVIS's cache. Raises UnusableError without a connection."""
    from lavis.common.dist_utils import download_cached_file

    print(f"fetching {address}", flush=True)
    try:
        return str(download_cached_file(address, check_hash=False, progress=True))
    except OSError as error:
        raise UnusableError(
            f"{address} cannot be fetched ({_first_line(error)}); give the file: {option}=FILE"
        ) from error


def _load(file: Path, option: str) -> dict[str, Any]:
    """Load a PyTorch file of tensors and plain containers only. Raises UnusableError."""
    import pickle

    import torch

    try:
        try:
            stored = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
        except RuntimeError as error:
            if "mmap" not in str(error):
                raise
            stored = torch.load(file, map_location="cpu", weights_only=True)  # the format before PyTorch 1.6
    except FileNotFoundError:
        raise UnusableError(f"{option}={file} does not exist; check the path") from None
    except (OSError, RuntimeError, pickle.UnpicklingError, ValueError, EOFError) as error:
        raise UnusableError(
            f"{option}={file} is no checkpoint that can be read safely: {_first_line(error)}"
        ) from error
    if not isinstance(stored, dict):
        raise UnusableError(f"{option}={file} holds no dictionary of tensors; take one of LAVIS's files")
    return stored


def _no_llm(llm: str, error: Exception) -> UnusableError:
    return UnusableError(
        f"the language model '{llm}' cannot be opened ({_first_line(error)}); give its directory: llm=DIR"
    )


def _plain(text: str) -> str:
    return " ".join(text.split())


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0][:200] or type(error).__name__


def versions() -> dict[str, str]:
    """The installed versions, after importing LAVIS."""
    from importlib.metadata import version

    import_lavis()
    names = ("salesforce-lavis", "torch", "torchvision", "transformers", "timm", "numpy", "pandas")
    return {name: version(name) for name in names} | {"python": sys.version.partition(" ")[0]}


if __name__ == "__main__":
    print(json.dumps(versions()))
