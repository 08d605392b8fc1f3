"""Shards as img2dataset writes them: .tar files in which 000000012.jpg, .txt and .json stand side by side.

Grouping follows the webdataset package (github.com/webdataset/webdataset, `tariterators.py`): members that follow each
other and share their name up to the first dot of its last part are one sample. That package reads a shard as a stream
and cannot say where it is; here the byte offset of a sample's first header is its place, so that a run goes on exactly
where it stopped, and a shard is never unpacked.
"""

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, Final

from core.errors import printable
from core.images import MAX_BYTES
from core.sniff import SUFFIXES
from training.data.samples import BrokenSample, DataError, Sample, caption_of
from training.data.sources import Place, Source, broken, digest, file_size
from training.data.spec import DataSpec, Kind

CAPTION: Final = "caption"  # the field of img2dataset's .json
TEXT_SUFFIXES: Final = ("txt", "text", "caption")
OVER: Final = -1  # the cursor behind a damaged place
_BLOCK: Final = tarfile.BLOCKSIZE
_BUFFER: Final = 1 << 20
_COMPRESSED: Final = (".gz", ".tgz", ".bz2", ".xz", ".zst")
_PICTURES: Final = frozenset(suffix[1:] for suffix in SUFFIXES)
Members = dict[str, tuple[int, int]]  # suffix -> (offset, size) in the shard


class ShardSource(Source):
    """A folder of .tar files, one of them, or a brace pattern."""

    kind: ClassVar[Kind] = "webdataset"
    eager: ClassVar[bool] = True

    def __init__(self, spec: DataSpec) -> None:
        super().__init__(spec)
        self.files = expand(spec.path)
        self.sizes = [file_size(file) for file in self.files]
        self.names = _short_names(self.files)

    @property
    def parts(self) -> int:
        return len(self.files)

    def identity(self) -> str:
        return digest(zip(self.names, self.sizes, map(_head, self.files), strict=True))

    def count(self) -> int | None:
        """From the `_stats.json` that img2dataset leaves beside each shard."""
        total = 0
        for file in self.files:
            try:
                total += int(json.loads(file.with_name(f"{file.stem}_stats.json").read_text("utf-8"))["successes"])
            except (OSError, ValueError, KeyError, TypeError):
                return None
        return total

    def read(self, part: int, cursor: int = 0) -> Iterator[Place]:
        if cursor == OVER:
            return
        name, size = self.names[part], self.sizes[part]
        try:
            file = self.files[part].open("rb", buffering=_BUFFER)
        except OSError as error:
            yield Place(
                cursor, size, name, broken(name, f"the shard cannot be read: {error.strerror}", "damaged shard")
            )
            return
        with file:
            for key, start, after, members in _groups(file, cursor, size):
                if members is None:
                    reason = "the shard is cut short or damaged here, the rest of it is lost"
                    yield Place(start, after, f"{name}/{key}", broken(f"{name}/{key}", reason, "damaged shard"))
                    return
                if members.keys() & _PICTURES or members.keys() & {*TEXT_SUFFIXES, "json"}:
                    yield self._place(file, f"{name}/{key}", start, after, members)

    def _place(self, file: BinaryIO, key: str, start: int, after: int, members: Members) -> Place:
        return Place(start, after, key, lambda: self._sample(file, key, members))

    def _sample(self, file: BinaryIO, key: str, members: Members) -> Sample:
        picture = next((suffix for suffix in members if suffix in _PICTURES), None)
        if picture is None:
            raise BrokenSample(key, "it has no picture", "missing picture")
        spec = self.spec
        needs_json = spec.text_column or spec.instruction_column
        text = None if spec.text_column else next((one for one in TEXT_SUFFIXES if one in members), None)
        fields: dict[str, Any] = {}
        if needs_json or text is None:
            if "json" not in members:
                what = ".json" if needs_json else ".txt or .json"
                raise BrokenSample(key, f"it has no {what} beside it", "missing caption")
            fields = json_object(_bytes(file, key, members["json"]), key)
        caption = _bytes(file, key, members[text]) if text else fields.get(spec.text_column or CAPTION)
        asked = fields.get(spec.instruction_column) if spec.instruction_column else None
        return Sample(
            key=key,
            source=self.name,
            text=caption_of(caption, key, f"its .{text}" if text else f"'{spec.text_column or CAPTION}' in its .json"),
            picture=_bytes(file, key, members[picture]),
            instruction=caption_of(asked, key, "its instruction") if spec.instruction_column else spec.instruction,
        )


def _head(file: Path) -> bytes:
    """The first header and some of what it announces: sizes alone are multiples of 10,240 and say little."""
    with file.open("rb") as stream:
        return stream.read(8 * _BLOCK)


def json_object(data: bytes, key: str) -> dict[str, Any]:
    """A .json file beside a picture. Raises BrokenSample."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        raise BrokenSample(key, "its .json is not JSON", "unreadable caption") from None
    if not isinstance(value, dict):
        raise BrokenSample(key, "its .json holds no object", "unreadable caption")
    return value


def expand(pattern: str) -> list[Path]:
    """The shards that a folder, a file or a brace pattern stands for, in order. Raises DataError."""
    quoted = printable(pattern)
    if "://" in pattern or pattern.startswith("pipe:"):
        raise DataError(f"{quoted} is not a path; download the shards and name their folder.")
    path = Path(pattern).expanduser()
    if path.is_dir():
        files = sorted(file for file in path.rglob("*.tar") if not file.name.startswith("."))
    elif path.is_file():
        files = [path]
    else:
        try:
            files = [Path(one).expanduser() for one in _braces(pattern)]
        except ValueError:
            raise DataError(f"{quoted} has braces that do not match; write shards/{{00000..00099}}.tar.") from None
        missing = [file for file in files if not file.is_file()]
        if missing:
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise DataError(f"{quoted}: {printable(missing[0])}{more} of {len(files)} shards does not exist.")
    if packed := next((file for file in files if file.suffix in _COMPRESSED), None):
        raise DataError(f"{printable(packed)} is compressed, and pictures are already: unpack it to a plain .tar.")
    if not files:
        raise DataError(f"{quoted} holds no .tar shards; check the path.")
    return files


def _braces(pattern: str) -> list[str]:
    """shards/{00000..00099}.tar as a hundred names. Raises ValueError for braces that do not match."""
    if "{" not in pattern:
        return [pattern]
    try:
        from braceexpand import braceexpand
    except ImportError:
        raise DataError("patterns with braces need braceexpand: pip install 'inquisight[train]'.") from None
    return list(braceexpand(pattern))


def _short_names(files: list[Path]) -> list[str]:
    """The paths below the folder they share, so that data may move to another disk."""
    shared = Path(os.path.commonpath([str(file.parent.absolute()) for file in files]))
    return [file.absolute().relative_to(shared).as_posix() for file in files]


def _groups(file: BinaryIO, cursor: int, size: int) -> Iterator[tuple[str, int, int, Members | None]]:
    """(key, first byte, first byte after, members) of each sample; members None where the shard is damaged."""
    key: str | None = None
    start = end = cursor
    members: Members = {}
    for member in _members(file, cursor):
        torn = member if isinstance(member, int) else member.offset if member.offset_data + member.size > size else None
        if torn is not None:
            if key is not None and all(offset + length <= size for offset, length in members.values()):
                yield key, start, torn, members
            yield f"byte {torn}", torn, OVER, None
            return
        assert isinstance(member, tarfile.TarInfo)
        end = member.offset_data + -(-member.size // _BLOCK) * _BLOCK
        base, suffix = _split(member.name)
        if base is None or not member.isreg():
            continue
        if base != key:
            if key is not None:
                yield key, start, member.offset, members
            key, start, members = base, member.offset, {}
        members.setdefault(suffix.lower(), (member.offset_data, member.size))
    if key is not None:
        yield key, start, end, members


def _members(file: BinaryIO, cursor: int) -> Iterator[tarfile.TarInfo | int]:
    """The headers of a shard from a byte on; at last a byte where it does not go on or end as a tar does."""
    end = cursor
    file.seek(cursor)
    try:
        with tarfile.TarFile(fileobj=file, mode="r") as tar:
            kept: list[tarfile.TarInfo] = tar.members  # type: ignore[attr-defined]
            while (member := tar.next()) is not None:
                kept.clear()  # or memory would grow with the shard
                end = tar.offset
                yield member
        file.seek(end)
        rest = file.read(_BLOCK)
    except (tarfile.TarError, OSError, ValueError, OverflowError):
        yield end
        return
    if rest.strip(b"\0") or len(rest) < _BLOCK:  # a tar ends with blocks of zeros: without them something was lost
        yield end


def _split(name: str) -> tuple[str | None, str]:
    """(key, suffix) of a member: everything up to the first dot of its last part, and what follows."""
    folder, slash, last = name.rpartition("/")
    stem, dot, suffix = last.partition(".")
    if not stem or not dot:
        return None, ""
    return f"{folder}{slash}{stem}", suffix


def _bytes(file: BinaryIO, key: str, place: tuple[int, int]) -> bytes:
    offset, size = place
    if size > MAX_BYTES:
        raise BrokenSample(key, f"a file of it is larger than the {MAX_BYTES:,} bytes allowed")
    try:
        file.seek(offset)
        data = file.read(size)
    except OSError as error:
        raise BrokenSample(key, f"it cannot be read: {error.strerror}") from None
    if len(data) != size:
        raise BrokenSample(key, "the shard ends in the middle of it", "damaged shard")
    return data
