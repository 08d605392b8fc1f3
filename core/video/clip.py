"""Open a video: the times of its frames, and selected frames as Pictures.

    with open_video("clip.mp4") as video:
        video.times                                # display time of each frame, in seconds
        for number, picture in video.pictures([0, 40, 80]):
            ...

Opening reads all packets without decoding, so that times, length and key frames come from the content and not from the
header. PyAV decodes films (`core.video.film`), Pillow decodes GIF and animated WebP and PNG (`core.video.animation`).
The first bytes select the decoder, not FFmpeg's detection: playlists, which make FFmpeg open other files and addresses,
are rejected. Messages of decoders are never shown.
"""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import Final

from core.datasets.folders import NO_PICTURE, entries_below, judged, suffix_of
from core.datasets.left_out import PICTURE, LeftOut
from core.errors import printable
from core.images.file_type import WORDS, sniff
from core.video.base import Video, VideoError, VideoLimits

SUFFIXES: Final = frozenset(
    ".mp4 .m4v .mov .webm .mkv .avi .mpg .mpeg .ts .m2ts .flv .wmv .ogv .3gp .gif .webp .apng".split()
)
_HEAD: Final = 4096
_SURE: Final = SUFFIXES - {".gif", ".webp", ".apng", ".ts"}  # those may be still pictures or TypeScript
_ISO_BOXES: Final = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot")
_SOUNDS: Final = (b"ID3", b"fLaC", b"\xff\xfb", b"\xff\xf3", b"\xff\xf2", b"\xff\xf1", b"\xff\xf9", b"#!AMR")
_MAGICS: Final = (
    (b"FLV\x01", "FLV", "flv"),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "WMV", "asf"),
    (b"OggS", "Ogg", "ogg"),
    (b"\x00\x00\x01\xba", "MPEG", "mpeg"),
)
_KNOWN: Final = "MP4, MOV, WebM, Matroska, AVI, MPEG, FLV, WMV, Ogg, GIF, animated WebP or PNG"


def open_video(path: str | Path, *, limits: VideoLimits | None = None, name: str | None = None) -> Video:
    """Open and check a video file, decoding only its first frame. `name` replaces the path in messages.

    Raises VideoError if the file is missing, empty, unreadable, no video, without pictures, or too large.
    """
    limits = limits or VideoLimits()
    label = name or str(path)
    quoted = f"'{printable(label)}'"
    file = _checked_path(str(path), quoted, limits)
    try:
        with file.open("rb") as opened:
            head = opened.read(_HEAD)
            opened.seek(0)
            kind, reader = _detect(head, quoted)
            sha256 = hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        raise VideoError(f"{quoted} cannot be read: {(error.strerror or 'unknown error').lower()}.") from None
    source = printable(label, limit=None)
    if reader == "pillow":
        from core.video.animation import Animation

        return Animation(file, source, sha256, limits, kind)
    from core.video.film import Film

    return Film(file, source, sha256, limits, kind, reader)


def find_videos(folder: str, left_out: LeftOut) -> list[str]:
    """All videos below a folder, by suffix or content, sorted. `left_out` counts the other files.

    Raises VideoError if there is none, and UsageError if the folder cannot be read.
    """
    found = []
    for entry in entries_below(folder, left_out):
        if suffix_of(entry.name) in _SURE or _is_video(entry):
            found.append(entry.path)
        elif (reason := judged(entry.path)) is not NO_PICTURE:
            left_out.add(reason or PICTURE, entry.path)
    if not found:
        also = f" ({left_out})" if left_out else ""
        raise VideoError(f"the folder '{printable(folder)}' holds no videos{also}; looked for {_KNOWN}.")
    return sorted(found)


def _is_video(entry: os.DirEntry[str]) -> bool:
    try:
        if not entry.is_file():
            return False
        with open(entry.path, "rb", buffering=0) as file:
            _detect(file.read(_HEAD), "")
    except (OSError, VideoError):
        return False
    return True


def _checked_path(path: str, quoted: str, limits: VideoLimits) -> Path:
    if path == "-":
        raise VideoError("a video cannot be read from standard input; write it to a file and name that.")
    if path.lower().startswith(("http://", "https://")):
        raise VideoError(f"{quoted} is a web address; download the video and name the file.")
    try:
        status = os.stat(path)
    except FileNotFoundError:
        raise VideoError(f"{quoted} does not exist; check the path.") from None
    except ValueError:  # a NUL inside the name
        raise VideoError(f"{quoted} cannot be a file name; check the path.") from None
    except OSError as error:
        raise VideoError(f"{quoted} cannot be read: {(error.strerror or 'unknown error').lower()}.") from None
    if stat.S_ISDIR(status.st_mode):
        raise VideoError(f"{quoted} is a folder, not a video; name a file in it.")
    if not stat.S_ISREG(status.st_mode):
        raise VideoError(f"{quoted} is not a regular file; write the video to a file and name that.")
    if status.st_size == 0:
        raise VideoError(f"{quoted} is empty (0 bytes); copy, download or export it again.")
    if status.st_size > limits.bytes:
        raise VideoError(f"{quoted} is larger than the {limits.bytes:,} bytes allowed; cut it into pieces first.")
    return Path(path)


def _detect(head: bytes, quoted: str) -> tuple[str, str]:
    """(format name, FFmpeg's demuxer or "pillow") from the first bytes. Raises VideoError."""
    picture = sniff(head)
    if picture == "GIF" or (picture == "WEBP" and b"ANIM" in head[:64]) or (picture == "PNG" and b"acTL" in head):
        return picture, "pillow"
    if picture is not None:
        raise VideoError(f"{quoted} is {WORDS[picture]} picture, not a video; use `inquisight caption`.")
    if head[4:8] in _ISO_BOXES:
        return ("MOV" if head[8:12] == b"qt  " or head[4:8] != b"ftyp" else "MP4"), "mov"
    if head.startswith(b"\x1aE\xdf\xa3"):
        return ("WebM" if b"webm" in head[:64] else "Matroska"), "matroska"
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return "AVI", "avi"
    for magic, name, demuxer in _MAGICS:
        if head.startswith(magic):
            return name, demuxer
    for offset, size in ((0, 188), (4, 192)):  # transport stream; with the time codes of cameras
        if len(head) > offset + 2 * size and all(head[offset + step * size] == 0x47 for step in range(3)):
            return "MPEG", "mpegts"
    if head.startswith(_SOUNDS) or head[8:12] == b"WAVE":
        raise VideoError(f"{quoted} has sound but no pictures; name a file with a video stream.")
    raise VideoError(f"{quoted} is not a video in a supported format ({_KNOWN}).")
