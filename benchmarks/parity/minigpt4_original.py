"""Runs the original's own classes on the recipe's weights; `run_minigpt4.py` starts it in their environment.

    OLD_PYTHON minigpt4_original.py UPSTREAM vicuna|llama2|tokens DIRECTORY

DIRECTORY/llm holds the language model's small files already. Written there: the weights in the original's own layouts
(`llm/pytorch_model.bin`, `blip2.pth`, `eva_vit_g.pth`, `projection.pth`) and `original.npz`, what its model says.

Nothing of the original is changed but sizes: its ViT is hard-wired to 39 blocks of width 1408 and its Q-Former to
`bert-base-uncased`, so these two constructors are called with the recipe's sizes. Its package imports every data set it
can train on; empty packages in front of its modules leave that out.
"""

from __future__ import annotations

import functools
import json
import sys
import types
from pathlib import Path
from typing import Any

import minigpt4_recipe as recipe
import numpy as np
import torch


def main(upstream: str, variant_name: str, directory: Path) -> None:
    """Save, load, run; see above."""
    variant = next(each for each in recipe.VARIANTS if each.name == variant_name)
    original = open_original(upstream)
    torch.set_grad_enabled(False)
    save_language_model(original, variant, directory)
    model = build(original, variant, directory)
    fill(model, variant)
    save(model, variant, directory)
    model = build(original, variant, directory)  # once more, by the original's own way of loading
    load_projection(model, directory)
    outputs = run(original, model, variant)
    np.savez_compressed(directory / "original.npz", **outputs)  # type: ignore[arg-type]


def open_original(upstream: str) -> Any:
    """The modules of the checkout, without its data sets and without torchvision's compiled operators."""
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    for name in ("minigpt4", "minigpt4.models", "minigpt4.common", "minigpt4.conversation", "minigpt4.processors"):
        package: Any = types.ModuleType(name)
        package.__path__ = [str(Path(upstream, *name.split(".")))]
        sys.modules[name] = package
    from minigpt4.models import base_model

    package = sys.modules["minigpt4.models"]
    package.BaseModel = base_model.BaseModel  # its registry asks the package for these
    from minigpt4.processors import base_processor

    package = sys.modules["minigpt4.processors"]
    package.BaseProcessor = base_processor.BaseProcessor
    from minigpt4.conversation import conversation
    from minigpt4.models import eva_vit, minigpt4, modeling_llama
    from minigpt4.processors import blip_processors

    found = types.SimpleNamespace(
        conversation=conversation, base=base_model, eva=eva_vit, models=minigpt4, llama=modeling_llama,
        processors=blip_processors, library=library,
    )  # fmt: skip
    return found


def tensors(shapes: recipe.Shapes, variant: recipe.Variant) -> dict[str, Any]:
    return {name: torch.from_numpy(recipe.weight(name, shape, variant)) for name, shape in shapes.items()}


def save_language_model(original: Any, variant: recipe.Variant, directory: Path) -> None:
    """`llm/` as transformers of that time wrote it."""
    from transformers import LlamaConfig

    values = recipe.llama_config(variant)
    config = LlamaConfig(
        **{name: value for name, value in values.items() if name not in ("architectures", "model_type")}
    )
    model = original.llama.LlamaForCausalLM(config).half()
    state = tensors(recipe.llm_shapes(variant), variant)
    report = model.load_state_dict(state, strict=False)
    check(not report.unexpected_keys and all("inv_freq" in key for key in report.missing_keys), report)
    model.save_pretrained(directory / "llm", safe_serialization=False)


def build(original: Any, variant: recipe.Variant, directory: Path) -> Any:
    """The original's MiniGPT4, with its files where they exist."""
    from transformers import BertConfig

    vit = functools.partial(
        original.eva.VisionTransformer,
        patch_size=recipe.PATCH,
        embed_dim=recipe.VIT_WIDTH,
        depth=recipe.VIT_DEPTH,
        num_heads=recipe.VIT_HEADS,
        mlp_ratio=recipe.MLP_RATIO,
        qkv_bias=True,
        use_mean_pooling=False,
        norm_layer=functools.partial(torch.nn.LayerNorm, eps=1e-6),
    )

    def create_eva_vit_g(img_size: int, drop_path_rate: float, use_checkpoint: bool, precision: str) -> Any:
        made = vit(img_size=img_size, drop_path_rate=drop_path_rate, use_checkpoint=use_checkpoint)
        if (directory / "eva_vit_g.pth").exists():
            state = torch.load(directory / "eva_vit_g.pth", map_location="cpu")
            original.eva.interpolate_pos_embed(made, state)
            report = made.load_state_dict(state, strict=False)
            check(not report.missing_keys, report)
        return made

    class SmallBert(BertConfig):  # type: ignore[misc]
        @classmethod
        def from_pretrained(cls, name: str) -> Any:
            return cls(
                hidden_size=recipe.QFORMER_WIDTH,
                num_hidden_layers=recipe.QFORMER_DEPTH,
                num_attention_heads=recipe.QFORMER_HEADS,
                intermediate_size=recipe.QFORMER_MLP,
            )

    original.base.create_eva_vit_g = create_eva_vit_g
    original.models.BertConfig = SmallBert
    blip2 = directory / "blip2.pth"
    if not blip2.exists():
        torch.save({"model": {}}, blip2)
    model = original.models.MiniGPT4(
        q_former_model=str(blip2),
        img_size=recipe.IMAGE_SIZE,
        vit_precision="fp32",
        has_qformer=variant.qformer,
        num_query_token=recipe.QUERIES,
        llama_model=str(directory / "llm"),
    )
    return model.float().eval()


def fill(model: Any, variant: recipe.Variant) -> None:
    """The recipe's numbers under the original's names: each must be there, in the same shape."""
    state = {f"visual_encoder.{name}": value for name, value in tensors(recipe.vit_shapes(), variant).items()}
    state.update(tensors(recipe.projection_shapes(variant), variant))
    if variant.qformer:
        state.update(tensors(recipe.qformer_shapes(), variant))
    report = model.load_state_dict({name: value.float() for name, value in state.items()}, strict=False)
    buffers = dict(model.named_buffers())
    left = [key for key in report.missing_keys if not key.startswith("llama_model.") and key not in buffers]
    if not variant.qformer:
        left = [key for key in left if not key.startswith("ln_vision.")]  # never loaded there
    check(not left and not report.unexpected_keys, (left, report.unexpected_keys))


def save(model: Any, variant: recipe.Variant, directory: Path) -> None:
    """In the layouts of the released files: the ViT alone, LAVIS's checkpoint without it, `_save_checkpoint`'s."""
    state = {name: value.half() if value.is_floating_point() else value for name, value in model.state_dict().items()}
    prefix = "visual_encoder."
    vit = {name[len(prefix) :]: value for name, value in state.items() if name.startswith(prefix)}
    torch.save(vit, directory / "eva_vit_g.pth")
    if variant.qformer:
        kept = ("Qformer.", "query_tokens", "ln_vision.")
        blip2 = {name: value for name, value in state.items() if name.startswith(kept)}
        blip2["t5_proj.weight"] = torch.zeros(4096, recipe.QFORMER_WIDTH, dtype=torch.float16)
        torch.save({"model": blip2}, directory / "blip2.pth")
    trained = {name: value.requires_grad for name, value in model.named_parameters()}
    left = {name: value for name, value in model.state_dict().items() if trained.get(name, True)}
    left = {name: value for name, value in left.items() if not name.startswith("llama_model.")}
    torch.save(
        {"model": left, "optimizer": {"state": {}}, "config": {"run": {}}, "scaler": {}, "epoch": 3},
        directory / "projection.pth",
    )


def load_projection(model: Any, directory: Path) -> None:
    """As `MiniGPT4.from_config` does."""
    checkpoint = torch.load(directory / "projection.pth", map_location="cpu")
    report = model.load_state_dict(checkpoint["model"], strict=False)
    check("llama_proj.weight" not in report.missing_keys and not report.unexpected_keys, report)


def run(original: Any, model: Any, variant: recipe.Variant) -> dict[str, np.ndarray]:
    """Pictures, then a conversation by the original's Chat: prompts, logits of all positions, greedy continuations."""
    conversation = original.conversation
    tokenizer = model.llama_tokenizer
    stops = [tokenizer(text, add_special_tokens=False).input_ids for text in ("###", "a###")]
    stops = [stops[0], stops[1][1:]] if variant.name == "vicuna" else [[2]]  # [835] and [2277, 29937] in LLaMA's
    criteria = conversation.StoppingCriteriaList(
        [conversation.StoppingCriteriaSub(stops=[torch.tensor(ids) for ids in stops])]
    )
    processor = original.processors.Blip2ImageEvalProcessor(image_size=recipe.IMAGE_SIZE)
    chat = conversation.Chat(model, processor, device="cpu", stopping_criteria=criteria)
    templates = {"vicuna": conversation.CONV_VISION_Vicuna0, "llama2": conversation.CONV_VISION_LLama2}
    talk = templates[variant.name].copy()

    outputs: dict[str, Any] = {}
    pictures = list(recipe.pictures())
    pixels = torch.stack([processor(picture) for picture in pictures])
    seen = model.ln_vision(model.visual_encoder(pixels))
    outputs["pixels"], outputs["vision"] = pixels, seen
    if variant.qformer:
        outputs["queries"] = model.Qformer.bert(
            query_embeds=model.query_tokens.expand(len(seen), -1, -1),
            encoder_hidden_states=seen,
            encoder_attention_mask=torch.ones(seen.shape[:-1], dtype=torch.long),
            return_dict=True,
        ).last_hidden_state
    outputs["projected"] = model.encode_img(pixels)[0]

    read: list[list[int]] = []
    embed = model.embed_tokens

    def listening(ids: Any) -> Any:
        read.append(ids[0].tolist())
        return embed(ids)

    model.embed_tokens = listening
    images: list[Any] = []
    for number, turn in enumerate(recipe.TURNS):
        if isinstance(turn[0], int):  # as the demo does: first the picture, then the words
            chat.upload_img(pictures[turn[0]], talk, images)
            chat.encode_img(images)
            chat.ask(turn[1], talk)
        else:
            words = []
            for part in turn:
                if isinstance(part, int):
                    images.append(model.encode_img(processor(pictures[part])[None])[0])
                words.append(part if isinstance(part, str) else "<Img><ImageHere></Img>")
            chat.ask(" ".join(words), talk)
        read.clear()
        arguments = chat.answer_prepare(talk, images, max_new_tokens=recipe.MAX_NEW_TOKENS)
        outputs[f"turn{number}/tokens"] = joined(read, [image.shape[1] for image in images])
        outputs[f"turn{number}/logits"] = model.llama_model(inputs_embeds=arguments["inputs_embeds"]).logits[0]
        arguments.update(do_sample=False)
        said = chat.model_generate(**arguments)[0]
        ids = said[1:].tolist()  # transformers of that time put a BOS in front
        outputs[f"turn{number}/length"] = len(ids) - ([ids[-1]] in stops)  # ours does not count the end's own token
        # as in Chat.answer
        text = tokenizer.decode(said, skip_special_tokens=True).split("###")[0].split("Assistant:")[-1].strip()
        outputs[f"turn{number}/text"] = text
        talk.messages[-1][1] = text
    print(json.dumps({"stops": stops, "prompt": talk.get_prompt()}))
    return {f"{variant.name}/{name}": np.asarray(value) for name, value in outputs.items()}


def joined(pieces: list[list[int]], lengths: list[int]) -> list[int]:
    """Token ids of a whole prompt, a picture's places as -1."""
    ids = list(pieces[0])
    for piece, length in zip(pieces[1:], lengths, strict=True):
        ids += [-1] * length + piece
    return ids


def tokens_of(directory: Path, prompts: dict[str, str]) -> dict[str, list[list[int]]]:
    """Token ids of `prompts` (cut at pictures) by the tokenizer of that time, and its fast form saved beside."""
    from transformers import LlamaTokenizer, LlamaTokenizerFast

    slow = LlamaTokenizer.from_pretrained(str(directory), use_fast=False)
    slow.pad_token = "$$"
    if not (directory / "fast").exists():
        LlamaTokenizerFast.from_pretrained(str(directory)).save_pretrained(str(directory / "fast"))
    return {
        name: [
            slow(piece, add_special_tokens=place == 0).input_ids
            for place, piece in enumerate(text.split("<ImageHere>"))
        ]
        for name, text in prompts.items()
    }


def check(fine: bool, found: object) -> None:
    """The recipe's names are not the original's: then the comparison would prove nothing."""
    if not fine:
        raise SystemExit(f"the original's classes do not have the recipe's tensors: {found}")


if __name__ == "__main__":
    if sys.argv[2] == "tokens":
        place = Path(sys.argv[3])
        asked = json.loads((place / "prompts.json").read_text())
        (place / "ids.json").write_text(json.dumps(tokens_of(place, asked)))
    else:
        main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
