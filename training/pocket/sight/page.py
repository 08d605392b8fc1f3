"""Write the page of held-out photographs: their descriptions, unedited, beside small pictures.

    python -m training.pocket.sight.page PHOTOGRAPHS docs/photographs-table.json docs/real-photographs.md

The small pictures go into sheets beside the page, numbered like the descriptions.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from core.datasets.text_lines import split_lines
from core.images.picture import open_picture
from training.pocket.sight.measure import real_table
from training.pocket.sight.scene_words import LABELS

SIDE, ACROSS, DOWN = 150, 5, 3
HEAD = Path(__file__).parents[1] / "data" / "real.md"


def credits() -> dict[str, str]:
    """Where each photograph comes from, and its licence."""
    found = {}
    for line in split_lines((LABELS / "photographs.tsv").read_text(encoding="utf-8")):
        if not line.startswith("#"):
            name, archive, _, _, _, licence, author, *_ = [*line.split("\t"), "", ""]
            found[name] = f"{archive.partition(':')[2]}, {licence}{f', {author}' if author else ''}"
    return found


def sheet(files: Sequence[Path], first: int, to: Path) -> None:
    """Small pictures on one sheet, numbered from `first` on."""
    canvas = Image.new("RGB", (ACROSS * SIDE, DOWN * SIDE), "white")
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(15)
    for place, file in enumerate(files):
        small = open_picture(file).image.copy()
        small.thumbnail((SIDE - 6, SIDE - 6), Image.Resampling.LANCZOS)
        left, top = place % ACROSS * SIDE + 3, place // ACROSS * SIDE + 3
        canvas.paste(small, (left, top))
        draw.rectangle((left, top, left + 26, top + 19), fill="white")
        draw.text((left + 4, top + 1), str(first + place), fill="black", font=font)
    canvas.save(to, quality=80)


def write(photographs: Path, report: Path, to: Path) -> None:
    """Write the page and its sheets."""
    found = json.loads(report.read_text(encoding="utf-8"))
    said = next(entry["descriptions"] for entry in found.values() if entry["descriptions"])
    folder = to.with_suffix("")
    folder.mkdir(exist_ok=True)
    sources, many = credits(), ACROSS * DOWN
    parts = [HEAD.read_text(encoding="utf-8").format(table=real_table(found))]
    for start in range(0, len(said), many):
        group = said[start : start + many]
        number = start // many + 1
        sheet([next(photographs.glob(f"{one['photograph']}.*")) for one in group], start + 1, folder / f"{number}.jpg")
        parts.append(f"![{start + 1} to {start + len(group)}]({folder.name}/{number}.jpg)\n")
        lines = [
            f"{start + place}. {one['says']} ({one['photograph']}: {sources[one['photograph']]})"
            for place, one in enumerate(group, start=1)
        ]
        parts.append("\n".join(lines) + "\n")
    to.write_text("\n".join(parts), encoding="utf-8")
    print(f"written to {to}: {len(said)} descriptions")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", type=Path, help="folder filled by training.photographs.fetch")
    parser.add_argument("report", type=Path, help="JSON written by training.pocket.sight.measure")
    parser.add_argument("to", type=Path, help="page to write")
    options = parser.parse_args()
    write(options.photographs, options.report, options.to)
