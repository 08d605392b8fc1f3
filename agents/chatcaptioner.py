"""`python -m agents.chatcaptioner photo.jpg`: the same as `inquisight caption photo.jpg`."""

from __future__ import annotations

if __name__ == "__main__":
    from core.launch import guard, launch

    guard()
    from agents.cli import run

    launch(run, command="caption", program="python -m agents.chatcaptioner")
