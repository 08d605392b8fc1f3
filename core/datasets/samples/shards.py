"""Data sets as img2dataset writes them: .tar files with 000000012.jpg, .txt and .json side by side.

Consecutive members with the same key (`core.datasets.shards.key_of`) are one group, as in the webdataset package. A
group is one sample, or several if it holds several pictures with captions: `photo.v2.jpg` with `photo.v2.txt` beside
`photo.v3.jpg` with `photo.v3.txt`, or `a.jpg` and `a.png` with `a.txt`. A sample's position is the byte of its group's
first header and its number in the group, so a run resumes exactly where it stopped.
"""

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import BinaryIO, ClassVar, Final

from core.datasets.folders import NO_PICTURE, files_below
from core.datasets.left_out import EXTRA_PICTURE, UNSHARDED, LeftOut, Reason
from core.datasets.samples.captions import TEXT_SUFFIXES, caption_beside, make_sample
from core.datasets.samples.sample import BrokenSample, Sample
from core.datasets.samples.sources import Load, SamplePlace, SampleSource, attempt, digest, file_size
from core.datasets.samples.spec import DataSpec, Kind
from core.datasets.shards import BLOCK, DamagedShard, brace_shards, is_passed, key_of, members, stem_of, why_no_picture
from core.errors import UsageError, printable
from core.images.picture import MAX_BYTES

END: Final = -1  # the cursor behind damage
_BUFFER: Final = 1 << 20
_COMPRESSED: Final = (".gz", ".tgz", ".bz2", ".xz", ".zst")
_TEXTS: Final = frozenset({*TEXT_SUFFIXES, "json"})
_MOST: Final = 1 << 24  # samples of a group; a cursor is (group's first byte) * _MOST + (sample's number)
Span = tuple[int, int]  # (first byte, bytes) of a member in the shard


@dataclass(slots=True)
class _Group:
    """Consecutive members of a shard with the same key."""

    key: str
    begin: int
    pictures: list[tuple[str, int, Span]] = field(default_factory=list)  # (name, its header, where)
    texts: dict[str, dict[str, Span]] = field(default_factory=dict)  # name without its suffix -> suffix -> where
    unread: list[str] = field(default_factory=list)  # why pictures of it are not read

    def samples(self, left_out: LeftOut, shard: str) -> Iterator[tuple[str, Span | None, dict[str, Span]]]:
        """Yield (key, picture, texts) of each sample; the picture is None if only a text is there.

        Texts belong to the picture with their name. A picture with dots in its name and no text beside it uses those
        of the whole group, if the group holds no plain KEY.jpg. Beside one it is something else, such as a mask, and
        counted.
        """
        common = self.texts.get(self.key, {})
        is_plain = any(stem_of(name) == self.key for name, _, _ in self.pictures)
        used: set[str] = set()
        for name, header, span in self.pictures:
            stem = stem_of(name)
            texts = self.texts.get(stem)
            if texts is None and stem != self.key and is_plain:
                left_out.add(EXTRA_PICTURE, f"{shard}/{name}")
                continue
            key = next(one for one in (stem, name, f"{name}@{header}") if one not in used)
            used.add(key)
            yield key, span, texts or common
        there = {stem_of(name) for name, _, _ in self.pictures}
        if not there and common:
            yield self.key, None, common
        elif not is_plain:
            for stem, texts in self.texts.items():
                # a .json may be anything
                if stem != self.key and stem not in there and texts.keys() & {*TEXT_SUFFIXES}:
                    yield stem, None, texts


class ShardSource(SampleSource):
    """A folder of .tar files, one of them, or a brace pattern."""

    kind: ClassVar[Kind] = "webdataset"
    eager: ClassVar[bool] = True
    unread: ClassVar[Reason] = UNSHARDED

    def __init__(self, spec: DataSpec) -> None:
        super().__init__(spec)
        self.files = expand(spec.path)
        self.sizes = [file_size(file) for file in self.files]
        # relative to the folder they share, so that data may move to another disk
        shared = Path(os.path.commonpath([str(file.parent.absolute()) for file in self.files]))
        self.names = [file.absolute().relative_to(shared).as_posix() for file in self.files]

    @property
    def parts(self) -> int:
        return len(self.files)

    def named(self) -> list[Path]:
        return self.files

    def identity(self) -> str:
        return digest(zip(self.names, self.sizes, map(_head, self.files), strict=True))

    def count(self) -> int | None:
        """Return the sum of the `_stats.json` that img2dataset leaves beside each shard."""
        total = 0
        for file in self.files:
            try:
                total += int(json.loads(file.with_name(f"{file.stem}_stats.json").read_text("utf-8"))["successes"])
            except (OSError, ValueError, KeyError, TypeError):
                return None
        return total

    def read(self, part: int, cursor: int = 0) -> Iterator[SamplePlace]:
        if cursor == END:
            return
        name, size = self.names[part], self.sizes[part]
        begin, first = divmod(cursor, _MOST)
        left_out = LeftOut()
        if cursor == 0:
            self.left_out_of_parts.setdefault(part, left_out)
        try:
            file = self.files[part].open("rb", buffering=_BUFFER)
        except OSError as error:
            reason = f"the shard cannot be read: {error.strerror}"
            yield SamplePlace(cursor, END, name, partial(BrokenSample, name, reason, "damaged shard"))
            return
        with file:
            try:
                for group, after in _groups(file, size, begin, name, left_out):
                    yield from self._places(file, name, group, after, left_out, first)
                    first = 0
            except DamagedShard as damage:
                key = f"{name}/byte {damage.at}"
                reason = "the shard is cut short or damaged here, the rest of it is lost"
                if damage.packed:
                    reason = f"the shard is compressed ({damage.packed}); unpack it to a plain .tar"
                yield SamplePlace(damage.at * _MOST, END, key, partial(BrokenSample, key, reason, "damaged shard"))
        if cursor == 0:
            self.left_out_of_parts[part] = left_out  # of a whole reading

    def _places(
        self, file: BinaryIO, name: str, group: _Group, after: int, left_out: LeftOut, first: int
    ) -> Iterator[SamplePlace]:
        found = list(group.samples(left_out, name))
        begin = group.begin * _MOST
        for number, (stem, picture, texts) in enumerate(found[first:], start=first):
            key = f"{name}/{stem}"
            if picture is None:
                unread = f" but {', '.join(group.unread)}" if group.unread else ""
                load: Load = partial(BrokenSample, key, f"it has no picture{unread}", "missing picture")
            else:
                load = partial(attempt, self._sample, file, key, picture, texts)
            then = after * _MOST if number + 1 == len(found) else begin + number + 1
            yield SamplePlace(begin + number, then, key, load)

    def _sample(self, file: BinaryIO, key: str, picture: Span, texts: dict[str, Span]) -> Sample:
        readers = {suffix: partial(_bytes, file, key, span) for suffix, span in texts.items()}
        caption, fields = caption_beside(self.spec, key, readers)
        return make_sample(self, key, _bytes(file, key, picture), caption, fields)


def _head(file: Path) -> bytes:
    """Return the first header and some of its content: sizes alone are multiples of 10,240 and identify little."""
    with file.open("rb") as stream:
        return stream.read(8 * BLOCK)


def expand(pattern: str) -> list[Path]:
    """Return the shards of a folder, a file or a brace pattern, in order. Raises UsageError."""
    quoted = printable(pattern)
    if "://" in pattern or pattern.startswith("pipe:"):
        raise UsageError(f"{quoted} is not a path; download the shards and name their folder.")
    path = Path(pattern).expanduser()
    if path.is_dir():
        files = list(map(Path, files_below(str(path), ".tar")))
    else:
        files = list(map(Path, brace_shards(pattern))) if "{" in pattern and not path.is_file() else [path]
    if packed := next((file for file in files if file.suffix in _COMPRESSED), None):
        raise UsageError(f"{printable(packed)} is compressed, and pictures are already: unpack it to a plain .tar.")
    if not files:
        raise UsageError(f"{quoted} holds no .tar shards; check the path.")
    return files


def _groups(file: BinaryIO, size: int, begin: int, shard: str, left_out: LeftOut) -> Iterator[tuple[_Group, int]]:
    """Yield each group and the first byte after it. Raises DamagedShard, after the group before the damage."""
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
    """Return what `why_no_picture` does, but do not open texts."""
    is_text = member.name.rpartition(".")[2].lower() in _TEXTS
    return NO_PICTURE if is_text else why_no_picture(member, file)


def _bytes(file: BinaryIO, key: str, span: Span) -> bytes:
    offset, size = span
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
