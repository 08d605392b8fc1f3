"""Read HEIC and HEIF with pi-heif (libheif and libde265, decoders only).

pi-heif and not pillow-heif: the wheels of the latter hold x265, an encoder under the GPL, which nothing here needs.
"""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from typing import Any

from PIL import Image

from core.images import tone
from core.images.isobmff import MainPicture


@dataclass(frozen=True, slots=True)
class Opened:
    """A HEIC file whose pixels are not decoded yet."""

    file: Any  # pi_heif.HeifFile
    deep: bool  # decode 16-bit values, since they are tone-mapped

    @property
    def size(self) -> tuple[int, int]:
        """(width, height), upright."""
        width, height = self.file.size
        return int(width), int(height)

    @property
    def note(self) -> str | None:
        """How many pictures the file holds besides the main one."""
        return f"main picture of {len(self.file)}" if len(self.file) > 1 else None

    def load(self, main: MainPicture) -> tuple[Image.Image, list[str]]:
        """(the main picture in its mode, upright, with its ICC profile; notes). Raises what the decoder raises.

        libheif applies `irot` and `imir`, the only orientation that counts in HEIF; EXIF repeats it and is dropped.
        """
        one = self.file[self.file.primary_index]
        if self.deep and one.mode == "RGB;16":
            import numpy as np

            pixels = tone.to_srgb(np.asarray(one), main.primaries, main.transfer)
            return Image.fromarray(pixels), [tone.describe(main.primaries, main.transfer)]
        one.load()
        image = Image.frombytes(one.mode, one.size, one.data, "raw", one.mode, one.stride)
        if profile := one.info.get("icc_profile"):
            image.info["icc_profile"] = bytes(profile)
        return image, []


def open_heif(data: bytes, main: MainPicture) -> Opened:
    """Read the container. Raises whatever libheif raises."""
    import pi_heif

    deep = main.transfer in (tone.PQ, tone.HLG)
    return Opened(pi_heif.open_heif(BytesIO(data), convert_hdr_to_8bit=not deep), deep)
