"""llama.cpp's own server in a process of its own: prints its address once it listens.

    python llama_cpp.py MODEL.gguf [--mmproj MMPROJ.gguf] [--key KEY] [--context TOKENS] [--name NAME] [--port PORT]

The package `xllamacpp` brings it with it, compiled; nothing of the server is written here.
"""

from __future__ import annotations

import argparse
import threading

import xllamacpp


def main() -> None:
    """Serve until ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--mmproj", default="")
    parser.add_argument("--key", default="")
    parser.add_argument("--context", type=int, default=1024)
    parser.add_argument("--name", default="tiny", help="how clients call the model [tiny]")
    parser.add_argument("--port", type=int, default=0, help="[one that is free]")
    given = parser.parse_args()

    parameters = xllamacpp.CommonParams()
    parameters.model.path = given.model
    parameters.mmproj.path = given.mmproj
    parameters.model_alias = {given.name}
    parameters.port = given.port
    parameters.api_keys = [given.key] if given.key else []
    parameters.n_parallel = 2
    parameters.n_ctx = 2 * given.context  # shared by both
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = 1
    parameters.warmup = parameters.fit_params = parameters.ui = False
    server = xllamacpp.Server(parameters)
    print(server.listening_address, flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
