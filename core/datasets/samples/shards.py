"""Shards as img2dataset writes them: .tar files in which 000000012.jpg, .txt and .json stand side by side.

Grouping follows the webdataset package (github.com/webdataset/webdataset, `tariterators.py`): members that follow each
other and share their name up to the first dot of its last part are one group. A group is one sample, or several where
it holds several pictures with captions: `photo.v2.jpg` with `photo.v2.txt` beside `photo.v3.jpg` with `photo.v3.txt`,
or `a.jpg` and `a.png` with `a.txt`. That package reads a shard as a stream and cannot say where it is; here the byte
offset of a group's first header, with the number of the sample in it, is a sample's place, so that a run goes on
exactly where it stopped, and a shard is never unpacked.
"""

from __future__ import annotations

import json
import os
import tarfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, Final

from core.datasets.folders import NO_PICTURE, files_below, pictures_below
from core.datasets.left_out import EXTRA_PICTURE, UNSHARDED, LeftOut, Reason
from core.datasets.samples.sample import BrokenSample, DataError, Sample, caption_of
from core.datasets.samples.sources import Load, Ref, SamplePlace, SampleSource, broken, digest, file_size, loaded
from core.datasets.samples.spec import DataSpec, Kind
from core.datasets.shards import BLOCK, DamagedShard, is_passed, key_of, members, stem_of, why_no_picture
from core.errors import UsageError, printable
from core.images.picture import MAX_BYTES

CAPTION: Final = "caption"  # the field of img2dataset's .json
TEXT_SUFFIXES: Final = ("txt", "text", "caption")
OVER: Final = -1  # the cursor behind a damaged place
_BUFFER: Final = 1 << 20
_COMPRESSED: Final = (".gz", ".tgz", ".bz2", ".xz", ".zst")
_TEXTS: Final = frozenset({*TEXT_SUFFIXES, "json"})
_NUMBER: Final = 48  # bits of a group's first byte in a cursor; above them stands the number of a sample in it
Span = tuple[int, int]  # (first byte, bytes) of a member in the shard


@dataclass(slots=True)
class _Group:
    """Members of a shard that follow each other and share their key."""

    key: str
    begin: int
    pictures: list[tuple[str, int, Span]] = field(default_factory=list)  # (name, its header, where)
    texts: dict[str, dict[str, Span]] = field(default_factory=dict)  # name without its suffix -> suffix -> where
    unread: list[str] = field(default_factory=list)  # why pictures of it are not read

    def samples(self, left_out: LeftOut, shard: str) -> Iterator[tuple[str, Span | None, dict[str, Span]]]:
        """(key, picture, texts) of each sample; without a picture where only a text is there.

        Texts belong to the picture with their name. A picture with dots in its name takes the texts of the whole group
        where it has none and the group holds no plain KEY.jpg; beside one it is something else, such as a mask, and
        counted.
        """
        common = self.texts.get(self.key, {})
        is_plain = any(stem_of(name) == self.key for name, _, _ in self.pictures)
        taken: set[str] = set()
        for name, header, span in self.pictures:
            stem = stem_of(name)
            texts = self.texts.get(stem)
            if texts is None and stem != self.key and is_plain:
                left_out.add(EXTRA_PICTURE, f"{shard}/{name}")
                continue
            key = next(one for one in (stem, name, f"{name}@{header}") if one not in taken)
            taken.add(key)
            yield key, span, texts or common
        there = {stem_of(name) for name, _, _ in self.pictures}
        alone = {stem: texts for stem, texts in self.texts.items() if stem not in there}
        if not there and common:
            yield self.key, None, common
        elif not is_plain:
            for stem, texts in alone.items():
                if stem != self.key and texts.keys() & {*TEXT_SUFFIXES}:  # a .json may be anything
                    yield stem, None, texts


class ShardSource(SampleSource):
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

    def survey(self) -> None:
        if self.folder is not None:
            known = {os.path.abspath(file) for file in self.files}
            for path in pictures_below(str(self.folder), self.left_out, known=known):
                self.left_out.add(UNSHARDED, path)

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

    def read(self, part: int, cursor: int = 0) -> Iterator[SamplePlace]:
        if cursor == OVER:
            return
        name, size = self.names[part], self.sizes[part]
        first, begin = divmod(cursor, 1 << _NUMBER)
        left_out = LeftOut()
        if cursor == 0:
            self.left_out_of_parts.setdefault(part, left_out)
        try:
            file = self.files[part].open("rb", buffering=_BUFFER)
        except OSError as error:
            yield SamplePlace(
                cursor, size, name, broken(name, f"the shard cannot be read: {error.strerror}", "damaged shard")
            )
            return
        with file:
            try:
                for group, after in _groups(file, size, begin, name, left_out):
                    yield from self._places(file, name, group, after, left_out, first)
                    first = 0
            except DamagedShard as damage:
                key, reason = (
                    f"{name}/byte {damage.at}",
                    "the shard is cut short or damaged here, the rest of it is lost",
                )
                if damage.packed:
                    reason = f"the shard is compressed ({damage.packed}); unpack it to a plain .tar"
                yield SamplePlace(damage.at, OVER, key, broken(key, reason, "damaged shard"))
        if cursor == 0:
            self.left_out_of_parts[part] = left_out  # of a whole reading

    def at(self, refs: Sequence[Ref]) -> Iterator[tuple[Ref, Load]]:
        """A group is read once for all of its samples that are wanted."""
        wanted: dict[Ref, set[int]] = defaultdict(set)
        for part, cursor in refs:
            wanted[part, cursor % (1 << _NUMBER)].add(cursor)
        for (part, begin), cursors in sorted(wanted.items()):
            for place in self.read(part, min(cursors)):
                if place.cursor in cursors:
                    cursors.remove(place.cursor)
                    yield (part, place.cursor), loaded(place.load)
                if not cursors or place.cursor % (1 << _NUMBER) != begin:
                    break
            if cursors:
                raise self.changed()

    def _places(
        self, file: BinaryIO, name: str, group: _Group, after: int, left_out: LeftOut, first: int
    ) -> Iterator[SamplePlace]:
        found = list(group.samples(left_out, name))
        for number, (stem, picture, texts) in enumerate(found):
            if number < first:
                continue
            then = after if number + 1 == len(found) else group.begin | number + 1 << _NUMBER
            key = f"{name}/{stem}"
            if picture is None:
                unread = f" but {', '.join(group.unread)}" if group.unread else ""
                load = broken(key, f"it has no picture{unread}", "missing picture")
            else:
                load = partial(self._sample, file, key, picture, texts)
            yield SamplePlace(group.begin | number << _NUMBER, then, key, load)

    def _sample(self, file: BinaryIO, key: str, picture: Span, members: dict[str, Span]) -> Sample:
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
            picture=_bytes(file, key, picture),
            instruction=caption_of(asked, key, "its instruction") if spec.instruction_column else spec.instruction,
        )


def _head(file: Path) -> bytes:
    """The first header and some of what it announces: sizes alone are multiples of 10,240 and say little."""
    with file.open("rb") as stream:
        return stream.read(8 * BLOCK)


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
        try:
            files = sorted(map(Path, files_below(str(path), ".tar")))
        except UsageError as error:
            raise DataError(str(error)) from None
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


def _groups(file: BinaryIO, size: int, begin: int, shard: str, left_out: LeftOut) -> Iterator[tuple[_Group, int]]:
    """Each group and the first byte after it. Raises DamagedShard, after the group before the damage."""
    group: _Group | None = None
    end = begin
    try:
        for member in members(file, size, begin):
            end = member.offset_data + -(-member.size // BLOCK) * BLOCK
            reason = _text_or_why(member, file)
            if is_passed(member) or (reason is NO_PICTURE and not member.isreg()):
                continue
            key = key_of(member.name)
            if group is None or key != group.key:
                if group is not None:
                    yield group, member.offset
                group = _Group(key, member.offset)
            span = (member.offset_data, member.size)
            if reason is None:
                group.pictures.append((member.name, member.offset, span))
                continue
            stem, dot, suffix = member.name.rpartition(".")
            if dot and suffix.strip().lower() in _TEXTS and member.isreg():
                group.texts.setdefault(stem, {}).setdefault(suffix.strip().lower(), span)
            elif reason is not NO_PICTURE:
                left_out.add(reason, f"{shard}/{member.name}")
                group.unread.append(reason.one)
    except DamagedShard as damage:
        if group is not None:
            yield group, damage.at
        raise
    if group is not None:
        yield group, end


def _text_or_why(member: tarfile.TarInfo, file: BinaryIO) -> Reason | None:
    """As `why_no_picture`, but texts are not opened to see whether they are pictures."""
    is_text = member.name.rpartition(".")[2].lower() in _TEXTS
    return NO_PICTURE if is_text else why_no_picture(member, file)


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
