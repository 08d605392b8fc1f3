"""The models that were set up, in a file of the home folder; their keys, in the system's keyring or in memory only.

    saved = saved_models()
    saved.add(SetUpModel.endpoint("http://localhost:8000/v1", "qwen"), key="...", keep="keyring")
    saved.names("vision")          # offered to everybody who uses this dashboard
    saved.remove(name)             # with its key

A key is never written to a file of ours and never given back: `core.net.endpoints` sends it, only with requests of
this model and only to the address in its name.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Final, Literal, cast
from urllib.parse import urlencode, urlsplit

from core.errors import UsageError, printable
from core.files.atomic import replacing
from core.net.endpoints import check_address, give_key
from core.settings import get_settings

Role = Literal["vision", "questioner"]
Keep = Literal["none", "keyring", "session"]
ROLES: Final[tuple[Role, ...]] = ("vision", "questioner")
FILE: Final = "models.json"
SERVICE: Final = "inquisight"
OLLAMA: Final = "http://localhost:11434"
MAX_MODELS: Final = 100
_RECOMMENDED: Final = 1  # keyring's priority of backends that encrypt; lower ones fail, forget or write plain text


@dataclass(frozen=True, slots=True)
class SetUpModel:
    """A model, by the name under which it is chosen."""

    name: str  # as on the command line: "openai:qwen?base_url=http://localhost:8000/v1"
    roles: tuple[Role, ...]
    address: str = ""  # of its server; "": it runs in this process
    keep: Keep = "none"  # where its key is

    @property
    def model(self) -> str:
        """The model's name at its server, or its folder."""
        return self.name.partition(":")[2].partition("?")[0]

    @property
    def title(self) -> str:
        """Its name and its server, for people."""
        parts = urlsplit(self.address)
        server = f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)
        return f"{self.model} at {server}" if self.address else self.model

    @classmethod
    def endpoint(cls, address: str, model: str, roles: tuple[Role, ...] = ROLES) -> SetUpModel:
        """A model at an OpenAI-compatible server. Raises UsageError for what cannot be an address or a name."""
        address, model = address.strip(), model.strip()
        if not address:
            raise UsageError("the address is missing; write http://HOST:PORT/v1 or https://HOST/v1")
        check_address(address, "the address")
        if urlsplit(address).query or urlsplit(address).fragment:
            raise UsageError("the address holds a question mark or #; write it up to /v1 only")
        _check_name(model, "the model's name", "?&#")
        return cls(f"openai:{model}?{urlencode({'base_url': address}, safe=':/')}", roles, address)

    @classmethod
    def ollama(cls, model: str, address: str = OLLAMA, roles: tuple[Role, ...] = ROLES) -> SetUpModel:
        """A model of Ollama, through its OpenAI-compatible interface."""
        root = (address.strip() or OLLAMA).rstrip("/").removesuffix("/v1").rstrip("/")
        return cls.endpoint(f"{root}/v1", model, roles)

    @classmethod
    def here(cls, model: str, role: Role) -> SetUpModel:
        """A model of Hugging Face or a folder, which runs on this machine."""
        model = model.strip()
        _check_name(model, "the model's name or folder", "?")
        return cls(f"{'transformers' if role == 'vision' else 'huggingface'}:{model}", (role,))


def _check_name(model: str, what: str, forbidden: str) -> None:
    if not model:
        raise UsageError(f"{what} is missing")
    if not model.isprintable() or len(model) > 300 or set(model) & set(forbidden):
        raise UsageError(f"{what} '{printable(model, 80)}' has characters that no name has")


class SavedModels:
    """The models that were set up, safe for threads."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._lock = threading.RLock()
        self._models: dict[str, SetUpModel] = {}
        self._with_key: set[str] = set()
        self.problem = ""
        """A sentence if the file or a key could not be read."""
        self._load()

    def all(self) -> list[SetUpModel]:
        """Every model, in the order in which they were set up."""
        with self._lock:
            return list(self._models.values())

    def names(self, role: Role) -> tuple[str, ...]:
        """The names of the models with that role."""
        return tuple(model.name for model in self.all() if role in model.roles)

    def has_key(self, model: SetUpModel) -> bool:
        """Whether its key is known in this process."""
        return model.name in self._with_key

    def add(self, model: SetUpModel, key: str = "", keep: Keep = "none") -> SetUpModel:
        """Offer a model from now on. Raises UsageError if the key or the file cannot be kept."""
        key = key.strip()
        model = replace(model, keep=keep if key else "none")
        with self._lock:
            if model.name not in self._models and len(self._models) >= MAX_MODELS:
                raise UsageError(f"{MAX_MODELS} models are set up, which is the maximum; remove one first")
            if model.keep == "keyring":
                _in_keyring(lambda keyring: keyring.set_password(SERVICE, model.name, key))
            elif (before := self._models.get(model.name)) is not None and before.keep == "keyring":
                _forget(model.name)
            self._models[model.name] = model
            self._give(model, key)
            self._write()
        return model

    def remove(self, name: str) -> None:
        """Forget a model and its key. Raises UsageError."""
        with self._lock:
            model = self._models.pop(name, None)
            if model is None:
                return
            self._give(model, "")
            if model.keep == "keyring":
                _forget(name)
            self._write()

    def _give(self, model: SetUpModel, key: str) -> None:
        give_key(model.name, model.address, key)
        (self._with_key.add if key else self._with_key.discard)(model.name)

    def _load(self) -> None:
        try:
            rows = json.loads(self.file.read_text("utf-8"))
            found = [_model_of(row) for row in rows]
        except FileNotFoundError:
            return
        except (OSError, ValueError, TypeError, KeyError, UsageError):
            self.problem = f"the list of models '{printable(self.file)}' cannot be read; set the models up again"
            return
        for model in found[:MAX_MODELS]:
            self._models[model.name] = model
            if model.keep == "keyring":
                try:
                    key = _in_keyring(partial(_password_of, model.name))
                    self._give(model, key or "")
                except UsageError as error:
                    self.problem = str(error)

    def _write(self) -> None:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps([asdict(model) for model in self._models.values()], indent=1)
        with replacing(self.file, UsageError) as file:
            file.write(text.encode())


def _model_of(row: dict[str, Any]) -> SetUpModel:
    """A model from the file; its address is that in its name, whatever else the row says. Raises UsageError."""
    name, roles, keep = str(row["name"]), tuple(row["roles"]), row["keep"]
    if not roles or set(roles) - set(ROLES) or keep not in ("none", "keyring", "session"):
        raise ValueError
    provider, _, rest = name.partition(":")
    if provider == "openai":
        model, _, address = rest.partition("?base_url=")
        made = SetUpModel.endpoint(address, model, cast("tuple[Role, ...]", roles))
        if made.name != name:
            raise ValueError
        return replace(made, keep=cast("Keep", keep))
    return SetUpModel.here(rest, cast("Role", roles[0]))


# --- keyring ----------------------------------------------------------------------------------------------------------


def keyring_name() -> str:
    """The system's keyring in words, "" if there is none that keeps keys encrypted."""
    try:
        import keyring
        from keyring.errors import KeyringError
    except ImportError:
        return ""
    try:
        backend = keyring.get_keyring()
        return str(backend.name) if backend.priority >= _RECOMMENDED else ""
    except (KeyringError, RuntimeError, OSError):
        return ""


def _in_keyring(act: Callable[[Any], Any]) -> Any:
    """`act(keyring)`. Raises UsageError, whose line does not hold the key."""
    if not keyring_name():
        raise UsageError("this machine has no keyring that keeps keys encrypted; keep the key for this session only")
    import keyring

    try:
        return act(keyring)
    except Exception as error:  # noqa: BLE001 - backends raise what their libraries raise, perhaps with the key in it
        raise UsageError(
            f"the system's keyring cannot be used ({type(error).__name__}); unlock it, or keep the key for this session"
        ) from None


def _password_of(name: str, keyring: Any) -> str | None:
    found: str | None = keyring.get_password(SERVICE, name)
    return found


def _forget(name: str) -> None:
    with suppress(UsageError):  # it was deleted in the keyring itself
        _in_keyring(lambda keyring: keyring.delete_password(SERVICE, name))


@lru_cache(maxsize=4)
def _saved_at(file: Path) -> SavedModels:
    return SavedModels(file)


def saved_models() -> SavedModels:
    """Those of this process."""
    return _saved_at(get_settings().home / FILE)
