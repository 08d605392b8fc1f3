"""How pictures come in: dropped or chosen, pasted, taken by camera, or an example."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

import streamlit as st

from core.datasets.folders import NO_PICTURE, why_not
from core.datasets.left_out import LeftOut, Reason
from core.errors import ImageError, InquisightError
from core.images.file_type import SUPPORTED
from ui.state.options import get_options
from ui.state.pictures import Held, Shelf, examples
from ui.state.session import visitor
from ui.text import complete, sentence
from ui.views.clipboard import paste_box
from ui.widgets.notices import Notices, draw_notices, notices_of

WAYS: Final = ("Upload", "Paste", "Camera", "Example")
_NOT_A_PICTURE: Final = Reason("not a picture", "not pictures")
_REFUSED: Final = Reason("not taken", "not taken")  # by the page or the visitor's limits, not for what is in it
# The page says itself what it takes, and tells in one message what it did not. Streamlit's own limits on type and size
# would speak of each file in the widget and vanish with it.
_CSS: Final = "<style>[data-testid=stFileUploaderDropzoneInstructions] { display: none; }</style>"


class PictureTarget(Protocol):
    """Where pictures are put."""

    uploads: int  # counted up after each one, so that the widget that held it lets go of its bytes

    def put(self, held: Held) -> None: ...


def intake(shelf: Shelf, desk: PictureTarget, *, key: str, several: bool = True) -> None:
    """Draw the ways in. A picture that came is put on `desk`; what was not taken is told until it is dismissed."""
    notices = notices_of(visitor(), key)
    place = f"{key}-intake"
    found = examples()
    ways = [way for way in WAYS if way != "Example" or found]
    with st.container(key=place):
        way = st.segmented_control(
            "Add a picture", ways, default=ways[0], required=True, key=f"{key}-way", width="stretch"
        )
    came: list[tuple[bytes, str]] = []
    try:
        came = _came(way or ways[0], f"{key}-{way}-{desk.uploads}", several)
        if way == "Example":
            came = _example(key)
    except InquisightError as error:
        notices.add(sentence(error))
    if came:
        take(shelf, desk, came, key, notices)
        desk.uploads += 1
        st.rerun()
    draw_notices(notices, focus=place)


def _came(way: str, key: str, several: bool) -> list[tuple[bytes, str]]:
    options = get_options()
    if way == "Upload":
        st.html(_CSS)
        label = "Drop pictures here" if several else "Drop a picture here"
        most = max(options.upload_mb, options.video_mb)
        files = st.file_uploader(label, accept_multiple_files=several, key=key, max_upload_size=most)
        st.caption(f"{SUPPORTED}; up to {options.upload_mb} MB each")
        given = files if isinstance(files, list) else [files] if files is not None else []
        return [(one.getvalue(), one.name) for one in given]
    if way == "Paste":
        return [(one.getvalue(), one.name) for one in paste_box(key=key, most_bytes=options.upload_mb * 1_000_000)]
    if way == "Camera":
        taken = st.camera_input("Take a picture", key=key)
        return [(taken.getvalue(), "camera.jpg")] if taken is not None else []
    return []


def _example(key: str) -> list[tuple[bytes, str]]:
    came = []
    with st.container(horizontal=True):
        for name, path in examples().items():
            if st.button(name.capitalize(), key=f"{key}-example-{name}", icon=":material/image:"):
                came = [(path.read_bytes(), path.name)]
    return came


def take(shelf: Shelf, desk: PictureTarget, came: Sequence[tuple[bytes, str]], page: str, notices: Notices) -> None:
    """Put every picture on `desk`; what cannot be is one message in `notices`, whatever the number of files."""
    left_out, lines = LeftOut(), []
    for data, name in came:
        held = None
        try:
            held = shelf.add(data, name, page)
            desk.put(held)
        except InquisightError as error:
            if held is not None:
                shelf.remove(held.id, page)
            left_out.add(_REFUSED if held is not None else reason_of(data, name, error), name)
            lines.append(complete(str(error)))
    if len(lines) == 1:
        notices.add(lines[0])
    elif lines:
        notices.add(f"{len(lines)} of {len(came)} files were not read: {left_out.reasons}.", lines)


def reason_of(data: bytes, name: str, error: InquisightError) -> Reason:
    """Why an uploaded file was not taken, in a word or two that read well after a number."""
    if isinstance(error, ImageError) and error.reason:
        return Reason.of_kind(error.reason)
    inside = why_not("", lambda: data)  # by what it holds, and only else by how it is called
    if inside is not NO_PICTURE:
        return inside or _REFUSED
    return named if (named := why_not(name, lambda: data)) and named is not NO_PICTURE else _NOT_A_PICTURE
