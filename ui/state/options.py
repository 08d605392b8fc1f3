"""How the dashboard was started. `inquisight ui` hands its options on in these environment variables.

`streamlit run ui/server/app.py` without any of them is a dashboard for one person on one machine.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from core.errors import UsageError, printable

PREFIX: Final = "INQUISIGHT_UI_"
HOST: Final = "127.0.0.1"
PORT: Final = 8501
UPLOAD_MB: Final = 20
VIDEO_MB: Final = 200
_MODELS: Final = 3
_RIGHTS: Final = (
    "VISITORS_MAY_NAME_MODELS",
    "VISITORS_MAY_USE_SERVER_PATHS",
    "VISITORS_MAY_SEE_ALL_TRANSCRIPTS",
)


@dataclass(frozen=True, slots=True)
class UiOptions:
    """How the dashboard runs."""

    host: str = HOST
    password_file: Path | None = None
    """The first line of this file is what a visitor has to type."""
    oidc: bool = False
    """Visitors log in with the provider that Streamlit's secrets name."""
    allow: tuple[str, ...] = ()
    """With `oidc`: e-mail addresses that may enter, `*` for any characters; empty: all whom the provider knows."""
    eyes: tuple[str, ...] = ()
    """The vision models to choose from; empty: every registered one, and typed ones for who may name models."""
    questioners: tuple[str, ...] = ()
    upload_mb: int = UPLOAD_MB
    """Largest picture, in megabytes."""
    video_mb: int = VIDEO_MB
    """Largest video, in megabytes."""
    models: int = _MODELS
    """Eyes that stay loaded at once."""
    visitors_may_name_models: bool = False
    visitors_may_use_server_paths: bool = False
    visitors_may_see_all_transcripts: bool = False

    @property
    def local(self) -> bool:
        """Whether only this machine can reach it."""
        return is_local(self.host)

    @property
    def guarded(self) -> bool:
        """Whether a visitor has to say who they are."""
        return self.password_file is not None or self.oidc

    @property
    def single_user(self) -> bool:
        """Whether only the owner uses it: it listens on this machine alone and asks for no password or login.

        The owner has every right; visitors have those that were granted.
        """
        return self.local and not self.guarded

    @property
    def may_name_models(self) -> bool:
        """Whether models that are not in the offered list may be typed, with their folders and addresses."""
        return self.single_user or self.visitors_may_name_models

    @property
    def may_use_server_paths(self) -> bool:
        """Whether folders of this machine may be named, and curations and trainings started in them."""
        return self.single_user or self.visitors_may_use_server_paths

    @property
    def may_see_all_transcripts(self) -> bool:
        """Whether every transcript of the store may be read and deleted, else only one's own."""
        return self.single_user or self.visitors_may_see_all_transcripts

    def password(self) -> str:
        """The password, read anew so that it can be changed while the dashboard runs. Raises UsageError."""
        if self.password_file is None:
            return ""
        try:
            first = self.password_file.read_text("utf-8").partition("\n")[0].strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
            raise UsageError(
                f"the password file '{printable(self.password_file)}' cannot be read: {reason.lower()}"
            ) from error
        if not first:
            raise UsageError(f"the password file '{printable(self.password_file)}' begins with an empty line")
        return first

    def to_environment(self) -> dict[str, str]:
        """What `from_environment` reads."""
        said = {
            "HOST": self.host,
            "PASSWORD_FILE": str(self.password_file.absolute()) if self.password_file else "",
            "OIDC": "1" if self.oidc else "",
            "ALLOW": "\n".join(self.allow),
            "EYES": "\n".join(self.eyes),
            "QUESTIONERS": "\n".join(self.questioners),
            "UPLOAD_MB": str(self.upload_mb),
            "VIDEO_MB": str(self.video_mb),
            "MODELS": str(self.models),
            **{name: "1" if getattr(self, name.lower()) else "" for name in _RIGHTS},
        }
        return {PREFIX + name: value for name, value in said.items()}

    @classmethod
    def from_environment(cls) -> UiOptions:
        """The options of this process. Raises UsageError naming the variable."""
        said = {name: os.environ.get(PREFIX + name, "") for name in cls().to_environment_names()}
        return cls(
            host=said["HOST"] or _streamlit_host(),
            password_file=Path(said["PASSWORD_FILE"]) if said["PASSWORD_FILE"] else None,
            oidc=bool(said["OIDC"]),
            allow=_lines(said["ALLOW"]),
            eyes=_lines(said["EYES"]),
            questioners=_lines(said["QUESTIONERS"]),
            upload_mb=_number("UPLOAD_MB", said["UPLOAD_MB"], UPLOAD_MB),
            video_mb=_number("VIDEO_MB", said["VIDEO_MB"], VIDEO_MB),
            models=_number("MODELS", said["MODELS"], _MODELS),
            **{name.lower(): bool(said[name]) for name in _RIGHTS},
        )

    @classmethod
    def to_environment_names(cls) -> tuple[str, ...]:
        """The names without their prefix."""
        return tuple(name.removeprefix(PREFIX) for name in cls().to_environment())


def is_local(host: str) -> bool:
    """Whether `host` is a name or address of this machine alone."""
    name = host.strip().strip("[]").lower()
    if name == "localhost":
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


@lru_cache(maxsize=1)
def get_options() -> UiOptions:
    """The options of this process, read once. `get_options.cache_clear()` forgets them."""
    return UiOptions.from_environment()


def require_server_paths() -> None:
    """Raise UsageError where folders, curations and trainings of this machine are the owner's alone."""
    if not get_options().may_use_server_paths:
        raise UsageError(
            "folders, curations and trainings of this machine are not open to visitors; its owner can start the "
            "dashboard with --visitors-may-use-server-paths"
        )


def _number(name: str, text: str, default: int) -> int:
    if not text:
        return default
    if not text.isdecimal() or not 1 <= int(text) <= 1000:
        raise UsageError(f"{PREFIX}{name}='{printable(text, 80)}': a number from 1 to 1000 is needed")
    return int(text)


def _lines(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.split("\n") if line.strip())


def _streamlit_host() -> str:
    """Where `streamlit run` listens; without an address that is every interface of the machine."""
    from streamlit import config, runtime

    if not runtime.exists():
        return HOST  # a test, or a tool that imports a page
    return str(config.get_option("server.address") or "0.0.0.0")
