"""The work of one request, in its own thread: read the messages, ask the vision model or hold an interview."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from agents.langchain.encode import PictureEncoder
from agents.langchain.messages import MessageTurn, Sources, until
from agents.langchain.request import NOT_SHOWN, Request, make_request
from core.errors import UsageError
from core.images.picture import Picture, open_picture
from core.scoring import shown_tokens
from core.settings import get_settings
from core.vision import CHAT_TOKENS, SHORT_TOKENS, GenerationOptions, Reply
from serving.openai.conversation import Fetch, read_conversation
from serving.openai.names import public_name
from serving.openai.schema import ChatRequest, TokenScore

if TYPE_CHECKING:
    from core.records import Caption
    from serving.openai.models import InterviewModel
    from serving.queued import QueuedVision

TEXT, PROGRESS = "content", "reasoning_content"
_INTERVIEWED = ("n", "logprobs", "response_format")  # what an interview does not have


@dataclass(frozen=True, slots=True)
class Accepted:
    """The request can be answered; an error comes before this or while a model is at work."""


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of an answer, or of the dialogue that leads to it; `scores` are those of its tokens."""

    index: int
    field: str  # TEXT or PROGRESS
    text: str
    scores: tuple[TokenScore, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """A finished answer. `reason` is "stop" or "length"; `extra` are the fields beyond OpenAI's."""

    text: str
    reason: str
    read: int
    written: int
    extra: dict[str, Any] = field(default_factory=dict)
    scores: tuple[TokenScore, ...] = ()
    progress: str = ""


Emit = Callable[[Accepted | Delta], None]


def answer_request(body: ChatRequest, vision: QueuedVision, fetch: Fetch, emit: Emit) -> list[Answer]:
    """Answers of a vision model, one per choice. Raises InquisightError or CalledOff."""
    system, turns = read_conversation(body.messages)
    options = _options(body, vision)
    encoder = _open(turns, vision, fetch)
    if options.token_scores is not None and not vision.reports_tokens:
        raise UsageError(
            f"{public_name(vision.name)} reports logprobs only of answers that are chosen from a list: send "
            'response_format with a json_schema such as {"enum": ["yes", "no"]}, or leave logprobs out'
        )
    emit(Accepted())
    encoder.finish()
    request = make_request(vision, system, turns, options)
    if body.response_format is not None and body.response_format.type != "text":
        return [_structured(body, request, emit)]
    count = body.n or 1
    if request.question is None:
        replies = [NOT_SHOWN] * count
    elif body.stream and count == 1 and not body.logprobs:
        return [_streamed(body, request, emit)]
    else:
        replies = vision.replies([_choice(request, number) for number in range(count)])
    answers = [_answer(body, request, reply) for reply in replies]
    for index, answer in enumerate(answers):
        for piece in _scored(index, answer):
            emit(piece)
    return answers


def _scored(index: int, answer: Answer) -> Iterator[Delta]:
    """The answer token by token, where they have scores and make up its text; else in one piece."""
    whole = "".join(score.token for score in answer.scores)
    start = len(whole) - len(whole.lstrip())
    if not whole[start:].startswith(answer.text):
        yield Delta(index, TEXT, answer.text, answer.scores)
        return
    place = 0
    for score in answer.scores:
        piece = whole[max(place, start) : min(place + len(score.token), start + len(answer.text))]
        yield Delta(index, TEXT, piece, (score,))
        place += len(score.token)


def _options(body: ChatRequest, vision: QueuedVision) -> GenerationOptions:
    limit = body.limit or (CHAT_TOKENS if vision.follows_instructions else SHORT_TOKENS)
    text = body.response_format is None or body.response_format.type == "text"
    likeliest = (body.top_logprobs or 0) if body.logprobs and text else None
    return GenerationOptions(limit, body.temperature or 0.0, body.top_p or 0.9, body.seed, token_scores=likeliest)


def _open(turns: list[MessageTurn], vision: QueuedVision, fetch: Fetch) -> PictureEncoder:
    encoder = PictureEncoder(vision, Sources(fetch=fetch), vision.known)
    encoder.open(turns)
    return encoder


def _choice(request: Request, number: int) -> Any:
    """The question for a further choice: another seed, where there is one."""
    assert request.question is not None
    seed = request.question.options.seed
    if number == 0 or seed is None:
        return request.question
    return replace(request.question, options=replace(request.question.options, seed=seed + number))


def _answer(body: ChatRequest, request: Request, reply: Reply) -> Answer:
    text = "".join(until(iter([reply.text]), body.stop or []))
    answer = _counted(request, reply, text, cut=len(text) < len(reply.text))
    if not reply.tokens:
        return answer
    tokens = shown_tokens(reply.tokens, text)
    written = "".join(token.text for token in tokens)
    extra = {} if written.lstrip().startswith(text) else {"logprobs_of": f"what the model wrote: {written.strip()}"}
    scores = tuple(_score(token.text, token.logprob, token.likeliest) for token in tokens)
    return replace(answer, scores=scores, extra={**answer.extra, **extra})


def _counted(request: Request, reply: Reply, text: str, *, cut: bool) -> Answer:
    usage, about = request.describe(reply, text, cut=cut)
    extra: dict[str, Any] = {name: about[name] for name in ("left_out", "tokens_counted_by") if name in about}
    reason = about.get("finish_reason", "stop")
    known = reason if reason in ("stop", "length", "content_filter") else "stop"
    return Answer(text, known, usage["input_tokens"], usage["output_tokens"], extra)


def _streamed(body: ChatRequest, request: Request, emit: Emit) -> Answer:
    assert request.question is not None
    reply, length = Reply(""), 0

    def words() -> Iterator[str]:
        nonlocal reply, length
        assert request.question is not None
        for piece in request.vision.pieces(request.question):
            if isinstance(piece, Reply):
                reply = piece
            else:
                length += len(piece)
                yield piece

    text = ""
    for piece in filter(None, until(words(), body.stop or [])):
        text += piece
        emit(Delta(0, TEXT, piece))
    return _counted(request, reply, text, cut=len(text) < length)


def _structured(body: ChatRequest, request: Request, emit: Emit) -> Answer:
    """An answer that fits the schema of the request."""
    from agents.structured import answer_as

    assert body.response_format is not None
    schema = body.response_format.json_schema
    if request.question is None:
        raise UsageError("an answer with a schema needs a picture; send one")
    if body.n not in (None, 1):
        raise UsageError("an answer with a schema has one choice; leave n out")
    found = answer_as(schema.schema_ if schema else {"type": "object"}, request.vision, request.question)
    scores = tuple(_score(text, logprob, found.scores) for text, logprob in found.scores if text == found.chosen)
    if body.logprobs and not scores:
        raise UsageError('logprobs need a schema with a choice, such as {"enum": ["yes", "no"]}')
    answer = _counted(request, found.reply, found.reply.text, cut=False)
    top = body.top_logprobs or 0
    shown = tuple(_only(score, top) for score in scores) if body.logprobs else ()
    emit(Delta(0, TEXT, answer.text, shown))
    return replace(answer, scores=shown)


def _score(text: str, logprob: float, others: Any) -> TokenScore:
    top = sorted(others, key=lambda one: -one[1])
    return TokenScore(
        token=text,
        logprob=max(logprob, -9999.0),
        bytes=list(text.encode()),
        top_logprobs=[TokenScore(token=one, logprob=max(its, -9999.0), bytes=list(one.encode())) for one, its in top],
    )


def _only(score: TokenScore, top: int) -> TokenScore:
    return score.model_copy(update={"top_logprobs": score.top_logprobs[:top]})


# ---- interviews --------------------------------------------------------------------------------------------------


def interview_request(body: ChatRequest, model: InterviewModel, fetch: Fetch, emit: Emit) -> list[Answer]:
    """The description of the picture in the last message; later messages without one are answered by the vision model.

    Raises InquisightError or CalledOff.
    """
    _, turns = read_conversation(body.messages)
    if not turns[-1].blocks:
        return answer_request(body, model.vision, fetch, emit)
    if len(turns[-1].blocks) > 1:
        raise UsageError(f"an interview is about one picture, but the last message has {len(turns[-1].blocks)}")
    asked = [name for name in _INTERVIEWED if getattr(body, name) not in (None, False, 1)]
    if asked and not (asked == ["response_format"] and body.response_format and body.response_format.type == "text"):
        raise UsageError(f"an interview has no {asked[0]}; leave it out, or name the vision model itself")
    [block] = turns[-1].blocks
    source = Sources(fetch=fetch).get(*block)
    picture = open_picture(source, name=block[1], max_pixels=get_settings().max_pixels)
    emit(Accepted())
    return [_interview(body, model, picture, turns[-1].words, emit)]


def _interview(body: ChatRequest, model: InterviewModel, picture: Picture, words: list[str], emit: Emit) -> Answer:
    from agents.interview.driver import finished
    from agents.interview.events import Answered, PlainCaption, QuestionAsked
    from agents.langchain.request import count_tokens

    lines: list[str] = []

    def report(line: str) -> None:
        lines.append(line)
        emit(Delta(0, PROGRESS, f"{line}\n"))

    def watched() -> Iterator[Any]:
        for event in model.interview(picture, seed=body.seed, limit=body.limit):
            match event:
                case PlainCaption(text=text):
                    report(f"Plain caption: {text}")
                case QuestionAsked(question=question):
                    report(f"Question: {question}")
                case Answered(turn=turn):
                    report(f"Answer: {turn.answer}")
            yield event

    caption = finished(watched())
    text = "".join(until(iter([caption.text]), body.stop or []))
    emit(Delta(0, TEXT, text))
    extra: dict[str, Any] = {"caption": _public(caption)}
    if words:
        extra["left_out"] = "the words beside the picture: an interview asks its own questions"
    read = sum(count_tokens(model.vision, turn.question) for turn in caption.dialogue.turns)
    written = sum(count_tokens(model.vision, turn.answer) for turn in caption.dialogue.turns)
    extra["tokens_counted_by"] = "the vision model's dialogue and the description, words only"
    written += count_tokens(model.vision, text)
    reason = "length" if caption.truncated and len(text) == len(caption.text) else "stop"
    return Answer(text, reason, read, written, extra, progress="\n".join(lines))


def _public(caption: Caption) -> dict[str, Any]:
    """The record of an interview without what names this machine: paths, addresses, devices."""
    record = caption.model_dump(mode="json", exclude={"picture": {"source"}, "problems": True, "error": True})
    for who in ("vision", "questioner"):
        record[who] = {"name": public_name(record[who].get("name", ""))}
    return record
