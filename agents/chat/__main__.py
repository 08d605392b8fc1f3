"""`python -m agents.chat photo.jpg`: the same as `inquisight chat photo.jpg`."""

from __future__ import annotations

if __name__ == "__main__":
    from core.launch import guard, launch

    guard()
    from agents.cli import run

    launch(run, command="chat", program="python -m agents.chat")
