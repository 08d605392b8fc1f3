"""Requests of 32 clients at once against one after the other, and against a batch run of the same pictures.

    python -m benchmarks.serving FOLDER [--pictures 96] [--clients 32] [--vision pocket]

Prints pictures per second as ratios, and the median and the 99th percentile of a request's seconds. FOLDER holds
photographs (`python -m training.photographs.fetch FOLDER`). The server runs in a process of its own.
"""

from __future__ import annotations

import argparse
import base64
import json
import statistics
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from core.datasets.folders import find_pictures
from core.datasets.left_out import LeftOut
from core.images.picture import open_picture
from core.registry import get_registry
from core.vision import GenerationOptions, VisualQuestion

QUESTION = "What is in the picture?"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pictures", type=int, default=96)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--vision", default="pocket")
    options = parser.parse_args()
    # Different pictures for each way, so that none is known already.
    found = [Path(str(one)) for one in find_pictures([options.folder], LeftOut())]
    count = min(options.pictures, len(found) // 3)
    parts = [found[start::3][:count] for start in range(3)]
    with Server(options.vision) as address:
        for path in parts[0][:2]:  # loads what is loaded at the first use
            ask(address, options.vision, path)
        single = timed(address, options.vision, parts[0], clients=1)
        many = timed(address, options.vision, parts[1], clients=options.clients)
    offline = batch_seconds(options.vision, parts[2])
    rates = {name: count / sum_of for name, sum_of in (("one", single[0]), ("many", many[0]), ("offline", offline))}
    print(f"{count} pictures each, {options.vision}")
    for label, (_, each) in (("one client", single), (f"{options.clients} clients at once", many)):
        rate = rates["one" if each is single[1] else "many"] / rates["one"]
        print(f"{label:21} {rate:5.2f}x   p50 {quantile(each, 50):.2f} s   p99 {quantile(each, 99):.2f} s")
    print(f"batch, no server      {rates['offline'] / rates['one']:5.2f}x")
    print(f"{options.clients} clients reach {rates['many'] / rates['offline']:.0%} of the batch's pictures per second")


class Server:
    """`inquisight serve` on a free port."""

    def __init__(self, vision: str) -> None:
        command = [sys.executable, "-u", "-m", "inquisight", "serve", "--port", "0", "--witness", "none"]
        self.process = subprocess.Popen([*command, "--vision", vision], stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> str:
        assert self.process.stdout is not None
        address = self.process.stdout.readline().split()[2]
        while True:
            try:
                urllib.request.urlopen(f"{address}/models").close()
                return address
            except OSError:
                time.sleep(0.1)

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.communicate()


def ask(address: str, vision: str, path: Path) -> float:
    """Seconds of one request."""
    url = f"data:image/{path.suffix.lstrip('.')};base64,{base64.b64encode(path.read_bytes()).decode()}"
    parts = [{"type": "text", "text": QUESTION}, {"type": "image_url", "image_url": {"url": url}}]
    body = {"model": vision, "messages": [{"role": "user", "content": parts}]}
    start = time.perf_counter()
    request = urllib.request.Request(
        f"{address}/chat/completions", json.dumps(body).encode(), {"content-type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=600) as answer:
        assert json.load(answer)["choices"][0]["message"]["content"]
    return time.perf_counter() - start


def timed(address: str, vision: str, paths: list[Path], *, clients: int) -> tuple[float, list[float]]:
    """(seconds of all requests together, seconds of each)."""
    start = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        each = list(pool.map(lambda path: ask(address, vision, path), paths))
    return time.perf_counter() - start, each


def batch_seconds(vision: str, paths: list[Path], size: int = 32) -> float:
    """Seconds for the same work in full batches, without a server."""
    backend = get_registry().create_vision(vision)
    backend.ask(paths[0], QUESTION)
    start = time.perf_counter()
    for at in range(0, len(paths), size):
        images = backend.encode([open_picture(path) for path in paths[at : at + size]])
        backend.replies([VisualQuestion(image, QUESTION, (), GenerationOptions()) for image in images])
    return time.perf_counter() - start


def quantile(seconds: list[float], percent: int) -> float:
    return statistics.quantiles(seconds, n=100, method="inclusive")[percent - 1]


if __name__ == "__main__":
    main()
