"""What the pages share: visitors apart, models in common, work that can be stopped, errors as sentences."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.entries import Entry
from core.errors import BackendError, ImageError, InquisightError, UsageError
from core.records import Caption, PictureInfo
from core.registry import get_registry
from core.vision import EncodedImage, GenerationOptions, VisionBackend, VisualQuestion
from tests.agents.fakes import CountingVision, picture
from tests.fakes import FakeVision
from ui.state.jobs import AT_ONCE, Halted, Job, Jobs, queue_words
from ui.state.models import Line, Models
from ui.state.options import UiOptions, get_options, is_local
from ui.state.pictures import MOST, Shelf, label_of
from ui.state.session import Visitor, Visitors, token_of
from ui.state.transcripts import as_archive, as_json, as_sidecar, as_text
from ui.text import complete, plain, seconds, sentence, size

LONG = 20.0  # seconds a test waits for what takes none


# --- visitors -----------------------------------------------------------------------------------------------------


def cookie(mask: bytes, token: bytes) -> dict[str, str]:
    masked = bytes(byte ^ mask[index % 4] for index, byte in enumerate(token))
    return {"_streamlit_xsrf": f"2|{mask.hex()}|{masked.hex()}|1700000000"}


def test_a_browser_is_known_by_its_cookie_whatever_its_mask() -> None:
    token = bytes(range(16))
    first, again = token_of(cookie(b"abcd", token)), token_of(cookie(b"wxyz", token))
    assert first is not None and first == again
    assert first != token_of(cookie(b"abcd", bytes(16)))
    assert token.hex() not in first


def test_streamlit_writes_the_cookie_as_it_is_read_here() -> None:
    from streamlit.web.server.starlette.starlette_app_utils import generate_xsrf_token_string

    token = bytes(range(16))
    written = {token_of({"_streamlit_xsrf": generate_xsrf_token_string(token)}) for _ in range(3)}
    assert len(written) == 1 and None not in written


@pytest.mark.parametrize("value", ["", "2|zz|zz|1", "1|00|00", "2|00000000||1", "2|0000|" + "00" * 16 + "|1"])
def test_no_cookie_is_nobody(value: str) -> None:
    assert token_of({"_streamlit_xsrf": value}) is None and token_of({}) is None


def test_visitors_share_nothing(png: Callable[..., bytes]) -> None:
    all_of_them = Visitors()
    one, other = all_of_them.get("one"), all_of_them.get("other")
    held = one.shelf.add(png(), "cat.png")
    assert all_of_them.get("one") is one and one.shelf.get(held.id) == held
    assert other.shelf.get(held.id) is None and other.shelf.all() == []
    assert one.keep("desk", list) is one.keep("desk", list) and other.keep("desk", list) is not one.keep("desk", list)


def test_on_a_server_without_a_password_one_sees_only_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = Visitor("one"), Visitor("other")
    one.made("id1")
    assert one.may_see("id1") and other.may_see("id1"), "on one's own machine everything is one's own"
    monkeypatch.setenv("INQUISIGHT_UI_HOST", "0.0.0.0")
    get_options.cache_clear()
    assert one.may_see("id1") and not other.may_see("id1")


# --- pictures -----------------------------------------------------------------------------------------------------


def test_a_picture_is_kept_under_its_digest_and_no_name(png: Callable[..., bytes], tmp_path: Path) -> None:
    shelf = Shelf()
    held = shelf.add(png(size=(3000, 20)), "../../etc/C:\\secret\\photo\u202egpj.exe")
    assert held.label == "photo\\u202egpj.exe" and "/" not in held.stem and "." not in held.stem
    assert len(held.id) == 64 and held.open().width == 3000
    assert not any(tmp_path.rglob("*photo*"))


@pytest.mark.parametrize(
    ("data", "word"), [(b"", "empty"), (b"hello", "'x.png' is"), (b"\x89PNG\r\n\x1a\n\0\0", "PNG")]
)
def test_what_is_no_picture_is_a_sentence(data: bytes, word: str) -> None:
    with pytest.raises(ImageError, match=word):
        Shelf().add(data, "x.png")


def test_uploads_are_limited(png: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INQUISIGHT_UI_UPLOAD_MB", "1")
    get_options.cache_clear()
    with pytest.raises(ImageError, match="1,000,000 bytes"):
        Shelf().add(b"\x89PNG\r\n\x1a\n" + b"\0" * 1_100_000, "large.png")
    shelf = Shelf()
    for number in range(MOST):
        shelf.add(png(size=(8, number + 8)), f"{number}.png")
    with pytest.raises(ImageError, match="remove one first"):
        shelf.add(png(size=(9, 9)), "one more.png")
    shelf.add(png(size=(8, 8)), "the first again.png")
    assert len(shelf) == MOST


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(st.text(max_size=200))
def test_a_label_is_short_and_printable(name: str) -> None:
    label = label_of(name)
    assert label and len(label) <= 60 and len(label.splitlines()) == 1 and "\0" not in label


# --- the line before a model --------------------------------------------------------------------------------------


class Gate(FakeVision):
    """An eye that answers when the test lets it, and notes what it was asked together."""

    label: ClassVar[str] = "gate"

    streams: ClassVar[bool] = True

    def __init__(self) -> None:
        self.open = threading.Event()
        self.asked = threading.Event()
        self.batches: list[list[str]] = []
        self.closed = 0

    def answer(self, questions: Sequence[VisualQuestion]) -> list[str]:
        self.batches.append([str(one.question) for one in questions])
        self.asked.set()
        assert self.open.wait(LONG)
        if any(one.question == "bad" for one in questions):
            raise BackendError("a bad question")
        return [f"{one.image.sha256[:6]} {one.question}" for one in questions]

    def stream(self, question: VisualQuestion) -> Iterator[str]:
        yield from self.answer([question])[0].split()

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def gates(monkeypatch: pytest.MonkeyPatch) -> dict[str, Gate]:
    """Eyes `gate:NAME`, by name; each loading makes a new one."""
    made: dict[str, Gate] = {}

    def make(name: str | None = None) -> Gate:
        made[name or ""] = Gate()
        return made[name or ""]

    entry = Entry("vision backend", "gate", make, "", {}, "test", "test")
    monkeypatch.setitem(get_registry().vision_backends, "gate", entry)
    return made


def question(words: str, colour: str = "orange") -> VisualQuestion:
    return VisualQuestion(EncodedImage(picture(colour).sha256, "1", None), words, options=GenerationOptions(9))


def ask_in_thread(room: Models, words: str, jobs: Jobs) -> tuple[Job, list[str]]:
    said: list[str] = []

    def work(job: Job) -> None:
        said.extend(room.eye("gate").answer([question(words)]))

    return jobs.start("ask", words, work), said


def until(so: Callable[[], bool]) -> None:
    """Wait for another thread, without a fixed time."""
    waiting = threading.Event()
    for _ in range(int(LONG / 0.01)):
        if so():
            return
        waiting.wait(0.01)
    raise AssertionError("it did not happen")


def test_those_who_wait_are_answered_together_and_each_gets_the_own_answer(gates: dict[str, Gate]) -> None:
    room, jobs = Models(2), [Jobs() for _ in range(6)]
    room.eye("gate")
    first = ask_in_thread(room, "question 0", jobs[0])
    assert gates[""].asked.wait(LONG)
    others = [ask_in_thread(room, f"question {number}", jobs[number]) for number in range(1, 6)]
    line = room.eye("gate").line
    until(lambda: line.length == 6)
    until(lambda: sorted(job.place for job, _ in others) == [1, 2, 3, 4, 5])
    assert "answered before yours" in queue_words(max((job for job, _ in others), key=lambda job: job.place))
    gates[""].open.set()
    for number, (job, said) in enumerate([first, *others]):
        assert job.wait(LONG) and job.state == "done"
        assert said == [f"{picture().sha256[:6]} question {number}"]
    assert [len(batch) for batch in gates[""].batches] == [1, 5]


def test_one_bad_question_is_no_fault_of_its_neighbours(gates: dict[str, Gate]) -> None:
    room, jobs = Models(2), Jobs()
    room.eye("gate")
    ask_in_thread(room, "first", jobs)
    assert gates[""].asked.wait(LONG)
    asked = [ask_in_thread(room, words, jobs) for words in ("good", "bad", "fine")]
    until(lambda: room.eye("gate").line.length == 4)
    gates[""].open.set()
    assert all(job.wait(LONG) for job, _ in asked)
    assert [job.state for job, _ in asked] == ["done", "failed", "done"]
    assert asked[1][0].error == "A bad question."


def test_who_waits_can_stop_without_waiting(gates: dict[str, Gate]) -> None:
    room, jobs = Models(2), Jobs()
    room.eye("gate")
    ask_in_thread(room, "first", jobs)
    assert gates[""].asked.wait(LONG)
    job, said = ask_in_thread(room, "second", jobs)
    until(lambda: job.place == 1)
    job.stop()
    assert job.wait(LONG) and job.state == "stopped" and said == []
    gates[""].open.set()
    until(lambda: room.eye("gate").line.length == 0)
    assert gates[""].batches == [["first"]]


def test_a_stream_has_the_model_to_itself(gates: dict[str, Gate]) -> None:
    room = Models(2)
    eye = room.eye("gate")
    gates[""].open.set()
    pieces = eye.stream(question("a b"))
    assert next(pieces) and eye.line.length == 1
    pieces.close()
    assert eye.line.length == 0
    assert "".join(eye.stream(question("a b"))).endswith("ab")


def test_a_model_is_loaded_once_and_the_oldest_idle_one_makes_room(gates: dict[str, Gate]) -> None:
    room = Models(2)
    eyes = [room.eye("gate:a"), room.eye("gate:b")]
    first = gates["a"]
    assert room.eye("gate:a") is eyes[0] and gates["a"] is first
    room.eye("gate:c")
    assert first.closed == 1 and set(room.loaded()) == {"gate:b", "gate:c"}
    gates_open = [gate.open.set() for gate in gates.values()]
    assert len(gates_open) == 3
    eyes[0].encode([picture()])
    assert "gate:a" in room.loaded() and gates["a"] is not first, "it comes back when it is used"


def test_abilities_are_those_of_the_eye_itself(gates: dict[str, Gate]) -> None:
    eye = Models(2).eye("gate")
    assert eye.streams is True and eye.follows_instructions is False and eye.name == "gate" and eye.revision == "1"
    assert VisionBackend.streams is False, "the class is not changed for everybody"


def test_a_name_that_means_nothing_is_told_and_not_kept() -> None:
    room = Models(2)
    with pytest.raises(InquisightError, match="no vision backend"):
        room.eye("nobody")
    with pytest.raises(InquisightError, match="no vision backend"):
        room.eye("nobody")


def test_the_owners_list_is_all_there_is(gates: dict[str, Gate], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INQUISIGHT_UI_EYES", "gate:a")
    monkeypatch.setenv("INQUISIGHT_UI_QUESTIONERS", "scripted")
    get_options.cache_clear()
    room = Models(2)
    assert room.eye("gate:a").name == "gate"
    with pytest.raises(UsageError, match="not offered"):
        room.eye("gate:b")
    with pytest.raises(UsageError, match="not offered"):
        room.questioner("openai:gpt-4o-mini")
    assert room.questioner("scripted") is room.questioner("scripted")


def test_a_picture_is_looked_at_once_for_everybody(eye: CountingVision) -> None:
    shared = Models(2).eye("counting")
    shared.encode([picture(), picture("blue")])
    shared.encode([picture("blue"), picture()])
    assert eye.encoded == 2
    assert [one.sha256 for one in shared.encode([picture("blue"), picture()])] == [
        picture("blue").sha256,
        picture().sha256,
    ]


def test_a_wrong_number_of_answers_is_noticed() -> None:
    line = Line()
    with pytest.raises(RuntimeError, match="number of answers"):
        line.serve("answer", ["a", "b"], lambda batch: ["only one"])
    assert line.serve("answer", ["a"], lambda batch: ["one"]) == ["one"]


# --- work ---------------------------------------------------------------------------------------------------------


def test_work_says_how_it_ended() -> None:
    jobs = Jobs()
    halted = threading.Event()

    def waits(job: Job) -> None:
        halted.wait(LONG)
        job.check()

    def fails(job: Job) -> None:
        raise UsageError("the thing is wrong; do it otherwise")

    def breaks(job: Job) -> None:
        raise RuntimeError("secret details")

    done, failed, broken = (jobs.start("x", "x", work) for work in (lambda job: None, fails, breaks))
    stopped = jobs.start("x", "x", waits)
    stopped.stop()
    assert stopped.state == "stopping" and stopped.active
    halted.set()
    assert all(job.wait(LONG) for job in (done, failed, broken, stopped))
    assert [job.state for job in (done, failed, broken, stopped)] == ["done", "failed", "failed", "stopped"]
    assert failed.error == "The thing is wrong; do it otherwise."
    assert "secret" not in broken.error and "log" in broken.error
    assert jobs.active() == [] and len(jobs.all("x")) == 4 and jobs.all("y") == []


def test_one_visitor_cannot_have_everything_running() -> None:
    jobs, end = Jobs(), threading.Event()
    for _ in range(AT_ONCE):
        jobs.start("x", "x", lambda job: end.wait(LONG) and None)
    with pytest.raises(UsageError, match="running"):
        jobs.start("x", "x", lambda job: None)
    jobs.stop_all()
    end.set()
    until(lambda: not jobs.active())
    assert jobs.start("x", "x", lambda job: None).wait(LONG)


def test_halted_ends_what_ctrl_c_ends() -> None:
    assert issubclass(Halted, KeyboardInterrupt)


# --- words --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("the picture is empty", "The picture is empty."),
        ("photo.jpg is no picture.", "photo.jpg is no picture."),
        ("openai:gpt-4o answered with nothing", "openai:gpt-4o answered with nothing."),
        ("", "Something went wrong."),
        ("why?", "Why?"),
    ],
)
def test_errors_are_sentences(said: str, shown: str) -> None:
    assert complete(said) == shown


def test_what_is_unexpected_gets_a_number_and_no_details() -> None:
    said = sentence(ValueError("/home/somebody/secret"))
    assert "secret" not in said and "ValueError" not in said and "number" in said


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(st.text(max_size=100))
def test_nothing_a_model_says_is_markdown(said: str) -> None:
    shown = plain(said)
    for character in "*_`[]<>$~|":
        assert shown.count(character) == shown.count(f"\\{character}")


def test_figures_are_short() -> None:
    assert [seconds(value) for value in (0.44, 12, 60, 185, 7800)] == [
        "0.4 s",
        "12 s",
        "1 min",
        "3 min 5 s",
        "2 h 10 min",
    ]
    assert [size(value) for value in (512, 24_500_000, 1.3e9)] == ["512 B", "24.5 MB", "1.3 GB"]


# --- how it was started -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1", True),
        ("localhost", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("::", False),
        ("example.org", False),
    ],
)
def test_which_hosts_are_this_machine(host: str, local: bool) -> None:
    assert is_local(host) is local and UiOptions(host=host).single_user is local


def test_options_go_through_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    options = UiOptions("0.0.0.0", tmp_path / "secret", True, ("*@example.org",), ("pocket",), ("scripted",), 7, 2)
    for name, value in options.to_environment().items():
        monkeypatch.setenv(name, value)
    assert UiOptions.from_environment() == options
    monkeypatch.setenv("INQUISIGHT_UI_UPLOAD_MB", "many")
    with pytest.raises(UsageError, match="INQUISIGHT_UI_UPLOAD_MB='many'"):
        UiOptions.from_environment()


# --- what is taken home -------------------------------------------------------------------------------------------


def caption(summary: str) -> Caption:
    info = PictureInfo(sha256="0" * 64, source="cat.png", width=2, height=2)
    return Caption(picture=info, plain="a cat", summary=summary)


def test_downloads_are_what_the_command_line_writes() -> None:
    one = caption("A cat sits.")
    assert Caption.from_json(as_json(one)) == one
    assert as_sidecar(one) == "A cat sits.\n" and "A cat sits." in as_text(one) and "cat.png" in as_text(one)


def test_an_archive_holds_every_description_once() -> None:
    import io
    import zipfile

    with zipfile.ZipFile(io.BytesIO(as_archive([("cat", caption("one")), ("cat", caption("two"))]))) as archive:
        assert archive.read("cat.txt") == b"one\n" and archive.read("cat-2.txt") == b"two\n"
        lines: list[Any] = archive.read("interviews.jsonl").decode().splitlines()
    assert [Caption.from_json(line).summary for line in lines] == ["one", "two"]


def test_of_pictures_with_one_questioner_none_is_begun_after_its_key_was_refused() -> None:
    from functools import partial

    from agents.interview.live import LiveInterview
    from agents.interview.protocol import InterviewOptions
    from core.errors import QuestionerError
    from core.testing import make_picture
    from tests.agents.batch.making import HashedEye
    from tests.agents.fakes import ListQuestioner
    from ui.state.interviews import InterviewItem, _drive
    from ui.state.jobs import Jobs

    calls: list[str] = []

    class RefusedError(QuestionerError):
        for_all = True

    class Refused(ListQuestioner):
        def _generate(self, *args: object, **kwargs: object) -> object:
            calls.append("called")
            raise RefusedError("the key is not accepted.")

    jobs, items = Jobs(), []
    for number in range(3):
        picture = make_picture(64, 48, (number * 40, 10, 10))
        steered = LiveInterview(
            picture.info(),
            lambda picture=picture: picture,
            HashedEye,
            lambda: Refused(questions=["What is it?"]),
            InterviewOptions(rounds=2),
        )
        items.append(InterviewItem(picture.info(), None))
        items[-1].steered = steered
    held = threading.Event()
    first = jobs.start("interview", "waits", lambda job: held.wait(60), queue="interview")
    for item in items:
        item.job = jobs.start("interview", "one", partial(_drive, items, item, item.steered), queue="interview")
    held.set()
    for job in (first, *(item.job for item in items)):
        assert job is not None and job.wait(60)
    assert calls == ["called"]
    assert items[0].steered is not None and items[0].steered.view.state == "failed"
    assert all(item.steered is None for item in items[1:]), "those that waited are as they were before"


def test_stop_ends_the_waiting_for_a_servers_next_try() -> None:
    from core.net.remote import Pace, retrying
    from ui.state.jobs import Jobs

    class BusyError(Exception):
        status_code = 503

    calls: list[int] = []
    called = threading.Event()

    def call() -> None:
        calls.append(1)
        called.set()
        error = BusyError()
        error.response = type("Response", (), {"headers": {"retry-after": "50"}})  # type: ignore[attr-defined]
        raise error

    job = Jobs().start("chat", "one", lambda job: retrying(call, retries=5, pace=Pace()))
    assert called.wait(60)
    job.stop()
    assert job.wait(60) and job.state == "stopped" and calls == [1]
