"""Put what the demo really prints into the READMEs, and the dialogue as a picture into docs/dialogue.svg.

    make readme                                          with the embedded models
    python docs/refresh_readme.py --check                only say whether the READMEs are up to date

The command is the one of `make demo`; its seconds are left out, since they belong to one machine.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
READMES = ("README.md", "README.zh-CN.md")
PICTURE = "examples/photos/street.jpg"
DEMO = ("caption", "--seed", "1", PICTURE)
BEGIN, END = "<!-- demo:begin -->", "<!-- demo:end -->"
BLOCK = re.compile(rf"{BEGIN}\n.*?{END}", re.DOTALL)
COLUMNS = 100
# rich's template fetches a web font; a picture in a README has to do without.
FONT_FACE = re.compile(r"@font-face\s*\{[^}]*\}\s*")


def inquisight(home: Path, *arguments: str) -> str:
    """What the command prints in a pipe. Raises SystemExit with its own line where it fails."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("INQUISIGHT_")}
    done = subprocess.run(
        [sys.executable, "-m", "agents.cli", *arguments],
        cwd=ROOT,
        env=kept | {"INQUISIGHT_HOME": str(home), "HF_HUB_OFFLINE": "1", "PYTHONUTF8": "1"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    if done.returncode:
        raise SystemExit(done.stderr.strip())
    return done.stdout


def without_seconds(printed: str) -> str:
    """The output without its line of timings, which no two runs share."""
    lines = [line for line in printed.rstrip().splitlines() if not re.match(r"\d+\.\d s( |$)", line)]
    return "\n".join(lines)


def without_ids(text: str) -> str:
    """A transcript's id is made of its content, times included, so every run has another one."""
    return re.sub(r"transcript \w+: inquisight show \w+", "transcript", text)


def filled(readme: str, printed: str) -> str:
    """`readme` with the block between the markers replaced. Raises SystemExit where there is not exactly one."""
    block = f"{BEGIN}\n```text\n{printed}\n```\n{END}"
    text, count = BLOCK.subn(lambda _: block, readme)
    if count != 1:
        raise SystemExit(f"a README needs {BEGIN} and {END} once each, not {count} times")
    return text


def dialogue_svg(caption_json: str) -> str:
    """The dialogue as a terminal would show it."""
    from rich.console import Console

    from agents.cli.render.interview import InterviewPrinter, replay
    from agents.cli.render.output import TerminalOutput
    from core.records import Caption

    console = Console(
        record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor",
        highlight=False, emoji=False, markup=False,
    )  # fmt: skip
    printer = InterviewPrinter(TerminalOutput(io.StringIO(), console))
    caption = Caption.from_json(caption_json)
    for event in replay(caption.model_copy(update={"seconds": {}})):
        printer.event(event)
    svg = console.export_svg(title=f"inquisight {' '.join(DEMO)}", unique_id="dialogue")
    return FONT_FACE.sub("", svg)


def write_sample(caption_json: str) -> None:
    """The example of a result that the dashboard shows before an image is added: the interview and its image."""
    from PIL import Image

    from core.records import Caption

    caption = Caption.from_json(caption_json)
    shown = caption.model_copy(
        update={
            "picture": caption.picture.model_copy(update={"source": Path(PICTURE).name}),
            "seconds": {},
            "created": datetime(2026, 1, 1, tzinfo=UTC),
        }
    )
    assets = ROOT / "ui" / "assets"
    (assets / "sample.json").write_text(shown.to_json(indent=1) + "\n", "utf-8")
    with Image.open(ROOT / PICTURE) as image:
        image.thumbnail((480, 480))
        image.convert("RGB").save(assets / "sample.jpg", quality=85)


def main() -> int:
    """Exit code 1 where --check finds an old README."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--check", action="store_true", help="change nothing")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        printed = without_seconds(inquisight(home, *DEMO))
        id = re.search(r"inquisight show (\w+)", printed)
        if id is None:
            raise SystemExit("the demo's output names no transcript")
        caption = inquisight(home, "show", id[1], "--json")
        svg = dialogue_svg(caption)
    old = []
    for name in READMES:
        path = ROOT / name
        before = path.read_text("utf-8")
        after = filled(before, printed)
        if without_ids(after) != without_ids(before):
            old.append(name)
            if not options.check:
                path.write_text(after, "utf-8")
    if options.check:
        print(f"out of date: {', '.join(old)}" if old else "up to date")
        return int(bool(old))
    (ROOT / "docs" / "dialogue.svg").write_text(svg, "utf-8")
    write_sample(caption)
    print(f"changed {', '.join(old)}" if old else "nothing to change in the READMEs")
    print("docs/dialogue.svg, ui/assets/sample.json and sample.jpg written")
    return 0


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    raise SystemExit(main())
