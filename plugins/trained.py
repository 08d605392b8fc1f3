"""Use a finished training: open it with its base model, or export both as a new directory.

    inquisight caption photo.jpg --vision trained:RUN
    inquisight train export RUN --to minigpt4-mine

RUN is what `inquisight train stage1|stage2|blip2` wrote: `projection.safetensors` (every tensor that was trained, under
its name in the model) and `finished.json`, written last.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from core.errors import UsageError, printable
from plugins.blip2.trained import is_run
from plugins.minigpt4.runtime.backend import MiniGPT4Backend
from plugins.minigpt4.runtime.load_options import LoadOptions
from plugins.minigpt4.runtime.training_run import (
    apply,
    check_base,
    open_run,
)
from plugins.pocket.training import is_pocket
from plugins.smol import is_smol

if TYPE_CHECKING:
    from core.vision import VisionBackend


@dataclass(frozen=True, slots=True)
class RunOptions(LoadOptions):
    """How a run is opened. On the command line: `trained:RUN?base=DIRECTORY&dtype=float16`."""

    plugin: ClassVar[str] = "trained"
    needs: ClassVar[str] = "trained needs the folder of a finished training: trained:RUN."

    base: str | None = None  # the directory it was trained with, if that has moved


class TrainedBackend(MiniGPT4Backend):
    """`trained:RUN` as a vision backend; options as for minigpt4, and `base=` if the model's directory has moved.

    Raises BackendError if the run is not finished or its model has changed.
    """

    def __init__(self, argument: str | None = None) -> None:
        path, options = RunOptions.parse(argument)
        trained = open_run(Path(path))
        base = Path(options.base).expanduser() if options.base else None
        directory = check_base(trained, base).directory
        if options.quantize != "none" and trained.lora_scale:
            raise UsageError(
                "a run with LoRA cannot be opened quantised: export it first with `inquisight train export`."
            )
        super().__init__(str(directory), options=options)
        from safetensors.torch import load_file

        with self.engine.lock:
            apply(self.engine.model, load_file(trained.tensors), trained.lora_scale)
        self._name = f"trained:{argument}"
        self._trained = trained

    @property
    def revision(self) -> str:
        return f"{super().revision}-{self._trained.sha256[:12]}"

    def describe(self) -> dict[str, str]:
        facts = self._trained.facts
        return {
            **super().describe(),
            "trained": f"stage {facts['stage']}, {facts['steps']} steps",
            "weights": self.revision,
        }


def is_blip2(argument: str | None) -> bool:
    """Whether the run in `RUN?options` is a training of a BLIP-2."""
    return is_run(Path((argument or "").partition("?")[0]))


def export(run: Path, to: Path, *, base: Path | None = None, adapter: bool = False) -> Path:
    """Write a finished run as one directory, or the LoRA of a BLIP-2 as an adapter of peft.

    Raises UsageError, BackendError.
    """
    if is_blip2(str(run)):
        from plugins.blip2 import trained

        return trained.export_adapter(run, to) if adapter else trained.export(run, to, base=str(base) if base else None)
    if adapter:
        raise UsageError(
            f"{printable(run)} is no training of a BLIP-2, the only ones with adapters; leave --adapter out."
        )
    if is_smol(check_base(open_run(run), base).config):
        raise UsageError(
            f"{printable(run)} is a training of smol, which transformers has no class for: trained:RUN opens it."
        )
    from plugins.minigpt4.convert.trained import export as join

    return join(run, to, base=base)


def open_trained(argument: str | None = None) -> VisionBackend:
    """`trained:RUN`: as `TrainedBackend`, as `pocket` if the run trained the embedded model, or as `blip2:RUN`."""
    if is_blip2(argument):
        from plugins.blip2.backend import Blip2Backend

        return Blip2Backend(argument)
    path, options = RunOptions.parse(argument)
    trained = open_run(Path(path))
    checked = check_base(trained, Path(options.base).expanduser() if options.base else None)
    if is_smol(checked.config):
        import plugins.smol.modeling  # noqa: F401 - makes its class known
    if not is_pocket(checked.config):
        return TrainedBackend(argument)
    if options != RunOptions(base=options.base):
        raise UsageError(
            f"trained:{printable(path)} is a training of pocket, which takes no option but base=DIRECTORY."
        )
    from plugins.pocket.backend import PocketBackend, PocketOptions

    return PocketBackend(
        str(checked.directory), options=PocketOptions(projection=str(trained.run)), name=f"trained:{argument}"
    )
