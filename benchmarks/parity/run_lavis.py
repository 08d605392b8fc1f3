"""Compare our BLIP-2 with LAVIS on the same weights, from Q-Former tokens to greedy answers.

    python -m benchmarks.parity.run_lavis                          # with the environment of `inquisight lavis install`
    python -m benchmarks.parity.run_lavis --python lavis/bin/python

LAVIS's `Blip2OPT` is built small on the recipe's weights (`lavis_recipe.py`) and saves them in its own layout.
The vision half of that file is read by the reader that `inquisight convert minigpt4` has for LAVIS's files, and joined
with the OPT into transformers' `Blip2ForConditionalGeneration`. Then pixels, ViT, Q-Former tokens, projected tokens,
prompts as token ids, logits and greedy answers are compared, in float32; the largest difference allowed is 1e-4.

    --write FILE    write LAVIS's numbers, for the test that needs no LAVIS
    --from FILE     compare with saved numbers instead
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.parity import lavis_recipe as recipe
from core import InquisightError
from core.errors import UsageError, printable

ROOT = Path(__file__).resolve().parents[2]
ORIGINAL = Path(__file__).with_name("lavis_original.py")
FIXTURE = ROOT / "tests" / "fixtures" / "parity_lavis.npz"
TOLERANCE = 1e-4
LN_VISION_EPS = 1e-5  # PyTorch's default, which LAVIS keeps; transformers gives its post_layernorm the ViT's 1e-6
Outputs = dict[str, np.ndarray]


def write_sources(shapes: dict[str, list[int]], directory: Path) -> None:
    """The files that LAVIS would leave, from the recipe alone: `opt/` and `opt.pth`."""
    import torch

    recipe.write_opt(directory / "opt")
    tensors = {name: torch.from_numpy(recipe.weight(name, tuple(shape))) for name, shape in shapes.items()}
    llm = {name.removeprefix("opt_model."): value for name, value in tensors.items() if name.startswith("opt_model.")}
    llm["lm_head.weight"] = llm["model.decoder.embed_tokens.weight"]
    torch.save(llm, directory / "opt" / "pytorch_model.bin")
    rest = {name: value for name, value in tensors.items() if not name.startswith("opt_model.")}
    torch.save({"model": rest, "epoch": 0}, directory / "opt.pth")


def convert(directory: Path) -> Any:
    """`opt/` and `opt.pth` as one `Blip2ForConditionalGeneration`, in float32."""
    import torch
    from transformers import (
        Blip2Config,
        Blip2ForConditionalGeneration,
        Blip2QFormerConfig,
        Blip2VisionConfig,
        OPTConfig,
    )

    from plugins.minigpt4.convert.vision import QFORMER, VIT, open_vision

    vision = open_vision([str(directory / "opt.pth")])
    assert vision.qformer is not None
    vision.settle_heads(VIT, int(recipe.VIT["num_heads"]))
    vision.settle_heads(QFORMER, recipe.QFORMER["num_attention_heads"])
    model = Blip2ForConditionalGeneration(
        Blip2Config(
            vision_config=Blip2VisionConfig(**vision.vision),
            qformer_config=Blip2QFormerConfig(**vision.qformer),
            text_config=OPTConfig(**_config(directory / "opt")),
            num_query_tokens=vision.num_query_tokens,
            image_token_index=recipe.opt_config()["vocab_size"],
        )
    ).eval()
    llm = torch.load(directory / "opt" / "pytorch_model.bin", weights_only=True)
    state = {}
    for name, tensor in model.state_dict().items():
        if name.startswith("language_model."):
            value = llm[name.removeprefix("language_model.")]
        elif name.startswith("language_projection."):
            value = vision.weights.read(name.replace("language_projection.", "opt_proj."))
        else:
            value = vision.read(name)
        if value.shape != tensor.shape:
            raise UsageError(f"{name} is {tuple(value.shape)} in LAVIS's file, but {tuple(tensor.shape)} here.")
        state[name] = value.float()
    model.load_state_dict(state)
    return model


def ours(model: Any, facts: dict[str, Any]) -> tuple[Outputs, list[list[int]]]:
    """(the same outputs as `lavis_original.measure`, the prompts as our tokenizer's ids)."""
    import torch

    outputs: Outputs = {}
    pixels = torch.from_numpy(_pixels())
    prompts: list[list[int]] = []
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        recipe.write_opt(Path(folder))
        tokenizer = _tokenizer(Path(folder))
        outputs["pixels"] = pixels[:, :, ::7, ::7].numpy()
        features = model.get_image_features(pixels, return_dict=True)
        outputs["vision"] = features.vision_outputs.last_hidden_state[:, ::16].numpy()
        outputs["qformer"] = features.qformer_outputs.last_hidden_state.numpy()
        projected = features.pooler_output
        outputs["projected"] = projected.numpy()
        for number, prompt in enumerate(recipe.PROMPTS):
            prompts.append(list(tokenizer(prompt).input_ids))
            ids = torch.tensor([prompts[-1]]).expand(len(pixels), -1)
            embedded = torch.cat([projected, model.get_input_embeddings()(ids)], dim=1)
            attention = torch.ones(embedded.shape[:2], dtype=torch.long)
            logits = model.language_model(inputs_embeds=embedded, attention_mask=attention).logits
            outputs[f"logits_{number}"] = logits[:, projected.shape[1] :: 2].numpy()
            said = model.language_model.generate(
                inputs_embeds=embedded, attention_mask=attention, do_sample=False, num_beams=1,
                max_new_tokens=recipe.MAX_NEW_TOKENS, eos_token_id=facts["eos"], pad_token_id=1,
            )  # fmt: skip
            outputs[f"greedy_{number}"] = said.numpy()
    return outputs, prompts


def compare(theirs: Outputs, found: Outputs) -> dict[str, float]:
    """The largest difference of each output; infinite where the shapes differ."""
    return {
        name: float(np.abs(values.astype(np.float64) - found[name]).max())
        if values.shape == found[name].shape
        else float("inf")
        for name, values in theirs.items()
    }


def load(file: Path) -> tuple[Outputs, dict[str, Any]]:
    """(numbers, facts) as `measure` wrote them."""
    with np.load(file) as stored:
        outputs = {name: stored[name] for name in stored.files if name != "facts"}
        return outputs, json.loads(str(stored["facts"]))


def _config(directory: Path) -> dict[str, Any]:
    config = json.loads((directory / "config.json").read_text("utf-8"))
    return {name: value for name, value in config.items() if name not in {"model_type", "architectures", "torch_dtype"}}


def _tokenizer(directory: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(directory, local_files_only=True)


def _pixels() -> np.ndarray:
    """(pictures, 3, 224, 224): a plain resize to the square by Pillow, then CLIP's mean and deviation."""
    from PIL import Image

    from plugins.minigpt4.runtime.loading import MEAN, STD

    size = (recipe.IMAGE_SIZE, recipe.IMAGE_SIZE)
    mean, deviation = np.asarray(MEAN, np.float32), np.asarray(STD, np.float32)
    made = [
        np.asarray(picture.resize(size, Image.Resampling.BICUBIC), np.float32) / 255 for picture in recipe.pictures()
    ]
    return np.asarray(((np.stack(made) - mean) / deviation).transpose(0, 3, 1, 2))


def original(python: Path, directory: Path) -> Path:
    """Run LAVIS's side; the file with its numbers. Raises UsageError."""
    done = subprocess.run(
        [str(python), "-I", str(ORIGINAL), "measure", str(directory)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        last = next(iter(done.stderr.strip().splitlines()[-1:]), "no words")
        raise UsageError(f"LAVIS's side failed in {printable(python)}: {printable(last)}")
    return directory / "outputs.npz"


def run(arguments: argparse.Namespace) -> int:
    """Compare, print a table, and tell by the exit code whether all of it is within the tolerance."""
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        if arguments.kept is not None:
            theirs, facts = load(arguments.kept)
            write_sources(facts["shapes"], directory)
        else:
            from plugins.lavis.environment import ready

            python = arguments.python or ready().python
            file = original(python, directory)
            theirs, facts = load(file)
            if arguments.write is not None:
                arguments.write.parent.mkdir(parents=True, exist_ok=True)
                arguments.write.write_bytes(file.read_bytes())
        model = convert(directory)
        plain = compare(theirs, ours(model, facts)[0])
        model.vision_model.post_layernorm.eps = LN_VISION_EPS
        found, prompts = ours(model, facts)
        same = compare(theirs, found)
    print(f"LAVIS: {', '.join(f'{name} {version}' for name, version in facts['versions'].items())}")
    print(f"{'output':12} {'numbers':>8} {'largest':>9} {'difference':>11} {'as opened':>11}")
    for name, values in theirs.items():
        largest = float(np.abs(values).max())
        print(f"{name:12} {values.size:8} {largest:9.3g} {same[name]:11.2e} {plain[name]:11.2e}")
    tokens = prompts == facts["prompts"]
    print(f"prompts as token ids: {'equal' if tokens else 'DIFFERENT'}")
    print("'as opened': without giving the ViT's last LayerNorm LAVIS's epsilon of 1e-5")
    fine = tokens and all(value <= TOLERANCE for value in same.values())
    print(f"{'equal' if fine else 'NOT EQUAL'} within {TOLERANCE:g}")
    return 0 if fine else 1


def main(argv: Sequence[str] | None = None) -> int:
    """Read the options and run; an error is one line."""
    about = (__doc__ or "").partition("\n")[0]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.parity.run_lavis", description=about)
    parser.add_argument("--python", type=Path, help="Python interpreter with salesforce-lavis")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write LAVIS's numbers")
    parser.add_argument("--from", dest="kept", type=Path, metavar="FILE", help="compare with saved numbers")
    try:
        return run(parser.parse_args(argv))
    except InquisightError as error:
        print(f"parity_lavis: {printable(error, limit=1000)}", file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
