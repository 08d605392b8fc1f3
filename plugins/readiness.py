"""Check whether a built-in vision model can work, without loading it, downloading anything or calling a server.

Each function takes the argument behind the model's name ("DIRECTORY?option=value", or None) and raises an
InquisightError, one line with the way out, if no model is named, its folder is incomplete, or a package or key is
missing. Pages show it before anything is started.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

from core.errors import BackendError, UsageError


def pocket(argument: str | None) -> None:
    """`pocket`, `pocket:DIRECTORY`."""
    from plugins.pocket.backend import MODEL, PocketOptions, check_files

    text, _ = PocketOptions.parse(argument)
    check_files(Path(text).expanduser() if text else MODEL)


def reader(argument: str | None) -> None:
    """`reader`; what stands behind its name is checked when it is loaded."""
    missing = [module for module in ("rapidocr", "onnxruntime") if importlib.util.find_spec(module) is None]
    if missing:
        raise BackendError(
            f"the witness 'reader' needs {' and '.join(missing)}, which is not installed; "
            "pip install 'inquisight[ocr]'."
        )


def detector(argument: str | None) -> None:
    """`detector`, `detector:transformers:NAME`."""
    from plugins.detector.choice import model_of

    if (name := model_of(argument)) is not None:
        from plugins.detector.transformers_witness import DetectorLoadOptions, check

        text, options = DetectorLoadOptions.parse(name)
        _folder_or_name(text, "detector:transformers", lambda: check(text, options))


def minigpt4(argument: str | None) -> None:
    """`minigpt4:DIRECTORY`."""
    from plugins.minigpt4.runtime.load_options import LoadOptions
    from plugins.minigpt4.runtime.loading import check

    text, options = LoadOptions.parse(argument)
    check(Path(text).expanduser(), options.format)


def trained(argument: str | None) -> None:
    """`trained:RUN`."""
    from plugins.minigpt4.runtime.training_run import check_base, open_run
    from plugins.trained import RunOptions, is_blip2

    if is_blip2(argument):
        blip2(argument)
        return
    path, options = RunOptions.parse(argument)
    check_base(open_run(Path(path)), Path(options.base).expanduser() if options.base else None)


def blip2(argument: str | None) -> None:
    """`blip2:NAME`, `blip2:DIRECTORY`, `blip2:RUN`."""
    from plugins.blip2.loading import Blip2LoadOptions, check

    text, options = Blip2LoadOptions.parse(argument)
    _folder_or_name(text, "blip2", lambda: check(text, options))


def transformers(argument: str | None) -> None:
    """`transformers:NAME`, `transformers:DIRECTORY`."""
    from plugins.vlm.loading import VlmLoadOptions, check

    text, _ = VlmLoadOptions.parse(argument)
    _folder_or_name(text, "transformers", lambda: check(text))


def openai(argument: str | None) -> None:
    """`openai:MODEL`."""
    from core.net.endpoints import find_endpoint
    from core.settings import get_settings
    from plugins.openai_vision.options import EndpointOptions

    _, options = EndpointOptions.parse(argument)
    if importlib.util.find_spec("openai") is None:
        raise BackendError("openai needs an optional part: pip install 'inquisight[openai]'")
    endpoint = find_endpoint(
        get_settings(), vision=True, typed=options.base_url, key_env=options.key_env, spec=f"openai:{argument}"
    )
    if endpoint.needs_key:
        raise UsageError(f"openai needs a key: set {endpoint.keys}.")


def lavis(argument: str | None) -> None:
    """`lavis:MODEL`."""
    from plugins.lavis.backend import parse
    from plugins.lavis.environment import ready

    parse(argument)
    ready()


def _folder_or_name(text: str, plugin: str, check: Callable[[], object]) -> None:
    """Check a folder, or a name on the hub if fetching is disabled."""
    from huggingface_hub import constants

    from plugins.hf.hub import is_name

    path = Path(text).expanduser()
    if path.exists() or path.is_symlink() or not is_name(text) or constants.HF_HUB_OFFLINE:
        check()  # else the model is fetched at its first use
