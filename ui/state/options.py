"""The dashboard's options, which `inquisight ui` passes to the server process in environment variables.

`streamlit run ui/server/asgi.py` without any of them is a dashboard for one user on one machine.
"""

from __future__ import annotations

import os
from dataclasses import Field, dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from core.errors import UsageError, printable
from core.net.listening import is_local

HOST: Final = "127.0.0.1"
_LAUNCH: Final = ("port", "open_to_all", "no_browser")  # of the command alone


@dataclass(frozen=True)
class UiOptions:
    """Start the dashboard in a browser."""

    folder: Annotated[Path | None, typer.Argument(metavar="[FOLDER]")] = None
    """Folder of pictures to open in the gallery."""
    port: int = 8501
    """Port; 0 picks a free one."""
    host: Annotated[str, typer.Option("--host", metavar="ADDRESS")] = HOST
    """Address to listen on."""
    password_file: Path | None = None
    """File whose first line is the visitors' password."""
    oidc: bool = False
    """Visitors log in with the provider in Streamlit's secrets.toml."""
    allow: Annotated[tuple[str, ...], typer.Option("--allow", metavar="EMAIL")] = ()
    """With --oidc: allowed e-mail, such as *@example.org; repeatable [all]."""
    open_to_all: bool = False
    """Allow access without a password to anybody who reaches --host."""
    vision: tuple[str, ...] = ()
    """Offer only this vision model; repeatable [all]."""
    questioner: tuple[str, ...] = ()
    """Offer only this language model; repeatable [all]."""
    models: int = 3
    """Maximum number of vision models in memory."""
    upload_mb: int = 20
    """Upload limit for images, in MB."""
    video_mb: int = 200
    """Upload limit for videos, in MB."""
    visitors_may_name_models: bool = False
    """Let visitors type models: load any folder or plugin here, and send requests from this machine to any address."""
    visitors_may_set_up_models: bool = False
    """Let visitors add models with addresses and keys, which all visitors then use."""
    visitors_may_use_server_paths: bool = False
    """Show visitors Curate, Train and Plugins: read and write folders of this machine, start and stop curations and
    trainings."""
    visitors_may_see_all_transcripts: bool = False
    """Let each visitor read, export and delete the transcripts of all others and of this machine."""
    no_browser: bool = False
    """Do not open a browser."""

    @property
    def local(self) -> bool:
        """Whether only this machine can reach the dashboard."""
        return is_local(self.host)

    @property
    def guarded(self) -> bool:
        """Whether visitors need a password or a login."""
        return self.password_file is not None or self.oidc

    @property
    def single_user(self) -> bool:
        """Whether the owner is the only user: local, without password and login. The owner has every right."""
        return self.local and not self.guarded

    @property
    def may_name_models(self) -> bool:
        """Whether other models than the offered ones may be typed, with their folders and addresses."""
        return self.single_user or self.visitors_may_name_models

    @property
    def may_set_up_models(self) -> bool:
        """Whether models may be added for everybody who uses this dashboard, with their addresses and keys."""
        return self.single_user or self.visitors_may_set_up_models

    @property
    def may_use_server_paths(self) -> bool:
        """Whether folders of this machine may be read and written, and curations and trainings started."""
        return self.single_user or self.visitors_may_use_server_paths

    @property
    def may_see_all_transcripts(self) -> bool:
        """Whether all transcripts may be read and deleted, not only the visitor's own."""
        return self.single_user or self.visitors_may_see_all_transcripts

    def password(self) -> str:
        """The password, read from the file so that it can be changed at any time. Raises UsageError."""
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
        """The variables that `from_environment` reads."""
        names = (one.name for one in fields(self) if one.name not in _LAUNCH)
        return {_variable(name): _written(getattr(self, name)) for name in names}

    @classmethod
    def from_environment(cls) -> UiOptions:
        """The options of this process. Raises UsageError naming the variable."""
        values: dict[str, Any] = {}
        for one in fields(cls):
            if one.name not in _LAUNCH and (text := os.environ.get(_variable(one.name), "")):
                values[one.name] = _read(one, text)
        return cls(**{"host": _streamlit_host(), **values})


def _variable(name: str) -> str:
    return f"INQUISIGHT_UI_{name.upper()}"


def _written(value: object) -> str:
    if isinstance(value, tuple):
        return "\n".join(value)
    if value is None or isinstance(value, bool):
        return "1" if value else ""
    return str(value.absolute() if isinstance(value, Path) else value)


def _read(option: Field[Any], text: str) -> object:
    """The value of a variable, by the type of the option's default."""
    if isinstance(option.default, bool):
        return True
    if isinstance(option.default, tuple):
        return tuple(line.strip() for line in text.split("\n") if line.strip())
    if isinstance(option.default, int):
        if not text.isdecimal() or not 1 <= int(text) <= 1000:
            raise UsageError(f"{_variable(option.name)}='{printable(text, 80)}': a number from 1 to 1000 is needed")
        return int(text)
    return Path(text) if option.default is None else text


@lru_cache(maxsize=1)
def get_options() -> UiOptions:
    """The options of this process, read once; `get_options.cache_clear()` forgets them."""
    return UiOptions.from_environment()


def require_model_setup() -> None:
    """Raise UsageError for visitors without the right to add models."""
    if not get_options().may_set_up_models:
        raise UsageError(
            "models are set up by the owner of this dashboard; the owner can start it with --visitors-may-set-up-models"
        )


def require_server_paths() -> None:
    """Raise UsageError for visitors without the right to use folders of this machine."""
    if not get_options().may_use_server_paths:
        raise UsageError(
            "folders, curations and trainings of this machine are not open to visitors; the owner can start the "
            "dashboard with --visitors-may-use-server-paths"
        )


def _streamlit_host() -> str:
    """The address of `streamlit run`; without one it listens on every interface."""
    from streamlit import config, runtime

    if not runtime.exists():
        return HOST  # a test
    return str(config.get_option("server.address") or "0.0.0.0")
