"""Descriptions in picture files themselves, written by the program exiftool; the pixels and everything else stay.

exiftool is not part of this package (Perl's licence or GPL): it runs as a program, where it is installed. It keeps the
file as it was under the name `photo.jpg_original`. A description goes to the places that the Metadata Working Group
names (EXIF ImageDescription, XMP dc:description, and IPTC Caption-Abstract where the file has IPTC), keywords and alt
text to theirs: https://exiftool.org/TagNames/MWG.html.

One process serves many files: https://exiftool.org/exiftool_pod.html, `-stay_open`. Texts are passed as files, so that
no character in them is read as an option.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, Final

from core.captions.forms import CaptionError, clean
from core.captions.xmp.document import is_language
from core.captions.xmp.sidecars import CaptionFields
from core.closing import Closing
from core.errors import UsageError, printable
from core.isolated.environment import foreign_environment

BACKUP: Final = "_original"
_AT_ONCE: Final = 200  # files per call
_LOCALE: Final = {"LC_ALL": "C.UTF-8"}
_COMMAND: Final = ("-config", "", "-use", "MWG")  # no configuration of the user: it is a program
_READY: Final = b"{ready}"
# What cameras and programs write where a description should be, in lower case.
_NO_DESCRIPTION: Final = frozenset(
    "olympus digital camera|minolta digital camera|konica minolta digital camera|sony dsc|samsung|digital camera|"
    "samsung digital camera|digital still camera|default|dcim|untitled|created by imlib|charset=unicode|dji|"
    "maginon digital camera|exif_jpeg_picture|exif jpeg picture|jpeg|picture|lead technologies inc. v1.01".split("|")
)


class ExifTool(Closing):
    """A running exiftool; a context manager. Raises UsageError if the program is not installed."""

    def __init__(self) -> None:
        found = shutil.which("exiftool")
        if found is None:
            raise UsageError(
                "exiftool is not installed, and it is what writes into picture files; install it (Debian: apt install "
                "libimage-exiftool-perl, macOS: brew install exiftool), or write sidecars: --xmp"
            )
        self._program = found
        self._process: subprocess.Popen[bytes] | None = None
        self._texts = tempfile.TemporaryDirectory(prefix="inquisight-exiftool-")

    def read(self, paths: Iterable[str | Path]) -> dict[str, str]:
        """Path -> description, of the files that have one; what cameras write there is none."""
        found: dict[str, str] = {}
        plain: list[str] = []
        for name in map(str, paths):
            if not os.path.isfile(name):
                continue
            if _absolute(name).isprintable():
                plain.append(name)
            else:  # JSON of exiftool has another name for a file whose name is not UTF-8, so it is read alone
                found.update((name, text) for text in self._descriptions([name]).values())
        for begin in range(0, len(plain), _AT_ONCE):
            some = plain[begin : begin + _AT_ONCE]
            texts = self._descriptions(some)
            found |= {name: texts[_absolute(name)] for name in some if _absolute(name) in texts}
        return found

    def write(self, path: str | Path, fields: CaptionFields) -> None:
        """Write fields into a picture file. Raises CaptionError if exiftool does not; the file is then unchanged."""
        arguments: list[str] = []
        if fields.description is not None:
            text = self._text("description", fields.description)
            arguments.append(f"-MWG:Description<={text}")
            if is_language(fields.language):
                arguments.append(f"-XMP-dc:Description-{fields.language}<={text}")
            if fields.writer:
                arguments.append(f"-XMP-photoshop:CaptionWriter<={self._text('writer', fields.writer)}")
        if fields.alt_text is not None:
            arguments.append(f"-XMP-iptcCore:AltTextAccessibility<={self._text('alt', fields.alt_text)}")
        for number, keyword in enumerate(fields.keywords):  # taken out first: exiftool would add it twice
            text = self._text(f"keyword{number}", keyword)
            for name in ("MWG:Keywords", "XMP-digiKam:TagsList"):
                arguments += [f"-{name}-<={text}", f"-{name}+<={text}"]
        if not arguments:
            return
        if fields.date is not None:
            arguments.append(f"-XMP-xmp:MetadataDate={fields.date.strftime('%Y:%m:%d %H:%M:%S%z')}")
        output = self._run(arguments, [_absolute(path)])
        if "1 image files updated" not in output and "1 image files unchanged" not in output:
            reason = next((line for line in output.splitlines() if line.startswith("Error")), output.strip())
            reason = reason.partition(" - /")[0].removeprefix("Error: ") or "exiftool ended"
            raise CaptionError(f"'{printable(path)}' was not written by exiftool: {printable(reason, 120)}")

    def close(self) -> None:
        """End the program."""
        if self._process is not None:
            assert self._process.stdin is not None
            try:
                self._process.stdin.write(b"-stay_open\nFalse\n")
                self._process.stdin.close()
            except OSError:
                self._process.kill()
            self._process.wait()
            self._process = None
        self._texts.cleanup()

    def _descriptions(self, names: Sequence[str]) -> dict[str, str]:
        """Absolute path, as exiftool writes it, -> description."""
        output = self._run(["-j", "-MWG:Description"], [_absolute(name) for name in names])
        begin = output.find("[{")
        try:
            records = (
                json.loads(output[begin : output.rindex("}]") + 2], parse_int=str, parse_float=str)
                if begin >= 0
                else []
            )
        except ValueError:
            raise CaptionError(f"exiftool cannot read the pictures: {printable(output, 120)}") from None
        found = {str(one["SourceFile"]): str(one.get("Description", "")).strip() for one in records}
        return {name: text for name, text in found.items() if _is_description(text)}

    def _text(self, name: str, text: str) -> Path:
        path = Path(self._texts.name) / name
        path.write_text(clean(text), "utf-8")
        return path

    def _run(self, arguments: Sequence[str], names: Sequence[str]) -> str:
        """What exiftool prints. A name with a line break cannot be passed to the running one."""
        if any("\n" in name or "\r" in name for name in names):
            done = subprocess.run(
                [self._program, *_COMMAND, *arguments, "--", *names],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env=foreign_environment(os.environ, _LOCALE),
                check=False,
            )
            return done.stdout.decode("utf-8", "surrogateescape")
        stdin, stdout = self._pipes()
        lines = [*arguments, *names, "-execute"]
        try:
            stdin.write(os.fsencode("\n".join(lines)) + b"\n")
            stdin.flush()
            output = bytearray()
            while not output.endswith((_READY + b"\n", _READY + b"\r\n")):
                line = stdout.readline()
                if not line:
                    raise BrokenPipeError
                output += line
        except OSError:
            self._process = None  # the next call starts another one
            raise CaptionError("exiftool has ended without an answer; the picture was not changed") from None
        return bytes(output[: output.rindex(_READY)]).decode("utf-8", "surrogateescape")

    def _pipes(self) -> tuple[IO[bytes], IO[bytes]]:
        if self._process is None:
            self._process = subprocess.Popen(
                [self._program, *_COMMAND, "-stay_open", "True", "-@", "-"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=foreign_environment(os.environ, _LOCALE),
                start_new_session=True,  # Ctrl-C must not end it in the middle of a file
            )
        assert self._process.stdin is not None and self._process.stdout is not None
        return self._process.stdin, self._process.stdout


def _is_description(text: str) -> bool:
    lowered = text.lower()
    return bool(text) and lowered not in _NO_DESCRIPTION and not lowered.startswith("dcim\\")


def _absolute(path: str | Path) -> str:
    """A path that no program takes for an option."""
    return os.path.abspath(path)
