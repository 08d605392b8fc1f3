"""Opening videos: times, frames, orientation, and one clear line for everything that is none."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import pytest
from PIL import Image

pytest.importorskip("av", reason="videos are an optional part")

from core.video.base import Video, VideoError, VideoLimits, clock
from core.video.clip import open_video
from core.video.film import Film
from tests.agents.video.clips import film, grey, level, scene, tone

LEVELS = [10 + 11 * number for number in range(20)]


def levels(video: Video, numbers: list[int]) -> list[tuple[int, int]]:
    return [(number, level(picture)) for number, picture in video.pictures(numbers)]


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("clip.mp4", "libx264"),
        ("clip.mov", "mpeg4"),
        ("clip.mkv", "libx264"),
        ("clip.webm", "libvpx"),
        ("clip.avi", "mpeg4"),
        ("clip.ts", "libx264"),
        ("clip.flv", "flv1"),
        ("clip.wmv", "wmv2"),
    ],
)
def test_the_chosen_frames_are_these_and_no_others(name: str, codec: str, tmp_path: Path) -> None:
    path = film(tmp_path / name, [grey(value) for value in LEVELS], codec=codec)
    with open_video(path) as video:
        assert len(video.times) == 20
        assert video.times[0] == pytest.approx(0, abs=0.01)
        assert video.times[7] - video.times[0] == pytest.approx(0.7, abs=0.01)
        assert video.seconds == pytest.approx(2.0, abs=0.15)
        assert (video.width, video.height) == (64, 48)
        wanted = [0, 3, 4, 11, 19]
        for number, value in levels(video, [19, 3, 0, 11, 4, 3]):
            assert number == wanted.pop(0)
            assert value == pytest.approx(LEVELS[number], abs=5)
        assert wanted == []
        assert levels(video, [15])[0][1] == pytest.approx(LEVELS[15], abs=5), "without those before it"


def test_what_is_not_wanted_is_jumped_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = film(tmp_path / "long.mp4", [grey(40 + number % 100) for number in range(200)])
    decoded = []
    plain = Film._decoded

    def counting(self: Film, container: object, stream: object) -> object:
        for frame in plain(self, container, stream):
            decoded.append(frame.pts)
            yield frame

    with open_video(path) as video:
        assert len(video.keys) == 20
        monkeypatch.setattr(Film, "_decoded", counting)
        found = levels(video, [5, 195])
    assert [number for number, _ in found] == [5, 195]
    assert found[1][1] == pytest.approx(40 + 95, abs=5)
    assert len(decoded) < 40, "two groups of pictures of ten frames, and what the decoder holds"


def test_each_frame_has_a_name_of_its_own(tmp_path: Path) -> None:
    path = film(tmp_path / "clip.mp4", [grey(value) for value in LEVELS[:4]])
    with open_video(path) as one, open_video(path) as two:
        first = [picture.sha256 for _, picture in one.pictures([0, 1])]
        assert first == [picture.sha256 for _, picture in two.pictures([0, 1])]
        assert len({*first, one.sha256}) == 3
        assert [picture.source for _, picture in one.pictures([2])] == [f"{path} at 0:00.2"]
        info = one.info()
    assert (info.sha256, info.width, info.note) == (one.sha256, 64, "video of 0:00.4, 4 frames")


QUADRANTS = {(0, 0): (200, 30, 30), (1, 0): (30, 200, 30), (0, 1): (30, 30, 200), (1, 1): (230, 230, 230)}


def quadrants() -> Image.Image:
    image = Image.new("RGB", (64, 32))
    for (column, row), colour in QUADRANTS.items():
        image.paste(colour, (32 * column, 16 * row, 32 * column + 32, 16 * row + 16))
    return image


@pytest.mark.parametrize(
    ("turned", "way"),
    [
        ({"degrees": 90}, Image.Transpose.ROTATE_90),
        ({"degrees": -90}, Image.Transpose.ROTATE_270),
        ({"degrees": 180}, Image.Transpose.ROTATE_180),
        ({"degrees": 0, "hflip": True}, Image.Transpose.FLIP_LEFT_RIGHT),
    ],
)
def test_a_turned_video_is_put_upright(turned: dict[str, object], way: Image.Transpose, tmp_path: Path) -> None:
    path = film(tmp_path / "turned.mp4", [quadrants()] * 2, turned=turned)
    expected = quadrants().transpose(way)
    with open_video(path) as video:
        [(_, picture)] = video.pictures([1])
        assert (video.width, video.height) == picture.image.size == expected.size
        assert "turned upright" in (video.info().note or "")
    for x in (0.25, 0.75):
        for y in (0.25, 0.75):
            spot = (int(x * expected.width), int(y * expected.height))
            seen, wanted = picture.image.getpixel(spot), expected.getpixel(spot)
            assert all(abs(a - b) < 40 for a, b in zip(seen, wanted, strict=True)), (spot, seen, wanted)


def test_oblong_pixels_become_square(tmp_path: Path) -> None:
    path = film(tmp_path / "wide.mp4", [grey(90)] * 2, stretch=Fraction(2, 1))
    with open_video(path) as video:
        assert (video.width, video.height) == (128, 48)
        assert [picture.image.size for _, picture in video.pictures([0])] == [(128, 48)]


def test_a_variable_frame_rate(tmp_path: Path) -> None:
    stamps = [0, 1, 2, 3, 40, 41, 42]
    path = film(tmp_path / "phone.mp4", [grey(value) for value in LEVELS[:7]], stamps=stamps)
    with open_video(path) as video:
        assert [round(when, 3) for when in video.times] == [stamp / 10 for stamp in stamps]
        assert "variable frame rate" in (video.info().note or "")
        assert video.at(3.9) == 3 and video.at(4.0) == 4 and video.at(-1) == 0 and video.at(99) == 6
        assert levels(video, [4])[0][1] == pytest.approx(LEVELS[4], abs=5)


def test_sound_beside_the_pictures_does_no_harm(tmp_path: Path) -> None:
    path = film(tmp_path / "talkie.mp4", [grey(value) for value in LEVELS], sound=True)
    with open_video(path) as video:
        assert len(video.times) == 20
        assert levels(video, [10])[0][1] == pytest.approx(LEVELS[10], abs=5)


def test_a_cut_scores_high_and_motion_low(tmp_path: Path) -> None:
    path = film(tmp_path / "cut.mp4", [*scene(("apple", 0, 9), seconds=1.0), *[grey(250, (96, 64))] * 8])
    with open_video(path) as video:
        changes = dict(video.changes())
        some = dict(video.changes(8, 12))
    assert sorted(changes) == list(range(18))
    assert sorted(some) == [8, 9, 10, 11, 12] and some[10] > 0.3, "of a part, without decoding the rest"
    assert changes[10] > 0.3
    assert max(score for number, score in changes.items() if number != 10) < 0.2


def test_one_frame_is_a_video_too(tmp_path: Path) -> None:
    path = film(tmp_path / "still.mp4", [grey(77)])
    with open_video(path) as video:
        assert len(video.times) == 1 and video.seconds > 0
        assert levels(video, [0])[0][1] == pytest.approx(77, abs=5)
        assert list(video.changes()) == [(0, 0.0)]


def test_large_frames_are_scaled_down(tmp_path: Path) -> None:
    path = film(tmp_path / "large.mp4", [grey(99, (320, 160))])
    with open_video(path, limits=VideoLimits(side=80)) as video:
        assert (video.width, video.height) == (320, 160), "what it is, not what is kept of it"
        assert [picture.image.size for _, picture in video.pictures([0])] == [(80, 40)]


# --- animations -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["gif", "webp", "png"])
def test_animations(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"moving.{suffix}"
    frames = [grey(value) for value in (20, 120, 220)]
    options = {"lossless": True} if suffix == "webp" else {}
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=[200, 500, 300], loop=0, **options)
    with open_video(path) as video:
        assert [round(when, 3) for when in video.times] == [0, 0.2, 0.7]
        assert video.seconds == pytest.approx(1.0)
        assert [(number, pytest.approx(value, abs=3)) for number, value in levels(video, [0, 2])] == [(0, 20), (2, 220)]
        assert dict(video.changes())[1] > 0.3
        assert video.info().note == "video of 0:01.0, 3 frames"


def test_a_gif_with_transparency_lies_on_white(tmp_path: Path) -> None:
    clear = [Image.new("RGBA", (20, 20), (0, 0, 0, 0)) for _ in range(2)]
    clear[1].paste((200, 0, 0, 255), (5, 5, 10, 10))
    clear[0].save(tmp_path / "clear.gif", save_all=True, append_images=clear[1:], duration=100, disposal=2)
    with open_video(tmp_path / "clear.gif") as video:
        for _, picture in video.pictures([0]):
            assert picture.image.mode == "RGB" and picture.image.getpixel((15, 15)) == (255, 255, 255)


def test_frames_without_a_duration_take_a_tenth_of_a_second(tmp_path: Path) -> None:
    frames = [grey(value) for value in (20, 120, 220)]
    frames[0].save(tmp_path / "fast.gif", save_all=True, append_images=frames[1:], duration=0)
    with open_video(tmp_path / "fast.gif") as video:
        assert [round(when, 3) for when in video.times] == [0, 0.1, 0.2]


def test_a_gif_of_one_frame(tmp_path: Path) -> None:
    grey(50).save(tmp_path / "one.gif")
    with open_video(tmp_path / "one.gif") as video:
        assert len(video.times) == 1
        assert levels(video, [0]) == [(0, 50)]


# --- what is no video -------------------------------------------------------------------------------------------------


def refusal(path: Path | str, limits: VideoLimits | None = None) -> str:
    with pytest.raises(VideoError) as refused:
        open_video(path, limits=limits)
    text = str(refused.value)
    assert "\n" not in text and refused.value.exit_code == 2
    return text


def test_files_that_are_no_videos(tmp_path: Path) -> None:
    def file(name: str, data: bytes) -> Path:
        (tmp_path / name).write_bytes(data)
        return tmp_path / name

    assert "does not exist" in refusal(tmp_path / "nope.mp4")
    assert "is a folder" in refusal(tmp_path)
    assert "is empty (0 bytes)" in refusal(file("empty.mp4", b""))
    assert "standard input" in refusal("-")
    assert "web address" in refusal("https://example.org/clip.mp4")
    assert "not a video in a supported format" in refusal(file("notes.mp4", b"these are notes\n" * 20))
    assert "cannot be a file name" in refusal("a\0b")
    grey(9).save(tmp_path / "photo.jpg")
    assert "is a JPEG picture, not a video; use `inquisight caption`" in refusal(tmp_path / "photo.jpg")
    grey(9).save(tmp_path / "photo.webp")
    assert "inquisight caption" in refusal(tmp_path / "photo.webp")
    os.mkfifo(tmp_path / "pipe.mp4")
    assert "not a regular file" in refusal(tmp_path / "pipe.mp4")


def test_playlists_do_not_reach_other_files(tmp_path: Path) -> None:
    film(tmp_path / "secret.ts", [grey(9)])
    playlists = {
        "list.mp4": f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{tmp_path}/secret.ts\n#EXT-X-ENDLIST\n",
        "concat.mp4": f"ffconcat version 1.0\nfile {tmp_path}/secret.ts\n",
    }
    for name, text in playlists.items():
        (tmp_path / name).write_text(text, "utf-8")
        assert "not a video in a supported format" in refusal(tmp_path / name)


@pytest.mark.parametrize("name", ["sound.m4a", "sound.wav", "sound.ogg", "sound.mp4"])
def test_sound_alone(name: str, tmp_path: Path) -> None:
    if name.endswith((".wav", ".ogg")):
        import wave

        with wave.open(str(tmp_path / name), "wb") as file:  # what a file is called does not matter
            file.setparams((1, 2, 8000, 0, "NONE", ""))
            file.writeframes(b"\0\0" * 800)
    else:
        tone(tmp_path / name)
    assert "has sound but no pictures" in refusal(tmp_path / name)


def test_files_that_break_off(tmp_path: Path) -> None:
    whole = film(tmp_path / "whole.mp4", [grey(value) for value in LEVELS]).read_bytes()
    (tmp_path / "headless.mp4").write_bytes(whole[: len(whole) // 2])
    said = refusal(tmp_path / "headless.mp4")
    assert "truncated or damaged" in said or "without a single frame" in said

    noise = [Image.effect_noise((64, 48), 90).convert("RGB") for _ in range(20)]
    mkv = film(tmp_path / "whole.mkv", noise).read_bytes()
    (tmp_path / "half.mkv").write_bytes(mkv[: len(mkv) // 2])
    with open_video(tmp_path / "half.mkv") as video:  # what is there can be looked at
        assert 1 <= len(video.times) < 20
        assert len(list(video.pictures([0, len(video.times) - 1]))) == 2

    body = bytearray(whole)
    start = body.index(b"mdat") + 8
    body[start : start + 200] = os.urandom(200)
    (tmp_path / "noise.mp4").write_bytes(bytes(body))
    try:
        with open_video(tmp_path / "noise.mp4") as video:
            assert [number for number, _ in video.pictures([0, 19])] == [0, 19], "damaged frames give way to good ones"
    except VideoError as error:
        assert "truncated or damaged" in str(error)


def test_damaged_animations(tmp_path: Path) -> None:
    frames = [Image.effect_noise((60, 60), 90).convert("RGB") for _ in range(6)]
    frames[0].save(tmp_path / "whole.gif", save_all=True, append_images=frames[1:], duration=100)
    data = (tmp_path / "whole.gif").read_bytes()
    (tmp_path / "head.gif").write_bytes(data[:40])
    assert "truncated or damaged" in refusal(tmp_path / "head.gif")


def test_limits(tmp_path: Path) -> None:
    path = film(tmp_path / "clip.mp4", [grey(value) for value in LEVELS])
    assert "larger than the 10 bytes allowed" in refusal(path, VideoLimits(bytes=10))
    assert "0:02 long, more than the 0:01 allowed" in refusal(path, VideoLimits(seconds=1.0))
    assert "more than 5 frames" in refusal(path, VideoLimits(frames=5))
    assert "64 x 48 pixels, more than the 100 allowed" in refusal(path, VideoLimits(pixels=100))


def test_an_hour(tmp_path: Path) -> None:
    stamps = range(0, 3601 * 10, 600)  # a frame a minute
    path = film(tmp_path / "hour.mp4", [grey(40 + number) for number in range(61)], stamps=stamps)
    with open_video(path) as video:
        assert video.seconds == pytest.approx(3600, abs=61)
        assert levels(video, [60])[0][1] == pytest.approx(100, abs=5)
    assert "cut it into pieces" in refusal(path, VideoLimits(seconds=1800))


def test_clock() -> None:
    assert [clock(0), clock(59.9), clock(61), clock(3723)] == ["0:00", "0:59", "1:01", "1:02:03"]
    assert [clock(59.97, exact=True), clock(4.25, exact=True)] == ["1:00.0", "0:04.2"]
