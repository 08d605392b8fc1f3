"""A vision backend whose model runs in a process of another Python environment, because its dependencies fit no other.

    class OwlBackend(IsolatedVision):
        def __init__(self, argument: str | None = None) -> None:
            super().__init__("owl", python=Path("~/owl-env/bin/python").expanduser(), eye="/opt/owl/eye.py:Owl")

The process starts when it is first needed, is started again once when it dies, and ends with us. What the eye prints
goes to a log file. `core/isolated/worker.py` is the other side of the pipe; docs/isolated.md shows how to write an eye.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Final, NoReturn, TypeVar

from PIL import Image

from core.errors import BackendError, printable
from core.images.picture import Picture
from core.isolated import worker as isolated_worker
from core.isolated.process import WorkerDiedError, WorkerLateError, WorkerProcess, new_log
from core.isolated.worker import PROTOCOL, ProtocolError
from core.settings import get_settings
from core.vision import EncodedImage, VisionBackend, VisualQuestion

log = logging.getLogger("inquisight")
T = TypeVar("T")

KEEP: Final = 256  # encoded pictures in the worker's memory
_FRAME_BYTES: Final = 64 << 20  # pixels sent in one request


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds that a worker may take before it is ended."""

    start: float = 60.0  # until its Python runs and replies
    load: float = 3600.0  # until the model is in memory, a download included
    work: float = 900.0  # for one group of pictures or of questions


@dataclass(frozen=True, slots=True)
class Handle:
    """What an EncodedImage of ours holds: the pixels, to be sent again where the worker has let go of the picture."""

    image: Image.Image = field(repr=False)  # RGB, at the size the eye looks at where it has one


@dataclass(frozen=True, slots=True)
class _Eye:
    """What the worker said about its model."""

    revision: str
    size: tuple[int, int] | None  # (width, height) it looks at; None: the picture as it is
    batch: int
    description: Mapping[str, str]


class IsolatedVision(VisionBackend):
    """An eye in a process of its own. Thread-safe; calls take turns. Raises BackendError, one line."""

    more_time: ClassVar[str] = "construct it with larger Limits"  # the way out when it is too slow

    def __init__(
        self,
        name: str,
        *,
        python: str | Path,
        eye: str,
        argument: str = "",
        variables: Mapping[str, str] | None = None,
        limits: Limits | None = None,
        keep: int = KEEP,
        logs: Path | None = None,
    ) -> None:
        """`eye` is "FILE.py:Class" or "package.module:Class" as `python` finds it; the class gets `argument`.

        `variables` join the environment variables; `keep` bounds the encoded pictures in the worker's memory; `logs`
        is the folder for the log file, by default `logs` in Settings.home.
        """
        self._name = name
        worker = str(Path(isolated_worker.__file__).resolve())
        # -I: neither the folder of the worker's file nor the user's own packages are importable over there.
        self._command = [str(python), "-I", "-u", "-X", "utf8", worker, eye, argument]
        self._variables = dict(variables or {})
        self._limits = limits or Limits()
        self._keep = max(keep, 1)
        self._logs = logs
        self._log: Path | None = None
        self._lock = threading.RLock()
        self._worker: WorkerProcess | None = None
        self._owner = os.getpid()
        self._eye: _Eye | None = None
        self._python_version = ""
        self._closed = False

    @property
    def name(self) -> str:
        return self._name

    @property
    def revision(self) -> str:
        """As the eye says; asking starts the process."""
        return self._known().revision

    @property
    def log_file(self) -> Path | None:
        """Where the process's output goes; None before its first start."""
        return self._log

    @property
    def pid(self) -> int | None:
        """The number of the running process."""
        worker = self._worker
        return worker.pid if worker is not None else None

    def encode(self, pictures: Sequence[Picture]) -> list[EncodedImage]:
        """Each different picture is sent once; `data` is a `Handle`."""
        if not pictures:
            return []
        with self._lock:
            eye = self._known()
            handles = {picture.sha256: _handle(picture, eye.size) for picture in pictures}
            for group in _groups(list(handles), self._batch(eye), lambda sha256: _bytes(handles[sha256].image)):
                images = {sha256: handles[sha256].image for sha256 in group}
                self._insist(partial(self._send, images=images))
            revision = self._known().revision
        return [EncodedImage(picture.sha256, revision, handles[picture.sha256]) for picture in pictures]

    def answer(self, questions: Sequence[VisualQuestion]) -> list[str]:
        """Asked in groups as large as the eye takes; pictures that the worker has let go of are sent again first."""
        if not questions:
            return []
        answers: list[str] = []
        with self._lock:
            eye = self._known()
            for question in questions:
                self._check(question)
            for group in _groups(list(questions), self._batch(eye), lambda _: 0):
                answers += self._insist(partial(self._ask, questions=group))
        return answers

    def describe(self) -> dict[str, str]:
        eye = self._known()
        where = f"Python {self._python_version}, {printable(self._command[0])}"
        return {**eye.description, "name": self.name, "revision": eye.revision, "process": where}

    def close(self) -> None:
        """End the process; an answer that another thread waits for is given up."""
        self._closed = True
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.close()

    # The process

    def _known(self) -> _Eye:
        with self._lock:
            if self._eye is None:
                self._running()
            assert self._eye is not None
            return self._eye

    def _running(self) -> WorkerProcess:
        """The process, started where there is none."""
        if self._closed:
            raise BackendError(f"{self._name} is closed; make a new one.")
        if self._owner != os.getpid():  # in a forked child: the pipe is our parent's
            self._owner, self._worker = os.getpid(), None
        if self._worker is None:
            self._worker = self._start()
        return self._worker

    def _start(self) -> WorkerProcess:
        if self._log is None:
            self._log = new_log(self._logs or get_settings().home / "logs", self._name.partition(":")[0])
        try:
            worker = WorkerProcess(self._command, self._log, self._variables)
        except OSError as error:
            reason = (error.strerror or "unknown error").lower()
            raise BackendError(
                f"{self._name}: the Python '{printable(self._command[0])}' cannot be started: {reason}."
            ) from None
        log.info("%s: started as process %d; what it prints: %s", self._name, worker.pid, self._log)
        step = "start"
        try:
            hello = worker.request("hello", self._limits.start, protocol=PROTOCOL)
            if hello.get("protocol") != PROTOCOL:
                raise ProtocolError(f"it speaks protocol {printable(hello.get('protocol'))}, we speak {PROTOCOL}")
            self._python_version = printable(hello.get("python", "unknown"), limit=40)
            step = "load its model"
            loaded = worker.request("load", self._limits.load, keep=self._keep)
            self._fail_if_refused(loaded)
            eye = _Eye(
                str(loaded["revision"]),
                (int(loaded["size"][0]), int(loaded["size"][1])) if loaded.get("size") else None,
                int(loaded["batch"]),
                {str(key): str(value) for key, value in loaded["description"].items()},
            )
        except WorkerDiedError as error:
            self._give_up(worker, f"could not {step}: its process ended ({error})")
        except WorkerLateError:
            limit = self._limits.start if step == "start" else self._limits.load
            self._give_up(worker, f"did not {step} within {limit:g} s; {self.more_time}")
        except (ProtocolError, KeyError, TypeError, ValueError) as error:
            said = str(error) if isinstance(error, ProtocolError) else f"its reply lacks {error}"
            self._give_up(worker, f"does not speak the protocol of isolated eyes: {printable(said)}")
        except BaseException:
            worker.kill()
            raise
        if self._eye is not None and self._eye.revision != eye.revision:
            self._give_up(
                worker,
                f"came back as another model ({printable(eye.revision)} instead of {printable(self._eye.revision)}); "
                "start anew",
            )
        self._eye = eye
        return worker

    def _insist(self, work: Callable[[WorkerProcess], T]) -> T:
        """Do `work`; when the process dies at it, start it again and do the work once more, once."""
        for attempt in (1, 2):
            worker = self._running()
            try:
                return work(worker)
            except WorkerDiedError as error:
                if self._closed:
                    raise BackendError(f"{self._name} was closed while it was asked something.") from None
                if attempt == 2:
                    self._give_up(worker, f"died again at the same work ({error})")
                self._worker = None
                log.warning("%s: its process died (%s); starting it again", self._name, error)
            except WorkerLateError:
                self._give_up(
                    worker, f"did not reply within {self._limits.work:g} s, so its process was ended; {self.more_time}"
                )
            except ProtocolError as error:
                self._give_up(worker, f"broke the protocol of isolated eyes: {printable(error)}")
        raise AssertionError("the second attempt returns or raises")

    def _give_up(self, worker: WorkerProcess, what: str) -> NoReturn:
        worker.kill()
        self._worker = None
        tail = worker.tail()
        seen = f"its last lines: {tail} (log: {printable(worker.log)})" if tail else f"its log is empty: {worker.log}"
        raise BackendError(f"{self._name} {what}; {seen}.") from None

    # Requests

    def _send(self, worker: WorkerProcess, images: Mapping[str, Image.Image]) -> None:
        pictures = [{"key": key, "width": image.width, "height": image.height} for key, image in images.items()]
        payload = (image.tobytes() for image in images.values())
        self._fail_if_refused(worker.request("encode", self._limits.work, payload, pictures=pictures))

    def _ask(self, worker: WorkerProcess, questions: Sequence[VisualQuestion]) -> list[str]:
        asked = [
            {
                "key": question.image.sha256,
                "question": question.question,
                "history": [list(pair) for pair in question.history],
                "options": {
                    "max_new_tokens": question.options.max_new_tokens,
                    "temperature": question.options.temperature,
                    "top_p": question.options.top_p,
                    "seed": question.options.seed,
                },
            }
            for question in questions
        ]
        handles: dict[str, Handle] = {question.image.sha256: question.image.data for question in questions}
        reply = worker.request("answer", self._limits.work, questions=asked)
        if reply.get("missing"):
            # All of them, not only the missing: what is sent last stays longest, so none can drive another out.
            for group in _groups(list(handles), len(handles), lambda key: _bytes(handles[key].image)):
                self._send(worker, {key: handles[key].image for key in group})
            reply = worker.request("answer", self._limits.work, questions=asked)
        self._fail_if_refused(reply)
        answers = reply.get("answers")
        if not isinstance(answers, list) or len(answers) != len(questions):
            raise ProtocolError(f"it was asked {len(questions)} questions and replied {printable(reply, 80)}")
        return [str(answer) for answer in answers]

    def _batch(self, eye: _Eye) -> int:
        """A group must fit into the worker's memory of pictures as a whole."""
        return min(eye.batch, self._keep)

    def _check(self, question: VisualQuestion) -> None:
        image = question.image
        if image.revision != self.revision or not isinstance(image.data, Handle):
            raise BackendError(
                f"this picture was encoded by {printable(image.revision)}, not by {printable(self.revision)}; "
                "encode it again with this backend."
            )

    def _fail_if_refused(self, reply: Mapping[str, Any]) -> None:
        error = reply.get("error")
        if not isinstance(error, dict):
            return
        text = printable(error.get("message", "it failed"), limit=600).rstrip(". ")
        if error.get("expected"):
            raise BackendError(f"{self._name}: {text}.")
        raise BackendError(f"{self._name} failed: {text}; its log says more: {printable(self._log)}.")


def _handle(picture: Picture, size: tuple[int, int] | None) -> Handle:
    """At the size the eye would bring it to itself, few pixels have to be kept and sent."""
    image = picture.image
    if size is not None and image.size != size:
        image = image.resize(size, Image.Resampling.BICUBIC)
    return Handle(image)


def _bytes(image: Image.Image) -> int:
    return 3 * image.width * image.height


def _groups(items: Sequence[T], count: int, weight: Callable[[T], int]) -> Iterator[list[T]]:
    """`items` in order, at most `count` at a time and, but for one that is larger, `_FRAME_BYTES`."""
    group: list[T] = []
    total = 0
    for item in items:
        heavy = total + weight(item) > _FRAME_BYTES
        if group and (len(group) >= count or heavy):
            yield group
            group, total = [], 0
        group.append(item)
        total += weight(item)
    if group:
        yield group
