"""A visitor's video: a file that `core.video.clip` has checked, the interview about it, its frames.

Unlike pictures, videos lie on disk, because they are decoded from there: in a folder of this server's own, which goes
with it. A file goes when its visitor removes it, puts another one in its place, or is forgotten.
"""

from __future__ import annotations

import io
import re
import secrets
import shutil
import tempfile
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

import streamlit as st

from agents.video.live import LiveVideo, VideoParameters, VideoState
from agents.video.sampling import Sampling
from core.errors import InquisightError, UsageError
from core.settings import get_settings
from core.video.base import Video, VideoLimits
from core.video.clip import open_video
from ui.state.jobs import Job
from ui.state.model_choice import require
from ui.state.models import eye, questioner
from ui.state.options import get_options
from ui.state.pictures import label_of, small
from ui.state.transcripts import saver
from ui.text import complete

if TYPE_CHECKING:
    from core.images.picture import Picture
    from core.records import Caption, PictureInfo
    from ui.state.session import Visitor

MOST_BYTES: Final = 4_000_000_000  # of all visitors' videos together
MOST_FRAMES: Final = 60  # of each part
MOST_LOOKED_AT: Final = 240  # of all parts; they are kept in memory
SMALL, LARGE = 128, 960  # pixels of a frame's longer side
# What browsers are told a file is. They play Matroska and MOV by what is inside, or say that they do not.
PLAYED: Final = {
    "MP4": "video/mp4",
    "MOV": "video/mp4",
    "WebM": "video/webm",
    "Matroska": "video/x-matroska",
    "Ogg": "video/ogg",
}
MOVING_PICTURES: Final = ("GIF", "WEBP", "PNG")
DOING: Final = {
    "asking": "choosing a frame and a question",
    "answering": "looking for the answer",
    "summarising": "telling the story",
    "reading": "reading the video",
}


_PREFIX, _CLAIM = "inquisight-videos-", "claim"


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame that was looked at, as JPEGs."""

    small: bytes = field(repr=False)
    large: bytes = field(repr=False)


@dataclass(eq=False)
class HeldVideo:
    """A video that was checked, and where it lies."""

    info: PictureInfo
    path: Path
    kind: str
    seconds: float

    def __post_init__(self) -> None:
        self._gone = weakref.finalize(self, self.path.unlink, missing_ok=True)

    @property
    def label(self) -> str:
        """What the visitor called it."""
        return self.info.source

    @property
    def stem(self) -> str:
        """The beginning of the name of a download."""
        return re.sub(r"[^\w\-]+", "-", Path(self.label).stem).strip("-") or "video"

    def open(self) -> Video:
        """Open it again. Raises VideoError."""
        return open_video(self.path, limits=_limits(), name=self.label)

    def remove(self) -> None:
        """Delete the file."""
        self._gone()


def _limits() -> VideoLimits:
    return VideoLimits(pixels=get_settings().max_pixels, bytes=get_options().video_mb * 1_000_000)


def sweep() -> None:
    """Delete what servers left behind that were killed: folders that nobody claims any more."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError), (folder / _CLAIM).open("rb+") as claim:
            if _claimed(claim):
                shutil.rmtree(folder, ignore_errors=True)


def _claimed(claim: IO[bytes]) -> bool:
    """Whether this process has the file to itself now; never where the system has no such locks."""
    try:
        import fcntl
    except ImportError:
        return False
    try:
        fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


class Films:
    """The files of all visitors."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        sweep()
        self._folder = tempfile.TemporaryDirectory(prefix=_PREFIX, ignore_cleanup_errors=True)
        self._claim = (self.folder / _CLAIM).open("wb")
        _claimed(self._claim)
        self._lock = threading.Lock()
        self._growing: dict[Path, int] = {}  # files that are being written, and the bytes each will have
        self.most_bytes = most_bytes

    @property
    def folder(self) -> Path:
        """Where they lie; others on this machine cannot look into it."""
        return Path(self._folder.name)

    def add(self, file: IO[bytes], name: str) -> HeldVideo:
        """Keep a file and look through it. Raises InquisightError, and keeps nothing then."""
        label = label_of(name) if name else "video"
        path = self.folder / secrets.token_hex(16)
        try:
            with self._room_for(path, file.seek(0, io.SEEK_END)), path.open("wb") as out:
                file.seek(0)
                shutil.copyfileobj(file, out, 1 << 20)
            with open_video(path, limits=_limits(), name=label) as video:
                return HeldVideo(video.info(), path, str(getattr(video, "kind", "")), video.seconds)
        except OSError as error:
            path.unlink(missing_ok=True)
            raise UsageError(f"the video cannot be kept: {(error.strerror or 'unknown error').lower()}") from None
        except BaseException:
            path.unlink(missing_ok=True)
            raise

    @contextmanager
    def _room_for(self, path: Path, length: int) -> Iterator[None]:
        """Reserve room for a file while it is written, so that several can be written at once. Raises UsageError."""
        with self._lock:
            if self._held() + length > self.most_bytes:
                raise UsageError("the dashboard holds as many videos as it may; try again in a while")
            self._growing[path] = length
        try:
            yield
        except BaseException:
            path.unlink(missing_ok=True)  # before its room is given to another one
            raise
        finally:
            with self._lock:
                del self._growing[path]

    def _held(self) -> int:
        """Bytes of all files, those that are being written at their full length."""
        total = sum(self._growing.values())
        for path in self.folder.iterdir():
            if path not in self._growing:
                with suppress(FileNotFoundError):  # a visitor removes it just now
                    total += path.stat().st_size
        return total


@st.cache_resource(show_spinner=False)
def films() -> Films:
    """Those of this server."""
    return Films()


@dataclass
class VideoSettings:
    """Who talks, about which frames, and how; None: as the command line does it unasked."""

    vision: str = field(default_factory=lambda: get_settings().vision)
    questioner: str = field(default_factory=lambda: get_settings().questioner)
    sampling: Sampling = "uniform"
    frames: int | None = None
    every: float = 1.0
    scenes: int | None = None
    begin: float | None = None
    until: float | None = None
    rounds: int | None = None
    context: int = field(default_factory=lambda: get_settings().context)
    seed: int | None = field(default_factory=lambda: get_settings().seed)
    language: str = ""

    def wishes(self) -> VideoParameters:
        """For the interview."""
        return VideoParameters(
            frames=self.frames,
            sampling=self.sampling,
            every=self.every if self.sampling == "time" else None,
            scenes=self.scenes,
            begin=self.begin,
            until=self.until,
            rounds=self.rounds,
            context=self.context,
            language=self.language.strip() or None,
            most=MOST_LOOKED_AT,
        )


@dataclass(eq=False)
class VideoItem:
    """The video on the desk, the interview about it, and the frames that were looked at."""

    info: PictureInfo
    held: HeldVideo | None
    watched: LiveVideo | None = None
    job: Job | None = None
    frames: dict[int, Frame] = field(default_factory=dict)
    chosen: int | None = None
    """The frame that is shown large."""
    jumps: int = 0
    """Counted up whenever the player is to go to the chosen frame."""

    @property
    def key(self) -> str:
        """Begins the names of the widgets that belong to it."""
        return self.info.sha256[:12]

    @property
    def view(self) -> VideoState:
        """How its interview stands."""
        return self.watched.view if self.watched else VideoState()

    @property
    def active(self) -> bool:
        """Whether a job is at work on it."""
        return self.job is not None and self.job.active

    @property
    def stem(self) -> str:
        """The beginning of the name of a download."""
        return self.held.stem if self.held else "video"

    def choose(self, number: int, *, jump: bool = True) -> None:
        """Show a frame large; `jump`: the player goes there too."""
        if 1 <= number <= len(self.view.times):
            self.chosen = number
            self.jumps += jump

    def open(self) -> Video:
        """Raises UsageError where only the transcript is there, VideoError."""
        if self.held is None:
            raise UsageError("add the same video again first; it is not kept with the interview")
        return self.held.open()

    def keep(self, number: int, picture: Picture) -> None:
        """A frame that an eye is about to look at."""
        self.frames[number] = Frame(small(picture.image, SMALL), small(picture.image, LARGE))

    def leave(self) -> None:
        """Stop, and delete the file once nobody reads it any more."""
        if self.job is not None and self.job.active:
            self.job.stop()
        elif self.held is not None:
            self.held.remove()


class VideoPageState:
    """What one visitor has on the page Video; it outlives a reload."""

    def __init__(self) -> None:
        self.item: VideoItem | None = None
        self.setting = VideoSettings()
        self.uploads = 0

    def put(self, held: HeldVideo) -> None:
        """A new video; the one that was there goes. The same one again keeps its interview.

        Raises UsageError, and deletes the new one, while the other is being talked about.
        """
        item = self.item
        if item is None or item.info.sha256 != held.info.sha256:
            if item is not None and item.active:
                held.remove()
                raise UsageError(f"{item.info.source} is being talked about; stop that, or wait, to add another video")
            self.remove()
            self.item = VideoItem(held.info, held)
        elif item.active:
            held.remove()
        else:
            item.leave()
            item.held = held

    def remove(self) -> None:
        """Take the video away."""
        if self.item is not None:
            self.item.leave()
        self.item = None

    def open_again(self, caption: Caption, me: Visitor) -> None:
        """A kept interview about a video, to be read, and gone on with once its video is there. Raises UsageError."""
        there = self.item if self.item is not None and self.item.info.sha256 == caption.picture.sha256 else None
        item = VideoItem(caption.picture, there.held if there else None)
        names = caption.vision.get("name", ""), caption.questioner.get("name", "")
        item.watched = _watched(me, item, *names, VideoParameters(), caption.seed, caption)
        if there is None:
            self.remove()
        elif there.active:
            raise UsageError("this video is being talked about; wait for the end, or stop it")
        self.item = item


def desk_of(me: Visitor) -> VideoPageState:
    """The visitor's desk; the page History puts interviews on it with `open_again`."""
    return me.keep("video", VideoPageState)


def begin(me: Visitor, item: VideoItem, setting: VideoSettings) -> None:
    """Begin the interview anew. Raises UsageError."""
    require(vision=[setting.vision], questioner=[setting.questioner])
    before = item.watched, item.frames, item.chosen
    item.watched = _watched(me, item, setting.vision, setting.questioner, setting.wishes(), setting.seed)
    item.frames, item.chosen = {}, None
    try:
        go_on(me, item)
    except InquisightError:
        item.watched, item.frames, item.chosen = before
        raise


def go_on(me: Visitor, item: VideoItem) -> None:
    """Take up an interview that has not ended. Raises UsageError."""
    watched, held = item.watched, item.held
    if watched is None or held is None or item.active:
        return

    def work(job: Job) -> None:
        def halted() -> bool:
            doing = watched.view.doing
            job.doing = DOING.get(doing, doing) or job.doing
            return job.halted

        try:
            for _ in watched.run(halted):
                pass
        except InquisightError:
            return  # it stands in the view
        finally:
            if desk_of(me).item is not item:
                held.remove()

    item.job = me.jobs.start("video", held.label, work)


def look_again(item: VideoItem) -> None:
    """Decode the frames of a kept interview, whose video is there again. Raises VideoError."""
    caption = item.view.caption
    if caption is None or item.held is None or item.active or item.frames:
        return
    numbers = [int(frame["number"]) for frame in caption.options["video"]["frames"]]
    with item.open() as video:
        for number, picture in video.pictures(numbers):
            item.keep(numbers.index(number) + 1, picture)


def _watched(
    me: Visitor,
    item: VideoItem,
    sees: str,
    asks: str,
    wishes: VideoParameters,
    seed: int | None,
    earlier: Caption | None = None,
) -> LiveVideo:
    return LiveVideo(
        item.info,
        item.open,
        lambda: eye(sees),
        lambda: questioner(asks, seed),
        wishes,
        seed=seed,
        save=saver(me),
        show=item.keep,
        earlier=earlier,
    )


def trouble(item: VideoItem) -> str:
    """What went wrong, as a sentence; "" where nothing did."""
    if item.job is not None and item.job.state == "failed" and item.job.error:
        return item.job.error
    return complete(item.view.error) if item.view.state == "failed" and item.view.error else ""
