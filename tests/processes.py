"""Commands in processes that begin where a fresh Python has imported its libraries.

`run_module` is `python -m MODULE ARGUMENTS` in a process forked from one that has imported third-party libraries and
nothing of ours: one to two seconds less per command, three to six where the command needs PyTorch. `write_programs`
puts an `inquisight` and a `python` of that kind on a shell's path. Environment, working folder, arguments, standard
streams, exit code and exit handlers are the process's own. Where a start from nothing is what is tested, call
`subprocess` instead.
"""

from __future__ import annotations

import atexit
import json
import os
import shlex
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LIBRARIES = (
    "importlib.metadata tomllib sqlite3 platformdirs numpy pluggy psutil pydantic.v1 pydantic_settings typer.testing "
    "rich.console rich.live rich.markdown rich.table sqlalchemy.orm sqlalchemy.dialects.sqlite "
    "PIL.ImageOps PIL.PngImagePlugin PIL.JpegImagePlugin PIL.WebPImagePlugin PIL.GifImagePlugin PIL.TiffImagePlugin "
    "langsmith.client langsmith.run_helpers langchain_core.callbacks.manager langchain_core.rate_limiters "
    "langchain_core.language_models.chat_models langchain_core.messages.utils langchain_core.outputs "
    "langchain_core.tracers.langchain"
).split()
MODELS = ("torch", "tokenizers", "safetensors.torch", "transformers.models.blip_2.modeling_blip_2", "accelerate")

# Runs in the server: one connection per command, with a line of JSON and three open files, answered with the exit code.
# Between the two is a process that ends the command when nobody waits for it any more. The command leaves the loop and
# goes on like an interpreter that was started for its module.
_SERVER = """
import importlib, json, os, select, signal, socket, sys
address, *libraries = sys.argv[1:]
for name in libraries:
    importlib.import_module(name)
listener = socket.socket(socket.AF_UNIX)
listener.bind(address)
listener.listen(64)
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
print("ready", flush=True)
while True:
    if sys.stdin in select.select([listener, sys.stdin], [], [])[0]:
        os._exit(0)
    connection, _ = listener.accept()
    if os.fork() == 0:
        break
    connection.close()
listener.close()
ended, end = os.pipe()
os.set_blocking(end, False)
signal.set_wakeup_fd(end)
signal.signal(signal.SIGCHLD, lambda *_: None)
text, files, _, _ = socket.recv_fds(connection, 1 << 16, 3)
while not text.endswith(b"\\n"):
    text += connection.recv(1 << 16)
number = os.fork()
if number != 0:
    for file in files:
        os.close(file)
    watched = [ended, connection]
    while True:
        ready = select.select(watched, [], [])[0]
        found, status = os.waitpid(number, os.WNOHANG)
        if found:
            if connection in watched:
                connection.sendall(b"%d" % os.waitstatus_to_exitcode(status))
            os._exit(0)
        if connection in ready:
            watched = [ended]
            os.killpg(number, signal.SIGTERM)
os.setsid()
signal.set_wakeup_fd(-1)
signal.signal(signal.SIGCHLD, signal.SIG_DFL)
for file in (ended, end, connection.detach()):
    os.close(file)
for file, opened in enumerate(files):
    os.dup2(opened, file)
    os.close(opened)
command = json.loads(text)
os.chdir(command["cwd"])
os.environ.clear()
os.environ.update(command["environment"])
encoding = "utf-8" if os.environ.get("PYTHONUTF8") == "1" else None
sys.stdin = open(0, encoding=encoding)
sys.stdout = open(1, "w", encoding=encoding)
sys.stderr = open(2, "w", encoding=encoding, errors="backslashreplace", buffering=1)
sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr
if os.environ.get("PYTHONWARNINGS") == "ignore":
    import warnings
    warnings.simplefilter("ignore")
places = [place for place in os.environ.get("PYTHONPATH", "").split(os.pathsep) if place]
sys.path[:] = [command["cwd"], *places, *(place for place in sys.path[1:] if place not in places)]
importlib.invalidate_caches()
sys.argv = [command["module"], *command["arguments"]]
import runpy
runpy.run_module(command["module"], run_name="__main__", alter_sys=True)
"""

# What a shell starts: hands its arguments, environment, folder and streams to the server, ends as the command ends.
_CLIENT = """
import json, os, socket, sys
address, module, *arguments = sys.argv[1:]
command = {"module": module, "arguments": arguments, "cwd": os.getcwd(), "environment": dict(os.environ)}
with socket.socket(socket.AF_UNIX) as connection:
    connection.connect(address)
    socket.send_fds(connection, [json.dumps(command).encode() + b"\\n"], [0, 1, 2])
    code = int(connection.recv(16))
sys.exit(code if code >= 0 else 128 - code)
"""


@cache
def _server(*libraries: str) -> str:
    """Where the server listens that has imported these libraries."""
    folder = tempfile.TemporaryDirectory(prefix="commands-")
    address = os.path.join(folder.name, "socket")
    process = subprocess.Popen(
        [sys.executable, "-c", _SERVER, address, *libraries],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
    )
    atexit.register(folder.cleanup)
    atexit.register(process.kill)
    assert process.stdout is not None
    if process.stdout.readline() != b"ready\n":
        raise RuntimeError(f"the process that starts commands ended with {process.wait()}")
    return address


def run_module(
    module: str, arguments: Sequence[str], *, cwd: Path, environment: Mapping[str, str], stdin: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    """The finished process of `python -m module`, its output as bytes; a negative code stands for a signal."""
    command = {"module": module, "arguments": [*arguments], "cwd": str(cwd), "environment": dict(environment)}
    with (
        tempfile.TemporaryFile() as given,
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as err,
        socket.socket(socket.AF_UNIX) as connection,
    ):
        given.write(stdin)
        given.seek(0)
        connection.connect(_server(*LIBRARIES))
        files = [given.fileno(), out.fileno(), err.fileno()]
        socket.send_fds(connection, [json.dumps(command).encode() + b"\n"], files)
        code = int(connection.recv(16))
        for file in (out, err):
            file.seek(0)
        return subprocess.CompletedProcess([module, *arguments], code, out.read(), err.read())


def write_programs(folder: Path) -> None:
    """Put `inquisight` and `python` into a folder; `python -m` begins with the libraries of models imported."""
    python, address = shlex.quote(sys.executable), shlex.quote(_server(*LIBRARIES, *MODELS))
    client = f"exec {python} -I -S -c {shlex.quote(_CLIENT)} {address}"
    lines = {
        "inquisight": f'{client} inquisight "$@"',
        "python": f'if [ "$1" = -m ]; then shift; {client} "$@"; else exec {python} "$@"; fi',
    }
    for name, line in lines.items():
        (folder / name).write_text(f"#!/bin/sh\n{line}\n")
        (folder / name).chmod(0o755)
