"""The vision backend `lavis:MODEL[/TYPE][?OPTION=VALUE&...]`; `worker.py` runs the model in its own environment."""

from __future__ import annotations

import difflib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

from core.errors import UsageError, printable
from core.files.model_folder import is_pointer, weight_files
from core.isolated.backend import IsolatedVision, Limits
from plugins.lavis.environment import WORKER, Environment, ready
from plugins.options import QueryOptions

# Models of salesforce-lavis 1.0.2 that generate text; the first type is the default.
MODELS: Final[dict[str, tuple[str, ...]]] = {
    "blip2_opt": ("pretrain_opt2.7b", "pretrain_opt6.7b", "caption_coco_opt2.7b", "caption_coco_opt6.7b"),
    "blip2_t5": ("pretrain_flant5xl", "pretrain_flant5xl_vitL", "pretrain_flant5xxl", "caption_coco_flant5xl"),
}
EXAMPLE: Final = "lavis:blip2_t5/pretrain_flant5xl"


@dataclass(frozen=True, slots=True)
class LavisOptions(QueryOptions):
    """Options after the model's name, as in `lavis:blip2_opt?checkpoint=FILE&llm=DIR`. Raises InquisightError."""

    plugin: ClassVar[str] = "lavis"
    example: ClassVar[str] = "blip2_t5/pretrain_flant5xl?device=cpu"

    checkpoint: str | None = None
    """LAVIS's .pth of this model type [downloaded by LAVIS]."""
    vit: str | None = None
    """eva_vit_g.pth (clip_vit_L.pth for *_vitL) [downloaded by LAVIS if the checkpoint has no ViT]."""
    llm: str | None = None
    """Directory of the language model [downloaded from the Hugging Face hub]."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    beams: int = 1
    """Number of beams; 1 is greedy. LAVIS's own default is 5."""
    timeout: float = 900.0
    """Time limit for a group of answers, in seconds."""

    def __post_init__(self) -> None:
        QueryOptions.__post_init__(self)
        for name in ("checkpoint", "vit"):
            value = getattr(self, name)
            if value is not None and not Path(value).expanduser().is_file():
                raise UsageError(f"{name}={printable(value)} is no file; check the path.")
            if value is not None and is_pointer(Path(value).expanduser()):
                raise UsageError(f"{name}={printable(value)} is a Git LFS pointer; run `git lfs pull` beside it.")
        if self.llm is not None and not Path(self.llm).expanduser().is_dir():
            raise UsageError(f"llm={printable(self.llm)} is no directory; check the path.")
        if self.llm is not None:
            weight_files(Path(self.llm).expanduser(), "llm=")
        kind, _, number = self.device.partition(":")
        if kind not in {"auto", "cpu", "cuda"} or (number and not (kind == "cuda" and number.isdecimal())):
            raise UsageError(f"device={printable(self.device, limit=40)} is not known; use auto, cpu, cuda or cuda:1.")
        if not 1 <= self.beams <= 100:
            raise UsageError(f"beams={self.beams} is out of range; use 1 to 100.")
        if not 0 < self.timeout < 1e6:
            raise UsageError(f"timeout={self.timeout:g} is out of range; give a number of seconds.")

    def request(self, model: str, kind: str) -> str:
        """The JSON argument of `plugins.lavis.worker.LavisVision`."""
        paths = {name: getattr(self, name) for name in ("checkpoint", "vit", "llm")}
        absolute = {name: str(Path(value).expanduser().resolve()) for name, value in paths.items() if value is not None}
        return json.dumps({"model": model, "type": kind, "device": self.device, "beams": self.beams, **absolute})


class LavisBackend(IsolatedVision):
    """BLIP-2 by its authors. Raises UsageError before the process starts, BackendError if it fails."""

    more_time: ClassVar[str] = "allow more with ?timeout=SECONDS, or ask for a smaller model"

    def __init__(
        self, argument: str | None = None, *, environment: Environment | None = None, vision: str | None = None
    ) -> None:
        """`environment` and `vision` replace the installed environment and `LavisVision`."""
        model, kind, options = parse(argument)
        super().__init__(
            f"lavis:{argument}",
            python=(environment or ready()).python,
            vision=vision or f"{WORKER}:LavisVision",
            argument=options.request(model, kind),
            limits=Limits(work=options.timeout),
        )


def parse(argument: str | None) -> tuple[str, str, LavisOptions]:
    """ "MODEL[/TYPE][?OPTIONS]" as (model, type, options). Raises UsageError."""
    name, _, query = (argument or "").partition("?")
    model, slash, kind = name.partition("/")
    if not model:
        raise UsageError(f"lavis needs a model: {EXAMPLE}; there is {', '.join(MODELS)}.")
    if model not in MODELS:
        instruct = "InstructBLIP came after its last release; " if "instruct" in model else ""
        raise UsageError(
            f"salesforce-lavis 1.0.2 has no model '{printable(model, limit=60)}' that answers questions: {instruct}"
            f"there is {' and '.join(MODELS)}, as in {EXAMPLE}."
        )
    kinds = MODELS[model]
    if not slash:
        kind = kinds[0]
    if kind not in kinds:
        close = difflib.get_close_matches(kind, kinds, n=1)
        hint = f"did you mean '{close[0]}'?" if close else f"there is {', '.join(kinds)}."
        raise UsageError(f"{model} has no type '{printable(kind, limit=60)}': {hint}")
    return model, kind, LavisOptions.from_query(query)
