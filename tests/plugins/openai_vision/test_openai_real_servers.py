"""`openai:` behind servers that other people wrote: llama.cpp's and `transformers serve`, each with a model made here.

The weights are random, the servers, the wire and the models' code are real: an answer means nothing, but it depends on
the picture, on the words and on nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from agents.langchain.model import VisionChatModel
from core.errors import BackendError
from core.images.picture import Picture
from core.net.endpoints import typed_by_owner
from core.testing import VisionBackendTests, make_picture
from core.vision import GenerationOptions, VisualQuestion
from plugins.openai_vision.backend import OpenAIBackend
from tests.agents.plugin_on_disk import ROOT, Shell
from tests.plugins.openai_vision.seeing_server import VARIABLES, settings
from tests.servers import free_port, llama_cpp, transformers_serve
from tests.servers.tiny_gguf_model import make as make_gguf
from tests.servers.tiny_vision_model import make as make_directory

pytestmark = pytest.mark.slow

RED, BLUE = (255, 0, 0), (0, 0, 255)
OPTIONS = GenerationOptions(max_new_tokens=16)
CAT = ROOT / "examples" / "photos" / "cat.jpg"


@dataclass(frozen=True)
class Served:
    """A running server."""

    kind: str
    url: str
    model: str

    @property
    def spec(self) -> str:
        return f"openai:{self.model}?base_url={self.url}"

    def eye(self, model: str = "", **options: object) -> OpenAIBackend:
        given = "".join(f"&{name}={value}" for name, value in options.items())
        argument = f"{model or self.model}?base_url={self.url}{given}"
        return OpenAIBackend(argument, settings=settings(api_key=None, max_retries=0, timeout=120.0))


@pytest.fixture(scope="module")
def gguf(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The language model and its eye, as files of llama.cpp."""
    for name in ("gguf", "xllamacpp"):
        pytest.importorskip(name, reason=f"llama.cpp's server needs the package {name}")
    return make_gguf(tmp_path_factory.mktemp("tiny-gguf"))


@pytest.fixture(scope="module", params=["llama.cpp", "transformers serve"])
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Each server, with a vision model."""
    if request.param == "llama.cpp":
        with llama_cpp(*request.getfixturevalue("gguf"), context=3072) as (url, _):  # a token is a letter here
            yield Served(request.param, url, "tiny")
        return
    for name in ("fastapi", "uvicorn"):
        pytest.importorskip(name, reason="needs transformers[serving]")
    folder = make_directory(tmp_path_factory.mktemp("tiny-directory"))
    with transformers_serve(folder, free_port(), timeout=600) as url:
        yield Served(request.param, url, str(folder))


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def looking(served: Served) -> Iterator[OpenAIBackend]:
    eye = served.eye()
    yield eye
    eye.close()


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """The command in a process of its own, without keys."""
    shell = Shell(tmp_path_factory.mktemp("shell"))
    for name in VARIABLES:
        shell.environment.pop(name, None)
    return shell


def ask(picture: Picture, eye: OpenAIBackend, question: str = "What is it?", **fields: object) -> VisualQuestion:
    [image] = eye.encode([picture])
    return VisualQuestion(image, question, **{"options": OPTIONS, **fields})  # type: ignore[arg-type]


# ---- answers -------------------------------------------------------------------------------------------------------


class TestAsAnyBackend(VisionBackendTests):
    """What every backend must do, with either server behind it."""

    spec = "openai"
    score_tolerance = 0.05  # llama.cpp keeps what it has read in 16 bit, and reads a batch in another order

    @pytest.fixture(scope="class")
    @classmethod
    def backend(cls, served: Served) -> Iterator[OpenAIBackend]:
        backend = served.eye()
        yield backend
        backend.close()


def test_the_answer_depends_on_the_picture_and_on_the_words(looking: OpenAIBackend) -> None:
    red, blue = (ask(make_picture(colour=colour), looking) for colour in (RED, BLUE))
    other = ask(make_picture(colour=RED), looking, "How large?")
    first, second, third, again = looking.answer([red, blue, other, red])
    assert first == again and len({first, second, third}) == 3
    assert len(first) == OPTIONS.max_new_tokens, "these models write one character per token, and never end"


def test_earlier_turns_and_several_pictures_reach_the_model(looking: OpenAIBackend) -> None:
    red, blue = looking.encode([make_picture(colour=RED), make_picture(colour=BLUE)])
    asked = [
        VisualQuestion(red, "What is it?", options=OPTIONS),
        VisualQuestion(red, "What is it?", (("Is it large?", "Yes."),), OPTIONS),
        VisualQuestion(looking.together([red, blue]), "What is it?", options=OPTIONS),
        VisualQuestion(looking.together([blue, red]), "What is it?", options=OPTIONS),
        VisualQuestion(red, "What is it?", (("Is it large?", "Yes."),), OPTIONS, images=((1, blue),)),
    ]
    assert len(set(looking.answer(asked))) == len(asked)


def test_a_seed_repeats_what_was_sampled(looking: OpenAIBackend) -> None:
    options = [GenerationOptions(16, temperature=1.0, top_p=1.0, seed=seed) for seed in (1, 2, 1)]
    # one after the other: `transformers serve` has one generator for all that is under way
    one, two, again = (looking.answer([ask(make_picture(), looking, options=chosen)])[0] for chosen in options)
    assert one == again != two


def test_pieces_come_one_by_one_and_make_the_answer(looking: OpenAIBackend) -> None:
    question = ask(make_picture(colour=RED), looking, history=(("Hello?", "Yes."),))
    *pieces, reply = looking.pieces(question)
    assert len(pieces) > 4 and "".join(map(str, pieces)) == looking.answer([question])[0]
    assert not isinstance(reply, str) and reply.reason == "length" and reply.output_tokens == OPTIONS.max_new_tokens


def test_tokens_are_counted_those_of_the_picture_too(looking: OpenAIBackend) -> None:
    """Streamed or not. A picture is four patches, and llama.cpp puts a blank before words that follow one."""
    [red] = looking.encode([make_picture(colour=RED)])
    [one] = looking.replies([VisualQuestion(red, "What?", options=OPTIONS)])
    [two] = looking.replies([VisualQuestion(looking.together([red, red]), "What?", options=OPTIONS)])
    [none] = looking.replies([VisualQuestion(looking.together([]), "What?", options=OPTIONS)])
    *_, streamed = looking.pieces(VisualQuestion(red, "What?", options=OPTIONS))
    assert one.input_tokens and two.input_tokens and none.input_tokens
    assert two.input_tokens - one.input_tokens == 4 and one.input_tokens - none.input_tokens in {4, 5}
    assert not isinstance(streamed, str) and streamed.input_tokens == one.input_tokens
    told = looking.describe()
    assert told["requests"] == "4" and told["output_tokens"] == str(4 * OPTIONS.max_new_tokens)
    assert told["input_tokens"] == str(2 * one.input_tokens + two.input_tokens + none.input_tokens)


def test_as_a_chat_model(served: Served, looking: OpenAIBackend) -> None:
    from langchain_core.messages import HumanMessage

    [image] = looking.encode([make_picture(colour=RED)])
    parts = [{"type": "image_url", "image_url": {"url": image.data[0]}}, {"type": "text", "text": "What is it?"}]
    model = VisionChatModel(vision=looking, max_tokens=16)
    message = model.invoke([HumanMessage(parts)])  # type: ignore[arg-type]
    assert message.text == looking.answer([VisualQuestion(image, "What is it?", options=OPTIONS)])[0]
    usage = message.usage_metadata
    assert usage is not None and usage["output_tokens"] == 16 and usage["input_tokens"] > 4
    pieces = list(model.stream([HumanMessage(parts)]))  # type: ignore[arg-type]
    assert "".join(piece.text for piece in pieces) == message.text and len(pieces) > 4
    assert [piece.usage_metadata for piece in pieces if piece.usage_metadata] == [usage]


# ---- errors --------------------------------------------------------------------------------------------------------


def failure(eye: OpenAIBackend, question: VisualQuestion) -> str:
    """The one line of an answer that fails; streamed, it is the same one."""
    said = []
    for call in (lambda: eye.answer([question]), lambda: list(eye.stream(question))):
        with pytest.raises(BackendError) as caught:
            call()
        said.append(str(caught.value))
    assert said[0] == said[1] and "\n" not in said[0] and len(said[0]) < 500
    return said[0]


def test_too_much_to_read_at_once_says_how_much_and_what_to_do(gguf: tuple[Path, Path]) -> None:
    with llama_cpp(*gguf) as (url, _):
        eye = Served("llama.cpp", url, "tiny").eye()
        said = failure(eye, ask(make_picture(), eye, "Why? " * 1000))
    assert "cannot read that much at once (HTTP 400): request (" in said and "context size (1024 tokens)" in said
    assert "send fewer or smaller pictures (max_side=512), or less text" in said


def test_a_server_without_an_eye_is_told_apart(gguf: tuple[Path, Path]) -> None:
    """llama.cpp needs a second file to see, --mmproj, which people forget."""
    with llama_cpp(gguf[0]) as (url, _):
        eye = Served("llama.cpp", url, "tiny").eye()
        said = failure(eye, ask(make_picture(), eye))
    assert "image input is not supported" in said and "mmproj" in said


def test_a_key_that_the_server_does_not_know(gguf: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    with llama_cpp(*gguf, key="right-0123456789") as (url, _):
        server = Served("llama.cpp", url, "tiny")
        for key in ("wrong-9876543210", "right-0123456789"):
            monkeypatch.setenv("LLAMA_API_KEY", key)
            with typed_by_owner([f"{server.spec}&key_env=LLAMA_API_KEY"]):
                eye = server.eye(key_env="LLAMA_API_KEY")
            if key.startswith("right"):
                assert len(eye.answer([ask(make_picture(), eye)])[0]) == OPTIONS.max_new_tokens
            else:
                said = failure(eye, ask(make_picture(), eye))
                assert said.endswith("does not accept the key (HTTP 401); check LLAMA_API_KEY.") and key not in said


def test_a_server_that_dies_while_it_speaks_and_is_gone_then(gguf: tuple[Path, Path]) -> None:
    with llama_cpp(*gguf, context=50_000) as (url, process):
        eye = Served("llama.cpp", url, "tiny").eye()
        question = ask(make_picture(), eye, options=GenerationOptions(max_new_tokens=49_000))  # it speaks for minutes
        pieces = eye.stream(question)
        assert next(pieces)
        process.kill()
        with pytest.raises(BackendError, match=r"broke off in the middle of its reply; try again\.$"):
            list(pieces)
        process.wait(30)
        said = failure(eye, question)
    assert said.endswith(f"at {url} cannot be reached; is the server running and the address right?")


@pytest.mark.parametrize("served", ["transformers serve"], indirect=True)  # llama.cpp takes any name
def test_a_model_that_is_not_served(served: Served, tmp_path: Path) -> None:
    eye = served.eye(f"{tmp_path}/no-such-model")
    assert "no-such-model" in failure(eye, ask(make_picture(), eye))


@pytest.mark.parametrize("served", ["transformers serve"], indirect=True)
def test_a_failure_inside_the_server_is_one_line(served: Served) -> None:
    """A temperature at which this model's arithmetic overflows."""
    said = []
    for streamed in (False, True):
        eye = served.eye()  # with a connection of its own: this server closes the one that saw it fail
        question = ask(make_picture(), eye, options=GenerationOptions(4, temperature=1e-40))
        with pytest.raises(BackendError, match=r"^the vision model openai:\S+ failed") as caught:
            list(eye.stream(question)) if streamed else eye.answer([question])
        said.append(str(caught.value))
    assert "(HTTP 500)" in said[0] and "\n" not in "".join(said)
    assert "probability tensor" in said[1], "what the stream said before it broke off"
    eye = served.eye()
    assert eye.answer([ask(make_picture(), eye)])[0], "it goes on serving"


# ---- the command ---------------------------------------------------------------------------------------------------


def test_caption_with_both_models_on_the_server(served: Served, shell: Shell) -> None:
    options = ["--rounds", "3", "--seed", "1", "--json", "--vision", served.spec]
    asked = ["--questioner", f"openai:{served.model}"] if served.kind == "llama.cpp" else []
    done = shell.run(
        "caption", *options, *asked, str(CAT), shell.picture(), environment={"INQUISIGHT_BASE_URL": served.url}
    )
    assert done.returncode == 0, done.stderr
    captions = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(captions) == 2
    for caption in captions:
        turns = caption["dialogue"]["turns"]
        assert len(turns) == 3 and all(turn["answer"] for turn in turns)
        assert int(caption["vision"]["requests"]) >= 3 and int(caption["vision"]["input_tokens"]) > 0
    assert captions[0]["dialogue"]["turns"][0]["answer"] != captions[1]["dialogue"]["turns"][0]["answer"]


@pytest.mark.parametrize("served", ["llama.cpp"], indirect=True)
@pytest.mark.parametrize("mode", ["chat", "interview", "agent"])
def test_ask_in_every_mode(served: Served, shell: Shell, mode: str) -> None:
    options = ["--mode", mode, "--vision", served.spec, "--questioner", f"openai:{served.model}", "--seed", "1"]
    done = shell.run(
        "ask", "What is it?", str(CAT), "--rounds", "2", "--json", *options,
        environment={"INQUISIGHT_BASE_URL": served.url},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    last = json.loads(done.stdout.splitlines()[-1])
    assert last["event"] == "answer" and last["answer"], done.stdout


def test_without_a_server_it_is_one_line(shell: Shell) -> None:
    url = f"http://127.0.0.1:{free_port()}/v1"
    done = shell.run(
        "caption", "--vision", f"openai:tiny?base_url={url}", str(CAT), environment={"INQUISIGHT_MAX_RETRIES": "0"}
    )
    assert done.returncode != 0
    [line] = [line for line in done.stderr.splitlines() if "cannot be reached" in line]
    assert url in line and "is the server running and the address right?" in line and "Traceback" not in done.stderr
