"""`python -m agents.batch photos --out captions.jsonl`: the same as `inquisight batch ...`."""

from __future__ import annotations

if __name__ == "__main__":
    from core.launch import guard, launch

    guard()
    from agents.cli import run

    launch(run, command="batch", program="python -m agents.batch")
