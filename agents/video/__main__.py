"""`python -m agents.video clip.mp4`: the same as `inquisight video clip.mp4`."""

from __future__ import annotations

if __name__ == "__main__":
    from core.launch import guard, launch

    guard()
    from agents.cli import run

    launch(run, command="video", program="python -m agents.video")
