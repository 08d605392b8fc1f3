"""Uploads of videos: copied at the same time, within a limit that holds for all of them together."""

from __future__ import annotations

import io
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("av")

from core.errors import UsageError
from tests.agents.video.clips import film, grey
from ui.state.video_store import VideoStore

PATIENCE = 60.0  # seconds, for a test that would hang otherwise


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    frames = [grey(level) for level in range(0, 200, 10)]
    return film(tmp_path_factory.mktemp("clips") / "clip.mp4", frames).read_bytes()


class Upload(io.BytesIO):
    """A file whose reading begins with `meanwhile`."""

    def __init__(self, data: bytes, meanwhile: Callable[[], object]) -> None:
        super().__init__(data)
        self.meanwhile = meanwhile

    def read(self, size: int | None = -1, /) -> bytes:
        self.meanwhile()
        return super().read(size)


def files_of(room: VideoStore) -> list[Path]:
    return [one for one in room.folder.iterdir() if one.name != "claim"]


def test_an_upload_does_not_wait_for_the_copying_of_another(clip: bytes) -> None:
    """The first one's copy goes on only when the second one is through."""
    room, copying, through = VideoStore(), threading.Event(), threading.Event()
    waited: list[bool] = []

    def meanwhile() -> None:
        copying.set()
        waited.append(through.wait(PATIENCE))

    first = threading.Thread(target=lambda: kept.append(room.add(Upload(clip, meanwhile), "a.mp4")))
    kept: list[object] = []
    first.start()
    assert copying.wait(PATIENCE)
    kept.append(room.add(io.BytesIO(clip), "b.mp4"))
    through.set()
    first.join(PATIENCE)
    assert all(waited) and len(kept) == 2 and len(files_of(room)) == 2


def test_what_is_being_copied_counts_at_its_full_length(clip: bytes) -> None:
    room = VideoStore(max_bytes=int(len(clip) * 1.5))
    refused: list[str] = []

    def meanwhile() -> None:
        if not refused:
            with pytest.raises(UsageError) as raised:
                room.add(io.BytesIO(clip), "b.mp4")
            refused.append(str(raised.value))

    held = room.add(Upload(clip, meanwhile), "a.mp4")
    assert refused and "as many videos as it may" in refused[0]
    assert files_of(room) == [held.path]
    held.remove()
    room.add(io.BytesIO(clip), "b.mp4")


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_room_that_a_failed_upload_had_is_free_again(clip: bytes, error: BaseException) -> None:
    room = VideoStore(max_bytes=len(clip) + 10)

    def meanwhile() -> None:
        raise error

    with pytest.raises((UsageError, KeyboardInterrupt)):
        room.add(Upload(clip, meanwhile), "a.mp4")
    assert files_of(room) == []
    room.add(io.BytesIO(clip), "b.mp4")


def test_a_file_that_is_no_video_leaves_its_room(clip: bytes) -> None:
    room = VideoStore(max_bytes=len(clip) + 10)
    with pytest.raises(Exception, match=r"a\.mp4"):
        room.add(io.BytesIO(b"no video" * (len(clip) // 8)), "a.mp4")
    room.add(io.BytesIO(clip), "b.mp4")


def test_of_many_at_once_as_many_are_kept_as_fit(clip: bytes) -> None:
    room = VideoStore(max_bytes=3 * len(clip) + len(clip) // 2)
    barrier = threading.Barrier(8)
    kept: list[object] = []
    refused: list[UsageError] = []

    def visitor(number: int) -> None:
        barrier.wait(PATIENCE)
        try:
            kept.append(room.add(io.BytesIO(clip), f"{number}.mp4"))
        except UsageError as error:
            refused.append(error)

    threads = [threading.Thread(target=visitor, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert len(kept) == len(files_of(room)) == 3 and len(refused) == 5


def test_there_is_room_for_so_many(clip: bytes, tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(clip)
    room = VideoStore(max_bytes=len(clip) + 10)
    with (tmp_path / "clip.mp4").open("rb") as one, (tmp_path / "clip.mp4").open("rb") as other:
        held = room.add(one, "clip.mp4")
        with pytest.raises(UsageError, match="as many videos as it may"):
            room.add(other, "clip.mp4")
    assert {one.name for one in room.folder.iterdir()} == {held.path.name, "claim"}


def test_what_a_killed_dashboard_left_is_swept_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    living, left, foreign = VideoStore(), tmp_path / "inquisight-videos-left", tmp_path / "inquisight-videos-other"
    for folder in (left, foreign):
        folder.mkdir()
        (folder / "film").write_bytes(b"film")
    (left / "claim").touch()
    VideoStore()
    assert not left.exists(), "nobody claims it"
    assert living.folder.is_dir() and foreign.is_dir(), "the one is at work, the other is not ours"
