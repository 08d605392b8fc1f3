"""Generate text with transformers: decoding options, seeded sampling per row, and tokens as text while they come."""

from __future__ import annotations

import queue
import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import torch
from torch import Tensor
from transformers import (
    LogitsProcessor,
    LogitsProcessorList,
    MinNewTokensLengthLogitsProcessor,
    RepetitionPenaltyLogitsProcessor,
    StoppingCriteria,
    StoppingCriteriaList,
    SuppressTokensLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from core.errors import BackendError, UsageError
from core.scoring import ScoredToken, shown_tokens
from core.vision import Reply
from plugins.hf.token_scores import BROKEN, TokenRecorder

T = TypeVar("T")
R = TypeVar("R")
# Settings of generate() that decode greedily; a `Sampler` changes the scores before.
GREEDY_SEARCH: Final[dict[str, Any]] = {
    "max_length": None,
    "do_sample": False,
    "num_beams": 1,
    "temperature": None,
    "top_p": None,
    "top_k": None,
}


@dataclass(frozen=True, slots=True)
class DecodingOptions:
    """Decoding options under the names transformers gives them; the defaults decode greedily.

    Penalties count generated tokens only, as in the original, which generated from embeddings. Raises UsageError.
    """

    max_new_tokens: int = 300
    do_sample: bool = False
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0  # 0: all tokens
    num_beams: int = 1
    repetition_penalty: float = 1.0
    length_penalty: float = 1.0  # beams only
    min_length: int = 0  # new tokens before an end of text is allowed
    seed: int | None = None  # with the same seed a row gives the same answer in any batch
    token_scores: int | None = None  # as in `GenerationOptions`

    def __post_init__(self) -> None:
        limits = {
            "max_new_tokens": (self.max_new_tokens >= 1, "at least 1"),
            "temperature": (self.temperature > 0, "above 0; for greedy decoding set do_sample to False"),
            "top_p": (0 < self.top_p <= 1, "above 0 and at most 1"),
            "top_k": (self.top_k >= 0, "0 (all tokens) or more"),
            "num_beams": (self.num_beams >= 1, "at least 1"),
            "repetition_penalty": (self.repetition_penalty > 0, "above 0; 1 means none"),
            "min_length": (self.min_length >= 0, "0 or more"),
        }
        for name, (fine, allowed) in limits.items():
            if not fine:
                raise UsageError(f"{name} is {getattr(self, name)}, but must be {allowed}.")
        if self.num_beams > 1 and self.token_scores is not None:
            raise UsageError("an answer found by beam search has no log-probabilities of tokens; set num_beams to 1.")

    def recorder(self, rows: int) -> TokenRecorder | None:
        """What keeps the tokens of `rows` answers, if they are to be reported."""
        return None if self.token_scores is None else TokenRecorder(rows, self.token_scores)


GREEDY: Final = DecodingOptions(max_new_tokens=60)


class Sampler(LogitsProcessor):  # type: ignore[misc]
    """Choose one token per row and leave generate() only that one.

    Each row draws from its own generator, so a batch does not change its answer.
    """

    def __init__(
        self,
        options: DecodingOptions,
        rows: int,
        *,
        eos_token_ids: Sequence[int] = (),
        suppress_tokens: Sequence[int] = (),
        device: Any = "cpu",
    ) -> None:
        self.options = options
        self.processors = LogitsProcessorList()
        if options.repetition_penalty != 1:
            self.processors.append(RepetitionPenaltyLogitsProcessor(options.repetition_penalty))
        if options.min_length and eos_token_ids:
            self.processors.append(
                MinNewTokensLengthLogitsProcessor(0, options.min_length, list(eos_token_ids), device=str(device))
            )
        if suppress_tokens:
            self.processors.append(SuppressTokensLogitsProcessor(list(suppress_tokens), device=str(device)))
        if options.do_sample:
            if options.temperature != 1:
                self.processors.append(TemperatureLogitsWarper(options.temperature))
            if options.top_k:
                self.processors.append(TopKLogitsWarper(options.top_k))
            if options.top_p < 1:
                self.processors.append(TopPLogitsWarper(options.top_p))
        self.generators = [torch.Generator() for _ in range(rows)]
        for generator in self.generators:
            generator.manual_seed(secrets.randbits(62) if options.seed is None else options.seed)
        self._prompt: int | None = None  # tokens of `input_ids` before the first generated one

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        if self._prompt is None:
            self._prompt = input_ids.shape[1]
        tokens = self.choose(scores, input_ids[:, self._prompt :])
        return torch.full_like(scores, -torch.inf).scatter_(-1, tokens[:, None], 0.0)

    def choose(self, logits: Tensor, generated: Tensor) -> Tensor:
        """logits (B, vocabulary) and tokens generated so far (B, n) -> (B,)."""
        scores = self.processors(generated, logits.float())
        if not self.options.do_sample:
            return scores.argmax(-1)
        # Inverse distribution function with one number per row: the draws do not depend on device or batch.
        probabilities, tokens = scores.softmax(-1).sort(stable=True, dim=-1, descending=True)
        draws = torch.cat([torch.rand(1, generator=generator) for generator in self.generators])
        totals = probabilities.cumsum(-1)
        place = torch.searchsorted(totals, draws.to(totals.device)[:, None] * totals[:, -1:], right=True)
        last = (probabilities > 0).sum(-1, keepdim=True) - 1
        return tokens.gather(-1, torch.minimum(place, last))[:, 0]


class StreamDecoder:
    """Decode one row's tokens into pieces of text that never change later.

    A piece is held back while it could still become a stop string, while its last character is incomplete, or while it
    ends in blanks (answers have none around them). `text` is the joined pieces.
    """

    def __init__(self, tokenizer: Any, stops: Sequence[str] = ()) -> None:
        self.tokenizer = tokenizer
        self.stops = tuple(stops)
        self.ids: list[int] = []
        self.text = ""
        self.stopped = False

    def feed(self, token: int) -> str:
        """The text that became certain with this token, often none."""
        self.ids.append(token)
        text = self._decode()
        if ends := [place for stop in self.stops if (place := text.find(stop)) >= 0]:
            self.stopped = True
            return self._add(text[: min(ends)])
        text = text.rstrip(BROKEN)
        partial = (n for stop in self.stops for n in range(1, len(stop)) if text.endswith(stop[:n]))
        return self._add(text[: len(text) - max(partial, default=0)])

    def close(self) -> str:
        """What was still held back, once no token follows."""
        return "" if self.stopped else self._add(self._decode())

    def _decode(self) -> str:
        text: str = self.tokenizer.decode(self.ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text.lstrip()

    def _add(self, text: str) -> str:
        piece = text.rstrip()[len(self.text) :]
        self.text += piece
        return piece


class Listener(StoppingCriteria):  # type: ignore[misc]
    """Decode the tokens of a running generate(), report text as it becomes certain, and stop finished rows.

    Once `cancelled` is set, all rows stop. `recorder` keeps the tokens, if they are to be reported.
    """

    def __init__(
        self,
        decoders: Sequence[StreamDecoder],
        eos_token_ids: Sequence[int],
        report: Callable[[str], None] | None = None,
        cancelled: threading.Event | None = None,
        recorder: TokenRecorder | None = None,
    ) -> None:
        self.decoders = decoders
        self.recorder = recorder
        self.eos_token_ids = frozenset(eos_token_ids)
        self._report = report or (lambda text: None)
        self._cancelled = cancelled or threading.Event()

    def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Tensor:
        for row, (decoder, token) in enumerate(zip(self.decoders, input_ids[:, -1].tolist(), strict=True)):
            if decoder.stopped:
                continue
            if self.recorder is not None and token not in self.eos_token_ids:
                self.recorder.choose(row, token)
            if token in self.eos_token_ids:
                self._report(decoder.close())
                decoder.stopped = True
            else:
                self._report(decoder.feed(token))
        done = [decoder.stopped or self._cancelled.is_set() for decoder in self.decoders]
        return torch.tensor(done, device=input_ids.device)

    def replies(self, prompt_tokens: Sequence[int], limit: int) -> list[Reply]:
        """The answer to each row, after generate(); `limit`: the most new tokens it could have."""
        for decoder in self.decoders:
            self._report(decoder.close())
        return [
            Reply(
                decoder.text,
                "stop" if decoder.stopped or len(decoder.ids) < limit else "length",
                length,
                len(decoder.ids),
                self._tokens(row, decoder),
            )
            for row, (decoder, length) in enumerate(zip(self.decoders, prompt_tokens, strict=True))
        ]

    def _tokens(self, row: int, decoder: StreamDecoder) -> tuple[ScoredToken, ...]:
        if self.recorder is None:
            return ()

        def decode(ids: Sequence[int], shown: bool) -> str:
            text: str = decoder.tokenizer.decode(
                list(ids), skip_special_tokens=shown, clean_up_tokenization_spaces=False
            )
            return text

        return shown_tokens(self.recorder.tokens(row, decode), decoder.text)


def generate(model: Any, inputs: dict[str, Any], listener: Listener, sampler: Sampler | None, **settings: Any) -> None:
    """Run `model.generate` with `listener`; greedy over the model's scores, or over those that `sampler` leaves."""
    model.generate(
        **inputs,
        **GREEDY_SEARCH,
        **settings,
        eos_token_id=sorted(listener.eos_token_ids) or None,
        return_dict_in_generate=False,
        logits_processor=LogitsProcessorList([one for one in (listener.recorder, sampler) if one is not None]),
        stopping_criteria=StoppingCriteriaList([listener]),
    )


def eos_token_ids(*owners: Any) -> set[int]:
    """The end-of-text tokens that generation configurations and tokenizers name."""
    found: set[int] = set()
    for owner in owners:
        value = getattr(owner, "eos_token_id", None)
        found.update(value if isinstance(value, list | tuple) else [] if value is None else [value])
    return found


def in_halves(
    work: Callable[[Sequence[T]], list[R]],
    items: Sequence[T],
    what: str,
    *,
    free: Callable[[], bool],
    notify: Callable[[str], None],
) -> list[R]:
    """`work(items)`; if memory runs out, again after `free()` in halves, with a notice. Raises BackendError.

    `free` drops what is kept for later calls and returns whether there was anything; `what` names an item.
    """
    if not items:
        return []
    try:
        return work(items)
    except torch.OutOfMemoryError:
        pass  # outside of this block, so that the failed batch's tensors are gone
    freed = free()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if len(items) == 1:
        if not freed:
            raise no_memory(what)
        return in_halves(work, items, what, free=free, notify=notify)
    half = (len(items) + 1) // 2
    notify(f"not enough memory for {len(items)} {what}s at a time: going on with {half} at a time.")
    parts = (in_halves(work, some, what, free=free, notify=notify) for some in (items[:half], items[half:]))
    return [result for part in parts for result in part]


def no_memory(what: str) -> BackendError:
    return BackendError(
        f"not enough memory for one {what}; ask about fewer or smaller pictures, for a shorter answer, or load the "
        "model in 8 or 4 bit."
    )


def stream(run: Callable[[Callable[[str], None], threading.Event], Reply]) -> Iterator[str | Reply]:
    """The pieces that `run(report, cancelled)` reports, as they come, then the Reply that it returns.

    `run` works in a thread; a reader who leaves early sets `cancelled`. Raises whatever `run` raises, and BackendError
    if memory runs out.
    """
    pieces: queue.SimpleQueue[str | Reply | BaseException] = queue.SimpleQueue()
    cancelled = threading.Event()

    def work() -> None:
        try:
            pieces.put(run(lambda text: pieces.put(text) if text else None, cancelled))
        except BaseException as error:  # noqa: BLE001 - raised again where the text is read
            pieces.put(error)

    threading.Thread(target=work, daemon=True, name="answer").start()
    try:
        piece: str | Reply | BaseException = ""
        while not isinstance(piece, Reply):
            if isinstance(piece := pieces.get(), torch.OutOfMemoryError):
                raise no_memory("question") from piece
            if isinstance(piece, BaseException):
                raise piece
            yield piece
    finally:
        cancelled.set()
