"""The cluster of `--engine ray`: its options, checked without Ray, and the connection to it.

`connected` imports Ray. Ray's output, progress bars, statistics and dashboard are off unless INQUISIGHT_DEBUG=1.
"""

from __future__ import annotations

import logging
import math
import os
import secrets
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from core.console.silence import debugging
from core.errors import InquisightError, UsageError, printable

OBJECTS: Final = 100_000_000  # bytes; a temporary Ray only passes lists of pictures and captions
LOOKUP: Final = 5.0  # seconds for an address to answer
_LONGEST: Final = 40  # characters of a folder for Ray's sockets, whose paths may have 107
_PREFIX: Final = "iq-ray-"


class ClusterError(InquisightError):
    """Ray cannot be reached, or failed."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """The options of `--engine ray`."""

    least: int = 1  # workers
    most: int = 1
    gpus: float = 0.0  # of each worker
    cpus: float = 1.0
    address: str | None = None  # None: RAY_ADDRESS, else a temporary Ray on this machine

    @property
    def where(self) -> str:
        """The address, or "local" for a temporary Ray."""
        return self.address or os.environ.get("RAY_ADDRESS") or "local"


def parse_cluster(workers: str | None, gpus: float | None, cpus: float | None, address: str | None) -> Cluster:
    """From `--workers`, `--gpus-per-worker`, `--cpus-per-worker` and `--ray-address`. Raises UsageError."""
    if find_spec("ray") is None:
        raise UsageError("--engine ray needs Ray: pip install 'inquisight[ray]'")
    least, colon, most = (workers or "1").partition(":")
    most = most if colon else least
    numbers = least.isascii() and least.isdecimal() and most.isascii() and most.isdecimal()
    if not numbers or not 1 <= int(least) <= int(most):
        raise UsageError(
            f"--workers '{printable(workers, 40)}': write how many, such as 4, or the fewest and the most, such as 1:8"
        )
    gpus = 0.0 if gpus is None else gpus
    cpus = 1.0 if cpus is None else cpus
    for option, value in (("--gpus-per-worker", gpus), ("--cpus-per-worker", cpus)):
        if not 0 <= value < 1e4:
            raise UsageError(f"{option} must be 0 or more, not {value}")
    if gpus > 1 and gpus != int(gpus):
        raise UsageError(f"--gpus-per-worker must be a part of one GPU or a whole number of them, not {gpus}")
    found = Cluster(int(least), int(most), gpus, cpus, address)
    if found.where not in ("local", "auto"):
        _host_and_port(found.where)
    return found


def _host_and_port(address: str) -> tuple[str, int]:
    quoted = f"--ray-address '{printable(address, 80)}'"
    if address.startswith("ray://"):
        raise UsageError(
            f"{quoted}: ray:// reaches Ray from outside; run the command on a machine of the cluster with 'auto', or "
            "hand it in with `ray job submit`"
        )
    host, colon, port = address.rpartition(":")
    if not (host and colon and port.isascii() and port.isdecimal() and 0 < int(port) < 65536):
        raise UsageError(f"{quoted}: write HOST:PORT, such as 10.0.0.1:6379, or auto for the Ray of this machine")
    return host.strip("[]"), int(port)


@contextmanager
def connected(cluster: Cluster) -> Iterator[Any]:
    """The module `ray`, connected for the time of the block. Raises ClusterError or UsageError, one line.

    An existing connection of this process is used and stays open.
    """
    if cluster.where not in ("local", "auto"):
        _check_reachable(cluster.where)
    own = cluster.where == "local"
    with ExitStack() as stack:
        if own and "ray" not in sys.modules:  # which reads its token when it is imported
            stack.enter_context(_token())
        _hush_before_import()
        import ray

        if ray.is_initialized():
            yield ray
            return
        quiet = {"log_to_driver": debugging(), "logging_level": logging.WARNING if debugging() else logging.CRITICAL}
        if not debugging():  # errors of its workers would appear in our output
            stack.enter_context(redirect_stdout(stack.enter_context(open(os.devnull, "w", encoding="utf-8"))))
        folder = stack.enter_context(_folder()) if own else None
        stack.callback(ray.shutdown)
        if folder is not None:
            _start(ray, cluster, folder, quiet)
        else:
            _join(ray, cluster.where, quiet)
        _hush_data()
        yield ray


def _start(ray: Any, cluster: Cluster, folder: Path, quiet: dict[str, Any]) -> None:
    """Start a temporary Ray that is as large as the workers need; they may share cores."""
    try:
        with _silence():
            ray.init(
                address="local",
                num_cpus=max(1, math.ceil(cluster.most * cluster.cpus)),
                num_gpus=None if cluster.gpus else 0,
                object_store_memory=OBJECTS,
                include_dashboard=False,
                _temp_dir=str(folder),
                _node_ip_address="127.0.0.1",
                **quiet,
            )
    except Exception as error:
        raise ClusterError(f"Ray cannot be started on this machine: {_line(error)}") from error
    there = float(ray.cluster_resources().get("GPU", 0))
    if there < cluster.least * cluster.gpus:
        raise UsageError(
            f"--workers {cluster.least} with --gpus-per-worker {cluster.gpus:g} needs {cluster.least * cluster.gpus:g} "
            f"GPUs; this machine has {there:g}"
        )


def _join(ray: Any, address: str, quiet: dict[str, Any]) -> None:
    try:
        with _silence():
            ray.init(address=address, **quiet)
    except Exception as error:
        if "AuthToken" in str(error) or "Authentication" in type(error).__name__:
            raise ClusterError(
                f"the Ray at '{printable(address, 80)}' asks for its token; set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN "
                "to what they are on its other machines"
            ) from error
        raise _unreachable(address, _line(error)) from error


def _check_reachable(address: str) -> None:
    """Raise ClusterError if nothing listens there; Ray would try for a minute."""
    try:
        socket.create_connection(_host_and_port(address), timeout=LOOKUP).close()
    except OSError as error:
        raise _unreachable(address, (error.strerror or _line(error)).lower()) from error


def _unreachable(address: str, reason: str) -> ClusterError:
    return ClusterError(
        f"no Ray answers at '{printable(address, 80)}' ({reason}); start one with `ray start --head`, or leave "
        "--ray-address out for one on this machine alone"
    )


def shortage(ray: Any, cluster: Cluster) -> str | None:
    """A notice if the cluster has fewer resources than the workers need, or GPUs that none of them gets."""
    there = ray.cluster_resources()
    for kind, each in (("GPU", cluster.gpus), ("CPU", cluster.cpus)):
        has = float(there.get(kind, 0))
        need = cluster.least * each
        if has < need:
            return f"{cluster.least} workers need {need:g} {kind}s, the cluster has {has:g}; waiting for more"
    if not cluster.gpus and there.get("GPU"):
        return f"the cluster has {there['GPU']:g} GPUs and no worker gets one; --gpus-per-worker 1 gives each its own"
    return None


# --- quiet ------------------------------------------------------------------------------------------------------------


def _hush_before_import() -> None:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault(
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "1"
    )  # a worker without GPUs sees none, without a warning
    os.environ.setdefault("RAY_worker_niceness", "0")  # else 15, and workers get no CPU beside other programs
    if not debugging():
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # of Ray's native parts


@contextmanager
def _silence() -> Iterator[None]:
    """Discard standard error, also what native code writes: Ray prints its log level there."""
    if debugging():
        yield
        return
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _hush_data() -> None:
    import ray.data

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    if not debugging():
        for name in ("ray", "ray.data"):
            logging.getLogger(name).handlers[:] = [logging.NullHandler()]


@contextmanager
def _token() -> Iterator[None]:
    """A token for a temporary Ray, so nobody else on the machine can use it; by default Ray writes one to HOME."""
    ours = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    if any(name.startswith("RAY_AUTH_") for name in os.environ):
        ours = {}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name in ours:
            os.environ.pop(name, None)


@contextmanager
def _folder() -> Iterator[Path]:
    """The folder of a temporary Ray's sockets and logs; folders of killed runs are deleted.

    A lock beside a folder shows whether its run is alive; process numbers differ between containers.
    """
    from filelock import FileLock, Timeout

    parent = Path(tempfile.gettempdir())
    if len(str(parent)) > _LONGEST - len(_PREFIX) - 16:
        parent = Path("/tmp")
    for left in parent.glob(f"{_PREFIX}*.lock"):
        with suppress(Timeout, OSError), FileLock(left, timeout=0):
            shutil.rmtree(left.with_suffix(""), ignore_errors=True)
            left.unlink(missing_ok=True)
    lock = FileLock(parent / f"{_PREFIX}{secrets.token_hex(6)}.lock")
    with lock:
        folder = Path(lock.lock_file).with_suffix("")
        folder.mkdir(mode=0o700)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            Path(lock.lock_file).unlink(missing_ok=True)


def _line(error: BaseException) -> str:
    """The last line of an error of Ray, which may hold a stack trace."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return printable(lines[-1] if lines else type(error).__name__, 300).rstrip(".")


def ray_error(error: BaseException) -> ClusterError:
    """An error of Ray during the work, in one line."""
    if isinstance(error, ClusterError):
        return error
    text = str(error)
    if "ModuleNotFoundError" in text or "No module named" in text:
        return ClusterError(
            f"a worker cannot be started ({_line(error)}); install inquisight on every machine of the cluster, "
            "the same version as here"
        )
    return ClusterError(f"Ray gave up: {_line(error)}")
