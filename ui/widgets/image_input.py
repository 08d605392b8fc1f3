"""Ways to add images: upload, paste, camera, and examples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

import streamlit as st

from core.datasets.folders import NO_PICTURE, why_not
from core.datasets.left_out import LeftOut, Reason
from core.errors import ImageError, InquisightError
from core.images.decode import supported
from ui.controls import button
from ui.state.images import ImageStore, UploadedImage, example_thumbnail, examples
from ui.state.options import get_options
from ui.state.session import visitor
from ui.text import error_message, sentence
from ui.views.clipboard import paste_box
from ui.widgets.notices import Notices, draw_notices, notices_of

WAYS: Final = ("Upload", "Paste", "Camera", "Example")
EXAMPLE_WIDTH: Final = 150  # pixels
_NOT_AN_IMAGE: Final = Reason("not an image", "not images")
_REFUSED: Final = Reason("refused", "refused")  # because of limits, not of the content
# The page checks type and size, and reports all rejected files in one message. Streamlit would report each file in the
# widget, and the report would vanish with it.
_CSS: Final = "<style>[data-testid=stFileUploaderDropzoneInstructions] { display: none; }</style>"


class ImageTarget(Protocol):
    """A page state that takes images."""

    def put(self, upload: UploadedImage) -> None: ...


def draw_image_input(target: ImageTarget, page: str, *, several: bool = True) -> None:
    """Draw the ways to add images, and pass new images to `target`; rejected files are reported in a notice."""
    me = visitor()
    notices = notices_of(me, page)
    found = examples()
    ways = [way for way in WAYS if way != "Example" or found]
    with st.container(key=f"{page}-intake"):
        label = "Add images" if several else "Add an image"
        way = st.segmented_control(label, ways, default=ways[0], required=True, key=f"{page}-way", width="stretch")
    version = f"{page}-uploads"  # a new widget key after each upload frees the bytes in the widget
    key = f"{page}-{way}-{st.session_state.setdefault(version, 0)}"
    try:
        files = _files(way or ways[0], key, page, several)
    except InquisightError as error:
        files = []
        notices.add(error_message(error))
    if files:
        _add(me.images, target, files, page, notices)
        st.session_state[version] += 1
        st.rerun()
    draw_notices(notices, focus=f"{page}-intake")


def _files(way: str, key: str, page: str, several: bool) -> list[tuple[bytes, str]]:
    """Bytes and name of the files that were added in this run."""
    options = get_options()
    if way == "Upload":
        st.html(_CSS)
        label = "Drop images here" if several else "Drop an image here"
        limit = max(options.upload_mb, options.video_mb)
        files = st.file_uploader(label, accept_multiple_files=several, key=key, max_upload_size=limit)
        st.caption(f"{supported()}; larger ones than {options.upload_mb} MB are scaled down")
        given = files if isinstance(files, list) else [files] if files is not None else []
        return [(file.getvalue(), file.name) for file in given]
    if way == "Paste":
        return paste_box(key=key, max_bytes=options.upload_mb * 1_000_000)
    if way == "Camera":
        photo = st.camera_input("Take a photo", key=key)
        return [(photo.getvalue(), "camera.jpg")] if photo is not None else []
    chosen = []
    with st.container(horizontal=True):
        for name, path in examples().items():
            with st.container(width=EXAMPLE_WIDTH, gap="small"):
                st.image(example_thumbnail(path), alt=name, width="stretch")
                if button(name.capitalize(), f"{page}-example-{name}", icon="image", width="stretch"):
                    chosen.append((path.read_bytes(), path.name))
    return chosen


def _add(
    images: ImageStore, target: ImageTarget, files: Sequence[tuple[bytes, str]], page: str, notices: Notices
) -> None:
    """Pass every image to `target`, and report all rejected files in one message."""
    left_out, lines = LeftOut(), []
    for data, name in files:
        upload = None
        try:
            upload = images.add(data, name, page)
            target.put(upload)
        except InquisightError as error:
            if upload is not None:
                images.remove(upload.id, page)
            left_out.add(_REFUSED if upload is not None else _reason(data, name, error), name)
            lines.append(sentence(str(error)))
    if len(lines) == 1:
        notices.add(lines[0])
    elif lines:
        notices.add(f"{len(lines)} of {len(files)} files were not added: {left_out.reasons}.", lines)


def _reason(data: bytes, name: str, error: InquisightError) -> Reason:
    """Why a file was rejected, in one or two words that fit after a number."""
    if isinstance(error, ImageError) and error.reason:
        return Reason.of_kind(error.reason)
    by_content = why_not("", lambda: data)  # the name counts only if the content tells nothing
    if by_content is not NO_PICTURE:
        return by_content or _REFUSED
    by_name = why_not(name, lambda: data)
    return by_name if by_name and by_name is not NO_PICTURE else _NOT_AN_IMAGE
