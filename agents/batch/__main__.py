"""`python -m agents.batch photos --out captions.jsonl`: the same as `inquisight batch ...`."""

from __future__ import annotations

import sys

if __name__ == "__main__":
    from agents.batch.commands import add_to
    from agents.cli import app, run

    add_to(app)
    sys.exit(run(sys.argv[1:], command="batch", program="python -m agents.batch"))
