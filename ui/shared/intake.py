"""How pictures come in: dropped or chosen, pasted, taken by camera, or an example."""

from __future__ import annotations

from typing import Final, Protocol

import streamlit as st

from core.errors import InquisightError
from ui.shared.clipboard import paste_box
from ui.shared.options import get_options
from ui.shared.pictures import TYPES, Held, Shelf, examples
from ui.shared.words import complete, plain, told

WAYS: Final = ("Upload", "Paste", "Camera", "Example")


class Desk(Protocol):
    """Where pictures are put."""

    uploads: int  # counted up after each one, so that the widget that held it lets go of its bytes

    def put(self, held: Held) -> None: ...


def intake(shelf: Shelf, desk: Desk, *, key: str, several: bool = True) -> None:
    """Draw the ways in; a picture that came is put on `desk`, and one that cannot be used is told in a sentence."""
    messages = f"{key}.intake"
    found = examples()
    ways = [way for way in WAYS if way != "Example" or found]
    with st.container(key=f"{key}-intake"):
        way = st.segmented_control(
            "Add a picture", ways, default=ways[0], required=True, key=f"{key}-way", width="stretch"
        )
    number = f"{key}-{way}-{desk.uploads}"
    limit = get_options().upload_mb
    came: list[tuple[bytes, str]] = []
    with told():
        if way == "Upload":
            label = "Drop pictures here" if several else "Drop a picture here"
            files = st.file_uploader(
                label, type=list(TYPES), accept_multiple_files=several, key=number, max_upload_size=limit
            )
            given = files if isinstance(files, list) else [files] if files is not None else []
            came = [(one.getvalue(), one.name) for one in given]
        elif way == "Paste":
            came = [(one.getvalue(), one.name) for one in paste_box(key=number, most_bytes=limit * 1_000_000)]
        elif way == "Camera":
            taken = st.camera_input("Take a picture", key=number)
            came = [(taken.getvalue(), "camera.jpg")] if taken is not None else []
        else:
            with st.container(horizontal=True):
                for name, path in found.items():
                    if st.button(name.capitalize(), key=f"{key}-example-{name}", icon=":material/image:"):
                        came = [(path.read_bytes(), path.name)]
    if came:
        wrong = []
        for data, name in came:
            try:
                held = shelf.add(data, name, key)
                try:
                    desk.put(held)
                except InquisightError:
                    shelf.remove(held.id, key)
                    raise
            except InquisightError as error:
                wrong.append(complete(str(error)))
        st.session_state[messages] = wrong
        desk.uploads += 1
        st.rerun()
    for line in st.session_state.pop(messages, ()):
        st.error(plain(line), icon=":material/broken_image:")
