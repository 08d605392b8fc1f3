"""One training step by the original's own code; started by `run_training.py` in the original's environment.

    OLD_PYTHON training_original.py UPSTREAM VARIANT DIRECTORY

Like `minigpt4_original.py`, whose way of building the small model it uses: weights, files, classes are the same.
Written: the source files to convert and `training.npz`, loss and gradient of both stages and the learning rates.
"""

import sys
from pathlib import Path

import minigpt4_original as small
import minigpt4_recipe as recipe
import numpy as np
import torch
import training_samples as data


def main(upstream, variant_name, directory):
    """Save, load, one step of each stage; see above."""
    variant = next(each for each in recipe.VARIANTS if each.name == variant_name)
    original = small.open_original(upstream)
    small.save_language_model(original, variant, directory)
    model = small.build(original, variant, directory)
    small.fill(model, variant)
    small.save(model, variant, directory)
    model = small.build(original, variant, directory)
    small.load_projection(model, directory)
    outputs = {}
    for stage in (1, 2):
        loss, weight, bias = step(original, model, variant, stage)
        outputs[f"{variant.name}/stage{stage}/loss"] = loss
        outputs[f"{variant.name}/stage{stage}/weight"] = weight
        outputs[f"{variant.name}/stage{stage}/bias"] = bias
    outputs["lr"] = rates()
    np.savez_compressed(directory / "training.npz", **{name: np.asarray(value) for name, value in outputs.items()})


def step(original, model, variant, stage):
    """(loss, gradient of the projection's weight, of its bias) of one batch through `MiniGPTBase.forward`."""
    image = original.processors.Blip2ImageEvalProcessor(image_size=recipe.IMAGE_SIZE)  # the training one does the same
    pictures = list(recipe.pictures())
    samples = {"image": torch.stack([image(pictures[number]) for number in data.PICTURES])}
    model.max_txt_len = data.MAX_TOKENS[stage]
    if stage == 1:
        model.end_sym = "\n"
        text = original.processors.BlipCaptionProcessor()
        samples["answer"] = [text(caption) for caption in data.CAPTIONS]
    else:
        model.end_sym = data.ENDS[variant.name]
        template = data.TEMPLATES[variant.name]
        samples["answer"] = list(data.DESCRIPTIONS)
        samples["instruction_input"] = [template.format(f"<Img><ImageHere></Img> {said}") for said in data.INSTRUCTIONS]
    trained = [name for name, value in model.named_parameters() if value.requires_grad]
    small.check(sorted(trained) == ["llama_proj.bias", "llama_proj.weight"], trained)
    model.zero_grad()
    loss = model(samples)["loss"]
    loss.backward()
    projection = model.llama_proj
    return loss.item(), projection.weight.grad.numpy().copy(), projection.bias.grad.numpy().copy()


def rates():
    """The learning rate of every step, by the original's scheduler."""
    from minigpt4.common import optims

    asked = data.SCHEDULE
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=asked["lr"])
    scheduler = optims.LinearWarmupCosineLRScheduler(
        optimizer,
        max_epoch=1,
        iters_per_epoch=asked["steps"],
        min_lr=asked["lr_min"],
        init_lr=asked["lr"],
        warmup_steps=asked["warmup"],
        warmup_start_lr=asked["lr_warmup_start"],
    )
    found = []
    for number in range(asked["steps"]):
        scheduler.step(cur_epoch=0, cur_step=number)
        found.append(optimizer.param_groups[0]["lr"])
    return found


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
