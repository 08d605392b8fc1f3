"""The real exiftool and exiv2 (Debian: libimage-exiftool-perl, exiv2), which read what we write."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

needs_exiftool = pytest.mark.skipif(shutil.which("exiftool") is None, reason="exiftool is not installed")
needs_exiv2 = pytest.mark.skipif(shutil.which("exiv2") is None, reason="exiv2 is not installed")


def exiftool(path: Path, *options: str) -> dict[str, Any]:
    """What exiftool reads in a file: "XMP-dc:Description" -> value, texts as they are."""
    done = subprocess.run(
        ["exiftool", "-j", "-G1", "-s", "-struct", *options, "--", str(path)], capture_output=True, check=True
    )
    [found] = json.loads(done.stdout, parse_int=str, parse_float=str)  # a caption may be a number
    assert isinstance(found, dict)
    return found


def exiv2(path: Path) -> dict[str, str]:
    """What exiv2 reads in a sidecar: "Xmp.dc.description" -> value."""
    done = subprocess.run(["exiv2", "-PXkv", str(path)], capture_output=True, check=True, text=True)
    return {key: value.strip() for key, _, value in (line.partition(" ") for line in done.stdout.splitlines())}
