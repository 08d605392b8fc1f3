"""Video: a language model questions a vision model about the frames of a video, and writes a caption with scenes."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Final

import streamlit as st

from agents.interview.protocol import END_FAILED
from agents.styles.owner import CONTEXT_CHARS
from agents.video.driver import FRAMES, FRAMES_OF_SCENE, MOST_FRAMES, ROUNDS, ROUNDS_OF_SCENE
from agents.video.example import can_be_made, make_example
from agents.video.interview import frame_of
from agents.video.records import frame_turns
from agents.video.sampling import MOST_SCENES, SAMPLINGS, Sampling
from agents.video.sheet import as_png, contact_sheet
from core.errors import InquisightError
from core.video.base import clock
from ui.controls import (
    act_button,
    button,
    close_dialog,
    dialog_value,
    download,
    draw_job,
    header,
    note,
    open_dialog,
    refresh,
)
from ui.state.options import get_options
from ui.state.session import Visitor, visitor
from ui.state.video_store import video_store
from ui.state.videos import MAX_FRAMES, VideoItem, VideoPageState, VideoSettings, begin, page_state, resume
from ui.text import count, escape, sentence, show_errors
from ui.views.exports import draw_exports
from ui.views.video_view import (
    AskedFrame,
    asked_frames,
    asking_html,
    caption_html,
    captioned_scenes,
    draw_witnessed,
    known_about,
    question_html,
    scene_html,
    span,
    strip_frames,
)
from ui.widgets.attention import announce, focus_on
from ui.widgets.description import draw_edit
from ui.widgets.filmstrip import filmstrip
from ui.widgets.interview_parts import correction_dialog, draw_end, draw_file, draw_saved, draw_start
from ui.widgets.model_choice import choose_asking, choose_audit, choose_dialogue, choose_models, choose_witnesses
from ui.widgets.notices import Notices, draw_notices, notices_of

EXAMPLE: Final = "example.webm"
SAMPLING_NAMES: Final[dict[Sampling, str]] = {
    "uniform": "Evenly spaced",
    "time": "At a fixed interval",
    "scene": "Several of each scene",
    "key": "Keyframes",
}
# The media type that browsers are told. They detect Matroska and MOV by content, or report that they cannot play them.
PLAYABLE: Final = {
    "MP4": "video/mp4",
    "MOV": "video/mp4",
    "WebM": "video/webm",
    "Matroska": "video/x-matroska",
    "Ogg": "video/ogg",
}
ANIMATED_IMAGES: Final = ("GIF", "WEBP", "PNG")


def page() -> None:
    """Draw the page."""
    me = visitor()
    state = page_state(me)
    header("Video", "A language model asks a vision model about single frames, then writes a caption of the video.")
    left, right = st.columns([2, 3], gap="large")
    with left:
        _add(state, notices_of(me, "video"))
        if (item := state.item) is not None:
            if item.upload is None:
                note("The video is not stored with this interview. Add it again to resume.", "videocam_off")
            draw_file(item, "video-remove", _remove)
        if item is not None:
            _tell(state.settings, item)
        valid = _settings(state.settings)
        again = item is not None and item.view.state in ("complete", "stopped", "failed")
        ready = valid and item is not None and item.upload is not None and not item.active

        def start() -> None:
            if item is not None:
                begin(me, item, state.settings)

        name = "Restart" if again else "Start"
        draw_start(name, "video-start", state.settings, ready=ready, start=start, focus="video-talk")
    with right:
        if state.item is None:
            note("Add a video to begin, or choose the example.", "video_call")
            return
        _player(state.item)
        with st.container(key="video-talk"):
            _interview(me, state.item)
        _correction_dialog(me, state.item)


# --- the video ----------------------------------------------------------------------------------------------------


def _add(state: VideoPageState, notices: Notices) -> None:
    """Ways to add a video."""
    ways = ["Upload", *(["Example"] if can_be_made() else [])]
    with st.container(key="video-intake"):
        way = st.segmented_control(
            "Add a video", ways, default="Upload", required=True, key="video-way", width="stretch"
        )
    with show_errors():
        if way == "Example":
            if button("A cat and a cup of coffee", "video-example", icon="movie"):
                with TemporaryDirectory(prefix="inquisight-example-") as folder:
                    _store(state, notices, make_example(Path(folder) / EXAMPLE).open("rb"), EXAMPLE)
        else:
            uploads = st.session_state.setdefault("video-uploads", 0)
            key = f"video-upload-{uploads}"  # a new widget after each upload frees the bytes in the widget
            file = st.file_uploader("Drop a video here", key=key, max_upload_size=get_options().video_mb)
            if file is not None:
                st.session_state["video-uploads"] += 1
                _store(state, notices, file, file.name)
    draw_notices(notices, focus="video-intake")


def _store(state: VideoPageState, notices: Notices, file: IO[bytes], name: str) -> None:
    try:
        with st.spinner("Checking the video"), file:
            state.put(video_store().add(file, name))
    except InquisightError as error:
        notices.add(sentence(str(error)))
    st.rerun()


def _remove() -> None:
    page_state(visitor()).remove()
    focus_on("video-intake", control=True)


def _player(item: VideoItem) -> None:
    """The video in the browser's player, if its format can be played; the timeline says if this browser cannot."""
    upload, view = item.upload, item.view
    if upload is None:
        return
    alt = f"{upload.label}: {view.text or 'no caption yet'}"
    if upload.format in ANIMATED_IMAGES:
        st.image(str(upload.path), alt=alt, width="content")  # at its own size Streamlit sends a GIF unchanged
        if upload.format != "GIF":
            st.caption("The animation is not played here; its frames are shown below.")
    elif upload.format in PLAYABLE:
        st.video(str(upload.path), format=PLAYABLE[upload.format], alt=alt)
    else:
        words = (
            f"Browsers do not play {upload.format} files. The frames are shown anyway; to play it, convert it to MP4."
        )
        note(words, "videocam_off")


# --- settings -----------------------------------------------------------------------------------------------------


def _tell(settings: VideoSettings, item: VideoItem) -> None:
    """A field for what the visitor knows of the video."""
    settings.told = st.text_area(
        "What you know of the video",
        settings.told,
        key=f"video-told-{item.key}",
        height=68,
        max_chars=CONTEXT_CHARS,
        placeholder="Our cat Luna, in Cairo",
        help="Who is shown, where and when. Questions and caption use it as true; the caption marks it as told.",
    )


def _settings(settings: VideoSettings) -> bool:
    """Draw the settings; returns whether they are valid."""
    choose_models(settings, "video")
    place = SAMPLINGS.index(settings.sampling)
    settings.sampling = st.selectbox(
        "Frame sampling", SAMPLINGS, place, format_func=SAMPLING_NAMES.__getitem__, key="video-sampling"
    )
    if settings.sampling == "time":
        every = st.number_input("Interval in seconds", 0.1, 3600.0, settings.every, 0.5, key="video-every")
        settings.every, settings.frames = float(every), None
        st.caption(f"At most {MOST_FRAMES} frames.")
    else:
        usual = f"{FRAMES}, or {FRAMES_OF_SCENE} of each scene"
        settings.frames = _number("Frames", settings.frames, MAX_FRAMES, "video-frames", usual)
    with st.expander("Settings", icon=":material/tune:"):
        usual = f"{ROUNDS}, or {ROUNDS_OF_SCENE} of each scene"
        settings.rounds = _number("Questions", settings.rounds, ROUNDS, "video-rounds", usual)
        usual = f"1 up to a minute, then up to {MOST_SCENES}"
        about = "Maximum number of scenes that get their own caption; 1 captions the video as a whole"
        settings.scenes = _number("Scenes", settings.scenes, MOST_SCENES, "video-scenes", usual, about)
        first, last = st.columns(2)
        with first:
            settings.begin = _time("From second", settings.begin, "video-from", "start")
        with last:
            settings.until = _time("To second", settings.until, "video-to", "end")
        choose_witnesses(settings, "video")
        valid = choose_asking(settings, "video", settings.rounds)
        choose_audit(settings, "video")
        valid = choose_dialogue(settings, "video") and valid
        if settings.begin is not None and settings.until is not None and settings.until <= settings.begin:
            st.error("The end must be later than the start.")
            return False
        return valid


def _number(label: str, value: int | None, most: int, key: str, usual: str, help: str | None = None) -> int | None:
    number = st.number_input(label, 1, most, value, 1, key=key, placeholder=usual, help=help)
    return None if number is None else int(number)


def _time(label: str, value: float | None, key: str, usual: str) -> float | None:
    number = st.number_input(label, 0.0, 6 * 3600.0, value, 1.0, key=key, placeholder=usual, format="%.1f")
    return None if number is None else float(number)


# --- the interview ------------------------------------------------------------------------------------------------


def _interview(me: Visitor, item: VideoItem) -> None:
    if item.live is None:
        note("Choose the models, and press Start.", "play_arrow")
        return
    if item.view.caption is not None and not item.frames:
        with show_errors(), st.spinner("Reading the frames"):
            item.load_frames()
    refresh(lambda: item.active, lambda: _dialogue(me, item), key=f"video-talk-{item.key}")
    if not item.active:  # outside of the refreshed part
        draw_end(item, item.view, len(asked_frames(item.view)), partial(resume, me, item), "video-talk")
    view, caption = item.view, item.view.caption
    if caption is not None and not item.active and caption.ended_because != END_FAILED:
        draw_exports(caption, item.stem, key=f"video-get-{item.key}")
        if item.upload is not None and frame_turns(caption):
            about, key = "The frames with questions in one image", f"video-get-{item.key}-sheet"
            download(
                "Contact sheet", partial(_sheet, item), f"{item.stem}-frames.png", key, icon="grid_view", help=about
            )
    draw_saved(view)


def _sheet(item: VideoItem) -> bytes:
    assert item.view.caption is not None
    with item.open() as video:
        return as_png(contact_sheet(video, item.view.caption))


def _dialogue(me: Visitor, item: VideoItem) -> None:
    view, asked = item.view, asked_frames(item.view)
    lines = [f"Frame {one.frame}: {one.turn.question} Answer: {one.turn.answer or 'nothing'}" for one in asked]
    if view.state == "complete" and view.summary:
        lines.append(f"Caption: {view.summary}")
    announce(lines, of=item.key, key="announce-video")
    if item.active and item.job is not None:
        draw_job(item.job, f"video-stop-{item.key}")
    if view.times:
        filmstrip(
            strip_frames(view, asked, item.frames, frame_of(view.asked) if view.asked else None),
            chosen=item.chosen,
            jumps=item.jumps,
            kind=item.upload.format if item.upload else "",
            key=f"video-strip-{item.key}",
            on_chosen=lambda number: item.choose(number, jump=False),
        )
    _chosen_frame(me, item, asked)
    if caption := caption_html(view):
        st.html(caption)
        if not item.active and item.live is not None:
            draw_edit("video", view.caption, item.key, item.live.edit)
    draw_witnessed(view)
    for number, (part, text) in enumerate(captioned_scenes(view), start=1):
        with st.container(key=f"jump-{item.key}-scene-{number}", gap=None):
            st.html(scene_html(number, part, text))
            _jump(item, part.first, f"scene {number}", f"scene-{number}")
    _questions(item, asked)


def _chosen_frame(me: Visitor, item: VideoItem, asked: list[AskedFrame]) -> None:
    """The chosen frame, large, beside its questions and answers."""
    number = item.chosen
    if number is None or number > len(item.view.times):
        return
    mine = [one for one in asked if one.frame == number]
    with st.container(border=True, key=f"video-chosen-{item.key}"):
        image, words = st.columns([3, 2])
        with image:
            if number in item.frames:
                alt = known_about(asked, number) or f"Frame {number}, no answers yet"
                st.image(item.frames[number].large, alt=alt, width="stretch")
            else:
                st.caption("This frame is not decoded yet." if item.upload else "The video is not here.")
        with words:
            when = clock(item.view.times[number - 1], exact=True)
            lines = "".join(f"<p><b>{escape(one.turn.question)}</b> {escape(one.turn.answer)}</p>" for one in mine)
            facts = f'<p class="iq-q">Frame {number} at {when}</p><p>{count(len(mine), "question")}</p>'
            st.html(f'<div class="iq-facts">{facts}{lines}</div>')
        live = item.live
        if not item.may_change or live is None:
            return
        with st.form(f"video-ask-{item.key}-{number}", clear_on_submit=True, border=False):
            field, send = st.columns([4, 1], vertical_alignment="bottom")
            key = f"video-question-{item.key}-{number}"
            question = field.text_input(f"Ask about frame {number}", key=key, max_chars=240)
            if send.form_submit_button("Ask", icon=":material/send:", width="stretch"):
                with show_errors():
                    live.ask(number, question)
                    resume(me, item)
                    st.rerun()


def _questions(item: VideoItem, asked: list[AskedFrame]) -> None:
    """Questions and answers, by scene."""
    view = item.view
    now = frame_of(view.asked) if view.asked else None
    for place, part in enumerate(view.parts, start=1):
        mine = [one for one in asked if one.frame in part]
        pending = now is not None and now in part
        if not mine and not pending:
            continue
        title = f"Scene {place}, {span(part)}: {count(len(mine), 'question')}"
        with st.expander(title) if len(view.parts) > 1 else st.container(gap="small"):
            for one in mine:
                with st.container(key=f"jump-{item.key}-{one.number}", gap=None):
                    st.html(question_html(one, item.frames.get(one.frame)))
                    with st.container(horizontal=True, gap="small"):
                        about = f"Show the frame of question {one.number}"
                        _jump(item, one.frame, one.when, str(one.number), help=about)
                        name, key = f"Correct answer {one.number}", f"video-change-{item.key}-{one.number}"
                        if item.may_change and button(name, key, icon="edit", type="tertiary"):
                            open_dialog("video", (item.info.sha256, one.number))
                            st.rerun()
        if pending:
            st.html(asking_html(view, len(asked) + 1, item.frames))


def _jump(item: VideoItem, frame: int, where: str, name: str, help: str | None = None) -> None:
    key = f"video-jump-{item.key}-{name}"
    act_button(f"Jump to {where}", key, item.choose, frame, icon="play_circle", type="tertiary", help=help)


def _correction_dialog(me: Visitor, item: VideoItem) -> None:
    sha256, number = dialog_value("video") or ("", 0)
    asked, live = asked_frames(item.view), item.live
    if sha256 != item.info.sha256 or not 0 < number <= len(asked) or live is None or not item.may_change:
        close_dialog("video")
        return
    one = asked[number - 1]

    def submit(answer: str, _: bool) -> None:
        live.correct(one.place, answer)
        resume(me, item)

    question, key = f"Frame {one.frame}: {one.turn.question}", f"{item.key}-{number}"
    correction_dialog("video", number, key, question, one.turn.answer, submit, ask=False)
