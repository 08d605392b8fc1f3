"""Download a model from the Hugging Face hub, or find it in the hub's cache."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from core.errors import BackendError, UsageError, printable
from core.files.model_folder import PICKLE, SAFETENSORS, read_json, weight_files

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_SMALL = ("*.json", "*.model", "*.jinja", "*.txt")


def model_files(text: str, option: str, select: Callable[[str], bool] | None = None) -> tuple[Path, tuple[Path, ...]]:
    """The folder and the weight files of a model that `text` names as a folder or on the hub.

    `select` selects tensors by name, so that only the shards with these tensors are required and downloaded. Raises
    UsageError, BackendError.
    """
    folder = model_directory(text, option, select)
    return folder, weight_files(folder, f"{option} ", hub=True, select=select)


def is_name(text: str) -> bool:
    """Whether `text` may be a model's name on the hub ("owner/name")."""
    return _NAME.fullmatch(text) is not None


def model_directory(text: str, option: str, select: Callable[[str], bool] | None = None) -> Path:
    """The folder `text`, or the folder of the hub's model with this name. Raises UsageError, BackendError."""
    path = Path(text).expanduser()
    if path.is_dir():
        return path.resolve()
    if path.exists() or path.is_symlink():
        weight_files(path, option if option.endswith(":") else f"{option} ", hub=True)  # raises with a description
    if not is_name(text):
        raise UsageError(
            f"{option} {printable(text)} is no directory here and no name on the hub (owner/name): check the path."
        )
    folder = _fetch(text, option, _SMALL)
    for index in (f"{SAFETENSORS}.index.json", f"{PICKLE}.index.json"):
        if (folder / index).is_file():
            shards = read_json(folder / index).get("weight_map", {})
            files = sorted({str(file) for name, file in shards.items() if select is None or select(str(name))})
            return _fetch(text, option, (*_SMALL, *files))
    for single in (SAFETENSORS, PICKLE):
        folder = _fetch(text, option, (*_SMALL, single))
        if (folder / single).is_file():
            break
    return folder


def revision(directory: Path) -> str | None:
    """The commit of a model in the hub's cache."""
    return directory.name if directory.parent.name == "snapshots" else None


def _fetch(name: str, option: str, patterns: Sequence[str]) -> Path:
    from huggingface_hub import errors, snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=list(patterns)))
    except errors.GatedRepoError as error:
        raise BackendError(
            f"{option} {printable(name)} requires that you accept its licence: do so on its page on the hub, then "
            "log in with `hf auth login`."
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise BackendError(
            f"{option} {printable(name)}: there is no directory here and no public model on the hub of this name."
        ) from error
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled, errors.HfHubHTTPError, OSError) as error:
        raise BackendError(
            f"{option} {printable(name)} is no directory here, and the hub cannot be reached ({type(error).__name__}): "
            "give the directory of a downloaded model, or try again online."
        ) from error
