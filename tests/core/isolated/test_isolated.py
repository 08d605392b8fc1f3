"""Backends in a process of their own: real processes, of this same Python."""

from __future__ import annotations

import ast
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from core.errors import BackendError
from core.isolated import worker as isolated_worker
from core.isolated.backend import IsolatedVision, Limits
from core.settings import get_settings
from core.testing import VisionBackendTests, make_picture
from core.vision import EncodedImage, GenerationOptions, VisualQuestion
from tests.core.isolated.test_foreign_environment import SECRETS

ROOT = Path(__file__).resolve().parents[3]
MODELS = Path(__file__).with_name("isolated_models.py")
RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)
Make = Callable[..., IsolatedVision]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """make(option=..., ...) -> an isolated model that leaves notes in `notes`; all are closed at the end."""
    made: list[IsolatedVision] = []

    def build(*, vision: str = "Model", python: str | Path = sys.executable, **options: Any) -> IsolatedVision:
        own = {name: options.pop(name) for name in ("limits", "keep", "variables") if name in options}
        backend = IsolatedVision(
            "test",
            python=python,
            vision=f"{MODELS}:{vision}",
            argument=json.dumps({"notes": str(tmp_path / "notes"), **options}),
            logs=tmp_path / "logs",
            **own,
        )
        made.append(backend)
        return backend

    yield build
    for backend in made:
        backend.close()


@pytest.fixture
def notes(tmp_path: Path) -> Callable[[], list[str]]:
    """What the model did."""
    file = tmp_path / "notes"
    return lambda: file.read_text().splitlines() if file.exists() else []


def see(backend: IsolatedVision, *colours: tuple[int, int, int]) -> list[EncodedImage]:
    return backend.encode([make_picture(colour=colour) for colour in colours or (RED,)])


def ask(backend: IsolatedVision, image: EncodedImage, question: str | None = "What colour is it?", **more: Any) -> str:
    return backend.answer([VisualQuestion(image, question, **more)])[0]


def gone(pid: int) -> bool:
    """Whether the process has ended."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state == "Z"


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> bool:
    """Whether `condition` came true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A place for logs where nothing else names one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INQUISIGHT_HOME", str(tmp_path_factory.mktemp("home")))
        get_settings.cache_clear()
        yield
    get_settings.cache_clear()


class TestAsAnyBackend(VisionBackendTests):
    """What every backend must do, this one must do too."""

    def make_backend(self) -> IsolatedVision:
        return IsolatedVision("isolated", python=sys.executable, vision=f"{MODELS}:Model")


# What goes through the pipe


def test_questions_history_and_options_arrive(make: Make) -> None:
    backend = make()
    [image] = see(backend)
    options = GenerationOptions(max_new_tokens=7, temperature=0.5, top_p=0.25, seed=11)
    assert json.loads(ask(backend, image, "options", options=options)) == [7, 0.5, 0.25, 11]
    pairs = (("Is it wet? 猫", 'a "quoted" \ud800 answer'), ("und?", "ja"))
    assert json.loads(ask(backend, image, "history", history=pairs)) == [list(pair) for pair in pairs]
    assert ask(backend, image, None) == "a photo of red"


def test_nothing_starts_before_it_is_needed(make: Make, notes: Callable[[], list[str]]) -> None:
    backend = make()
    assert backend.name == "test" and backend.pid is None and backend.encode([]) == [] and notes() == []
    assert backend.revision == "model-1" and backend.pid is not None
    assert notes() == ["load"]


def test_a_batch_goes_in_groups_of_the_models_batch_size(make: Make, notes: Callable[[], list[str]]) -> None:
    backend = make()
    colours = [(n, 0, 0) for n in range(9)] + [RED]
    images = see(backend, *colours)
    assert [note for note in notes() if note.startswith("encode")] == ["encode 4", "encode 4", "encode 2"]
    assert backend.answer([VisualQuestion(image, "colour") for image in images]) == ["odd"] * 9 + ["red"]


def test_equal_pictures_are_sent_once(make: Make, notes: Callable[[], list[str]]) -> None:
    backend = make()
    see(backend, RED, RED, BLUE, RED)
    assert [note for note in notes() if note.startswith("encode")] == ["encode 2"]


def test_a_picture_comes_at_the_models_input_size(make: Make) -> None:
    whole, small = make(), make(size=[10, 20])
    picture = make_picture(640, 480)
    assert ask(whole, whole.encode([picture])[0], "size") == "640x480"
    assert ask(small, small.encode([picture])[0], "size") == "10x20"


def test_pictures_that_the_worker_let_go_of_are_sent_again(make: Make, notes: Callable[[], list[str]]) -> None:
    backend = make(keep=2)
    images = see(backend, RED, GREEN, BLUE)
    before = notes().count("encode 1")
    answers = [ask(backend, image) for image in images]
    assert answers == ["red", "green", "blue"]
    assert notes().count("encode 1") > before
    assert backend.answer([VisualQuestion(image, "?") for image in images * 2]) == answers * 2


def test_a_picture_of_another_backend_is_refused(make: Make) -> None:
    one, other = make(), make(revision="model-2")
    [image] = see(one)
    with pytest.raises(BackendError, match=r"encoded by model-1, not by model-2; encode it again"):
        ask(other, image)


def test_what_libraries_print_goes_to_the_log(make: Make) -> None:
    backend = make(noise="Downloading... 100%")
    [image] = see(backend)
    assert backend.answer([VisualQuestion(image, "print"), VisualQuestion(image, "colour")]) == ["red", "red"]
    assert backend.log_file is not None
    log = backend.log_file.read_text()
    assert log.count("Downloading... 100%") == 3 and "a child was here" in log and "chatter chatter" in log


def test_reading_standard_input_does_not_take_our_words(make: Make) -> None:
    backend = make()
    [image] = see(backend)
    assert ask(backend, image, "stdin") == "''"
    assert ask(backend, image) == "red"


def test_our_packages_and_keys_stay_here(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    backend = make(variables={"OWL": "1"})
    [image] = see(backend)
    path, names = json.loads(ask(backend, image, "path"))
    assert str(ROOT / "core") not in path and str(ROOT) not in path[:1]
    assert "OPENAI_API_KEY" not in names and "PYTHONPATH" not in names and "OWL" in names


def test_threads_take_turns(make: Make) -> None:
    backend = make(keep=2)
    images = dict(zip(("red", "green", "blue"), see(backend, RED, GREEN, BLUE), strict=True))
    wanted = [colour for _ in range(20) for colour in images]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda colour: ask(backend, images[colour]), wanted)) == wanted


# When it goes wrong


def test_a_death_in_mid_answer_is_mended_once(
    make: Make, notes: Callable[[], list[str]], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    backend = make()
    red, blue = see(backend, RED, BLUE)
    first = backend.pid
    assert ask(backend, red, f"die {tmp_path / 'died'}") == "red"
    assert ask(backend, blue) == "blue", "pictures survive the worker that saw them"
    assert backend.pid != first and notes().count("load") == 2
    assert "starting it again" in caplog.text and "SIGKILL" in caplog.text


def test_a_death_while_nothing_was_asked_is_not_noticed(make: Make) -> None:
    backend = make()
    [image] = see(backend)
    assert backend.pid is not None
    os.kill(backend.pid, signal.SIGKILL)
    assert ask(backend, image) == "red"


def test_dying_again_at_the_same_question_is_an_error_with_the_log(make: Make, notes: Callable[[], list[str]]) -> None:
    backend = make()
    [image] = see(backend)
    with pytest.raises(BackendError, match="died again at the same work") as caught:
        ask(backend, image, "die")
    assert "something broke inside" in str(caught.value) and str(backend.log_file) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert notes().count("load") == 2
    assert ask(backend, image) == "red", "another question may work"


def test_a_model_that_cannot_load_is_not_tried_twice(make: Make, notes: Callable[[], list[str]]) -> None:
    backend = make(dies_at_load=True)
    with pytest.raises(BackendError, match=r"could not load its model.*exit code 7.*the weights are nowhere"):
        see(backend)
    assert notes() == []


def test_another_model_after_a_restart_is_an_error(make: Make, tmp_path: Path) -> None:
    backend = make()
    [image] = see(backend)
    assert backend.pid is not None
    os.kill(backend.pid, signal.SIGKILL)
    backend._command[-1] = json.dumps({"revision": "model-2"})  # as if the weights had been replaced meanwhile
    with pytest.raises(BackendError, match="came back as another model"):
        ask(backend, image)


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ("refuse", r"^test: this picture is too odd; take another\.$"),
        ("bug", r"^test failed: KeyError: 'somewhere deep'; its log says more: .*\.log\.$"),
        ("leave", r"^test failed: SystemExit: no weights, no work; its log says more"),
    ],
)
def test_an_error_of_the_model_is_one_line_and_the_process_lives(make: Make, wish: str, words: str) -> None:
    backend = make()
    [image] = see(backend)
    pid = backend.pid
    with pytest.raises(BackendError, match=words):
        ask(backend, image, wish)
    assert ask(backend, image) == "red" and backend.pid == pid


def test_a_model_that_refuses_to_load_says_why(make: Make) -> None:
    with pytest.raises(BackendError, match=r"^test: there are no weights in 'x'; give a directory\.$"):
        see(make(refuses="there are no weights in 'x'; give a directory."))


@pytest.mark.parametrize(
    ("model", "words"),
    [("NoRevision", "no attribute 'revision'"), ("Missing", "no attribute 'Missing'"), ("TooFew", "one string for")],
)
def test_the_error_of_a_wrong_model_class(make: Make, model: str, words: str) -> None:
    backend = make(vision=model)
    with pytest.raises(BackendError, match=words):
        ask(backend, see(backend)[0])


@pytest.mark.parametrize(("wish", "limits"), [("hang", Limits(work=1.0)), ("load", Limits(load=1.0))])
def test_too_slow_is_one_line_and_an_end(make: Make, wish: str, limits: Limits) -> None:
    backend = make(limits=limits, slow_load=wish == "load")
    started = time.monotonic()
    with pytest.raises(BackendError, match=r"within 1 s.*larger Limits"):
        ask(backend, see(backend)[0], wish)
    assert time.monotonic() - started < 50 and backend.pid is None


def program(folder: Path, body: str) -> Path:
    """An executable in place of the other environment's Python."""
    file = folder / "python"
    file.write_text(f"#!{sys.executable}\nimport json, struct, sys, time\n{body}\n")
    file.chmod(0o755)
    return file


OTHER_PROTOCOL = """
text = json.dumps({"id": 1, "protocol": 99, "python": "3.11"}).encode()
sys.stdout.buffer.write(struct.pack(">4sIQ", b"INQ\\x01", len(text), 0) + text)
sys.stdout.flush()
time.sleep(60)
"""


HUGE_FRAME = "sys.stdout.buffer.write(b'INQ\\x01' + b'\\xff' * 12); sys.stdout.flush(); time.sleep(60)"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("print('Welcome to another program'); sys.stdout.flush(); time.sleep(60)", "does not speak the protocol"),
        (OTHER_PROTOCOL, "does not speak the protocol.*it speaks protocol 99, we speak 1"),
        (HUGE_FRAME, "announced a frame"),
        ("sys.exit('no such module: owl')", "could not start.*exit code 1.*no such module: owl"),
    ],
)
def test_a_wrong_protocol_is_noticed_at_once(make: Make, tmp_path: Path, body: str, words: str) -> None:
    backend = make(python=program(tmp_path, body))
    with pytest.raises(BackendError, match=words):
        see(backend)


def test_a_program_that_says_nothing_is_given_up(make: Make, tmp_path: Path) -> None:
    backend = make(python=program(tmp_path, "time.sleep(60)"), limits=Limits(start=0.5))
    with pytest.raises(BackendError, match=r"did not start within 0\.5 s"):
        see(backend)


def test_a_python_that_is_not_there(make: Make) -> None:
    with pytest.raises(BackendError, match=r"'/no/such/python' cannot be started: no such file"):
        see(make(python="/no/such/python"))


# The end


def test_closing_lets_the_model_put_things_away(make: Make, notes: Callable[[], list[str]]) -> None:
    backend = make()
    [image] = see(backend)
    pid = backend.pid
    assert pid is not None
    backend.close()
    assert gone(pid) and notes()[-1] == "close"
    backend.close()
    with pytest.raises(BackendError, match="is closed"):
        ask(backend, image)


def test_closing_gives_up_an_answer_that_another_thread_waits_for(make: Make, notes: Callable[[], list[str]]) -> None:
    backend = make()
    [image] = see(backend)
    raised: list[BaseException] = []

    def wait() -> None:
        try:
            ask(backend, image, "hang")
        except BackendError as error:
            raised.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    assert wait_for(lambda: "answer hang" in notes())
    backend.close()
    thread.join(30)
    assert not thread.is_alive() and "closed" in str(raised[0])


HOST = """
import sys, json
sys.path.insert(0, {root!r})
from pathlib import Path
from core.isolated.backend import IsolatedVision
from core.testing import make_picture
from core.vision import VisualQuestion
backend = IsolatedVision("t", python=sys.executable, vision={vision!r}, logs=Path({logs!r}), argument={argument!r})
[image] = backend.encode([make_picture()])
print(backend.pid, flush=True)
{then}
"""


def host(tmp_path: Path, then: str) -> tuple[subprocess.Popen[str], int]:
    """(a separate program that uses an isolated model, the model's process)."""
    argument = json.dumps({"notes": str(tmp_path / "notes")})
    code = HOST.format(root=str(ROOT), vision=f"{MODELS}:Model", logs=str(tmp_path), argument=argument, then=then)
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, int(process.stdout.readline())


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes through /proc")
@pytest.mark.parametrize("busy", [False, True])
def test_when_we_are_killed_the_process_leaves(tmp_path: Path, notes: Callable[[], list[str]], busy: bool) -> None:
    then = "backend.answer([VisualQuestion(image, 'hang')])" if busy else "__import__('time').sleep(600)"
    process, worker = host(tmp_path, then)
    if busy:
        assert wait_for(lambda: "answer hang" in notes())
    assert not gone(worker)
    process.kill()
    process.communicate()
    assert wait_for(lambda: gone(worker))


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes through /proc")
def test_when_we_end_the_process_ends(tmp_path: Path) -> None:
    process, worker = host(tmp_path, "raise SystemExit(3)")
    process.communicate(timeout=60)
    assert process.returncode == 3 and wait_for(lambda: gone(worker))


def test_old_logs_go(make: Make, tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    for number in range(40):
        (logs / f"test-{number}-1.log").write_text("old")
    make().describe()
    assert len(list(logs.glob("test-*.log"))) == 20


def test_the_worker_runs_on_old_pythons() -> None:
    source = Path(isolated_worker.__file__).read_text()
    tree = ast.parse(source, feature_version=(3, 8))
    imported = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    imported |= {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    assert {name.partition(".")[0] for name in imported} <= {*sys.stdlib_module_names, "PIL"}


def test_the_model_of_the_documentation_works(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "isolated.md").read_text("utf-8")
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (tmp_path / "owl_model.py").write_text(blocks[0])
    ast.parse(blocks[0], feature_version=(3, 8))
    backend = IsolatedVision("owl", python=sys.executable, vision=f"{tmp_path / 'owl_model.py'}:Owl", logs=tmp_path)
    [image] = backend.encode([make_picture(colour=GREEN)])
    assert ask(backend, image) == "the colour (0, 255, 0)"
    backend.close()
    for block in blocks[1:]:
        compile(block, "docs/isolated.md", "exec")


def test_no_secret_of_ours_reaches_the_other_environment(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SECRETS:
        monkeypatch.setenv(name, "secret-value")
    monkeypatch.setenv("HF_HOME", "/models")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    backend = make(variables={"OWL": "1"})
    [image] = see(backend)
    _, names = json.loads(ask(backend, image, "path"))
    assert not set(SECRETS) & set(names)
    assert {"PATH", "HF_HOME", "OMP_NUM_THREADS", "OWL"} <= set(names)
