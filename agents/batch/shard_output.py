"""Captions with their pictures as webdataset shards: captions-000000.tar, captions-000001.tar, ...

A sample is KEY.jpg (the original file), KEY.txt (the caption) and KEY.json (the row of the other outputs). Each shard
holds a fixed range of the input, so its content does not depend on when pictures were captioned. A shard whose range
has not changed is not written again.
"""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from agents.batch.ledger import CaptionRow, Ledger
from agents.batch.outputs import NO_STYLES, Styles, record, text_of
from core.errors import ImageError
from core.files.journal import as_bytes, replaced
from core.images.file_type import SUFFIXES_OF, sniff

Fetch = Callable[[CaptionRow], bytes]  # the original file; raises ImageError


def shard_path(path: Path, number: int) -> Path:
    """The path of one shard."""
    return path.with_name(f"{path.stem}-{number:06d}.tar")


def existing_shards(path: Path) -> list[Path]:
    """The shards that exist."""
    name = re.compile(re.escape(path.stem) + r"-\d{6}\.tar")
    return sorted(one for one in path.parent.glob("*.tar") if name.fullmatch(one.name))


def write_shards(
    path: Path, ledger: Ledger, fetch: Fetch, *, size: int, of: int, styles: Styles = NO_STYLES
) -> Iterator[tuple[int, int, int]]:
    """Write outdated shards; yields (shard, number of shards, pictures left out) after each.

    A picture whose file has changed or is missing since it was captioned is left out. `of`: this batch has every
    `of`-th picture of the input. Raises StoreError.
    """
    stretch = size * of
    count = ledger.highest() // stretch + 1
    for number in range(count):
        first, stop = number * stretch, (number + 1) * stretch
        shard, name = shard_path(path, number), f"shard:{path.name}:{size}:{number}"
        settled, state = ledger.settled(first, stop), ledger.state_of(first, stop)
        if ledger.get(name) == state and (shard.exists() or not settled):
            continue
        missing = 0
        if settled:
            missing = _write(shard, ledger.rows(first, stop), fetch, styles)
        else:
            shard.unlink(missing_ok=True)
        if not missing:
            ledger.set(name, state)
            ledger.commit()
        yield number + 1, count, missing


def _write(path: Path, rows: Iterator[CaptionRow], fetch: Fetch, styles: Styles) -> int:
    missing = 0
    with replaced(path) as file, tarfile.TarFile(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for row in rows:
            try:
                picture = fetch(row)
            except ImageError:
                missing += 1
                continue
            add_sample(tar, row.n, picture, text_of(row.caption, styles), record(row, styles))
    return missing


def add_sample(tar: tarfile.TarFile, number: int, picture: bytes, text: str, facts: Mapping[str, object]) -> None:
    """Add the image, .txt and .json of one sample; without owner and time, so that equal runs write equal bytes."""
    kind = sniff(picture)
    members = {
        SUFFIXES_OF[kind][0][1:] if kind else "bin": picture,
        "txt": text.encode("utf-8", errors="replace"),
        "json": as_bytes(json.dumps(facts, ensure_ascii=False)),
    }
    for suffix, data in members.items():
        member = tarfile.TarInfo(f"{number:09d}.{suffix}")
        member.size = len(data)
        tar.addfile(member, io.BytesIO(data))
