"""Train: from a recipe and an output folder to a projection that can be used.

    inquisight train stage2 --recipe own-data --set model=minigpt4-7b --set data=my-pictures --out mine
    inquisight train blip2 --model Salesforce/blip2-opt-2.7b --set data=my-pictures --out mine
    accelerate launch --num_processes 4 -m training.run stage2 --recipe own-data ... --out mine

Every process computes its share of the batch. Gradients of sums over target tokens are added up and divided by the
number of all target tokens, so the number of processes changes nothing. The same command resumes after an interruption.
"""

from __future__ import annotations

if __name__ == "__main__":  # before the imports, which Ctrl-C may interrupt
    from core.launch import guard

    guard()

import hashlib
import json
import math
import platform
import signal
import statistics
import sys
import time
from collections import deque
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from core.errors import InquisightError, UsageError, printable
from core.files.journal import write_json, write_whole
from plugins.minigpt4.runtime.training_run import FINISHED, KIND, TENSORS
from training import checkpoints
from training.blip2.opening import check_model, open_blip2
from training.checkpoints import RunError
from training.features.keep import kept_features, open_features
from training.feed import Batch, Feed
from training.fitting import FittedValues, choose, choose_packing, chosen_for, count_samples, keep, lengths_of, steps_of
from training.packing import PackingCost
from training.preflight import check
from training.recipes import Blip2Recipe, Recipe, StageRecipe, load_recipe
from training.runs.plots import MISSING, can_plot, draw_loss
from training.runs.progress import RunProgress, measure_peak
from training.samples import Samples
from training.stages import groups, learning_rate, open_task
from training.tasks import OpenedTask, SampleWording
from training.terminal import StopSignal, stop_signal

CALM: Final = 20  # losses needed for a median
SampleLosses = list[tuple[tuple[int, ...], Tensor]]  # numbers of samples in the batch, the sum of each one's losses


class Interrupted(InquisightError):  # noqa: N818 - it names what happened, not what went wrong
    """A signal asked to stop; a checkpoint was written."""

    def __init__(self, number: int, step: int, out: Path) -> None:
        super().__init__(f"stopped after step {step}, a checkpoint is in {printable(out)}; the same command resumes.")
        self.exit_code = 128 + number


def stage1(recipe: Recipe | str, out: Path | str) -> Path:
    """Train stage 1 (a registered trainer). Raises UsageError for another trainer's recipe."""
    return _train("stage1", recipe, out)


def stage2(recipe: Recipe | str, out: Path | str) -> Path:
    """Train stage 2 (a registered trainer). Raises UsageError for another trainer's recipe."""
    return _train("stage2", recipe, out)


def blip2(recipe: Recipe | str, out: Path | str) -> Path:
    """Fine-tune a BLIP-2 (a registered trainer). Raises UsageError for another trainer's recipe."""
    return _train("blip2", recipe, out)


def _train(trainer: str, recipe: Recipe | str, out: Path | str) -> Path:
    recipe = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
    if recipe.name != trainer:
        raise UsageError(f"this recipe is for {recipe.label}: run `inquisight train {recipe.name}`.")
    return train(recipe, Path(out))


def train(recipe: Recipe, out: Path) -> Path:
    """Run `recipe` to its end, from where the run in `out` stopped. Raises InquisightError, one line.

    Returns the folder; its `projection.safetensors` is what was trained.
    """
    out = out.expanduser().absolute()
    if not (out / FINISHED).is_file() and (findings := check(recipe, out)):
        raise findings[0].error
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=not torch.cuda.is_available())
    with ExitStack() as stack:
        if accelerator.is_main_process:
            checkpoints.claim(out, recipe)
            stack.enter_context(checkpoints.only_one(out))
            (out / checkpoints.STOPPED).unlink(missing_ok=True)
        accelerator.wait_for_everyone()
        if (out / FINISHED).is_file():
            _say(accelerator, f"{printable(out)} is finished already; name another --out to train again.")
            return out
        if recipe.keep_features and recipe.features is None:
            recipe = recipe.model_copy(update={"features": kept_features(recipe, out)})
        return _Run(recipe, out, accelerator, stack).go()


class _Run:
    """One process of a run."""

    def __init__(self, recipe: Recipe, out: Path, accelerator: Any, stack: ExitStack) -> None:
        self.out, self.accelerator, self.stack = out, accelerator, stack
        self.main: bool = accelerator.is_main_process
        self.rank: int = accelerator.process_index
        self.world: int = accelerator.num_processes
        # accelerate calls it "cpu:0" in one of several processes
        self.device = torch.device("cpu") if accelerator.device.type == "cpu" else accelerator.device
        self.dtype, why = _dtype(recipe, str(self.device))
        self.opened = _open(recipe, str(self.device), self.dtype)
        self.task, wording = self.opened.task, self.opened.wording
        _say(accelerator, f"{self.world} process{'es' * (self.world > 1)} on {self.device}, {why}")
        self.recipe = recipe = self._fitted(recipe, wording)
        self.learned = self.task.learned()
        self.optimizer = torch.optim.AdamW(
            groups(self.learned, recipe.weight_decay), lr=recipe.lr, betas=(recipe.beta1, recipe.beta2)
        )
        self.scaler = torch.amp.GradScaler("cuda", enabled=self.dtype == "float16")
        self.steps = steps_of(recipe)
        self.done, self.samples, self.tokens, self.seconds = 0, 0, 0, 0.0
        self.losses: deque[float] = deque(maxlen=100)
        self.saved = -1
        positions = self._resume()
        self.feed = Feed(
            recipe,
            wording,
            self.opened.pictures,
            steps=self.steps,
            rank=self.rank,
            world=self.world,
            done=self.done,
            positions=positions,
            features=open_features(recipe, self.main),
            report=out / checkpoints.BROKEN,
        )
        stack.callback(self.feed.close)
        self.described = Samples(out, recipe, self.feed) if self.main and recipe.samples else None

    def _fitted(self, recipe: Recipe, wording: SampleWording) -> Recipe:
        """Return the recipe with a value for everything it leaves open: those that the run was begun with."""
        if self.main and chosen_for(self.out) is None:
            first = FittedValues()
            if recipe.fit:
                hidden = self.task.language_model.config.hidden_size
                first = choose(recipe, samples=count_samples(recipe), hidden=hidden, world=self.world)
            fitted = first.applied(recipe)

            def measure() -> PackingCost:
                return self.task.work_of(lengths_of(fitted, wording, self.task.pictures), fitted, self.world)

            packed = choose_packing(fitted, measure, why_not=self.task.why_not_packed)
            keep(first.and_also(packed), self.out)
        self.accelerator.wait_for_everyone()
        chosen = chosen_for(self.out)
        assert chosen is not None
        for name, reason in chosen.why.items():
            _say(self.accelerator, f"{name}: {reason}")
        self.chosen = chosen
        return chosen.applied(recipe)

    def go(self) -> Path:
        """Do all remaining steps, then write what makes the run complete."""
        if left_out := self.feed.left_out:
            _say(self.accelerator, f"data: {left_out}")
        count = sum(parameter.numel() for parameter in self.learned.values())
        _say(self.accelerator, f"{count:,} trained parameters, {self.steps - self.done} of {self.steps} steps to do")
        if self.main and not can_plot():
            _say(self.accelerator, MISSING)
        peak = measure_peak(str(self.device), self.dtype) * self.world if self.main else 0.0
        title = self.recipe.title or self.recipe.label
        progress = RunProgress(
            self.out, title, self.steps, self.done, peak=peak, every=self.recipe.log_every, quiet=not self.main
        )
        log = (
            self.stack.enter_context((self.out / checkpoints.LOG).open("a", encoding="utf-8", buffering=1))
            if self.main
            else None
        )
        self.task.learning()
        entry: dict[str, Any] = {}
        with progress, stop_signal() as asked:
            progress.status("running")
            try:
                for batch in self.feed:
                    begun = time.perf_counter()
                    entry, work, stop = self._step(batch, asked)
                    self.seconds += time.perf_counter() - begun
                    if log is not None:
                        log.write(json.dumps(entry) + "\n")
                    progress.step(entry, self.recipe.batch, work)
                    if self.done % self.recipe.checkpoint_every == 0 or self.done == self.steps or stop:
                        self._checkpoint()
                    if stop and self.done < self.steps:
                        progress.status("interrupted", entry)
                        raise Interrupted(stop, self.done, self.out)
            except torch.OutOfMemoryError as error:
                raise RunError(
                    f"the memory of {self.device} is full at step {self.done + 1}: --set forward_tokens="
                    f"{max(self.recipe.forward_tokens // 2, 256)}, or --set recompute=true in a new folder."
                ) from error
            if self.main:
                self._finish()
                progress.status("finished", entry)
        self.accelerator.wait_for_everyone()
        return self.out

    # -- one step -----------------------------------------------------------------------------------------------------

    def _step(self, batch: Batch, asked: StopSignal) -> tuple[dict[str, Any], float, int]:
        """Do one optimiser step; returns (log entry, operations, signal)."""
        recipe, rate = self.recipe, learning_rate(self.recipe, batch.step - 1, self.steps)
        torch.manual_seed((recipe.seed * 1_000_003 + batch.step) * self.world + self.rank)  # the same dropout again
        layouts = list(self.task.layouts(batch.words, recipe.pack_tokens, recipe.forward_tokens))
        own = [sum(len(one.target) for one in batch.words), sum(map(self.task.work, layouts)), asked.number]
        tokens, work, stop = self._added(torch.tensor(own, dtype=torch.float64)).tolist()
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        loss = torch.zeros((), dtype=torch.float64)
        losses: SampleLosses = []
        for rows in layouts:
            assert batch.inputs is not None
            features = self._features(batch.inputs[list(rows.order)])
            rows = rows.to(self.device)
            values = self.task(rows, features)
            total = values.sum()
            self.scaler.scale(total / tokens).backward()
            loss += total.detach().double().cpu()
            sums = torch.zeros(len(rows.order), device=values.device).index_add_(0, rows.owners, values.detach())
            losses.append((rows.order, sums))
        mean = self._add_gradients(loss) / tokens
        self._check_loss(mean, batch, losses)
        norm = self._update()
        if not math.isfinite(norm) and not self.scaler.is_enabled():
            self._fail(f"the gradient is {norm} at step {batch.step}", batch, losses)
        self.done = batch.step
        self.samples += recipe.batch
        self.tokens += int(tokens)
        entry = {
            "step": batch.step,
            "loss": mean,
            "lr": rate,
            "grad_norm": norm if math.isfinite(norm) else None,
            "samples": self.samples,
            "tokens": self.tokens,
            "seconds": round(self.seconds, 3),
        }
        return entry, work, int(stop and (asked.number or signal.SIGTERM))

    def _features(self, inputs: Tensor) -> Tensor:
        """Return the projection's input for pictures or cached features."""
        inputs = inputs.to(self.device, non_blocking=True)
        return inputs if self.recipe.features else self.task.encode(inputs)

    def _added(self, values: Tensor) -> Tensor:
        """Return the sum over all processes."""
        if self.world == 1:
            return values
        summed: Tensor = self.accelerator.reduce(values.to(self.device), reduction="sum").cpu()
        return summed

    def _gathered(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the items of all processes."""
        if self.world == 1:
            return dict(values)
        from accelerate.utils import gather_object

        return {name: value for one in gather_object([values]) for name, value in one.items()}

    def _add_gradients(self, loss: Tensor) -> float:
        """Add up the gradients and the loss of all processes in one message; the trained part is small."""
        for parameter in self.learned.values():
            if parameter.grad is None:  # a process without a sample in this step
                parameter.grad = torch.zeros_like(parameter)
        if self.world > 1:
            gradients = [parameter.grad for parameter in self.learned.values() if parameter.grad is not None]
            summed = self.accelerator.reduce(torch.cat([gradient.flatten() for gradient in gradients]), reduction="sum")
            for gradient, part in zip(gradients, summed.split([one.numel() for one in gradients]), strict=True):
                gradient.copy_(part.view_as(gradient))
        return float(self._added(loss[None])[0])

    def _update(self) -> float:
        """Clip, step and clear the gradient; returns its norm before it was clipped."""
        self.scaler.unscale_(self.optimizer)
        norm = float(torch.nn.utils.clip_grad_norm_(self.learned.values(), self.recipe.clip or math.inf))
        if math.isfinite(norm) or self.scaler.is_enabled():
            self.scaler.step(self.optimizer)
            self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        return norm

    def _check_loss(self, loss: float, batch: Batch, losses: SampleLosses) -> None:
        if not math.isfinite(loss):
            self._fail(f"the loss is {loss} at step {batch.step}", batch, losses)
        if self.recipe.explosion and len(self.losses) >= CALM:
            usual = statistics.median(self.losses)
            if loss > self.recipe.explosion * usual:
                self._fail(f"the loss explodes at step {batch.step}: {loss:.3g}, usual is {usual:.3g}", batch, losses)
        self.losses.append(loss)

    def _fail(self, what: str, batch: Batch, losses: SampleLosses) -> None:
        """Stop with the keys of this step's samples, the worst first. Raises RunError."""
        means: dict[str, float] = {}
        for order, sums in losses:
            for sample, value in zip(order, sums.tolist(), strict=True):
                # in a packed row, NaN spreads to the neighbours
                mean = value / max(len(batch.words[sample].target), 1)
                mean = mean if math.isfinite(mean) else self._alone(batch, sample)
                means[batch.keys[sample]] = mean if math.isfinite(mean) else math.inf
        means = self._gathered(means)
        keys = sorted(means, key=lambda key: -means[key])
        broken = [key for key in keys if means[key] == math.inf]
        first = ", ".join(printable(key, 80) for key in keys[:3])
        more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
        whose = f"{len(broken)} of its {len(keys)} samples" if broken else f"its {len(keys)} samples"
        saved = f"{checkpoints.CHECKPOINTS}/step-{self.saved:08d}/{checkpoints.LEARNED}"
        field = "begin" if isinstance(self.recipe, Blip2Recipe) else "projection"
        place = f" in a new folder with {field}={printable(self.out)}/{saved}." if self.saved > 0 else "."
        other = "dtype=float32, " if self.dtype == "float16" else ""
        reason = (
            f"{what}; {whose}: {first}{more} (all in {checkpoints.STOPPED}). Look at these samples, or try "
            f"{other}a lower lr or a longer warmup{place}"
        )
        if self.main:
            report = {"reason": reason, "step": batch.step, "keys": keys, "broken": broken}
            report["losses"] = {key: value if math.isfinite(value) else None for key, value in means.items()}
            write_json(self.out / checkpoints.STOPPED, report)
        raise RunError(reason)

    @torch.no_grad()
    def _alone(self, batch: Batch, sample: int) -> float:
        """Return the mean loss of one sample that fills a row alone."""
        assert batch.inputs is not None
        rows = next(self.task.layouts([batch.words[sample]], 0, 1)).to(self.device)
        return float(self.task(rows, self._features(batch.inputs[[sample]])).mean())

    # -- keeping ------------------------------------------------------------------------------------------------------

    def _checkpoint(self) -> None:
        positions = self._gathered(self.feed.positions)
        self.saved = self.done
        if not self.main:
            return
        state = {
            "samples": self.samples,
            "tokens": self.tokens,
            "seconds": self.seconds,
            "losses": list(self.losses),
            "scaler": self.scaler.state_dict(),
            "positions": positions,
        }
        # AdamW's state as tensors with names: "language_projection.weight|exp_avg"
        optimizer = {
            f"{name}|{part}": torch.as_tensor(value)
            for name, parameter in self.learned.items()
            for part, value in self.optimizer.state[parameter].items()
        }
        checkpoints.save(self.out, self.done, self.learned, optimizer, state)
        checkpoints.prune(self.out, self.recipe.keep)
        if self.described is not None:
            self.described.write(self.task, self.done)
        if self.done % (10 * self.recipe.checkpoint_every) == 0 or self.done == self.steps:
            draw_loss(self.out, title=self.recipe.title)

    def _resume(self) -> Mapping[str, Any] | None:
        """Restore the newest checkpoint; returns the positions of the data in it."""
        found = checkpoints.latest(self.out)
        if self.main:
            for name in (checkpoints.LOG, checkpoints.SAMPLES):
                checkpoints.truncate(self.out / name, found.step if found else 0)
        self.accelerator.wait_for_everyone()
        if found is None:
            return None
        with torch.no_grad():
            for name, parameter in self.learned.items():
                parameter.copy_(found.learned[name])
        for key, value in found.optimizer.items():
            name, _, part = key.rpartition("|")
            parameter = self.learned[name]
            self.optimizer.state[parameter][part] = value if part == "step" else value.to(parameter.device)
        state = found.state
        self.done = self.saved = found.step
        self.samples, self.tokens, self.seconds = state["samples"], state["tokens"], state["seconds"]
        self.losses.extend(state["losses"])
        if state["scaler"]:
            self.scaler.load_state_dict(dict(state["scaler"]))
        _say(self.accelerator, f"resuming after step {self.done} of {self.steps}")
        positions: Mapping[str, Any] = state["positions"]
        return positions

    def _finish(self) -> None:
        """Write the trained tensors, the plot, and last the mark of completion."""
        content = checkpoints.as_bytes(self.learned)
        write_whole(self.out / TENSORS, content)
        draw_loss(self.out, title=self.recipe.title)
        recipe, losses = self.recipe, list(self.losses)[-50:]
        facts = {
            "kind": KIND,
            "version": 1,
            "title": recipe.title,
            "stage": recipe.stage,
            "base": str(self.opened.base),
            "base_digest": self.opened.digest,
            "sha256": hashlib.sha256(content).hexdigest(),
            **self.opened.facts,
            "steps": self.steps,
            "samples": self.samples,
            "target_tokens": self.tokens,
            "chosen": self.chosen.why,
            "loss": sum(losses) / len(losses),
            "left_out": self.feed.left_out.as_json(),
            "seconds": round(self.seconds, 1),
            "processes": self.world,
            "device": _device_name(str(self.device)),
            "dtype": self.dtype,
            "versions": _versions(),
        }
        write_json(self.out / FINISHED, facts)


def _open(recipe: Recipe, device: str, dtype: str) -> OpenedTask:
    """Load the model. Raises UsageError, BackendError."""
    if isinstance(recipe, Blip2Recipe):
        return open_blip2(recipe, device, dtype)
    assert isinstance(recipe, StageRecipe)
    task, wording, checked = open_task(recipe, device, dtype)
    scale = recipe.lora_alpha / recipe.lora_rank if recipe.lora_rank else 0
    facts = {"projection_layers": recipe.projection_layers, "lora_scale": scale}
    return OpenedTask(task, wording, checked, checked.directory, checked.digest, facts)


def _dtype(recipe: Recipe, device: str) -> tuple[str, str]:
    """Return (dtype of the frozen part, why). Raises UsageError for float16 on a CPU."""
    if recipe.dtype == "float16" and device == "cpu":
        raise UsageError("dtype=float16 cannot be trained on a CPU: --set dtype=auto.")
    if recipe.dtype != "auto":
        return recipe.dtype, f"{recipe.dtype} as the recipe says"
    if device == "cpu":
        return "float32", "float32 because CPUs are slow and less exact in 16 bit"
    if torch.cuda.is_bf16_supported(including_emulation=False):
        return "bfloat16", "bfloat16 because this GPU computes it and it has the range of float32"
    if isinstance(recipe, Blip2Recipe) and not check_model(recipe).decoder_only:
        return "float32", "float32 because this GPU does not compute bfloat16, and Flan-T5 leaves the range of float16"
    return "float16", "float16 with a scaler because this GPU does not compute bfloat16"


def _say(accelerator: Any, text: str) -> None:
    if accelerator.is_main_process:
        print(text, file=sys.stderr, flush=True)


def _device_name(device: str) -> str:
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else platform.processor() or device


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in ("inquisight", "torch", "transformers", "accelerate", "peft"):
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


if __name__ == "__main__":
    from core.launch import launch
    from training.commands import main

    launch(main)
