"""`inquisight` and `python -m inquisight`: the command line (`agents.cli`)."""

from __future__ import annotations

from core.launch import guard, launch


def run(argv: list[str]) -> int:
    """Run the command line; imported only here, after `launch` has checked that no other `agents` hides ours."""
    from agents.cli import run as run_command

    return run_command(argv)


def main() -> None:
    """Entry point of `inquisight`. Does not return."""
    guard()
    launch(run)


if __name__ == "__main__":
    main()
