"""Commands in processes that begin where a fresh Python has imported its libraries.

`run_module` is `python -m MODULE ARGUMENTS` in a process forked from one that has imported third-party libraries and
nothing of ours: one to two seconds less per command. Environment, working folder, arguments, standard streams, exit
code and exit handlers are the process's own. Where a start from nothing is what is tested, call `subprocess` instead.
"""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
LIBRARIES = (
    "importlib.metadata tomllib sqlite3 platformdirs numpy pluggy psutil pydantic.v1 pydantic_settings typer.testing "
    "rich.console rich.live rich.markdown rich.table sqlalchemy.orm sqlalchemy.dialects.sqlite "
    "PIL.ImageOps PIL.PngImagePlugin PIL.JpegImagePlugin PIL.WebPImagePlugin PIL.GifImagePlugin PIL.TiffImagePlugin "
    "langsmith.client langsmith.run_helpers langchain_core.callbacks.manager langchain_core.rate_limiters "
    "langchain_core.language_models.chat_models langchain_core.messages.utils langchain_core.outputs "
    "langchain_core.tracers.langchain"
).split()

# Runs in the server. A child leaves the loop and goes on like an interpreter that was started for its module.
_SERVER = """
import importlib, json, os, signal, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
child = None
for line in iter(sys.stdin.readline, ""):
    number = os.fork()
    if number == 0:
        child = json.loads(line)
        break
    _, status = os.waitpid(number, 0)
    print(os.waitstatus_to_exitcode(status), flush=True)
if child is not None:
    os.setsid()
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        opened = os.open(child[name], os.O_RDONLY if number == 0 else os.O_WRONLY)
        os.dup2(opened, number)
        os.close(opened)
    os.chdir(child["cwd"])
    os.environ.clear()
    os.environ.update(child["environment"])
    encoding = "utf-8" if os.environ.get("PYTHONUTF8") == "1" else None
    sys.stdin = open(0, encoding=encoding)
    sys.stdout = open(1, "w", encoding=encoding)
    sys.stderr = open(2, "w", encoding=encoding, errors="backslashreplace", buffering=1)
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr
    if os.environ.get("PYTHONWARNINGS") == "ignore":
        import warnings
        warnings.simplefilter("ignore")
    places = [place for place in os.environ.get("PYTHONPATH", "").split(os.pathsep) if place]
    sys.path[:] = [child["cwd"], *places, *(place for place in sys.path[1:] if place not in places)]
    importlib.invalidate_caches()
    sys.argv = [child["module"], *child["arguments"]]
    import runpy
    runpy.run_module(child["module"], run_name="__main__", alter_sys=True)
"""


@cache
def _server() -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", _SERVER, *LIBRARIES], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    atexit.register(process.kill)
    return process


def run_module(
    module: str, arguments: Sequence[str], *, cwd: Path, environment: Mapping[str, str], stdin: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    """The finished process of `python -m module`, its output as bytes; a negative code stands for a signal."""
    server = _server()
    assert server.stdin is not None and server.stdout is not None
    with tempfile.TemporaryDirectory() as place:
        streams = {name: os.path.join(place, name) for name in ("stdin", "stdout", "stderr")}
        for name, path in streams.items():
            Path(path).write_bytes(stdin if name == "stdin" else b"")
        asked: dict[str, Any] = {
            "module": module,
            "arguments": list(arguments),
            "cwd": str(cwd),
            "environment": dict(environment),
            **streams,
        }
        server.stdin.write(json.dumps(asked) + "\n")
        server.stdin.flush()
        code = server.stdout.readline()
        if not code:
            raise RuntimeError(f"the process that starts commands ended with {server.wait()}")
        out, err = (Path(streams[name]).read_bytes() for name in ("stdout", "stderr"))
    return subprocess.CompletedProcess([module, *arguments], int(code), out, err)
