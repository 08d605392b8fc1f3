"""Object detection models of a few thousand random numbers, saved as people have them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import torch
from transformers import (
    BertConfig,
    BertTokenizerFast,
    CLIPTokenizerFast,
    DetrConfig,
    DetrForObjectDetection,
    DetrImageProcessorPil,
    GroundingDinoConfig,
    GroundingDinoForObjectDetection,
    GroundingDinoImageProcessorPil,
    Owlv2Config,
    Owlv2ForObjectDetection,
    Owlv2ImageProcessorPil,
    OwlViTConfig,
    OwlViTForObjectDetection,
    OwlViTImageProcessorPil,
    ResNetConfig,
    RTDetrConfig,
    RTDetrForObjectDetection,
    RTDetrImageProcessorPil,
    RTDetrResNetConfig,
    SwinConfig,
    YolosConfig,
    YolosForObjectDetection,
    YolosImageProcessorPil,
)

LABELS: Final = {0: "N/A", 1: "Dogs", 2: "traffic_light", 3: "person"}
SIZE: Final = {"shortest_edge": 48, "longest_edge": 80}
SMALL: Final = {"d_model": 32, "encoder_layers": 1, "decoder_layers": 2, "num_queries": 5}
HEADS: Final = {
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32,
}
RESNET: Final = {"embedding_size": 8, "hidden_sizes": [8, 16, 16, 16], "depths": [1, 1, 1, 1], "layer_type": "basic"}


def save(directory: Path, model: Any, processor: Any) -> None:
    model.eval().save_pretrained(directory)
    processor.save_pretrained(directory)


def detr(directory: Path) -> None:
    torch.manual_seed(0)
    config = DetrConfig(
        use_timm_backbone=False,
        backbone=None,
        backbone_config=ResNetConfig(**RESNET, out_features=["stage4"]),
        id2label=LABELS,
        **SMALL,
        **HEADS,
    )
    model = DetrForObjectDetection(config)
    model.class_labels_classifier.bias.data[2] = 1.0  # else random numbers decide whether anything is found
    save(directory, model, DetrImageProcessorPil(size=SIZE))


def rt_detr(directory: Path) -> None:
    torch.manual_seed(0)
    config = RTDetrConfig(
        backbone_config=RTDetrResNetConfig(**RESNET, out_features=["stage2", "stage3", "stage4"]),
        encoder_hidden_dim=32,
        encoder_in_channels=[16, 16, 16],
        encode_proj_layers=[2],
        decoder_in_channels=[32, 32, 32],
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        decoder_layers=1,
        d_model=32,
        num_queries=5,
        num_denoising=0,
        id2label=LABELS,
    )
    save(directory, RTDetrForObjectDetection(config), RTDetrImageProcessorPil(size={"height": 64, "width": 64}))


def yolos(directory: Path) -> None:
    torch.manual_seed(0)
    config = YolosConfig(
        hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, image_size=[48, 80],
        num_detection_tokens=5, id2label=LABELS,
    )  # fmt: skip
    save(directory, YolosForObjectDetection(config), YolosImageProcessorPil(size=SIZE))


def owl(directory: Path, *, second: bool = False) -> None:
    """OWL-ViT, or OWLv2, which pads pictures to a square."""
    torch.manual_seed(0)
    part = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    vocabulary = clip_vocabulary(directory)
    text = {**part, "vocab_size": vocabulary, "max_position_embeddings": 16}
    kinds = (
        (Owlv2Config, Owlv2ForObjectDetection, Owlv2ImageProcessorPil)
        if second
        else (OwlViTConfig, OwlViTForObjectDetection, OwlViTImageProcessorPil)
    )
    config, model, processor = kinds
    made = config(text_config=text, vision_config={**part, "image_size": 64, "patch_size": 16}, projection_dim=32)
    detector = model(made)
    detector.box_head.dense2.weight.data.zero_()  # else most boxes lie outside the picture
    save(directory, detector, processor(size={"height": 64, "width": 64}))


def clip_vocabulary(directory: Path) -> int:
    """A CLIP tokenizer that knows letters alone; how many tokens it has."""
    directory.mkdir(parents=True, exist_ok=True)
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    tokens = ["!", *letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    (directory / "vocab.json").write_text(json.dumps({token: place for place, token in enumerate(tokens)}))
    (directory / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = CLIPTokenizerFast(str(directory / "vocab.json"), str(directory / "merges.txt"), model_max_length=16)
    tokenizer.save_pretrained(directory)
    return len(tokens)


def grounding_dino(directory: Path) -> None:
    torch.manual_seed(0)
    directory.mkdir(parents=True, exist_ok=True)
    tokens = ["[PAD]", *(f"[unused{number}]" for number in range(1, 1100))]
    for place, token in ((100, "[UNK]"), (101, "[CLS]"), (102, "[SEP]"), (1012, "."), (1029, "?")):
        tokens[place] = token  # the model knows these by their numbers in BERT's vocabulary
    for place, word in enumerate("person dog traffic light red car".split(), 1050):
        tokens[place] = word
    (directory / "vocab.txt").write_text("\n".join(tokens) + "\n")
    BertTokenizerFast(str(directory / "vocab.txt")).save_pretrained(directory)
    text = BertConfig(
        vocab_size=len(tokens), hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32
    )
    backbone = SwinConfig(
        image_size=64, embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2], window_size=4,
        out_features=["stage2", "stage3", "stage4"],
    )  # fmt: skip
    config = GroundingDinoConfig(backbone_config=backbone, text_config=text, **SMALL, **HEADS)
    processor = GroundingDinoImageProcessorPil(size=SIZE)
    save(directory, GroundingDinoForObjectDetection(config), processor)
