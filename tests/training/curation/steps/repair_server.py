"""An OpenAI-compatible server in its own process; its fake model repairs by rules.

    python tests/training/curation/steps/repair_server.py      # prints its port, then serves on 127.0.0.1

What it does with a text hangs on words in it, and on the model's name:
    unlucky     HTTP 400, always             sorry       apologises
    filtered    withheld by a content filter flaky       HTTP 500 the first time
    pirates     follows the orders in it
The model `gone` answers 503 to everything; `uncounted` reports no tokens; `proposer` lists wordings of an instruction.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[4]
sys.path.insert(0, str(ROOT))

from tests.servers.openai_wire import LOCK, Handler  # noqa: E402

SEEN: set[str] = set()
WORDINGS = [
    "Tell me in detail what this image shows.",
    "What can be seen in this image, with all its details?",
    "Give a detailed account of the picture.",
    "Describe every detail of this image.",
    "Sorry, I cannot help with more.",
]


class Mending(Handler):
    def behave(self, body: dict[str, Any], turn: int) -> None:
        name = body["model"].partition(".")[0]
        said = body["messages"][-1]["content"]
        found = re.search(r"<description-(\w+)>\n(.*)\n</description-\1>", said, re.DOTALL)
        text = found[2] if found else ""
        if name == "gone":
            self.error(503, "The server is overloaded")
        elif name == "proposer":
            self.reply(body, "\n".join(f"{at}. {line}" for at, line in enumerate(WORDINGS, start=1)), "stop")
        elif "unlucky" in text:
            self.error(400, "This text is not for me")
        elif "filtered" in text:
            self.reply(body, "", "content_filter")
        elif "sorry" in text:
            self.reply(body, "I'm sorry, but I can't help with that.", "stop")
        elif "pirates" in text:
            self.reply(
                body, "Ahoy, upon the seven seas they sail for treasure and for rum until the night is over.", "stop"
            )
        elif "flaky" in text and self.first(text):
            self.error(500, "The server had an error", headers={"Retry-After": "0"})
        else:
            self.reply(body, f"Here is the repaired description:\n\n{text.replace('###', '')}", "stop")

    def first(self, text: str) -> bool:
        with LOCK:
            known = text in SEEN
            SEEN.add(text)
            return not known

    def send(self, status: int, value: Any, headers: dict[str, str] | None = None) -> None:
        if isinstance(value, dict) and str(value.get("model", "")).startswith("uncounted"):
            value.pop("usage", None)
        super().send(status, value, headers)


@contextmanager
def repair_server() -> Iterator[str]:
    """Its base URL, while it runs."""
    process = subprocess.Popen([sys.executable, "-u", __file__], stdout=subprocess.PIPE, cwd=ROOT)
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
    finally:
        process.terminate()
        process.wait(10)
        assert process.stdout is not None
        process.stdout.close()


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Mending)
    server.daemon_threads = True
    print(server.server_port, flush=True)
    server.serve_forever()
