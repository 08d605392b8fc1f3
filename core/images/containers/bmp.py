"""BMP: its decoder takes what it needs from the second header; the first one's file size is often wrong."""

from __future__ import annotations

import struct

from core.images.containers import Parts


def reduce(data: bytes, *, animated: bool = False) -> Parts:
    """The file as it is, with a note where it is not as long as its header says (0: not said)."""
    (size,) = struct.unpack_from("<I", data, 2)
    return Parts(data, notes=[] if size in (0, len(data)) else ["its size field is wrong or bytes follow its end"])
