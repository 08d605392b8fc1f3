"""Tell two real videos from Debian packages: print the story, what the witnesses said, and the seconds it took.

    python -m benchmarks.real_videos FOLDER             (needs apt-get; about 110 MB; minutes on two CPU cores)
    python -m benchmarks.real_videos FOLDER --none      without witnesses, for comparison

FOLDER gets the unpacked packages; what is there already is not downloaded again. The videos: `vtest.avi` of
opencv-doc (1:19, people crossing a square, fixed camera) and `movie.avi` of kphotoalbum (4 s, one person speaking).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from core import InquisightError, get_registry
from core.isolated.environment import foreign_environment

VIDEOS: Final = {
    "opencv-doc": "usr/share/doc/opencv-doc/examples/data/vtest.avi",
    "kphotoalbum": "usr/share/kphotoalbum/demo/movie.avi",
}
WITNESSES: Final = ("detector", "reader")


def fetch(folder: Path) -> list[Path]:
    """The videos below `folder`; packages whose video is missing are downloaded and unpacked."""
    folder.mkdir(parents=True, exist_ok=True)
    for package, video in VIDEOS.items():
        if not (folder / video).is_file():
            print(f"fetching {package}", file=sys.stderr)
            command = ["apt-get", "download", "-qq", package]
            subprocess.run(command, cwd=folder, check=True, env=foreign_environment(os.environ, installs=True))
            for archive in folder.glob(f"{package}_*.deb"):
                unpack = ["dpkg-deb", "-x", archive.name, "."]
                subprocess.run(unpack, cwd=folder, check=True, env=foreign_environment(os.environ))
                archive.unlink()
    return [folder / video for video in VIDEOS.values()]


def tell(path: Path, witnesses: tuple[str, ...]) -> None:
    """Print one video's facts and story."""
    from agents.interview.driver import finished
    from agents.llm.questioners import load_questioner
    from agents.video.driver import interview_video, plan_video
    from agents.video.interview import VideoOptions
    from core.video.clip import open_video

    vision, questioner = get_registry().create_vision("pocket"), load_questioner("scripted")
    start = time.perf_counter()
    with open_video(str(path), name=path.name) as video:
        plan = plan_video(video)
        options = VideoOptions(rounds=plan.rounds, witnesses=witnesses)
        caption = finished(interview_video(video, plan, vision, questioner, options, seed=1))
    print(f"{path.name}, {caption.picture.note}")
    for turn in caption.dialogue.turns:
        if turn.answered_by:
            print(f"  {turn.answered_by}: {turn.answer}")
    print(f"  story: {caption.summary}")
    spent = f"of these witnesses {caption.seconds.get('witnesses', 0.0):.0f}"
    print(f"  {time.perf_counter() - start:.0f} s, {spent}")
    for problem in caption.problems:
        print(f"  without a witness: {problem}")


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--none", action="store_true", help="without witnesses")
    args = parser.parse_args()
    try:
        for path in fetch(args.folder):
            tell(path, () if args.none else WITNESSES)
    except InquisightError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return error.exit_code
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"{parser.prog}: the packages cannot be fetched: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
