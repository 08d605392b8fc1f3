"""A vision backend whose model runs in another Python environment, for models with conflicting dependencies.

    class OwlBackend(IsolatedVision):
        def __init__(self, argument: str | None = None) -> None:
            super().__init__("owl", python=Path("~/owl-env/bin/python").expanduser(), vision="/opt/owl/owl.py:Owl")

The process starts at the first call, is restarted once if it dies, and ends with this one. Its output goes to a log
file. `core/isolated/worker.py` is the other end of the pipe; docs/isolated.md shows how to write the model's class.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Final, NoReturn, TypeVar

from PIL import Image

from core.errors import BackendError, printable, why
from core.images.picture import Picture
from core.isolated import worker as isolated_worker
from core.isolated.process import WorkerDiedError, WorkerLateError, WorkerProcess, new_log
from core.isolated.worker import PROTOCOL, ProtocolError
from core.scoring import check_choices
from core.settings import get_settings
from core.vision import EncodedImage, VisionBackend, VisualQuestion

log = logging.getLogger("inquisight")
T = TypeVar("T")

KEEP: Final = 256  # encoded pictures in the worker's memory
_FRAME_BYTES: Final = 64 << 20  # pixels sent in one request


@dataclass(frozen=True, slots=True)
class Limits:
    """Time limits of a worker, in seconds."""

    start: float = 60.0  # until its Python runs and replies
    load: float = 3600.0  # until the model is in memory, a download included
    work: float = 900.0  # for one group of pictures or of questions


@dataclass(frozen=True, slots=True)
class _Model:
    """What the worker reported about its model."""

    revision: str
    size: tuple[int, int] | None  # (width, height) of its input; None: the picture's own
    batch: int
    description: Mapping[str, str]
    scores: bool


class IsolatedVision(VisionBackend):
    """A vision model in its own process. Thread-safe; calls take turns. Raises BackendError, one line.

    `EncodedImage.data` is the resized picture, which is sent again if the worker no longer keeps it.
    """

    more_time: ClassVar[str] = "construct it with larger Limits"  # the way out when it is too slow

    def __init__(
        self,
        name: str,
        *,
        python: str | Path,
        vision: str,
        argument: str = "",
        variables: Mapping[str, str] | None = None,
        limits: Limits | None = None,
        keep: int = KEEP,
        logs: Path | None = None,
    ) -> None:
        """`vision` is "FILE.py:Class" or "package.module:Class" as `python` finds it; the class gets `argument`.

        `variables` join the environment variables; `keep` is the number of encoded pictures in the worker's memory;
        `logs` is the folder for the log file, by default `logs` in Settings.home.
        """
        self._name = name
        worker = str(Path(isolated_worker.__file__).resolve())
        # -I: neither the folder of worker.py nor the user's own packages are importable in the worker.
        self._command = [str(python), "-I", "-u", "-X", "utf8", worker, vision, argument]
        self._variables = dict(variables or {})
        self._limits = limits or Limits()
        self._keep = max(keep, 1)
        self._logs = logs
        self._log: Path | None = None
        self._lock = threading.RLock()
        self._worker: WorkerProcess | None = None
        self._owner = os.getpid()
        self._model: _Model | None = None
        self._python_version = ""
        self._closed = False

    @property
    def name(self) -> str:
        return self._name

    @property
    def revision(self) -> str:
        """The revision that the model reports; starts the process."""
        return self._loaded().revision

    @property
    def log_file(self) -> Path | None:
        """The log of the process's output; None before its first start."""
        return self._log

    @property
    def pid(self) -> int | None:
        """The id of the running process."""
        worker = self._worker
        return worker.pid if worker is not None else None

    def encode(self, pictures: Sequence[Picture]) -> list[EncodedImage]:
        """Encode pictures; equal ones are sent once."""
        if not pictures:
            return []
        with self._lock:
            model = self._loaded()
            images = {picture.sha256: _resized(picture.image, model.size) for picture in pictures}
            for group in _groups(list(images), min(model.batch, self._keep), images):
                self._retry(partial(self._send, images={key: images[key] for key in group}))
            revision = self._loaded().revision
        return [EncodedImage(picture.sha256, revision, images[picture.sha256]) for picture in pictures]

    def answer(self, questions: Sequence[VisualQuestion]) -> list[str]:
        """Answer questions in groups of the model's batch size."""
        return self._in_groups("answer", questions, [_asked(question) for question in questions])

    def score(self, questions: Sequence[VisualQuestion], choices: Sequence[Sequence[str]]) -> list[tuple[float, ...]]:
        """By the model's own `score`; by its words if it has none."""
        check_choices(questions, choices)
        if not questions or not self._loaded().scores:
            return super().score(questions, choices)
        asked = [{**_asked(question), "choices": list(each)} for question, each in zip(questions, choices, strict=True)]
        return [tuple(each) for each in self._in_groups("score", questions, asked)]

    def _in_groups(
        self, operation: str, questions: Sequence[VisualQuestion], asked: Sequence[dict[str, Any]]
    ) -> list[Any]:
        """What the worker replies to each question, asked in groups of the model's batch size."""
        if not questions:
            return []
        replies: list[Any] = []
        with self._lock:
            model = self._loaded()
            for question in questions:
                self._check(question.image)
            size = min(model.batch, self._keep)  # the pictures of a group must fit into the worker's memory
            for start in range(0, len(questions), size):
                some = slice(start, start + size)
                work = partial(self._ask, operation=operation, questions=questions[some], asked=asked[some])
                replies += self._retry(work)
        return replies

    def describe(self) -> dict[str, str]:
        model = self._loaded()
        where = f"Python {self._python_version}, {printable(self._command[0])}"
        return {**model.description, "name": self.name, "revision": model.revision, "process": where}

    def close(self) -> None:
        """End the process; answers that other threads wait for fail."""
        self._closed = True
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.close()

    # The process

    def _loaded(self) -> _Model:
        with self._lock:
            if self._model is None:
                self._running()
            assert self._model is not None
            return self._model

    def _running(self) -> WorkerProcess:
        """The process, started if necessary."""
        if self._closed:
            raise BackendError(f"{self._name} is closed; make a new one.")
        if self._owner != os.getpid():  # in a forked child: the pipe is the parent's
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
            python = printable(self._command[0])
            raise BackendError(f"{self._name}: the Python '{python}' cannot be started: {why(error)}.") from None
        log.info("%s: started as process %d; its log: %s", self._name, worker.pid, self._log)
        step, limit = "start", self._limits.start
        try:
            hello = worker.request("hello", limit, protocol=PROTOCOL)
            if hello.get("protocol") != PROTOCOL:
                raise ProtocolError(f"it speaks protocol {printable(hello.get('protocol'))}, we speak {PROTOCOL}")
            self._python_version = printable(hello.get("python", "unknown"), limit=40)
            step, limit = "load its model", self._limits.load
            loaded = worker.request("load", limit, keep=self._keep)
            self._raise_error(loaded)
            model = _Model(
                str(loaded["revision"]),
                (int(loaded["size"][0]), int(loaded["size"][1])) if loaded.get("size") else None,
                int(loaded["batch"]),
                {str(key): str(value) for key, value in loaded["description"].items()},
                bool(loaded["scores"]),
            )
        except WorkerDiedError as error:
            self._fail(worker, f"could not {step}: its process ended ({error})")
        except WorkerLateError:
            self._fail(worker, f"did not {step} within {limit:g} s; {self.more_time}")
        except (ProtocolError, KeyError, TypeError, ValueError) as error:
            reason = str(error) if isinstance(error, ProtocolError) else f"its reply lacks {error}"
            self._fail(worker, f"does not speak the protocol of isolated models: {printable(reason)}")
        except BaseException:
            worker.kill()
            raise
        if self._model is not None and self._model.revision != model.revision:
            both = f"{printable(model.revision)} instead of {printable(self._model.revision)}"
            self._fail(worker, f"came back as another model ({both}); start the program again")
        self._model = model
        return worker

    def _retry(self, work: Callable[[WorkerProcess], T]) -> T:
        """Do `work`; if the process dies meanwhile, restart it and repeat the work once."""
        for last in (False, True):
            worker = self._running()
            try:
                return work(worker)
            except WorkerDiedError as error:
                if self._closed:
                    raise BackendError(f"{self._name} was closed while it was asked something.") from None
                if last:
                    self._fail(worker, f"died again at the same work ({error})")
                self._worker = None
                log.warning("%s: its process died (%s); starting it again", self._name, error)
            except WorkerLateError:
                limit = f"{self._limits.work:g} s"
                self._fail(worker, f"did not reply within {limit}, so its process was ended; {self.more_time}")
            except ProtocolError as error:
                self._fail(worker, f"broke the protocol of isolated models: {printable(error)}")
        raise AssertionError("the second attempt returns or raises")

    def _fail(self, worker: WorkerProcess, what: str) -> NoReturn:
        worker.kill()
        self._worker = None
        tail = worker.tail()
        seen = f"its last lines: {tail} (log: {printable(worker.log)})" if tail else f"its log is empty: {worker.log}"
        raise BackendError(f"{self._name} {what}; {seen}.") from None

    # Requests

    def _send(self, worker: WorkerProcess, images: Mapping[str, Image.Image]) -> None:
        pictures = [{"key": key, "width": image.width, "height": image.height} for key, image in images.items()]
        payload = [image.tobytes() for image in images.values()]
        self._raise_error(worker.request("encode", self._limits.work, payload, pictures=pictures))

    def _ask(
        self,
        worker: WorkerProcess,
        operation: str,
        questions: Sequence[VisualQuestion],
        asked: Sequence[dict[str, Any]],
    ) -> list[Any]:
        reply = worker.request(operation, self._limits.work, questions=asked)
        if reply.get("missing"):
            # Send all pictures, not only the missing ones: the last ones sent are kept longest.
            images: dict[str, Image.Image] = {question.image.sha256: question.image.data for question in questions}
            for group in _groups(list(images), len(images), images):
                self._send(worker, {key: images[key] for key in group})
            reply = worker.request(operation, self._limits.work, questions=asked)
        self._raise_error(reply)
        replies = reply.get("answers" if operation == "answer" else "scores")
        if not isinstance(replies, list) or len(replies) != len(questions):
            raise ProtocolError(f"it was asked {len(questions)} questions and replied {printable(reply, 80)}")
        return [str(one) if operation == "answer" else one for one in replies]

    def _check(self, image: EncodedImage) -> None:
        if image.revision != self.revision or not isinstance(image.data, Image.Image):
            raise BackendError(
                f"this picture was encoded by {printable(image.revision)}, not by {printable(self.revision)}; "
                "encode it again with this backend."
            )

    def _raise_error(self, reply: Mapping[str, Any]) -> None:
        """Raise BackendError if the worker reports an error."""
        error = reply.get("error")
        if not isinstance(error, dict):
            return
        text = printable(error.get("message", "it failed"), limit=600).rstrip(". ")
        if error.get("expected"):
            raise BackendError(f"{self._name}: {text}.")
        raise BackendError(f"{self._name} failed: {text}; its log says more: {printable(self._log)}.")


_OPTIONS: Final = ("max_new_tokens", "temperature", "top_p", "seed")  # of GenerationOptions, as the worker gets them


def _asked(question: VisualQuestion) -> dict[str, Any]:
    """A question as the worker gets it."""
    return {
        "key": question.image.sha256,
        "question": question.question,
        "history": [list(pair) for pair in question.history],
        "options": {name: value for name, value in asdict(question.options).items() if name in _OPTIONS},
    }


def _resized(image: Image.Image, size: tuple[int, int] | None) -> Image.Image:
    """Resize to the model's input size before sending, to save memory."""
    return image.resize(size, Image.Resampling.BICUBIC) if size not in (None, image.size) else image


def _groups(keys: Sequence[str], count: int, images: Mapping[str, Image.Image]) -> Iterator[list[str]]:
    """`keys` in order, at most `count` and about `_FRAME_BYTES` of pixels at a time."""
    group: list[str] = []
    total = 0
    for key in keys:
        size = 3 * images[key].width * images[key].height
        if group and (len(group) >= count or total + size > _FRAME_BYTES):
            yield group
            group, total = [], 0
        group.append(key)
        total += size
    if group:
        yield group
