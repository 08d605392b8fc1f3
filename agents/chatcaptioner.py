"""`python -m agents.chatcaptioner photo.jpg`: the same as `inquisight caption photo.jpg`."""

from __future__ import annotations

import sys

if __name__ == "__main__":
    from agents.cli import run

    sys.exit(run(sys.argv[1:], command="caption", program="python -m agents.chatcaptioner"))
