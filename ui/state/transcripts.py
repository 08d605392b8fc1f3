"""The transcript store, one for this server, and what a visitor takes home from it."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterable

import streamlit as st

from core.records import Caption, Chat
from core.settings import get_settings
from core.store.transcripts import TranscriptStore
from ui.state.session import Visitor


@st.cache_resource(show_spinner=False)
def _store(url: str) -> TranscriptStore:
    return TranscriptStore(url)


def store() -> TranscriptStore:
    """Where transcripts are kept. Its methods raise StoreError."""
    return _store(get_settings().database_url)


def saver(visitor: Visitor) -> Callable[[Caption | Chat], str]:
    """`TranscriptStore.add` that remembers whose transcript it is; for threads as well as pages."""
    shelf = store()

    def save(record: Caption | Chat) -> str:
        id = shelf.add(record)
        visitor.made(id)
        return id

    return save


def as_text(caption: Caption) -> str:
    """An interview as `inquisight show` prints it into a file."""
    from agents.cli.render.interview import PlainPrinter, replay

    out = io.StringIO()
    printer = PlainPrinter(out)
    for event in replay(caption):
        printer.event(event)
    return out.getvalue()


def as_json(caption: Caption) -> str:
    """One JSON object that `Caption.from_json` reads."""
    return caption.to_json(indent=2) + "\n"


def as_sidecar(caption: Caption) -> str:
    """What `--save-beside` writes beside the picture."""
    return caption.text + "\n"


def as_archive(captions: Iterable[tuple[str, Caption]]) -> bytes:
    """A ZIP of (name without suffix, caption): one description beside each picture's name, and all as JSON Lines."""
    out = io.BytesIO()
    taken: set[str] = set()
    lines = []
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for stem, caption in captions:
            name, number = stem, 2
            while name in taken:
                name, number = f"{stem}-{number}", number + 1
            taken.add(name)
            archive.writestr(f"{name}.txt", as_sidecar(caption))
            lines.append(json.dumps(json.loads(caption.to_json()), ensure_ascii=False))
        archive.writestr("interviews.jsonl", "\n".join(lines) + "\n")
    return out.getvalue()
