"""`python -m agents.cli`: the same as `inquisight`."""

from __future__ import annotations

if __name__ == "__main__":
    from core.launch import guard, launch

    guard()
    from agents.cli import run

    launch(run)
