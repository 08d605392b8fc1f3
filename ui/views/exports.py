"""Exports of a transcript: copy the caption, or download files."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from agents.video.records import is_video
from agents.video.timeline import cues, to_subrip, to_webvtt
from core.records import Caption, Chat
from ui.controls import download
from ui.state.transcripts import as_archive, as_text
from ui.views.clipboard import copy_button


def draw_exports(record: Caption | Chat, stem: str, *, key: str) -> None:
    """The caption, its transcript as text and JSON and, for a video, subtitles; files are named after `stem`."""
    with st.container(horizontal=True, vertical_alignment="center"):
        end = ""
        if isinstance(record, Caption):
            end = "-interview"
            copy_button(record.text, "Copy caption", key=f"{key}-copy")
            download("Caption (TXT)", f"{record.text}\n", f"{stem}.txt", f"{key}-caption", help="The caption alone")
        files: list[tuple[str, str, Callable[[], str], str]] = [
            ("Transcript (TXT)", f"{end}.txt", lambda: as_text(record), "The whole dialogue, to read"),
            ("Transcript (JSON)", f"{end}.json", lambda: record.to_json(indent=2) + "\n", "Everything, for programs"),
        ]
        if isinstance(record, Caption) and is_video(record) and (timeline := cues(record)):
            files += [
                ("Subtitles (WebVTT)", ".vtt", lambda: to_webvtt(timeline), "The caption with times, for players"),
                ("Subtitles (SRT)", ".srt", lambda: to_subrip(timeline), "The caption with times, as SubRip"),
            ]
        for label, suffix, data, about in files:
            download(label, data, f"{stem}{suffix}", f"{key}-{suffix}", help=about)


def draw_archive(captions: list[tuple[str, Caption | None]], name: str, key: str, *, fewest: int = 1) -> None:
    """Captions, each with its name without suffix, as one ZIP file; nothing if there are fewer than `fewest`."""
    done = [(stem, caption) for stem, caption in captions if caption is not None]
    if len(done) >= fewest:
        download("All captions (ZIP)", lambda: as_archive(done), name, key, icon="folder_zip")
