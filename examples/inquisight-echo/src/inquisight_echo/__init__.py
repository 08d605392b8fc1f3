"""The hooks of the echo plugin. Nothing heavy is imported here: this module is loaded for `--help` too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core import hookimpl

if TYPE_CHECKING:
    import typer

    from core import Register


@hookimpl
def register_vision_backends(register: Register) -> None:
    """Offer `--vision echo`."""
    register(
        "echo",
        "inquisight_echo.vision:EchoBackend",
        description="measured facts only: size, shape, mean colour, brightness",
        capabilities={"streams": True},
    )


@hookimpl
def register_questioners(register: Register) -> None:
    """Offer `--questioner echo`."""
    register("echo", "inquisight_echo.questioner:make_questioner", description="four fixed questions, for testing")


@hookimpl
def register_commands(cli: typer.Typer) -> None:
    """Offer `inquisight measure PICTURE`."""

    @cli.command("measure")
    def measure(picture: str) -> None:
        """Print what can be measured of a picture, without any model."""
        from core import open_picture
        from inquisight_echo.facts import Facts

        print(Facts.of(open_picture(picture)).sentence())
