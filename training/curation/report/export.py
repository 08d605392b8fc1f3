"""Export the kept pairs in the cc_sbu_align layout, with the origin of each pair.

    image/{image_id}.jpg     the pictures
    filter_cap.json          {"annotations": [{"image_id": ..., "caption": ...}]}
    provenance.jsonl         per pair: picture, model and instruction, repairer, rules, labels
    dropped.jsonl            every other picture with its text and the reason

The layout is that of the released stage-2 data, so any reader of that data reads the export.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from core.datasets.samples.tables import ALIGNED
from core.errors import ImageError, UsageError, printable, why
from core.files.journal import Record, clear_torn, read_json, write_json, write_lines, write_whole
from core.images.file_type import sniff
from core.images.picture import open_picture
from training.curation.folder import CurationFolder, digest
from training.curation.review.labels import Labels
from training.curation.rules.rules import is_stale, last_verdict
from training.curation.steps.generate import generated, known_pictures
from training.curation.steps.progress import Advance
from training.curation.steps.repair import edited, repaired

OURS: Final = frozenset({"image", ALIGNED, "provenance.jsonl", "dropped.jsonl", "export.json"})
QUALITY: Final = 95  # of re-encoded pictures


def export(folder: CurationFolder, to: Path, *, overwrite: bool = False, max_pixels: int) -> Iterator[Advance]:
    """Write the export to `to`, via `to`.partial.

    Pictures are read from their source and compared with its SHA-256. A JPEG without EXIF is copied; all others are
    re-encoded, upright, as JPEG. Raises UsageError if the rules have not run or `to` holds other files, and ImageError
    for a picture that is missing or has changed.
    """
    outcome = last_verdict(folder)
    if outcome is None or is_stale(folder, outcome):
        because = "have not run" if outcome is None else "ran before the last change of texts or labels"
        raise UsageError(f"the rules {because}; run `inquisight curate rules {printable(folder.path)}` first.")
    kept = folder.verified.read()
    if not kept:
        raise UsageError("the rules kept no text, so there is nothing to export; see `inquisight curate report`.")
    to = Path(os.path.abspath(to))
    _check_free(to, overwrite)
    partial = to.with_name(f"{to.name}.partial")
    mark = {"of": digest([outcome["files"], folder.settings("generate")])}
    if partial.exists() and (read_json(partial / "export.json") or {}).get("of") != mark["of"]:
        _check_ours(partial)
        shutil.rmtree(partial)
    try:
        (partial / "image").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"'{printable(to)}' cannot be made: {why(error)}.") from None
    for torn in (partial, partial / "image"):
        clear_torn(torn)
    write_json(partial / "export.json", mark)
    first = generated(folder)
    provenance = _Provenance(folder)
    rows = []
    for count, record in enumerate(kept, start=1):
        name = record["id"]
        how, sha256 = _put(partial / "image" / f"{name}.jpg", first[name], max_pixels)
        rows.append(provenance.of(record, how, sha256))
        yield Advance(count, len(kept), name)
    write_lines(partial / "provenance.jsonl", rows)
    write_lines(partial / "dropped.jsonl", folder.dropped.read())
    write_json(partial / "export.json", {**mark, "pairs": len(kept), "dropped": int(outcome["dropped"])})
    annotations = [{"image_id": record["id"], "caption": record["text"]} for record in kept]
    write_whole(partial / ALIGNED, json.dumps({"annotations": annotations}, ensure_ascii=False, indent=1) + "\n")
    before = to.with_name(f"{to.name}.before")
    if to.exists():
        to.rename(before)
    partial.rename(to)
    if before.exists():
        shutil.rmtree(before)


def _check_free(to: Path, overwrite: bool) -> None:
    if not to.name:
        raise UsageError("the root folder cannot be an export; name another folder with --to.")
    if to.exists() and not to.is_dir():
        raise UsageError(f"'{printable(to)}' is a file; name a folder for the export.")
    if to.exists() and any(to.iterdir()):
        _check_ours(to)
        if not overwrite:
            raise UsageError(f"'{printable(to)}' holds an export already; add --overwrite to replace it.")


def _check_ours(path: Path) -> None:
    others = sorted(one.name for one in path.iterdir() if one.name not in OURS)
    if others or not (path / "export.json").is_file():
        what = f", such as '{printable(others[0], 60)}'" if others else ""
        raise UsageError(f"'{printable(path)}' holds other files{what}; name another folder with --to.")


def _put(target: Path, made: Record, max_pixels: int) -> tuple[str, str]:
    """Write one picture unless it exists; returns ("copied" or "written anew", sha256 of the file)."""
    source = Path(made["path"])
    try:
        data = source.read_bytes()
    except OSError as error:
        raise ImageError(f"the picture '{printable(source)}' cannot be read any more: {why(error)}.") from None
    if hashlib.sha256(data).hexdigest() != made["sha256"]:
        raise ImageError(
            f"the picture '{printable(source)}' has changed since it was described; restore the old one or start over."
        )
    as_is = sniff(data) == "JPEG" and b"Exif\x00\x00" not in data[:65536] and b"Adobe\x00" not in data[:65536]
    if not target.exists():
        write_whole(target, data if as_is else _jpeg(data, source, max_pixels))
    return ("copied" if as_is else "written anew"), hashlib.sha256(target.read_bytes()).hexdigest()


def _jpeg(data: bytes, source: Path, max_pixels: int) -> bytes:
    buffer = io.BytesIO()
    open_picture(data, max_pixels=max_pixels, name=str(source)).image.save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()


class _Provenance:
    """The origin of each pair."""

    def __init__(self, folder: CurationFolder) -> None:
        self._made = generated(folder)
        self._mended = repaired(folder)
        self._by_hand = edited(folder)
        self._generate = folder.settings("generate")
        self._repair = folder.settings("repair")
        self._places = {entry.id: entry.path for entry in known_pictures(folder)}
        self._labels: dict[str, list[dict[str, Any]]] = {}
        for label in Labels(folder).all():
            said = {"reviewer": label.reviewer, "kinds": list(label.kinds), "note": label.note, "of": label.of}
            self._labels.setdefault(label.id, []).append(said)

    def of(self, kept: Record, how: str, sha256: str) -> dict[str, Any]:
        name = kept["id"]
        made, mended = self._made[name], self._mended[name]
        known = {digest(str(one["text"])) for one in (mended, kept)}
        hand = self._by_hand.get(name)
        return {
            "image_id": name,
            "picture": {"path": made["path"], "sha256": made["sha256"], "file": how, "file_sha256": sha256},
            "generated": {
                "vision": self._generate["vision"],
                "revision": self._generate.get("revision", ""),
                "instruction": made["instruction"],
                "text": made["text"],
                "tokens": made["tokens"],
            },
            "repaired": {
                "by": self._repair["repairer"],
                "prompts": self._repair["prompts"],
                "text": mended["text"],
                **({"changed by": mended["by"]} if "by" in mended else {}),
            },
            "rules": kept["rules"],
            **({"edited after the rules": {key: hand[key] for key in ("by", "at", "before")}} if hand else {}),
            "labels": [label for label in self._labels.get(name, []) if label["of"] in known],
        }
