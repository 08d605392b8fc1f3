"""Settings from the environment: every variable is `INQUISIGHT_` and the field's name in capitals.

Command-line options override them. Nothing is read from files.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import Any

import platformdirs
from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from core.errors import UsageError, printable

PREFIX = "INQUISIGHT_"


class Settings(BaseSettings):
    """Settings that a user may set once instead of passing options."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid", validate_default=False)

    home: Path = Field(default_factory=lambda: platformdirs.user_data_path("inquisight", appauthor=False))
    """Folder for transcripts and caches."""
    database: str = ""
    """SQLAlchemy URL of the transcript store; empty: `transcripts.sqlite` in `home`."""
    vision: str = Field(default="pocket", min_length=1)
    """Vision backend, "name" or "name:argument"."""
    questioner: str = Field(default="scripted", min_length=1)
    """Questioner, a registered name or "provider:model"."""
    witness: str = Field(default="auto", min_length=1)
    """Witnesses of interviews, "NAME,...", "auto" (all that work here) or "none"."""
    rounds: int = Field(default=10, ge=1, le=1000)
    """Questions per picture, the fixed opening one included."""
    history: int = Field(default=1, ge=-1)
    """Earlier question-answer pairs shown to the vision backend; -1 means all."""
    seed: int | None = Field(default=None, ge=0, lt=2**32)
    """Random seed; makes a run repeatable."""
    max_pixels: int = Field(default=100_000_000, ge=1)
    """Most pixels of a picture in memory; larger ones are scaled down if their format permits."""
    timeout: float = Field(default=60.0, gt=0, allow_inf_nan=False)
    """Timeout for one answer of a remote model, in seconds."""
    max_retries: int = Field(default=5, ge=0, le=100)
    """Retries after a transient error (connection, 408, 409, 429, 5xx)."""
    requests_per_second: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Maximum rate of calls to a remote questioner; unlimited by default."""
    base_url: str | None = None
    """Address of an OpenAI-compatible server for `openai:`, ending in /v1 for most."""
    api_key: SecretStr | None = None
    """Key for that address, or for OpenAI if that is not set; sent nowhere else (see `core.net.endpoints`)."""
    vision_base_url: str | None = None
    """Address of the server of the vision model `openai:`, if it differs from the questioner's."""
    vision_api_key: SecretStr | None = None
    """Key for that address, or for OpenAI if that is not set; sent nowhere else."""
    strict_plugins: bool = False
    """Stop at a broken plugin instead of reporting it."""
    load_plugins: str | None = None
    """Comma list of third-party plugins to load; unset: all; empty: none."""

    @model_validator(mode="before")
    @classmethod
    def _empty_means_unset(cls, values: Any) -> Any:
        """`INQUISIGHT_SEED= inquisight ...` is how a shell unsets a variable for one command."""
        if isinstance(values, dict):
            return {key: value for key, value in values.items() if value != "" or key == "load_plugins"}
        return values

    @field_validator("home")
    @classmethod
    def _expand(cls, home: Path) -> Path:
        return home.expanduser()

    @field_validator("base_url", "vision_base_url")
    @classmethod
    def _is_web_address(cls, url: str | None) -> str | None:
        if url is not None and not url.startswith(("http://", "https://")):
            raise ValueError("must begin with http:// or https://")
        return url

    @property
    def database_url(self) -> str:
        """`database`, or the default file in `home`."""
        return self.database or f"sqlite:///{self.home / 'transcripts.sqlite'}"


def load_settings() -> Settings:
    """Read the environment now. Raises UsageError naming the variable, its value and what is allowed."""
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = str(first["loc"][0]) if first["loc"] else "settings"
        reason = first["msg"].removeprefix("Value error, ")
        reason = f"{reason[:1].lower()}{reason[1:]}"
        value = "" if "key" in name else f"='{printable(_environment(name), limit=80)}'"
        raise UsageError(f"{PREFIX}{name.upper()}{value}: {reason}; change or unset it.") from None


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """The settings of this process, read once; `get_settings.cache_clear()` resets them."""
    return load_settings()


def _environment(name: str) -> str:
    """The value of a variable; names are case-insensitive, as for pydantic-settings."""
    variable = f"{PREFIX}{name}".lower()
    return next((value for key, value in os.environ.items() if key.lower() == variable), "")
