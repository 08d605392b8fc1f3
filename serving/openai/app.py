"""The routes of the server: /v1/models, /v1/chat/completions, /health and /metrics."""

from __future__ import annotations

import json
import logging
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response, StreamingResponse
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware

from core.errors import BackendError, ImageError, InquisightError, QuestionerError, UsageError, printable
from serving.access import NO_KEY, has_key
from serving.openai.body import LimitedBody
from serving.openai.conversation import Fetch, refuse
from serving.openai.jobs import Busy, Job, Jobs, ShutDownError, Work, while_connected
from serving.openai.metrics import Metrics
from serving.openai.models import InterviewModel, Offer
from serving.openai.schema import (
    AnswerMessage,
    ChatRequest,
    Choice,
    Completion,
    ErrorBody,
    ErrorDetail,
    Logprobs,
    ModelCard,
    ModelList,
    TokenScore,
    Usage,
)
from serving.openai.work import Accepted, Answer, Delta, answer_request, interview_request

log = logging.getLogger("inquisight")

BEAT: Final = 15.0  # seconds between two comments in a stream without words, so that no proxy closes it
_ERRORS: Final[dict[int | str, dict[str, Any]]] = {
    code: {"model": ErrorBody} for code in (400, 401, 403, 404, 405, 413, 415, 429, 500, 502, 503)
}
_BUSY: Final = "all places of this server are taken; try again in {seconds} s"


class ApiError(Exception):
    """An error in OpenAI's form."""

    def __init__(self, status: int, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        kind = {401: "authentication_error", 429: "rate_limit_error"}.get(
            status, "server_error" if status >= 500 else "invalid_request_error"
        )
        self.body = ErrorBody(error=ErrorDetail(message=message, type=kind, param=param, code=code))
        self.headers: dict[str, str] = {}

    def response(self) -> JSONResponse:
        """The answer with this error."""
        return JSONResponse(self.body.model_dump(), self.status, self.headers)


def make_app(
    offer: Offer,
    metrics: Metrics,
    *,
    keys: Sequence[str] = (),
    queue: int = 256,
    body_bytes: int = 40_000_000,
    fetch: Fetch = refuse,
    hosts: Sequence[str] = ("*",),
) -> FastAPI:
    """The application. `hosts`: names under which it may be addressed, against DNS rebinding."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        server.jobs = Jobs(queue, metrics)
        yield
        server.jobs.close()

    server = _Server(offer, metrics, keys, fetch)
    app = FastAPI(
        title="Inquisight",
        description="Vision models, and interviews with them, in OpenAI's Chat Completions.",
        lifespan=lifespan,
        redoc_url=None,
        docs_url=None,  # its page loads scripts from elsewhere
    )
    app.add_middleware(LimitedBody, most=body_bytes)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(hosts))
    app.include_router(server.routes())
    app.add_exception_handler(ApiError, lambda _, error: error.response())
    app.add_exception_handler(RequestValidationError, _invalid)  # type: ignore[arg-type]
    app.add_exception_handler(HTTPException, _http_error)  # type: ignore[arg-type]
    app.add_exception_handler(Exception, _unforeseen)
    return app


class _Server:
    """The routes with what they share."""

    jobs: Jobs

    def __init__(self, offer: Offer, metrics: Metrics, keys: Sequence[str], fetch: Fetch) -> None:
        self.offer, self.metrics, self.fetch = offer, metrics, fetch
        self._keys = keys
        self._started = int(time.time())

    def routes(self) -> APIRouter:
        open_to_all = APIRouter(responses=_ERRORS)
        open_to_all.add_api_route("/health", self.health, methods=["GET"])
        guarded = APIRouter(responses=_ERRORS, dependencies=[Depends(self.check_key)])
        guarded.add_api_route("/metrics", self.show_metrics, methods=["GET"], response_class=Response)
        guarded.add_api_route("/v1/models", self.list_models, methods=["GET"])
        guarded.add_api_route("/v1/models/{model:path}", self.get_model, methods=["GET"])
        guarded.add_api_route(
            "/v1/chat/completions",
            self.complete,
            methods=["POST"],
            response_model=None,
            responses={200: {"model": Completion, "description": "The answer, or a stream of chunks."}},
        )
        open_to_all.include_router(guarded)
        return open_to_all

    async def check_key(self, request: Request) -> None:
        """Raise ApiError if keys are needed and the request has none of them."""
        if self._keys and not has_key(request.headers.get("authorization", ""), self._keys):
            raise ApiError(401, NO_KEY, code="invalid_api_key")

    async def health(self) -> dict[str, Any]:
        """Whether the server answers, and how much it has to do."""
        return {
            "status": "ok",
            "models": self.offer.ids,
            "active": self.jobs.active,
            "limit": self.jobs.limit,
            "waiting": sum(vision.waiting for vision in self.offer.visions.values()),
        }

    async def show_metrics(self) -> Response:
        """Counters for Prometheus."""
        return Response(self.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def list_models(self) -> ModelList:
        """The models of this server."""
        return ModelList(data=[ModelCard(id=name, created=self._started) for name in self.offer.ids])

    async def get_model(self, model: str) -> ModelCard:
        """One model."""
        if self.offer.find(model) is None:
            raise ApiError(404, self.offer.unknown(model), param="model", code="model_not_found")
        return ModelCard(id=model, created=self._started)

    async def complete(self, body: ChatRequest, request: Request) -> Response:
        """Answer a conversation about pictures."""
        model = self.offer.find(body.model)
        if model is None:
            raise ApiError(404, self.offer.unknown(body.model), param="model", code="model_not_found")
        work: Work
        if isinstance(model, InterviewModel):
            work = partial(interview_request, body, model, self.fetch)
        else:
            work = partial(answer_request, body, model, self.fetch)
        try:
            job = self.jobs.start(work)
        except Busy as busy:
            self._count(body.model, 429)
            error = ApiError(429, _BUSY.format(seconds=busy.seconds), code="busy")
            error.headers["Retry-After"] = str(busy.seconds)
            raise error from None
        writer = _Writer(body)
        try:
            if body.stream:
                return await self._start_stream(body, request, job, writer)
            answers = await while_connected(request.receive, job, _answers(job))
        except Exception as error:
            failure = _failure(error)
            self._count(body.model, failure.status)
            raise failure from error
        if answers is None:
            return self._gone(body)
        self._count(body.model, 200, answers, writer.began)
        return JSONResponse(writer.completion(answers))

    async def _start_stream(self, body: ChatRequest, request: Request, job: Job, writer: _Writer) -> Response:
        """The stream, once nothing can be wrong with the request any more."""
        first = await while_connected(request.receive, job, job.step())
        if first is None:
            return self._gone(body)
        return StreamingResponse(
            self._stream(body, job, writer, first),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-cache"},
        )

    async def _stream(self, body: ChatRequest, job: Job, writer: _Writer, first: Any) -> AsyncIterator[str]:
        complete = False
        try:
            for chunk in writer.begin():
                yield chunk
            for chunk in writer.step(first):
                yield chunk
            async for step in job.steps(BEAT):
                for chunk in writer.step(step):
                    yield chunk
                if isinstance(step, list):
                    self._count(body.model, 200, step, writer.began)
            complete = True
            yield "data: [DONE]\n\n"
        except Exception as error:  # noqa: BLE001 - the status was sent: only the stream can tell
            complete = True
            failure = _failure(error)
            self._count(body.model, failure.status)
            yield f"data: {failure.body.model_dump_json()}\n\n"
            yield "data: [DONE]\n\n"
        finally:
            job.leave()
            if not complete:
                self.metrics.left.inc()

    def _gone(self, body: ChatRequest) -> Response:
        self.metrics.left.inc()
        self._count(body.model, 499)
        return Response(status_code=499)  # nobody receives it

    def _count(self, model: str, status: int, answers: Sequence[Answer] = (), began: float | None = None) -> None:
        self.metrics.requests.labels(model, str(status)).inc()
        if began is not None:
            self.metrics.seconds.labels(model).observe(time.monotonic() - began)
        for answer in answers:
            self.metrics.tokens.labels("read").inc(answer.read)
            self.metrics.tokens.labels("written").inc(answer.written)


async def _answers(job: Job) -> list[Answer]:
    while not isinstance(step := await job.step(), list):
        pass
    return step


class _Writer:
    """Writes the answers of one request in OpenAI's form."""

    def __init__(self, body: ChatRequest) -> None:
        self.body = body
        self.began = time.monotonic()
        self.head = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time()), "model": body.model}
        self.with_usage = bool(body.stream_options and body.stream_options.include_usage)

    def completion(self, answers: Sequence[Answer]) -> dict[str, Any]:
        """The body of an answer that is not streamed."""
        choices = [
            Choice(
                index=index,
                message=AnswerMessage(content=answer.text, reasoning_content=answer.progress or None),
                logprobs=Logprobs(content=list(answer.scores)) if answer.scores else None,
                finish_reason=answer.reason,
            )
            for index, answer in enumerate(answers)
        ]
        whole = Completion(**self.head, choices=choices, usage=_usage(answers), inquisight=_extra(answers))  # type: ignore[arg-type]
        value = whole.model_dump(exclude_none=True)
        for choice in value["choices"]:
            choice.setdefault("logprobs", None)
        return value

    def begin(self) -> list[str]:
        """The first chunk of each choice, with the role."""
        return [self._chunk(index, {"role": "assistant", "content": ""}) for index in range(self.body.n or 1)]

    def step(self, step: Any) -> list[str]:
        """The chunks for one step; a comment where nothing has happened for a while."""
        if step is None:
            return [": waiting\n\n"]
        if isinstance(step, Delta):
            shown = step.text or step.scores
            return [self._chunk(step.index, {step.field: step.text}, scores=step.scores)] if shown else []
        if isinstance(step, Accepted):
            return []
        chunks = [self._chunk(index, {}, answer.reason, extra=_extra([answer])) for index, answer in enumerate(step)]
        if self.with_usage:
            chunks.append(self._event({"choices": [], "usage": _usage(step).model_dump()}))
        return chunks

    def _chunk(
        self,
        index: int,
        delta: dict[str, str],
        reason: str | None = None,
        *,
        scores: Sequence[TokenScore] = (),
        extra: dict[str, Any] | None = None,
    ) -> str:
        choice: dict[str, Any] = {"index": index, "delta": delta, "logprobs": None, "finish_reason": reason}
        if scores:
            choice["logprobs"] = Logprobs(content=list(scores)).model_dump()
        more: dict[str, Any] = {"usage": None} if self.with_usage else {}
        return self._event({"choices": [choice], **more, **({"inquisight": extra} if extra else {})})

    def _event(self, content: dict[str, Any]) -> str:
        value = {**self.head, "object": "chat.completion.chunk", **content}
        return f"data: {json.dumps(value, ensure_ascii=False)}\n\n"


def _usage(answers: Sequence[Answer]) -> Usage:
    """The prompt counts once, however many choices there are."""
    read = answers[0].read if answers else 0
    written = sum(answer.written for answer in answers)
    return Usage(prompt_tokens=read, completion_tokens=written, total_tokens=read + written)


def _extra(answers: Sequence[Answer]) -> dict[str, Any] | None:
    return (answers[0].extra or None) if answers else None


# ---- errors ------------------------------------------------------------------------------------------------------


def _failure(error: BaseException) -> ApiError:
    """The error that a client gets; what names this machine goes to the log only."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, ImageError):
        return ApiError(400, str(error), param="messages", code="invalid_image")
    if isinstance(error, UsageError):
        return ApiError(400, str(error))
    if isinstance(error, ShutDownError):
        return ApiError(503, "the server is shutting down", code="shutting_down")
    log.error("a request failed: %s", printable(error, 500))
    if isinstance(error, QuestionerError):
        return ApiError(502, "the language model of the interview failed; the server's log has the reason")
    if isinstance(error, BackendError):
        return ApiError(500, "the vision model failed; the server's log has the reason")
    if not isinstance(error, InquisightError):
        log.error("unforeseen", exc_info=error)
    return ApiError(500, "the server failed; its log has the reason")


async def _invalid(request: Request, error: RequestValidationError) -> JSONResponse:
    """400 with the first thing that is wrong and its place."""
    first = max(
        error.errors(), key=lambda one: len(one["loc"])
    )  # of several ways to read a value, the one that fits best
    place = ".".join(str(part) for part in first["loc"] if part != "body")
    message = str(first["msg"]).removeprefix("Value error, ")
    if first["type"] == "json_invalid":
        place, message = "", f"the body is no JSON: {first.get('ctx', {}).get('error', message)}"
    line = f"{place}: {message}" if place else message
    return ApiError(400, printable(line, 300), param=place or None).response()


async def _http_error(request: Request, error: HTTPException) -> JSONResponse:
    answer = ApiError(error.status_code, printable(error.detail))
    answer.headers |= dict(error.headers or {})
    return answer.response()


async def _unforeseen(request: Request, error: Exception) -> JSONResponse:
    return _failure(error).response()
