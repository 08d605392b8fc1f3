"""`python -m agents.video clip.mp4`: the same as `inquisight video clip.mp4`."""

from __future__ import annotations

import sys

if __name__ == "__main__":
    from agents.cli import run

    sys.exit(run(sys.argv[1:], command="video", program="python -m agents.video"))
