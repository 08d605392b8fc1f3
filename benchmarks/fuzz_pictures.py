"""Feed damaged pictures to every decoder: each must open within the limits or be refused in one line.

    python -m benchmarks.fuzz_pictures                            5,000 damaged files of each kind
    python -m benchmarks.fuzz_pictures --kinds HEIF,JXL,RAW --inputs 200000 --keep findings
    python -m benchmarks.fuzz_pictures --engine atheris --kinds HEIF --seconds 600

The decoders run in a process of their own, which writes each input to a file before it opens it. So a crash, a hang or
a process that takes too much memory is found, counted and kept, and the run goes on behind it. `--engine atheris`
steers the inputs by the coverage of our own parsers (pip install atheris); decoders in C are not instrumented.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import resource
import signal
import struct
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from PIL import Image

from core.errors import ImageError
from core.images.decode import can_decode
from core.images.file_type import NAMES, Kind
from core.images.picture import open_picture

FORMATS = Path(__file__).resolve().parents[1] / "tests" / "fixtures" / "formats"
MAX_PIXELS = 1_000_000
MEMORY = 6_000_000_000  # bytes of address space; decoders reserve more than they use
SECONDS = 20  # of processor time for one input
INTERESTING = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 60_000, 1 << 24)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--kinds", default=",".join(NAMES), help="formats, separated by commas")
    parser.add_argument("--inputs", type=int, default=5000, help="damaged files of each kind")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="folder for inputs that failed")
    parser.add_argument("--engine", choices=("mutations", "atheris"), default="mutations")
    parser.add_argument("--seconds", type=int, default=60, help="for atheris")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--start", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.kinds, options.child, options.seed, options.start, options.inputs)
        return 0
    failed = False
    for kind in options.kinds.split(","):
        if not can_decode(kind):
            print(f"{kind:9} no decoder installed")
        elif options.engine == "atheris":
            failed |= steer(kind, options.seconds)
        else:
            failed |= run(kind, options.inputs, options.seed, options.keep)
    return int(failed)


def seeds(kind: Kind) -> list[bytes]:
    """Small intact files of a kind."""
    found = [
        path.read_bytes()
        for path in sorted(FORMATS.iterdir())
        if path.suffix in SUFFIXES.get(kind, ()) and path.stem != "crash"
    ]
    if kind == "RAW":
        from tests.core.images.raws import dng

        small = Image.linear_gradient("L").resize((64, 32)).convert("RGB")
        found += [dng(small), dng(small, small.resize((64, 32)))]
    if not found:
        image = Image.linear_gradient("L").resize((48, 32)).convert("RGB")
        for options in SAVED.get(kind, ({},)):
            buffer = io.BytesIO()
            image.save(buffer, kind, **options)
            found.append(buffer.getvalue())
    return found


SUFFIXES: dict[Kind, tuple[str, ...]] = {"HEIF": (".heic",), "JXL": (".jxl",), "AVIF": (".avif",)}
SAVED: dict[Kind, tuple[dict[str, Any], ...]] = {
    "JPEG": ({}, {"progressive": True}),
    "TIFF": ({}, {"compression": "tiff_lzw"}, {"compression": "jpeg"}),
    "WEBP": ({}, {"lossless": True}),
}


def mutated(data: bytes, dice: random.Random, others: list[bytes]) -> bytes:
    """`data` with some damage: bytes, numbers, pieces that are cut, doubled or taken from another file."""
    changed = bytearray(data)
    for _ in range(dice.choice((1, 1, 2, 4, 8, 32))):
        at = dice.randrange(len(changed)) if changed else 0
        way = dice.randrange(6)
        if way == 0:
            changed[at : at + 1] = bytes((dice.randrange(256),))
        elif way == 1:
            value = dice.choice(INTERESTING)
            form = dice.choice((">I", "<I", ">H", "<H"))
            changed[at : at + struct.calcsize(form)] = struct.pack(form, value % (1 << 8 * struct.calcsize(form)))
        elif way == 2:
            del changed[at : at + dice.choice((1, 2, 4, 16, 256))]
        elif way == 3:
            changed[at:at] = changed[at : at + dice.choice((1, 4, 16, 64))]
        elif way == 4:
            other = dice.choice(others)
            start = dice.randrange(len(other))
            piece = other[start : start + dice.choice((4, 16, 64, 256))]
            changed[at : at + len(piece)] = piece
        else:
            changed[at : at + 1] = bytes((changed[at] ^ (1 << dice.randrange(8)),)) if at < len(changed) else b""
    cut = dice.randrange(len(changed)) if changed and dice.random() < 0.1 else len(changed)
    return bytes(changed[:cut]) or b"\0"


def inputs(kind: Kind, seed: int) -> Iterator[bytes]:
    """Damaged files without end; the same ones for the same seed."""
    whole = seeds(kind)
    for number in range(sys.maxsize):
        dice = random.Random(f"{kind} {seed} {number}")
        yield mutated(dice.choice(whole), dice, whole)


def judge(data: bytes) -> str:
    """ "opened" or "refused", or what is wrong."""
    try:
        picture = open_picture(data, max_pixels=MAX_PIXELS)
    except ImageError as error:
        message = str(error)
        clear = message.isprintable() and len(message) < 500 and "0x" not in message
        return "refused" if clear else f"line: {message!r}"
    except Exception as error:  # noqa: BLE001 - this is what is looked for
        return f"{type(error).__name__}: {error}"
    right = picture.image.mode == "RGB" and 0 < picture.width * picture.height <= MAX_PIXELS
    return "opened" if right else f"{picture.image}"


def child(kind: Any, folder: str, seed: int, start: int, stop: int) -> None:
    """Open the inputs from `start` to `stop`; print each outcome."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    current = Path(folder) / "input"
    for number, data in enumerate(inputs(kind, seed)):
        if number >= stop:
            return
        if number < start:
            continue
        current.write_bytes(data)
        signal.setitimer(signal.ITIMER_PROF, SECONDS)  # ends this process by SIGPROF: a decoder in C does not return
        outcome = judge(data)
        signal.setitimer(signal.ITIMER_PROF, 0)
        print(json.dumps(outcome), flush=True)


def run(kind: Kind, count: int, seed: int, keep: Path | None) -> bool:
    """Whether something failed; prints a line with the counts, and one for each failure."""
    counts: Counter[str] = Counter()
    done = 0
    with tempfile.TemporaryDirectory() as folder:
        while done < count:
            command = [sys.executable, "-m", "benchmarks.fuzz_pictures", "--child", folder, "--kinds", kind]
            command += ["--seed", str(seed), "--start", str(done), "--inputs", str(count)]
            with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
                assert process.stdout is not None
                for line in process.stdout:
                    outcome = json.loads(line)
                    if outcome in ("opened", "refused"):
                        counts[outcome] += 1
                    else:
                        report(kind, done, outcome, Path(folder), keep, seed)
                        counts["wrong"] += 1
                    done += 1
            if done < count:
                if process.returncode == 0:
                    break
                name = "hang" if process.returncode == -signal.SIGPROF else f"exit status {process.returncode}"
                report(kind, done, name, Path(folder), keep, seed)
                counts["wrong"] += 1
                done += 1
    told = ", ".join(f"{counts[name]:,} {name}" for name in ("opened", "refused", "wrong"))
    print(f"{kind:9} {done:7,} inputs: {told}")
    return counts["wrong"] > 0


def report(kind: Kind, number: int, what: str, folder: Path, keep: Path | None, seed: int) -> None:
    print(f"{kind:9} input {number} of seed {seed}: {what}")
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        (keep / f"{kind}-{seed}-{number}").write_bytes(next(islice(inputs(kind, seed), number, None)))


def steer(kind: Kind, seconds: int) -> bool:
    """Run atheris in a process of its own; whether it found something."""
    with tempfile.TemporaryDirectory() as folder:
        for number, data in enumerate(seeds(kind)):
            (Path(folder) / str(number)).write_bytes(data)
        code = f"from benchmarks.fuzz_pictures import with_atheris; with_atheris({folder!r}, {seconds})"
        return subprocess.run([sys.executable, "-c", code], check=False).returncode != 0


def with_atheris(folder: str, seconds: int) -> None:
    import atheris

    with atheris.instrument_imports(include=["core.images"]):
        import importlib

        for name in [name for name in sys.modules if name.startswith("core.images")]:
            importlib.reload(sys.modules[name])

    def one(data: bytes) -> None:
        outcome = judge(bytes(data))
        if outcome not in ("opened", "refused"):
            raise AssertionError(outcome)

    test: Callable[[bytes], None] = one
    atheris.Setup([sys.argv[0], folder, f"-max_total_time={seconds}", "-rss_limit_mb=4096", "-timeout=30"], test)
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
