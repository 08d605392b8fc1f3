"""Compare our MiniGPT-4 with the original on the same weights, over a conversation of three turns.

    python -m benchmarks.parity.run_minigpt4 --upstream MiniGPT-4 --python old/bin/python

`--upstream` is a checkout of Vision-CAIR/MiniGPT-4, `--python` Python interpreter that runs its code: its pins are of
2023 (transformers 4.30, timm 0.6.13, peft 0.2, accelerate 0.20, numpy below 2, setuptools below 80, omegaconf, iopath,
pandas, opencv-python-headless, sentencepiece, torchvision), so that environment is not this one. The original's classes
are built small on the recipe's weights (`minigpt4_recipe.py`) and save them in their own layouts; `inquisight
convert minigpt4` joins those files; then picture tensors, ViT, Q-Former tokens, projected tokens, prompts as token ids,
the logits of every position and greedy answers are compared. All in float32; the largest difference allowed is 1e-4.

    --llama-tokenizer FILE   LLaMA's own tokenizer.model: the same prompts in its vocabulary too
    --write FILE             keep the original's numbers, for the test that needs no original
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.parity import minigpt4_recipe as recipe
from core import InquisightError
from core.errors import UsageError, printable

ROOT = Path(__file__).resolve().parents[2]
TOLERANCE = 1e-4
Outputs = dict[str, np.ndarray]


# --- our side -------------------------------------------------------------------------------------------------------


def prepare_llm(variant: recipe.Variant, directory: Path) -> None:
    """The language model's directory without its weights."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "tokenizer.model").write_bytes(recipe.sentencepiece_model())
    for name, content in recipe.tokenizer_files(variant).items():
        (directory / name).write_text(json.dumps(content))
    (directory / "config.json").write_text(json.dumps(recipe.llama_config(variant)))


def save_sources(variant: recipe.Variant, directory: Path) -> None:
    """The files that the original saves, from the recipe alone."""
    import torch

    def tensors(shapes: recipe.Shapes) -> dict[str, torch.Tensor]:
        return {name: torch.from_numpy(recipe.weight(name, shape, variant)) for name, shape in shapes.items()}

    prepare_llm(variant, directory / "llm")
    torch.save(tensors(recipe.llm_shapes(variant)), directory / "llm" / "pytorch_model.bin")
    torch.save(tensors(recipe.vit_shapes()), directory / "eva_vit_g.pth")
    if variant.qformer:
        torch.save({"model": tensors(recipe.qformer_shapes())}, directory / "blip2.pth")
    torch.save({"model": tensors(recipe.projection_shapes(variant)), "epoch": 3}, directory / "projection.pth")


def converted(variant: recipe.Variant, directory: Path) -> Path:
    """`directory`'s source files as one model."""
    from plugins.minigpt4.convert.conversion import ConversionRequest, join_weights

    vision = ["blip2.pth", "eva_vit_g.pth"] if variant.qformer else ["eva_vit_g.pth"]
    return join_weights(
        ConversionRequest(
            projection=directory / "projection.pth",
            llm=str(directory / "llm"),
            vision=tuple(str(directory / name) for name in vision),
            to=directory / "model",
            template=variant.name,
            vit_heads=recipe.VIT_HEADS,
            qformer_heads=recipe.QFORMER_HEADS if variant.qformer else None,
        )
    )


def ours(variant: recipe.Variant, model: Path) -> Outputs:
    """What the backend makes of the recipe's pictures and conversation; the original's names and shapes."""
    import torch

    from core.images.picture import open_picture
    from plugins.hf.generation import DecodingOptions
    from plugins.minigpt4.runtime.backend import MiniGPT4Backend
    from plugins.minigpt4.runtime.conversation import ImageTokens, PromptTurns
    from plugins.minigpt4.runtime.loading import LoadOptions

    backend = MiniGPT4Backend(str(model), options=LoadOptions(dtype="float32", device="cpu"))
    engine = backend.engine
    files = [io.BytesIO() for _ in range(2)]
    for file, picture in zip(files, recipe.pictures(), strict=True):
        picture.save(file, "PNG")
    pictures = [open_picture(file.getvalue()) for file in files]
    found: dict[str, Any] = {}
    with torch.inference_mode():
        pixels = backend._pixels(pictures)
        features = engine.model.get_image_features(pixels)
    found["pixels"] = pixels
    found["vision"] = features.vision_outputs.last_hidden_state
    if variant.qformer:
        found["queries"] = features.qformer_outputs.last_hidden_state
    found["projected"] = features.pooler_output
    seen = [image.data[0] for image in backend.encode(pictures)]

    # greedy, with what else the original's Chat sets; its min_length of 1 is met by the BOS it counts
    options = DecodingOptions(max_new_tokens=recipe.MAX_NEW_TOKENS, repetition_penalty=recipe.REPETITION_PENALTY)
    talk = PromptTurns()
    for number, turn in enumerate(recipe.TURNS):
        talk = talk.ask(*(seen[part] if isinstance(part, int) else part for part in turn))
        row = engine.rows.row(talk, recipe.MAX_NEW_TOKENS)
        found[f"turn{number}/tokens"] = [
            token for part in row.parts for token in ([-1] * len(part) if isinstance(part, ImageTokens) else part)
        ]
        with torch.inference_mode():
            embeds = engine._embed(row, 0, len(row.keys))[None]
            logits = engine.language_model(inputs_embeds=embeds).logits[0]
            _, _, after = engine._read(
                [(row, len(row.keys))]
            )  # what the engine itself goes on from, earlier turns kept
        found[f"turn{number}/logits"] = logits[:, : recipe.vocabulary_size(variant)]
        found[f"turn{number}/next"] = after[0, : recipe.vocabulary_size(variant)]
        answer = engine.answer([talk], options)[0]
        found[f"turn{number}/text"] = codes(answer.text)
        found[f"turn{number}/length"] = answer.output_tokens
        talk = talk.answered(answer.text)
    backend.close()
    return {f"{variant.name}/{name}": np.asarray(value) for name, value in found.items()}


# --- the comparison -------------------------------------------------------------------------------------------------


def compare(expected: Outputs, mine: Outputs) -> list[tuple[str, int, float, float]]:
    """(name, numbers compared, largest value, largest difference) per output; whole numbers differ by 0 or infinity."""
    rows = []
    for name, theirs in expected.items():
        found = mine.get(name)
        if found is None or found.shape != theirs.shape:
            difference = float("inf")
        elif theirs.dtype.kind == "f":
            difference = float(np.abs(found.astype(np.float64) - theirs).max())
        else:
            difference = 0.0 if np.array_equal(found, theirs) else float("inf")
        rows.append((name, theirs.size, float(np.abs(theirs).max(initial=0)), difference))
    return rows


def codes(text: str) -> np.ndarray:
    """A text as numbers."""
    return np.asarray([ord(character) for character in text], dtype=np.int64)


def table(rows: Sequence[tuple[str, int, float, float]]) -> str:
    """Markdown, one line per kind of output: the worst of all turns."""
    kinds: dict[str, list[tuple[int, float, float]]] = {}
    for name, size, largest, difference in rows:
        variant, _, rest = name.partition("/")
        kind = rest.partition("/")[2] if rest.startswith("turn") else rest
        kinds.setdefault(f"{variant}: {_TITLES.get(kind, kind)}", []).append((size, largest, difference))
    lines = ["| | numbers | largest | largest difference |", "|---|---:|---:|---:|"]
    for title, found in kinds.items():
        exact = title.endswith(_EXACT)
        count = sum(size for size, _, _ in found)
        largest = max(value for _, value, _ in found)
        worst = max(difference for _, _, difference in found)
        told = ("equal" if worst == 0 else "DIFFERENT") if exact else f"{worst:.1e}"
        lines.append(f"| {title} | {count:,} | {'' if exact else f'{largest:.1f}'} | {told} |")
    return "\n".join(lines)


_EXACT = ("token ids of the prompts", "greedy answers, text", "greedy answers, length")
_TITLES = {
    "pixels": "pictures as tensors",
    "vision": "ViT with its LayerNorm",
    "queries": "Q-Former tokens",
    "projected": "projected tokens",
    "tokens": _EXACT[0],
    "logits": "logits of every position",
    "next": "logits the engine goes on from, earlier turns kept",
    "text": _EXACT[1],
    "length": _EXACT[2],
}


# --- the original's side --------------------------------------------------------------------------------------------


def originals(options: argparse.Namespace, variant: recipe.Variant, directory: Path) -> Outputs:
    """What the original makes of the same; its files lie in `directory` then. Raises InquisightError."""
    prepare_llm(variant, directory / "llm")
    _run(options, variant.name, directory)
    with np.load(directory / "original.npz", allow_pickle=False) as file:
        found: Outputs = dict(file)
    for name in list(found):
        if name.endswith("/text"):
            found[name] = codes(str(found[name]))
        elif name.endswith("/logits"):
            found[name.replace("/logits", "/next")] = found[name][-1]
    return found


def _run(options: argparse.Namespace, what: str, directory: Path) -> None:
    script = Path(__file__).with_name("minigpt4_original.py")
    command = [str(options.python), str(script), str(options.upstream), what, str(directory)]
    # transformers of that time has protobuf modules that newer versions only read this way
    environment = os.environ | {"PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": "python"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or "nothing").splitlines()[-1]
        raise InquisightError(f"the original ({what}) ended with code {done.returncode}: {printable(said)}")


def llama_tokens(options: argparse.Namespace, directory: Path) -> list[tuple[str, int, float, float]]:
    """The prompts in LLaMA's own vocabulary: the tokenizer of 2023 against what the converter writes."""
    from plugins.minigpt4.convert import tokens
    from plugins.minigpt4.runtime.conversation import FORMATS, ImageTokens, PromptTurns

    place = directory / "llama-tokenizer"
    prepare_llm(recipe.VARIANTS[1], place)
    (place / "tokenizer.model").write_bytes(options.llama_tokenizer.read_bytes())
    prompts = {}
    for variant in recipe.VARIANTS:
        talk = PromptTurns()
        for number, turn in enumerate(recipe.TURNS):
            talk = talk.ask(*(ImageTokens(str(part), "x") if isinstance(part, int) else part for part in turn))
            parts = FORMATS[variant.name].render(talk, bos="<s>")
            written = "".join(part if isinstance(part, str) else "<ImageHere>" for part in parts)
            prompts[f"{variant.name} {number}"] = written
            talk = talk.answered("It is a cat, 3 years old: \u732b.\nIt sleeps")
    (place / "prompts.json").write_text(json.dumps(prompts))
    print("LLaMA's tokenizer: the original's (its fast form takes ten minutes) ...", file=sys.stderr, flush=True)
    _run(options, "tokens", place)
    wanted = json.loads((place / "ids.json").read_text())
    rows = []
    for layout, folder in (("tokenizer.model", place), ("tokenizer.json of 2023", place / "fast")):
        for variant in recipe.VARIANTS:
            made = tokens.prepare(folder, str(folder), 32001, variant.name)
            made.save(folder / variant.name, "")
            mine = {name: text for name, text in prompts.items() if name.startswith(variant.name)}
            found = _pieces(folder / variant.name, mine, FORMATS[variant.name])
            same = all(found[name] == wanted[name] for name in mine)
            count = sum(len(piece) for name in mine for piece in wanted[name])
            rows.append((f"{variant.name}/LLaMA's {layout}: {_EXACT[0]}", count, 0.0, 0.0 if same else float("inf")))
            stop = made.tokenizer("###", add_special_tokens=False).input_ids
            print(f"{variant.name}, {layout}: ### is {stop}, answers end at {made.stops}", file=sys.stderr)
    return rows


def _pieces(directory: Path, prompts: dict[str, str], format: Any) -> dict[str, list[list[int]]]:
    """Token ids as the engine makes them: cut at the pictures, one BOS in front."""
    from transformers import AutoTokenizer

    from plugins.minigpt4.runtime.rows import RowWriter

    tokenizer = AutoTokenizer.from_pretrained(directory, local_files_only=True)
    read = RowWriter(tokenizer, format, recipe.POSITIONS)._ids
    return {
        name: [
            [tokenizer.bos_token_id] * (place == 0) + read(piece)
            for place, piece in enumerate(prompt.split("<ImageHere>"))
        ]
        for name, prompt in prompts.items()
    }


def measure(options: argparse.Namespace) -> list[tuple[str, int, float, float]]:
    """Both variants; the rows of the table. Raises InquisightError."""
    rows: list[tuple[str, int, float, float]] = []
    stored: Outputs = {}
    with contextlib.ExitStack() as stack:
        work = Path(options.work or stack.enter_context(tempfile.TemporaryDirectory()))
        for variant in recipe.VARIANTS:
            directory = work / variant.name
            directory.mkdir(parents=True, exist_ok=True)
            print(f"{variant.name}: the original ...", file=sys.stderr, flush=True)
            expected = originals(options, variant, directory)
            print(f"{variant.name}: ours ...", file=sys.stderr, flush=True)
            rows += compare(expected, ours(variant, converted(variant, directory)))
            stored |= recipe.kept(expected)
        if options.llama_tokenizer:
            rows += llama_tokens(options, work)
    if options.write:
        np.savez_compressed(options.write, **stored)  # type: ignore[arg-type]
    return rows


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0 where all is equal, 1 where not, or one line on standard error and the error's own code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.parity.run_minigpt4", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--upstream", type=Path, required=True, help="a checkout of Vision-CAIR/MiniGPT-4")
    parser.add_argument("--python", type=Path, required=True, help="Python interpreter that runs its code")
    parser.add_argument("--llama-tokenizer", type=Path, help="LLaMA's own tokenizer.model")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the original's numbers (.npz)")
    parser.add_argument("--work", type=Path, metavar="DIR", help="keep all files in this folder")
    options = parser.parse_args(argv)
    try:
        for name in ("upstream", "python", "llama_tokenizer"):
            path = getattr(options, name)
            if path is not None and not path.exists():
                raise UsageError(f"--{name.replace('_', '-')} {printable(path)} does not exist.")
        if not (options.upstream / "minigpt4" / "models" / "minigpt4.py").is_file():
            raise UsageError(f"--upstream {printable(options.upstream)} is no checkout of Vision-CAIR/MiniGPT-4.")
        rows = measure(options)
    except InquisightError as error:
        print(f"parity: {error}", file=sys.stderr)
        return error.exit_code
    print(table(rows))
    wrong = [name for name, _, _, difference in rows if not difference <= TOLERANCE]
    print(f"\nDIFFERENT: {', '.join(wrong)}" if wrong else f"\nall within {TOLERANCE:g}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
