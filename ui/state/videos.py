"""A visitor's video, the interview about it, and its frames."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Final

from agents.styles.owner import joined_context
from agents.video.live import LiveVideo, VideoParameters, VideoState
from agents.video.sampling import Sampling
from core.errors import InquisightError, UsageError
from core.video.base import Video
from ui.state.images import jpeg
from ui.state.items import DialogueSettings, LiveItem, live_arguments
from ui.state.jobs import Job
from ui.state.model_choice import require
from ui.state.video_store import UploadedVideo

if TYPE_CHECKING:
    from core.images.picture import Picture
    from core.records import Caption, PictureInfo
    from ui.state.session import Visitor

MAX_FRAMES: Final = 60  # of each scene
MAX_FRAMES_IN_ALL: Final = 240  # they are kept in memory
SMALL, LARGE = 128, 960  # pixels of a frame's longer side
DOING: Final = {
    "asking": "choosing a frame and a question",
    "answering": "answering the question",
    "summarising": "writing the caption",
    "auditing": "checking the claims of the caption",
    "reading": "reading the video",
}


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame as JPEGs."""

    small: bytes = field(repr=False)
    large: bytes = field(repr=False)


@dataclass
class VideoSettings(DialogueSettings):
    """The models and options of new interviews; None stands for the defaults of `inquisight video`."""

    sampling: Sampling = "uniform"
    frames: int | None = None
    every: float = 1.0
    scenes: int | None = None
    begin: float | None = None
    until: float | None = None
    rounds: int | None = None
    told: str = ""
    """What the visitor knows of the video."""

    def parameters(self) -> VideoParameters:
        """The options of the interview."""
        same = "sampling frames scenes begin until rounds history asking fallback min_rounds audit".split()
        return VideoParameters(
            every=self.every if self.sampling == "time" else None,
            language=self.language.strip() or None,
            most=MAX_FRAMES_IN_ALL,
            witnesses=tuple(self.witnesses),
            context=joined_context([self.told]),
            **{name: getattr(self, name) for name in same},
        )


@dataclass(eq=False)
class VideoItem(LiveItem):
    """A video, the interview about it, and the frames that were encoded."""

    info: PictureInfo
    upload: UploadedVideo | None
    live: LiveVideo | None = None
    job: Job | None = None
    frames: dict[int, Frame] = field(default_factory=dict)
    chosen: int | None = None
    """The frame that is shown large."""
    jumps: int = 0
    """Incremented whenever the player is to seek to the chosen frame."""
    default_stem: ClassVar[str] = "video"

    @property
    def view(self) -> VideoState:
        """The state of its interview."""
        return self.live.view if self.live else VideoState()

    @property
    def may_change(self) -> bool:
        """Whether the visitor may ask and correct: the interview has answers and rests, and the video is there."""
        return bool(self.view.turns) and self.upload is not None and not self.active

    def choose(self, number: int, *, jump: bool = True) -> None:
        """Show a frame large; `jump`: the player seeks to it."""
        if 1 <= number <= len(self.view.times):
            self.chosen = number
            self.jumps += jump

    def open(self) -> Video:
        """Open the video. Raises VideoError, or UsageError if only the transcript is there."""
        if self.upload is None:
            raise UsageError("add the same video again first; it is not stored with the interview")
        return self.upload.open()

    def keep(self, number: int, picture: Picture) -> None:
        """Keep a frame that is about to be encoded."""
        self.frames[number] = Frame(jpeg(picture.image, SMALL), jpeg(picture.image, LARGE))

    def load_frames(self) -> None:
        """Decode the frames of a stored interview whose video was added again. Raises VideoError."""
        caption = self.view.caption
        if caption is None or self.upload is None or self.active or self.frames:
            return
        numbers = [int(frame["number"]) for frame in caption.options["video"]["frames"]]
        with self.open() as video:
            for number, picture in video.pictures(numbers):
                self.keep(numbers.index(number) + 1, picture)

    def close(self) -> None:
        """Stop the interview, and delete the file as soon as no job reads it."""
        if self.job is not None and self.job.active:
            self.job.stop()
        elif self.upload is not None:
            self.upload.remove()


class VideoPageState:
    """The state of the page Video for one visitor; it survives a reload."""

    def __init__(self) -> None:
        self.item: VideoItem | None = None
        self.settings = VideoSettings()

    def put(self, upload: UploadedVideo) -> None:
        """Replace the video; the same video again keeps its interview.

        Raises UsageError, and deletes the new file, while an interview about another video runs.
        """
        item = self.item
        if item is None or item.info.sha256 != upload.info.sha256:
            if item is not None and item.active:
                upload.remove()
                raise UsageError(f"an interview about {item.info.source} is running; wait for it, or stop it")
            self.remove()
            self.item = VideoItem(upload.info, upload)
        elif item.active:
            upload.remove()
        else:
            item.close()
            item.upload = upload

    def remove(self) -> None:
        """Remove the video."""
        if self.item is not None:
            self.item.close()
        self.item, self.settings.told = None, ""

    def reopen(self, caption: Caption, me: Visitor) -> None:
        """Add a stored interview about a video, to read and, with its video, to resume. Raises UsageError."""
        there = self.item if self.item is not None and self.item.info.sha256 == caption.picture.sha256 else None
        item = VideoItem(caption.picture, there.upload if there else None)
        names = caption.vision.get("name", ""), caption.questioner.get("name", "")
        item.live = _live(me, item, *names, VideoParameters(), caption.seed, caption)
        if there is None:
            self.remove()
        elif there.active:
            raise UsageError("an interview about this video is running; wait for it, or stop it")
        self.item = item


def page_state(me: Visitor) -> VideoPageState:
    """The visitor's state of the page Video."""
    return me.keep("video", VideoPageState)


def begin(me: Visitor, item: VideoItem, settings: VideoSettings) -> None:
    """Start a new interview. Raises UsageError."""
    require(vision=[settings.vision], questioner=[settings.questioner])
    before = item.live, item.frames, item.chosen
    item.live = _live(me, item, settings.vision, settings.questioner, settings.parameters(), settings.seed)
    item.frames, item.chosen = {}, None
    try:
        resume(me, item)
    except InquisightError:
        item.live, item.frames, item.chosen = before
        raise


def resume(me: Visitor, item: VideoItem) -> None:
    """Run an interview that has not ended; do nothing while it runs. Raises UsageError."""
    live, upload = item.live, item.upload
    if live is None or upload is None or item.active:
        return

    def work(job: Job) -> None:
        def stop_requested() -> bool:
            doing = live.view.doing
            job.doing = DOING.get(doing, doing) or job.doing
            return job.stop_requested

        try:
            for _ in live.run(stop_requested):
                pass
        except InquisightError:
            return  # the view shows it
        finally:
            if page_state(me).item is not item:
                upload.remove()

    item.job = me.jobs.start(upload.label, work)


def _live(
    me: Visitor,
    item: VideoItem,
    vision: str,
    questioner: str,
    parameters: VideoParameters,
    seed: int | None,
    earlier: Caption | None = None,
) -> LiveVideo:
    arguments = live_arguments(me, vision, questioner, seed, earlier)
    return LiveVideo(item.info, item.open, parameters=parameters, show=item.keep, **arguments)
