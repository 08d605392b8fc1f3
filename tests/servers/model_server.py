"""An OpenAI-compatible server with two models, one of which sees, behind a key. Standard library and Pillow.

    python tests/servers/model_server.py KEY      # prints its port; "" as KEY: none is needed

`GET /v1/models` lists `sees` and `reads`. `sees` names the colour in the middle of the picture, `reads` never gets it.
`GET /received` gives back [path, authorization] of every request.
"""

from __future__ import annotations

import base64
import io
import json
import sys
from http.server import ThreadingHTTPServer
from typing import Any

from openai_wire import Handler
from PIL import Image

KEY = sys.argv[1] if len(sys.argv) > 1 else ""
MODELS = ("sees", "reads")
SEEN: list[list[str]] = []


class Models(Handler):
    def do_GET(self) -> None:  # noqa: N802 - http.server's name
        if self.path == "/received":
            self.send(200, SEEN)
            return
        self.note()
        if self.path == "/v1/models":
            if self.allowed():
                self.send(200, {"object": "list", "data": [{"id": name, "object": "model"} for name in MODELS]})
        elif self.path.startswith("/moved"):
            self.send(302, {}, {"Location": "/v1/models"})
        else:
            self.send(404, {"message": "no such page"})

    def do_POST(self) -> None:  # noqa: N802 - http.server's name
        self.note()
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if not self.allowed():
            return
        if self.path != "/v1/chat/completions" or body["model"] not in MODELS:
            self.error(404, f"The model `{body['model']}` does not exist", code="model_not_found")
            return
        self.reply(body, self.said(body), "stop")

    def note(self) -> None:
        SEEN.append([self.path, self.headers.get("authorization", "")])

    def allowed(self) -> bool:
        """Whether the key is right; answers if not."""
        if KEY and self.headers.get("authorization") != f"Bearer {KEY}":
            self.error(401, "Incorrect API key provided")
            return False
        return True

    def said(self, body: dict[str, Any]) -> str:
        content = body["messages"][-1]["content"]
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        urls = [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
        if not urls:
            return "Green."
        if body["model"] == "reads":
            return "I see nothing but words."
        image = Image.open(io.BytesIO(base64.b64decode(urls[0].partition(",")[2]))).convert("RGB")
        red, green, blue = image.getpixel((image.width // 2, image.height // 3))
        return "Red." if red > 150 and max(green, blue) < 90 else "Another colour."


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Models)
    print(server.server_port, flush=True)
    server.serve_forever()
