"""LAVIS's side of `run_lavis.py`, and the small models for tests: runs in the environment of salesforce-lavis.

    ENVIRONMENT/bin/python benchmarks/parity/lavis_original.py build DIR      # opt/, opt.pth, t5/, t5.pth
    ENVIRONMENT/bin/python benchmarks/parity/lavis_original.py measure DIR    # and outputs.npz

LAVIS classes at small sizes, filled from the recipe, saved in the layout of LAVIS. `TinyVision` opens those files as
the isolated model would open the real ones.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]


def _module(name: str, path: Path) -> Any:
    """A file as a module: this environment has none of our packages."""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None and spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


recipe: Any = _module("lavis_recipe", ROOT / "benchmarks" / "parity" / "lavis_recipe.py")
worker: Any = _module("lavis_worker", ROOT / "plugins" / "lavis" / "worker.py")


class TinyVision(worker.LavisVision):  # type: ignore[misc]
    """LAVIS's BLIP-2 at the sizes of the recipe."""

    vit = recipe.VIT
    bert = recipe.QFORMER


class FullQFormer(worker.LavisVision):  # type: ignore[misc]
    """A small ViT with a Q-Former of the real size, for which the small checkpoint is the wrong one."""

    vit = recipe.VIT


class _Unfilled(TinyVision):
    """The same before it has a checkpoint: filled from the recipe."""

    def _checkpoint(self, config: Any) -> dict[str, Any]:
        return {"visual_encoder.cls_token": None}  # so that none is fetched

    def _check_pair(self, weights: Any, llm: str) -> None:
        """There is nothing to check yet."""

    def _fill(self, model: Any, weights: dict[str, Any]) -> None:
        import torch

        made = {}
        for name, tensor in model.state_dict().items():
            fixed = name.startswith(f"{self.kind}_model.") or name.endswith("position_ids")
            if not fixed:
                made[name] = torch.from_numpy(recipe.weight(name, tuple(tensor.shape))).to(tensor.dtype)
        model.load_state_dict(made, strict=False)


def build(directory: Path) -> None:
    """Everything that stands for a user's downloads."""
    import torch

    worker.import_lavis()
    from lavis.models.blip2_models.modeling_opt import OPTConfig, OPTForCausalLM

    recipe.write_opt(directory / "opt")
    model = OPTForCausalLM(OPTConfig.from_pretrained(directory / "opt"))
    filled = {
        name: torch.from_numpy(recipe.weight(f"opt_model.{name}", tuple(tensor.shape)))
        for name, tensor in model.state_dict().items()
        if name != "lm_head.weight"  # tied
    }
    filled["lm_head.weight"] = filled["model.decoder.embed_tokens.weight"]
    torch.save(filled, directory / "opt" / "pytorch_model.bin")
    _build_t5(directory / "t5")
    for kind, model_type in (("opt", recipe.TYPE), ("t5", "pretrain_flant5xl")):
        wanted = {"model": f"blip2_{kind}", "type": model_type, "llm": str(directory / kind), "device": "cpu"}
        made = _Unfilled(json.dumps(wanted)).model
        kept = {name: value for name, value in made.state_dict().items() if not name.startswith(f"{kind}_model.")}
        torch.save({"model": kept, "epoch": 0}, directory / f"{kind}.pth")


def _build_t5(directory: Path) -> None:
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import T5Config, T5ForConditionalGeneration, T5TokenizerFast

    letters = [chr(code) for code in range(33, 127)] + ["\u2581"]
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)] + [(letter, -1.0) for letter in letters]
    tokenizer = Tokenizer(models.Unigram(pieces, 2))
    tokenizer.normalizer = normalizers.Nmt()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    fast = T5TokenizerFast(tokenizer_object=tokenizer, extra_ids=0, additional_special_tokens=[])
    fast.save_pretrained(directory)
    torch.manual_seed(1)
    config = T5Config(
        vocab_size=len(fast), d_model=64, d_kv=16, d_ff=128, num_layers=2, num_heads=4, feed_forward_proj="gated-gelu",
        tie_word_embeddings=False, decoder_start_token_id=0, pad_token_id=0, eos_token_id=1, initializer_factor=4.0,
    )  # fmt: skip
    T5ForConditionalGeneration(config).save_pretrained(directory)


def tiny(directory: Path, kind: str = "opt", **options: Any) -> TinyVision:
    """The built model, opened from its files."""
    model_type = recipe.TYPE if kind == "opt" else "pretrain_flant5xl"
    files = {"checkpoint": str(directory / f"{kind}.pth"), "llm": str(directory / kind)}
    return TinyVision(json.dumps({"model": f"blip2_{kind}", "type": model_type, "device": "cpu", **files, **options}))


def measure(directory: Path) -> None:
    """What LAVIS computes, into `outputs.npz`."""
    import torch

    opened = tiny(directory)
    model = opened.model
    shapes = {name: list(tensor.shape) for name, tensor in model.state_dict().items() if "position_ids" not in name}
    outputs: dict[str, np.ndarray] = {}
    texts: list[list[str]] = []
    prompts = []
    with torch.no_grad():
        pixels = torch.stack([opened.transform(picture) for picture in recipe.pictures()])
        outputs["pixels"] = pixels[:, :, ::7, ::7].numpy()
        outputs["vision"] = model.ln_vision(model.visual_encoder(pixels))[:, ::16].numpy()
        qformer, projected = opened.tokens(pixels)
        outputs["qformer"], outputs["projected"] = qformer.numpy(), projected.numpy()
        for number, prompt in enumerate(recipe.PROMPTS):
            ids = model.opt_tokenizer(prompt, return_tensors="pt").input_ids
            prompts.append(ids[0].tolist())
            rows = ids.expand(len(pixels), -1)
            attention = torch.ones(len(pixels), projected.shape[1] + ids.shape[1], dtype=torch.long)
            logits = model.opt_model(input_ids=rows, query_embeds=projected, attention_mask=attention).logits
            outputs[f"logits_{number}"] = logits[:, projected.shape[1] :: 2].numpy()
            said = model.opt_model.generate(
                input_ids=rows, query_embeds=projected, attention_mask=attention, do_sample=False, num_beams=1,
                max_new_tokens=recipe.MAX_NEW_TOKENS, eos_token_id=model.eos_token_id,
            )  # fmt: skip
            outputs[f"greedy_{number}"] = said[:, ids.shape[1] :].numpy()
            samples = {"image": pixels, "prompt": prompt}
            texts.append(model.generate(samples, num_beams=1, max_length=recipe.MAX_NEW_TOKENS))
    facts = {"shapes": shapes, "prompts": prompts, "texts": texts, "eos": int(model.eos_token_id)}
    facts["versions"] = worker.versions()
    np.savez_compressed(directory / "outputs.npz", facts=np.array(json.dumps(facts)), **outputs)  # type: ignore[arg-type]


def main(arguments: list[str]) -> None:
    """`build DIR` or `measure DIR`."""
    what, directory = arguments[0], Path(arguments[1])
    directory.mkdir(parents=True, exist_ok=True)
    build(directory)
    if what == "measure":
        measure(directory)


if __name__ == "__main__":
    main(sys.argv[1:])
