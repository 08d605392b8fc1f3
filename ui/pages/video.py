"""Video: two models talk about a video, frame by frame; the visitor watches, jumps to frames, and takes home."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import streamlit as st

from agents.interview.protocol import END_FAILED
from agents.video.driver import FRAMES, FRAMES_OF_SCENE, MOST_FRAMES, ROUNDS, ROUNDS_OF_SCENE
from agents.video.example import can_be_made, make_example
from agents.video.records import looked_at
from agents.video.sampling import MOST_SCENES, SAMPLINGS, Sampling
from agents.video.sheet import as_png, contact_sheet
from core.errors import InquisightError
from core.settings import get_settings
from core.video.base import clock
from ui.state import videos as films
from ui.state.jobs import queue_words, watch
from ui.state.model_choice import blocked
from ui.state.navigation import draw_kept
from ui.state.options import get_options
from ui.state.session import Visitor, visitor
from ui.state.videos import MOVING_PICTURES, PLAYED, VideoItem, VideoPageState, VideoSettings, desk_of
from ui.text import complete, count, label, plain, seconds, told
from ui.views.style import text
from ui.views.video_view import (
    CSS,
    AskedFrame,
    asked_of,
    asking_html,
    between,
    data_url,
    draw_film_downloads,
    often,
    question_html,
    said_of,
    scene_html,
    story_html,
    times_of,
    told_of,
)
from ui.widgets.attention import announce, lead_to
from ui.widgets.filmstrip import filmstrip
from ui.widgets.model_choice import choose_eye, choose_questioner, choose_seed, draw_blocked
from ui.widgets.notices import Notices, draw_notices, notices_of

WAYS: Final = ("Upload", "Example")
EXAMPLE: Final = "example.webm"
HOW: Final[dict[Sampling, str]] = {
    "uniform": "Evenly in time",
    "time": "One every few seconds",
    "scene": "Some of every scene",
    "key": "Frames that are stored whole",
}


def page() -> None:
    """Draw it."""
    me = visitor()
    desk = desk_of(me)
    st.html(CSS)
    st.title("Video")
    st.write("One model chooses a frame and asks, one looks at it. At the end you have a story of the whole.")
    left, right = st.columns([2, 3], gap="large")
    with left:
        _intake(desk)
        if desk.item is not None:
            _heading(desk.item)
        right_so_far = _settings(desk.setting)
        _start(me, desk, ready=right_so_far)
    with right:
        if desk.item is None:
            st.info("Add a video to begin, or take the example.", icon=":material/video_call:")
            return
        _player(desk.item)
        with st.container(key="video-talk"):
            _talk(me, desk.item)
        _change_dialog(me, desk.item)


# --- the video ----------------------------------------------------------------------------------------------------


def _intake(desk: VideoPageState) -> None:
    ways = [way for way in WAYS if way != "Example" or can_be_made()]
    with st.container(key="video-intake"):
        way = st.segmented_control(
            "Add a video", ways, default=ways[0], required=True, key="video-way", width="stretch"
        )
    notices = notices_of(visitor(), "video")
    with told():
        if way == "Example":
            if st.button("A cat and a cup of coffee", key="video-example", icon=":material/movie:"):
                with TemporaryDirectory(prefix="inquisight-example-") as folder:
                    _take(desk, notices, make_example(Path(folder) / EXAMPLE).open("rb"), EXAMPLE)
        else:
            key = f"video-upload-{desk.uploads}"
            file = st.file_uploader("Drop a video here", key=key, max_upload_size=get_options().video_mb)
            if file is not None:
                desk.uploads += 1  # so that the widget lets go of its bytes, also of those that are no video
                _take(desk, notices, file, file.name)
    draw_notices(notices, focus="video-intake")


def _take(desk: VideoPageState, notices: Notices, file: Any, name: str) -> None:
    try:
        with st.spinner("Looking through the video"), file:
            desk.put(films.films().add(file, name))
    except InquisightError as error:
        notices.add(complete(str(error)))
    st.rerun()


def _heading(item: VideoItem) -> None:
    if item.held is None:
        st.info(
            "This interview is kept without its video. Add the same video again to see its frames or go on with it.",
            icon=":material/videocam_off:",
        )
    with st.container(horizontal=True, vertical_alignment="center"):
        note = f", {plain(item.info.note)}" if item.info.note else ""
        st.caption(f"{plain(item.info.source)} ({item.info.width} × {item.info.height}{note})")
        st.button(
            f"Remove {label(item.info.source, 40)}",
            key="video-remove",
            type="tertiary",
            icon=":material/close:",
            help="Delete this video here; its transcript stays in the history",
            on_click=_remove,
        )


def _remove() -> None:
    desk_of(visitor()).remove()
    lead_to("video-intake", control=True)


def _player(item: VideoItem) -> None:
    """The video itself, where browsers have a chance to play it; the frame strip tells where one cannot."""
    held, view = item.held, item.view
    if held is None:
        return
    said = f"{held.label}: {view.summary}" if view.summary else f"{held.label}, not described yet"
    if held.kind in MOVING_PICTURES:
        st.image(str(held.path), alt=said, width="content")  # at its own size Streamlit leaves a GIF as it is
        if held.kind != "GIF":
            st.caption("It does not move here; its frames are shown below.")
    elif held.kind in PLAYED:
        st.video(str(held.path), format=PLAYED[held.kind], alt=said)
    else:
        st.info(
            f"Browsers do not play {held.kind} files. The frames are shown all the same; to watch it here, convert it "
            "to MP4 or WebM.",
            icon=":material/videocam_off:",
        )


# --- the settings -------------------------------------------------------------------------------------------------


def _settings(setting: VideoSettings) -> bool:
    """Whether they can be begun with."""
    setting.vision = choose_eye("video-eye", setting.vision)
    setting.questioner = choose_questioner("video-questioner", setting.questioner)
    setting.sampling = st.selectbox(
        "Which frames", SAMPLINGS, SAMPLINGS.index(setting.sampling), format_func=HOW.__getitem__, key="video-sampling"
    )
    if setting.sampling == "time":
        every = st.number_input("Seconds from one to the next", 0.1, 3600.0, setting.every, 0.5, key="video-every")
        setting.every = float(every)
    else:
        setting.frames = _number_or_none(
            "Frames",
            setting.frames,
            films.MOST_FRAMES,
            "video-frames",
            f"{FRAMES}; {FRAMES_OF_SCENE} of each scene of a longer video",
        )
    if setting.sampling == "time":
        setting.frames = None
        st.caption(f"At most {MOST_FRAMES} frames.")
    with st.expander("Settings", icon=":material/tune:"):
        return _more(setting)


def _more(setting: VideoSettings) -> bool:
    setting.rounds = _number_or_none(
        "Questions", setting.rounds, ROUNDS, "video-rounds", f"{ROUNDS}; {ROUNDS_OF_SCENE} of each scene"
    )
    setting.scenes = _number_or_none(
        "Scenes",
        setting.scenes,
        MOST_SCENES,
        "video-scenes",
        f"1 up to a minute, then up to {MOST_SCENES}",
        help="How many a video is told in at most, before the story of the whole; 1 tells it as a whole",
    )
    first, last = st.columns(2)
    with first:
        setting.begin = _second("From second", setting.begin, "video-from", "the beginning")
    with last:
        setting.until = _second("To second", setting.until, "video-to", "the end")
    every = st.toggle(
        "Send all earlier answers about a frame with each question",
        setting.context == -1,
        key="video-context",
        help="Otherwise only the last one, as vision models for short questions need it",
    )
    setting.context = -1 if every else max(1, get_settings().context)
    setting.language = st.text_input(
        "Language of the story", setting.language, key="video-language", placeholder="English", max_chars=40
    )
    setting.seed, right = choose_seed("video-seed", setting.seed)
    if not right:
        return False
    if setting.begin is not None and setting.until is not None and setting.until <= setting.begin:
        st.error("The end must be later than the beginning.")
        return False
    return True


def _number_or_none(label: str, value: int | None, most: int, key: str, usual: str, help: str = "") -> int | None:
    said = st.number_input(label, 1, most, value, 1, key=key, placeholder=usual, help=help or None)
    return None if said is None else int(said)


def _second(label: str, value: float | None, key: str, usual: str) -> float | None:
    said = st.number_input(label, 0.0, 6 * 3600.0, value, 1.0, key=key, placeholder=usual, format="%.1f")
    return None if said is None else float(said)


def _start(me: Visitor, desk: VideoPageState, *, ready: bool) -> None:
    item = desk.item
    again = item is not None and item.view.state in ("complete", "stopped", "failed")
    reason = blocked(vision=[desk.setting.vision], questioner=[desk.setting.questioner])
    can = ready and not reason and item is not None and item.held is not None and not item.active
    if st.button(
        "Start again" if again else "Start",
        type="primary",
        key="video-start",
        icon=":material/play_arrow:",
        width="stretch",
        disabled=not can,
    ):
        assert item is not None
        with told():
            films.begin(me, item, desk.setting)
            lead_to("video-talk")
            st.rerun()
    draw_blocked(reason)


# --- the talk -----------------------------------------------------------------------------------------------------


def _talk(me: Visitor, item: VideoItem) -> None:
    if item.watched is None:
        st.info("Press Start, and they begin to talk.", icon=":material/play_arrow:")
        return
    if item.view.caption is not None and not item.frames:
        with told(), st.spinner("Looking for the frames"):
            films.look_again(item)
    watch(item.job, lambda: _dialogue(item), key=f"video-talk-{item.key}")
    if not item.active:
        _ending(me, item)
    caption = item.view.caption
    if caption is not None and not item.active and caption.ended_because != END_FAILED:
        draw_film_downloads(caption, item.stem, key=f"video-get-{item.key}")
        held = item.held
        if held is not None and looked_at(caption):
            st.download_button(
                "Contact sheet",
                lambda: _sheet(item),
                f"{item.stem}-frames.png",
                "image/png",
                key=f"video-get-{item.key}-sheet",
                on_click="ignore",
                icon=":material/grid_view:",
                help="The frames that were asked about, as one picture",
            )
    if item.view.id:
        took = caption.seconds.get("total") if caption else None
        draw_kept(item.view.id, f", {seconds(took)}" if took else "")


def _sheet(item: VideoItem) -> bytes:
    assert item.view.caption is not None
    with item.open() as video:
        return as_png(contact_sheet(video, item.view.caption))


def _dialogue(item: VideoItem) -> None:
    view, job, asked = item.view, item.job, asked_of(item.view)
    lines = [f"Frame {one.frame}: {one.turn.question} Answer: {one.turn.answer or 'nothing'}" for one in asked]
    if view.state == "complete" and view.summary:
        lines.append(f"The story: {view.summary}")
    announce(lines, of=item.key, key="announce-video")
    if item.active and job is not None:
        with st.container(horizontal=True, vertical_alignment="center"):
            words = queue_words(job)
            st.html(f'<p class="iq-dots">{text(words[:1].upper() + words[1:])}</p>')
            st.button(
                "Stop",
                key=f"video-stop-{item.key}",
                icon=":material/stop:",
                on_click=job.stop,
                disabled=job.state == "stopping",
            )
    _strip(item, asked)
    _chosen(item, asked)
    if story := story_html(view):
        st.html(story)
    _scenes(item)
    _questions(item, asked)


def _ending(me: Visitor, item: VideoItem) -> None:
    """How it ended, where that was not its end; outside of what is drawn again and again, so that no click is lost."""
    view = item.view
    if wrong := films.trouble(item):
        st.error(plain(wrong), icon=":material/error:")
    if view.save_error:
        st.warning(plain(complete(view.save_error)))
    if view.state in ("failed", "stopped") and item.held is not None:
        if view.state == "stopped":
            st.info(f"Stopped after {count(len(asked_of(view)), 'answer')}.", icon=":material/pause:")
        if st.button("Go on", key=f"video-goon-{item.key}", icon=":material/play_arrow:"):
            with told():
                films.go_on(me, item)
                st.rerun()


def _strip(item: VideoItem, asked: list[AskedFrame]) -> None:
    view = item.view
    if not view.times:
        return
    counts = times_of(asked, view)
    firsts = {part.first for part in view.parts}
    now = asking_of(item)
    frames = [
        {
            "number": number,
            "seconds": at,
            "when": clock(at, exact=True),
            "words": f"Frame {number} at {clock(at, exact=True)}, {often(counts[number - 1])}",
            "picture": data_url(item.frames[number].small) if number in item.frames else "",
            "asked": counts[number - 1],
            "now": number == now,
            "first": number in firsts,
        }
        for number, at in enumerate(view.times, start=1)
    ]
    filmstrip(
        frames,
        chosen=item.chosen,
        jumps=item.jumps,
        kind=item.held.kind if item.held else "",
        key=f"video-strip-{item.key}",
        on_chosen=lambda number: item.choose(number, jump=False),
    )


def asking_of(item: VideoItem) -> int | None:
    """The frame that is being asked about."""
    from agents.video.interview import frame_of

    return frame_of(item.view.asked) if item.view.asked else None


def _chosen(item: VideoItem, asked: list[AskedFrame]) -> None:
    """The chosen frame, large, beside what was said of it."""
    number = item.chosen
    if number is None or number > len(item.view.times):
        return
    when = clock(item.view.times[number - 1], exact=True)
    mine = [one for one in asked if one.frame == number]
    with st.container(border=True, key=f"video-chosen-{item.key}"):
        picture, words = st.columns([3, 2])
        with picture:
            if number in item.frames:
                alt = said_of(asked, number) or f"Frame {number}, not described yet"
                st.image(item.frames[number].large, alt=alt, width="stretch")
            else:
                st.caption("This frame has not been looked at yet." if item.held else "The video is not here.")
        with words:
            st.html(f'<div class="iq-said"><p class="iq-q">Frame {number} at {when}</p><p>{often(len(mine))}</p></div>')
            if mine:
                lines = (f"<p><b>{text(one.turn.question)}</b> {text(one.turn.answer)}</p>" for one in mine)
                st.html(f'<div class="iq-said">{"".join(lines)}</div>')
        if _may_steer(item):
            _own_question(item, number)


def _may_steer(item: VideoItem) -> bool:
    """Whether the visitor may ask and put right: the two have talked, rest now, and the video is there."""
    return bool(item.view.turns) and item.held is not None and not item.active


def _own_question(item: VideoItem, number: int) -> None:
    with st.form(f"video-ask-{item.key}-{number}", clear_on_submit=True, border=False):
        words, button = st.columns([4, 1], vertical_alignment="bottom")
        asked = words.text_input(
            f"Ask about frame {number}",
            key=f"video-question-{item.key}-{number}",
            max_chars=240,
            placeholder="A question of your own",
        )
        if button.form_submit_button("Ask", icon=":material/send:", width="stretch") and item.watched is not None:
            with told():
                item.watched.ask(number, asked)
                films.go_on(visitor(), item)
                st.rerun()


def _scenes(item: VideoItem) -> None:
    for number, (part, said) in enumerate(told_of(item.view), start=1):
        with st.container(key=f"jump-{item.key}-scene-{number}", gap=None):
            st.html(scene_html(number, part, said))
            _jump(item, part.first, f"scene {number}", f"scene-{number}")


def _questions(item: VideoItem, asked: list[AskedFrame]) -> None:
    view = item.view
    if not asked and not view.asked:
        return
    several = len(view.parts) > 1
    for place, part in enumerate(view.parts, start=1):
        mine = [one for one in asked if one.frame in part]
        pending = view.asked and asking_of(item) in part
        if not mine and not pending:
            continue
        title = f"Scene {place}, {between(part.begin, part.end)}: {count(len(mine), 'question')}"
        box = st.expander(title, expanded=False) if several else st.container(gap="small")
        with box:
            for one in mine:
                with st.container(key=f"jump-{item.key}-{one.number}", gap=None):
                    st.html(question_html(one, item.frames.get(one.frame)))
                    with st.container(horizontal=True, gap="small"):
                        _jump(item, one.frame, clock(one.seconds, exact=True), str(one.number), one.number)
                        if _may_steer(item) and st.button(
                            f"Change answer {one.number}",
                            key=f"video-change-{item.key}-{one.number}",
                            type="tertiary",
                            icon=":material/edit:",
                        ):
                            st.session_state["video.change"] = (item.info.sha256, one.number)
                            st.rerun()
        if pending:
            st.html(asking_html(view, len(asked) + 1, item.frames))


# --- putting an answer right --------------------------------------------------------------------------------------


def _forget_change() -> None:
    st.session_state.pop("video.change", None)


def _change_dialog(me: Visitor, item: VideoItem) -> None:
    """Open while the visitor has not said what the answer should be; it survives what happens beside it."""
    sha256, number = st.session_state.get("video.change", ("", 0))
    asked = asked_of(item.view)
    watched = item.watched
    if sha256 != item.info.sha256 or not 0 < number <= len(asked) or watched is None or not _may_steer(item):
        _forget_change()
        return
    one = asked[number - 1]

    @st.dialog(f"Change answer {number}", on_dismiss=_forget_change)
    def change() -> None:
        st.html(f'<p class="iq-q">Frame {one.frame}: {text(one.turn.question)}</p>')
        with st.form("video-change", border=False):
            answer = st.text_area(
                "The right answer", one.turn.answer, max_chars=700, key=f"video-change-answer-{item.key}-{number}"
            )
            st.caption("The questions stay; the story is written anew.")
            if st.form_submit_button("Change and tell anew", type="primary"):
                with told():
                    watched.correct(one.place, answer)
                    films.go_on(me, item)
                    _forget_change()
                    st.rerun()

    change()


def _jump(item: VideoItem, frame: int, where: str, name: str, question: int | None = None) -> None:
    st.button(
        f"Jump to {where}",
        key=f"video-jump-{item.key}-{name}",
        type="tertiary",
        icon=":material/play_circle:",
        help=f"Show the frame of question {question}" if question else None,
        on_click=item.choose,
        args=(frame,),
    )
