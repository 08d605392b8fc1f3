"""The transcript store of this server, and transcripts as files."""

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
    """The transcript store. Its methods raise StoreError."""
    return _store(get_settings().database_url)


def saver(visitor: Visitor) -> Callable[[Caption | Chat], str]:
    """`TranscriptStore.add` that also records whose transcript it is; for pages and threads."""
    transcripts = store()
    kept: set[str] = set()  # pictures whose thumbnail is stored

    def save(record: Caption | Chat) -> str:
        id = transcripts.add(record)
        visitor.transcripts.add(id)
        pictures = (record.picture,) if isinstance(record, Caption) else record.pictures
        upload = visitor.images.get(pictures[0].sha256) if pictures else None
        if upload is not None and upload.id not in kept:  # a record is saved after every answer
            transcripts.add_thumbnail(upload.id, upload.thumbnail)
            kept.add(upload.id)
        return id

    return save


def as_text(record: Caption | Chat) -> str:
    """A transcript as `inquisight show` writes it into a file."""
    from agents.cli.render import chat
    from agents.cli.render.interview import InterviewPrinter, replay
    from agents.cli.render.output import PlainOutput

    if isinstance(record, Chat):
        return chat.as_text(record)
    out = io.StringIO()
    printer = InterviewPrinter(PlainOutput(out))
    for event in replay(record):
        printer.event(event)
    return out.getvalue()


def as_archive(captions: Iterable[tuple[str, Caption]]) -> bytes:
    """A ZIP of (name without suffix, caption): one caption file each, and all transcripts as JSON Lines."""
    out = io.BytesIO()
    names: set[str] = set()
    lines = []
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for stem, caption in captions:
            name, number = stem, 2
            while name in names:
                name, number = f"{stem}-{number}", number + 1
            names.add(name)
            archive.writestr(f"{name}.txt", f"{caption.text}\n")
            lines.append(json.dumps(json.loads(caption.to_json()), ensure_ascii=False) + "\n")
        archive.writestr("interviews.jsonl", "".join(lines))
    return out.getvalue()
