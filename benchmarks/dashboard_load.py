"""Load-test the dashboard: answers, separation of the visitors' data, and memory with many visitors at once.

    python -m benchmarks.dashboard_load                           20 visitors at once, three waves of them
    python -m benchmarks.dashboard_load --visitors 5 --waves 2 --questions 3
    python -m benchmarks.dashboard_load --videos                  a little film each, on the page Video

Starts `inquisight ui` with `pocket` and `scripted` in a separate home folder, and speaks to it as a browser
does: one cookie per visitor, an upload, the websocket and its messages, reruns of the part of the page
that shows a running interview. Each visitor uploads a picture or film that nobody else has, under a name that nobody
else has.
The check that nobody sees another's data reads every byte that every visitor was sent.

Memory is that of the server's process, before the first wave (model loaded), at its highest, and after each wave.
Seconds depend on the machine; that everybody is served, and nobody with another's data, must hold on all of them, so
the program ends with 1 where it does not.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import random
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from dataclasses import asdict, dataclass, field
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any, Final

import psutil
from PIL import Image, ImageChops, ImageDraw
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.Common_pb2 import FileUploaderState, FileURLsRequest, UploadedFileInfo
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.asyncio.client import ClientConnection, connect

ROOT: Final = Path(__file__).resolve().parents[1]
COOKIE: Final = "_streamlit_xsrf"
GROWTH: Final = 0.15  # of memory between the first wave and the last that still counts as flat
PATIENCE: Final = 1800.0  # seconds for one wave
FRAMES: Final = 4  # of a film that are looked at


@dataclass
class Report:
    """What was found out."""

    visitors: int
    waves: int
    questions: int
    cores: int
    videos: bool = False
    served: int = 0
    failed: list[str] = field(default_factory=list)
    leaks: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)  # from Start to the description, each visitor
    longest_line: int = 0
    memory_mb: list[float] = field(default_factory=list)  # before, then after each wave
    peak_mb: float = 0.0

    @property
    def flat(self) -> bool:
        """Whether the last wave left no more behind than the first."""
        return len(self.memory_mb) < 3 or self.memory_mb[-1] <= self.memory_mb[1] * (1 + GROWTH)

    def lines(self) -> list[str]:
        """In words."""
        total = self.visitors * self.waves
        middle = statistics.median(self.seconds) if self.seconds else 0.0
        slowest = max(self.seconds, default=0.0)
        waves = ", ".join(f"{one:.0f}" for one in self.memory_mb[1:])
        return [
            f"{self.visitors} visitors at once, {self.waves} waves, {self.questions} questions each"
            f"{f' about a film of {FRAMES} frames' if self.videos else ''}, {self.cores} cores",
            f"served                 {self.served} of {total}",
            f"saw another's data     {len(self.leaks)}",
            f"an interview took      {middle:.1f} s (median), {slowest:.1f} s (slowest)",
            f"longest queue          {self.longest_line} ahead",
            f"memory, model loaded   {self.memory_mb[0]:.0f} MB",
            f"memory, at its highest {self.peak_mb:.0f} MB",
            f"memory, after a wave   {waves} MB: {'flat' if self.flat else 'NOT flat'}",
            *(f"failed: {one}" for one in self.failed),
            *(f"leak: {one}" for one in self.leaks),
        ]


class Browser:
    """One visitor's browser, as far as the server can tell."""

    def __init__(self, where: str, name: str, seed: int, report: Report) -> None:
        self.where, self.name = where, f"{name}.{'mp4' if report.videos else 'png'}"
        self.file = film(seed) if report.videos else picture(seed)
        self.report = report
        self.cookie = ""
        self.socket: ClientConnection | None = None
        self.session = ""
        self.page = ""
        self.run = ""
        self.fragments: set[str] = set()
        self.elements: dict[tuple[int, ...], tuple[str, str, Any]] = {}  # path -> run, fragment, element
        self.states: dict[str, FileUploaderState | float | str] = {}
        self.heard = bytearray()
        self.media: set[str] = set()
        self.urls: dict[str, Any] = {}
        self.reruns: dict[str, asyncio.Task[None]] = {}  # by fragment
        self.changed = asyncio.Condition()
        self.place = 0

    async def __aenter__(self) -> Browser:
        self.cookie = await asyncio.to_thread(self._ask_for_cookie)
        self.socket = await connect(
            f"{self.where.replace('http', 'ws', 1)}/_stcore/stream",
            subprotocols=["streamlit", self.cookie],  # type: ignore[list-item]
            additional_headers={"Cookie": f"{COOKIE}={self.cookie}"},
            origin=self.where,  # type: ignore[arg-type]
            max_size=None,
        )
        self.reader = asyncio.create_task(self._read())
        await self.rerun(page="video" if self.report.videos else "")
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in (*self.reruns.values(), self.reader):
            task.cancel()
        if self.socket is not None:
            await self.socket.close()

    def _ask_for_cookie(self) -> str:
        with urllib.request.urlopen(f"{self.where}/_stcore/health", timeout=60) as answer:
            said = SimpleCookie(answer.headers.get("Set-Cookie", ""))
        return said[COOKIE].value

    # --- what a browser sends -------------------------------------------------------------------------------------

    async def _send(self, message: BackMsg) -> None:
        assert self.socket is not None
        await self.socket.send(message.SerializeToString())

    async def rerun(self, *, fragment: str = "", trigger: str = "", page: str = "") -> None:
        """Run the page, or a part of it; `trigger`: the button that was pressed; `page`: another one."""
        message = BackMsg()
        state = message.rerun_script
        state.page_script_hash, state.page_name = self.page, page
        state.fragment_id = fragment
        state.is_auto_rerun = bool(fragment)
        for id, value in self.states.items():
            one = state.widget_states.widgets.add()
            one.id = id
            if isinstance(value, float):
                one.double_value = value
            elif isinstance(value, str):
                one.string_value = value
            else:
                one.file_uploader_state_value.CopyFrom(value)
        if trigger:
            pressed = state.widget_states.widgets.add()
            pressed.id, pressed.trigger_value = trigger, True
        await self._send(message)

    async def _again(self, interval: float, fragment: str) -> None:
        while True:
            await asyncio.sleep(interval)
            await self.rerun(fragment=fragment)

    async def upload(self) -> None:
        """Drop the file on the page."""
        uploader = await self.until(lambda: self.find("file_uploader"), "the place for uploads")
        request = str(uuid.uuid4())
        message = BackMsg()
        message.file_urls_request.CopyFrom(
            FileURLsRequest(request_id=request, file_names=[self.name], session_id=self.session)
        )
        await self._send(message)
        urls = await self.until(lambda: self.urls.get(request), "an address for the upload")
        await asyncio.to_thread(self._put, urls.upload_url)
        info = UploadedFileInfo(file_id=urls.file_id, name=self.name, size=len(self.file), file_urls=urls)
        self.states = {uploader.id: FileUploaderState(uploaded_file_info=[info])}
        await self.rerun()
        self.states = {}

    def _put(self, path: str) -> None:
        border = secrets.token_hex(16)
        body = (
            f'--{border}\r\nContent-Disposition: form-data; name="file"; filename="{self.name}"\r\n'
            f"Content-Type: {'video/mp4' if self.report.videos else 'image/png'}\r\n\r\n"
        ).encode()
        body += self.file + f"\r\n--{border}--\r\n".encode()
        request = urllib.request.Request(
            f"{self.where}/{path.lstrip('/')}",
            body,
            {
                "Content-Type": f"multipart/form-data; boundary={border}",
                "Cookie": f"{COOKIE}={self.cookie}",
                "X-Xsrftoken": self.cookie,
            },
            method="PUT",
        )
        with urllib.request.urlopen(request, timeout=PATIENCE):
            pass

    # --- what a browser is sent -----------------------------------------------------------------------------------

    async def _read(self) -> None:
        assert self.socket is not None
        async for raw in self.socket:
            data = raw if isinstance(raw, bytes) else raw.encode()
            self.heard += data
            message = ForwardMsg()
            message.ParseFromString(data)
            self._take(message)
            async with self.changed:
                self.changed.notify_all()

    def _take(self, message: ForwardMsg) -> None:
        kind = message.WhichOneof("type")
        if kind == "new_session":
            new = message.new_session
            self.run, self.page = message.metadata.run.script_run_id, new.page_script_hash
            self.session = new.initialize.session_id or self.session
            self.fragments = set(message.metadata.run.fragment_ids)
            if not self.fragments:
                self._stop(set(self.reruns))
        elif kind == "delta" and message.delta.WhichOneof("type") == "new_element":
            element = message.delta.new_element
            self.elements[tuple(message.metadata.delta_path)] = (self.run, message.delta.fragment_id, element)
            if element.WhichOneof("type") == "imgs":
                self.media |= {one.url for one in element.imgs.imgs}
            if element.WhichOneof("type") == "video":
                self.media.add(element.video.url)
            self._look_at_the_line(element)
        elif kind == "navigation":
            self.page = message.navigation.page_script_hash
        elif kind == "script_finished":
            self._tidy()
        elif kind == "auto_rerun":
            fragment = message.auto_rerun.fragment_id
            self._stop({fragment})
            again = self._again(message.auto_rerun.interval, fragment)
            self.reruns[fragment] = asyncio.get_running_loop().create_task(again)
        elif kind == "stop_auto_rerun":
            self._stop(set(message.stop_auto_rerun.fragment_ids))
        elif kind == "file_urls_response" and message.file_urls_response.file_urls:
            answer = message.file_urls_response
            self.urls[answer.response_id] = answer.file_urls[0]

    def _stop(self, fragments: set[str]) -> None:
        """No more reruns of these parts of the page."""
        for fragment in fragments & self.reruns.keys():
            self.reruns.pop(fragment).cancel()

    def _look_at_the_line(self, element: Any) -> None:
        if element.WhichOneof("type") == "html" and "model busy" in element.html.body.lower():
            digits = "".join(one for one in element.html.body.partition("busy,")[2] if one.isdigit())
            self.place = max(self.place, int(digits or 0))

    def _tidy(self) -> None:
        """Elements that the last run did not draw again are gone, of a part of the page only those of that part."""
        for path, (run, fragment, _) in list(self.elements.items()):
            if run != self.run and (not self.fragments or fragment in self.fragments):
                del self.elements[path]

    def find(self, kind: str, so: Any = lambda element: True) -> Any:
        """The first element of that kind; None where there is none."""
        for _, _, element in list(self.elements.values()):
            if element.WhichOneof("type") == kind and so(getattr(element, kind)):
                return getattr(element, kind)
        return None

    async def until(self, so: Any, what: str) -> Any:
        """Wait for something to be there."""
        async with self.changed:
            async with asyncio.timeout(PATIENCE):
                while not (found := so()):
                    if problem := self.find("alert", lambda one: one.format == 1):
                        raise RuntimeError(f"{self.name}: {problem.body}")
                    try:
                        async with asyncio.timeout(5):
                            await self.changed.wait()
                    except TimeoutError:
                        if self.reader.done():
                            raise RuntimeError(f"{self.name}: the connection broke before {what}") from None
        return found

    # --- what a visitor does --------------------------------------------------------------------------------------

    async def interview(self) -> float:
        """Upload, start, wait for the description or the story; the seconds from Start on."""
        await self.upload()
        start = await self.until(
            lambda: self.find("button", lambda one: one.label == "Start" and not one.disabled), "the button Start"
        )
        wishes = {"Frames": FRAMES, "Questions": self.report.questions} if self.report.videos else {}
        for label, value in wishes.items():
            field = self.find("number_input", lambda one, label=label: one.label == label)
            self.states[field.id] = float(value)
        began = time.perf_counter()
        await self.rerun(trigger=start.id)
        done = "Caption (TXT)"
        await self.until(lambda: self.find("download_button", lambda one: one.label == done), "the description")
        return time.perf_counter() - began

    @property
    def captions(self) -> str:
        """The HTML of the three captions, or of the story."""
        found = self.find("html", lambda one: ("iq-story" if self.report.videos else "iq-cards") in one.body)
        return found.body if found is not None else ""


def picture(seed: int) -> bytes:
    """A PNG that no other seed gives."""
    chance = random.Random(seed)
    image = Image.new("RGB", (320, 240), tuple(chance.randrange(256) for _ in range(3)))
    draw = ImageDraw.Draw(image)
    for _ in range(6):
        x, y, r = chance.randrange(320), chance.randrange(240), chance.randrange(10, 80)
        draw.ellipse((x - r, y - r, x + r, y + r), fill=tuple(chance.randrange(256) for _ in range(3)))
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def film(seed: int) -> bytes:
    """Two seconds of such a picture, which moves."""
    import av

    still = Image.open(io.BytesIO(picture(seed)))
    out = io.BytesIO()
    with av.open(out, "w", format="mp4") as container:
        stream: Any = container.add_stream("libx264", rate=10, options={"preset": "ultrafast", "threads": "1"})
        stream.width, stream.height, stream.pix_fmt = *still.size, "yuv420p"
        for number in range(20):
            frame: Any = av.VideoFrame
            container.mux(stream.encode(frame.from_image(ImageChops.offset(still, 4 * number, 0))))
        container.mux(stream.encode())
    return out.getvalue()


async def wave(where: str, number: int, report: Report) -> None:
    """Everybody at once."""
    marks = [secrets.token_hex(8) for _ in range(report.visitors)]
    browsers = [Browser(where, f"visitor-{mark}", number * 1000 + index, report) for index, mark in enumerate(marks)]

    async def visit(browser: Browser) -> None:
        async with browser:
            took = await browser.interview()
            if "not there yet" in browser.captions or not browser.captions:
                raise RuntimeError(f"{browser.name}: a caption is missing")
            report.seconds.append(took)

    for browser, outcome in zip(
        browsers, await asyncio.gather(*map(visit, browsers), return_exceptions=True), strict=True
    ):
        if isinstance(outcome, BaseException):
            report.failed.append(f"{browser.name}: {type(outcome).__name__}: {outcome}")
        else:
            report.served += 1
    report.longest_line = max(report.longest_line, *(browser.place for browser in browsers))
    for own, browser in zip(marks, browsers, strict=True):
        if own.encode() not in browser.heard:
            report.failed.append(f"{browser.name}: never saw its own file's name")
        report.leaks += [
            f"{browser.name} was sent the name of {mark}"
            for mark in marks
            if mark != own and mark.encode() in browser.heard
        ]
        others = set().union(*(one.media for one in browsers if one is not browser))
        report.leaks += [f"{browser.name} was sent another's media {url}" for url in browser.media & others]


def server(questions: int, home: str) -> tuple[subprocess.Popen[str], str]:
    """`inquisight ui` on a free port, and where it is."""
    process = subprocess.Popen(
        [sys.executable, "-m", "agents.cli", "ui", "--port", "0", "--no-browser"],
        cwd=ROOT,
        env={
            **{name: value for name, value in os.environ.items() if not name.startswith("INQUISIGHT_")},
            "INQUISIGHT_HOME": home,
            "INQUISIGHT_ROUNDS": str(questions),
            "INQUISIGHT_LOAD_PLUGINS": "",
            "HF_HUB_OFFLINE": "1",
        },
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    said = process.stdout.readline()
    if not said:
        raise SystemExit("the dashboard did not start; what it said stands above")
    return process, said.removeprefix("Inquisight is at ").partition(" ")[0]


async def measure(report: Report, process: subprocess.Popen[str], where: str) -> None:
    """All waves, and the memory beside them."""
    [serving] = psutil.Process(process.pid).children()

    def memory() -> float:
        return float(serving.memory_info().rss) / 1e6

    async def watch() -> None:
        while True:
            report.peak_mb = max(report.peak_mb, memory())
            await asyncio.sleep(0.5)

    async with Browser(where, "first", -1, report) as first:
        await first.interview()  # loads the model
    report.memory_mb.append(memory())
    watching = asyncio.create_task(watch())
    for number in range(report.waves):
        await wave(where, number, report)
        report.memory_mb.append(memory())
        print(f"wave {number + 1} of {report.waves}: {report.served} served", file=sys.stderr, flush=True)
    watching.cancel()


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--visitors", type=int, default=20)
    parser.add_argument("--waves", type=int, default=3)
    parser.add_argument("--questions", type=int, default=5)
    parser.add_argument("--videos", action="store_true", help="upload videos instead of pictures")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    report = Report(arguments.visitors, arguments.waves, arguments.questions, cores, arguments.videos)
    with tempfile.TemporaryDirectory(prefix="inquisight-load-") as home:
        process, where = server(arguments.questions, home)
        try:
            asyncio.run(measure(report, process, where))
        finally:
            process.terminate()
            process.wait(30)
    print(json.dumps({**asdict(report), "flat": report.flat}) if arguments.json else "\n".join(report.lines()))
    return int(bool(report.failed or report.leaks or not report.flat))


if __name__ == "__main__":
    sys.exit(main())
