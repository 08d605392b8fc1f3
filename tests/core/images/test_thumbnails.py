"""Thumbnails: made once for each version of a file, upright, by few threads, within a limit on disk."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from PIL import Image

import core.images.thumbnails as module
from core.errors import ImageError
from core.images.thumbnails import Thumbnails, prune


def picture(path: Path, size: tuple[int, int] = (640, 320), colour: str = "red") -> Path:
    Image.new("RGB", size, colour).save(path)
    return path


def test_one_is_made_once_and_again_when_its_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    real = module.open_picture
    monkeypatch.setattr(module, "open_picture", lambda path: opened.append(path) or real(path))
    thumbnails = Thumbnails(tmp_path / "cache")
    path = picture(tmp_path / "a.png")
    first = thumbnails.get(path, 100)
    assert Image.open(first).size == (100, 50) and thumbnails.get(path, 100) == first
    assert Thumbnails(tmp_path / "cache").get(path, 100) == first
    assert thumbnails.get(path, 60) != first
    assert len(opened) == 2
    picture(path, (640, 640), "blue")
    os.utime(path, ns=(1, 1))
    assert Image.open(thumbnails.get(path, 100)).size == (100, 100) and len(opened) == 3


def test_it_is_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (200, 100), "red").save(tmp_path / "a.jpg", exif=exif)
    assert Image.open(Thumbnails(tmp_path / "cache").get(tmp_path / "a.jpg", 100)).size == (50, 100)


def test_a_small_picture_stays_as_it_is(tmp_path: Path) -> None:
    assert Image.open(Thumbnails(tmp_path / "cache").get(picture(tmp_path / "a.png", (20, 10)), 100)).size == (20, 10)


def test_a_file_that_is_no_picture_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_text("no picture")
    thumbnails = Thumbnails(tmp_path / "cache")
    with pytest.raises(ImageError, match=r"a\.jpg"):
        thumbnails.get(tmp_path / "a.jpg", 100)
    with pytest.raises(ImageError, match="cannot be read"):
        thumbnails.get(tmp_path / "none.jpg", 100)
    assert not list((tmp_path / "cache").rglob("*.jpg"))


def test_requests_share_the_work_and_one_that_nobody_waits_for_is_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go = threading.Semaphore(0), threading.Event()
    opened = []
    real = module.open_picture

    def wait(path: str) -> object:
        opened.append(Path(path).name)
        begun.release()
        assert go.wait(20)
        return real(path)

    monkeypatch.setattr(module, "open_picture", wait)
    thumbnails = Thumbnails(tmp_path / "cache", workers=1)
    first, second = picture(tmp_path / "a.png"), picture(tmp_path / "b.png")
    with thumbnails.request(first, 100) as one, thumbnails.request(first, 100) as other:
        assert one.future is other.future
        assert begun.acquire(timeout=20)  # the only worker is busy
        with thumbnails.request(second, 100) as dropped:
            pass
        assert dropped.future.cancelled()
        go.set()
        assert one.future.result(20).is_file()
    thumbnails.close()
    assert opened == ["a.png"]


def test_the_oldest_are_deleted_beyond_the_limit(tmp_path: Path) -> None:
    thumbnails = Thumbnails(tmp_path / "cache")
    made = [thumbnails.get(picture(tmp_path / f"{number}.png"), 100) for number in range(10)]
    for age, path in enumerate(made):
        os.utime(path, (age, age))
    size = made[0].stat().st_size
    prune(tmp_path / "cache", 5 * size)
    assert [path.exists() for path in made] == [False] * 6 + [True] * 4


@pytest.mark.parametrize(("size", "large"), [((100, 100), False), ((6000, 5000), True)])
def test_large_pictures_are_known_by_their_header(tmp_path: Path, size: tuple[int, int], large: bool) -> None:
    assert module._is_large(str(picture(tmp_path / "a.png", size))) is large
