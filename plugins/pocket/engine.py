"""Ask pocket: prompts in MiniGPT-4's conversation format, a batch of questions at a time, every picture encoded once.

Format (Zhu et al. 2023, https://arxiv.org/abs/2304.10592, section 3.2):
`###Human: <Img>IMAGE</Img> TEXT ###Assistant: ANSWER###`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor

from core.scoring import shown_tokens
from core.vision import Reply
from plugins.hf.scoring import Question, ScoredRow, closing_tokens, padded_positions, padded_visible, spelt
from plugins.hf.token_scores import TokenRecorder
from plugins.pocket.lookup import Lookup
from plugins.pocket.runtime import PocketModel
from plugins.pocket.sight import LINE_TOKENS, quoted, tokens_of
from plugins.pocket.sight_tokens import gathered
from plugins.pocket.speech.scenes import SCENE, Listed, completed
from plugins.pocket.speech.tidy import faithful, finished, sentences, tidied, true_to

SHORT_CAPTION = "write a short caption."
STOP, PAD = "###", "<pad>"
ROLE = re.compile(
    r"#{2,}|\b(human|assistant)\s*:|</?(img|s|pad|image|seen\d|sure\d|group\d|place\d|set\d|none|line\d|"
    r"thing|member|spread|edge|perhaps|sight|scene|text|asked|yes|no|unknown)>",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class PocketPrompt:
    """One question about one picture's tokens (56, hidden), with earlier pairs.

    `question=None` asks for a short caption.
    """

    tokens: Tensor
    question: str | None
    history: tuple[tuple[str, str], ...] = ()
    sight: tuple[str, ...] = ()  # entries of the sight, after the image tokens
    facts: tuple[tuple[str, ...], ...] = ()  # entries before each question of the history, and before this one
    lines: tuple[str, ...] = ()  # what the marks of lines stand for
    description: str = ""  # what the symbols give for this question, where it is one for a description
    listed: tuple[Listed, ...] = ()  # the things of a composed scene
    count: str = ""  # the number that the question asks for, in words


@dataclass(frozen=True, slots=True)
class GeneratedIds:
    """What the model wrote: token ids without the end mark, and whether that came or the room was used up."""

    ids: tuple[int, ...]
    ended: bool
    prompt_tokens: int  # those of the picture included


def _equal(one: Tensor, other: Tensor) -> int:
    """How many of the first embeddings of two prompts are equal."""
    length = min(len(one), len(other))
    return int((one[:length] == other[:length]).all(-1).long().cumprod(0).sum())


def harmless(text: str) -> str:
    """Untrusted text without role markers and special tokens."""
    return " ".join(ROLE.sub(" ", text).split())


class PocketEngine:
    """Model and tokenizer together. Thread-safe."""

    def __init__(self, model: PocketModel, tokenizer: Tokenizer) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.lookup = Lookup(model, tokenizer)
        self.embed = model.language_model.get_input_embeddings()
        self.stop, self.pad = (tokenizer.encode(mark, add_special_tokens=False).ids[0] for mark in (STOP, PAD))
        self.head = self._ids("###Human: <Img>")
        added = tokenizer.get_added_tokens_decoder()
        self.hidden = {one for one, token in added.items() if token.special and token.content not in LINE_TOKENS}
        self.copied = torch.tensor(model.config.pocket_copied, dtype=torch.long, device=self.embed.weight.device)
        self.room: int = model.config.text_config.max_position_embeddings

    @cached_property
    def closing(self) -> Tensor:
        """Tokens that may follow a choice."""
        size = self.tokenizer.get_vocab_size()
        vocabulary = [self.tokenizer.decode([one], skip_special_tokens=False) for one in range(size)]
        return torch.tensor(closing_tokens(vocabulary, (STOP,)))

    def _ids(self, text: str) -> Tensor:
        ids = self.tokenizer.encode(text, add_special_tokens=False).ids
        return torch.tensor(ids, dtype=torch.long, device=self.embed.weight.device)

    def turns(self, prompt: PocketPrompt) -> list[tuple[Sequence[str], str]]:
        """The text after the picture: each question with the entries before it, and the answers."""
        facts = [*prompt.facts, *[()] * (len(prompt.history) + 1 - len(prompt.facts))]
        answered = [
            (known, f" {harmless(question)} ###Assistant: {harmless(answer).lower()}###Human:")
            for known, (question, answer) in zip(facts, prompt.history, strict=False)
        ]
        return [((), "</Img>"), *answered, (facts[-1], f" {harmless(prompt.question or SHORT_CAPTION)} ###Assistant:")]

    def words(self, turns: Sequence[tuple[Sequence[str], str]]) -> Tensor:
        """Embeddings (length, hidden) of entries and texts."""
        ids: list[int] = []
        pieces: list[int] = []
        for facts, text in turns:
            entry, owner = tokens_of(self.tokenizer, facts)
            first = max(pieces, default=0) + 1
            plain = self._ids(text).tolist()
            ids += [*entry, *plain]
            pieces += [*(first + one for one in owner), *[0] * len(plain)]
        device = self.embed.weight.device
        numbers = torch.tensor([ids, pieces], dtype=torch.long, device=device)
        return gathered(self.embed(numbers[:1]), numbers[1:])[0]

    def embeddings(self, prompt: PocketPrompt, room: int) -> Tensor:
        """(length, hidden).

        Where the text is too long the oldest pairs go, then the question's end; the picture stays.
        """
        sight = self.words([(prompt.sight, "")])
        picture = torch.cat([self.embed(self.head), prompt.tokens.to(sight.dtype), sight])
        free = room - len(picture)
        while len(tail := self.words(self.turns(prompt))) > free and prompt.history:
            prompt = replace(prompt, history=prompt.history[1:], facts=prompt.facts[1:])
        if len(tail) > free:
            closing = self.words([((), " ###Assistant:")])
            tail = torch.cat([tail[: free - len(closing)], closing])
        return torch.cat([picture, tail])

    def batch(self, prompts: Sequence[PocketPrompt], room: int) -> tuple[Tensor, Tensor]:
        """Left-padded embeddings (B, L, hidden) and mask (B, L)."""
        rows = [self.embeddings(prompt, room) for prompt in prompts]
        length = max(len(row) for row in rows)
        padding = self.embed(torch.tensor([self.pad], device=rows[0].device))
        embeds = torch.stack([torch.cat([padding.expand(length - len(row), -1), row]) for row in rows])
        mask = torch.tensor([[0] * (length - len(row)) + [1] * len(row) for row in rows], device=rows[0].device)
        return embeds, mask

    def forbidden(self, prompts: Sequence[PocketPrompt]) -> Tensor | None:
        """(B, V): parts of names that an answer may not hold, since nothing before it holds them. None: no such parts.

        The language model copies names from the entries of a sight, and sometimes writes another one.
        """
        if not len(self.copied) or not any(prompt.sight for prompt in prompts):
            return None
        masks = self.embed.weight.new_zeros(len(prompts), len(self.embed.weight), dtype=torch.bool)
        for mask, prompt in zip(masks, prompts, strict=True):
            if prompt.sight:
                entries = (one for known in (prompt.sight, *prompt.facts) for one in known)
                asked = " ".join([*(text for pair in prompt.history for text in pair), prompt.question or ""])
                shown = tokens_of(self.tokenizer, [*entries])[0] + self._ids(f" {harmless(asked).lower()}").tolist()
                mask[self.copied] = True
                mask[shown] = False
        return masks

    def answer(self, prompts: Sequence[PocketPrompt], **options: Any) -> list[Reply]:
        """One answer per prompt; `options` are those of `tokens`, and `token_scores` as in `GenerationOptions`."""
        likeliest: int | None = options.pop("token_scores", None)
        recorder = None if likeliest is None else TokenRecorder(len(prompts), likeliest)
        replies: list[Reply] = []
        for row, written in enumerate(self.write(prompts, recorder=recorder, **options)):
            text = self.shown(prompts[row], self.decode(written.ids), complete=written.ended)
            count = len(written.ids)
            tokens = () if recorder is None else shown_tokens(recorder.tokens(row, self._spelling, count), text)
            replies.append(Reply(text, "stop" if written.ended else "length", written.prompt_tokens, count, tokens))
        return replies

    def _spelling(self, ids: Sequence[int], shown: bool) -> str:
        text: str = self.decode(ids) if shown else self.tokenizer.decode(list(ids), skip_special_tokens=False)
        return text

    def write(self, prompts: Sequence[PocketPrompt], **options: Any) -> list[GeneratedIds]:
        """What the model writes, one per prompt, with marks that an answer would not show; options as in `tokens`."""
        if not prompts:
            return []
        prompt_tokens, steps = self.tokens(prompts, **options)
        rows = torch.stack(list(steps), 1).tolist()
        return [
            GeneratedIds(tuple(row[: row.index(self.stop)] if self.stop in row else row), self.stop in row, read)
            for row, read in zip(rows, prompt_tokens, strict=True)
        ]

    def tokens(
        self,
        prompts: Sequence[PocketPrompt],
        *,
        max_new_tokens: int = 60,
        temperature: float = 0.0,
        top_p: float = 0.9,
        seed: int | None = None,
        recorder: TokenRecorder | None = None,
    ) -> tuple[list[int], Iterator[Tensor]]:
        """How many tokens each prompt has, those of its picture included; the next token of each, step by step.

        An answer gets at most half of the context, so that a large `max_new_tokens` does not shorten the prompts.
        """
        max_new_tokens = min(max_new_tokens, self.room // 2)
        with torch.inference_mode():
            embeds, mask = self.batch(prompts, self.room - max_new_tokens)
        device = self.embed.weight.device
        generator = None if seed is None else torch.Generator(device).manual_seed(seed)
        steps = self.model.generate(
            embeds,
            mask,
            max_new_tokens=max_new_tokens,
            eos_token_id=self.stop,
            temperature=temperature,
            top_p=top_p,
            generator=generator,
            forbidden=self.forbidden(prompts),
            recorder=recorder,
        )
        return mask.sum(-1).tolist(), steps

    @torch.inference_mode()
    def score(
        self, groups: Sequence[Sequence[PocketPrompt]], choices: Sequence[Sequence[Sequence[str]]]
    ) -> list[list[tuple[float, ...]]]:
        """Log-probabilities of each prompt's choices; each group is read as one row, what it begins with once."""

        def encode(text: str) -> list[int]:
            ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False).ids
            return ids

        rows: list[ScoredRow] = []
        embeds: list[Tensor] = []
        for prompts, each in zip(groups, choices, strict=True):
            written = [[spelt(harmless(choice), encode) for choice in some] for some in each]
            longest = max((len(ids) for some in written for choice in some for ids in choice), default=0)
            read = [self.embeddings(prompt, self.room - longest) for prompt in prompts]
            first = min(read, key=len)
            shared = min(len(first) - 1, *(_equal(first, other) for other in read))
            row = ScoredRow(
                shared, [Question(len(one) - shared, some) for one, some in zip(read, written, strict=True)]
            )
            rows.append(row)
            embeds.append(row.fill(first[:shared], [one[shared:] for one in read], self.embed))
        longest = max(map(len, rows))
        hidden = self.model.read(
            torch.stack([F.pad(one, (0, 0, 0, longest - len(one))) for one in embeds]),
            padded_positions(rows, longest, embeds[0].device),
            padded_visible(rows, longest, embeds[0].device),
        )
        language = self.model.language_model

        def logits(states: Tensor, places: Tensor) -> Tensor:
            return language.logits(states[places])

        return [row.scores(partial(logits, states), self.closing) for row, states in zip(rows, hidden, strict=True)]

    def pieces(self, prompt: PocketPrompt, **options: Any) -> Iterator[str | Reply]:
        """The answer word by word, then the Reply, whose text the joined pieces equal."""
        [prompt_tokens], steps = self.tokens([prompt], **options)
        ids: list[int] = []
        sent, ended = "", False
        for [token] in map(Tensor.tolist, steps):
            if ended := token == self.stop:
                break
            ids.append(token)
            # a later word must not change what was already sent
            raw = finished(self.decode(ids))
            compared = prompt.description or (prompt.listed and SCENE.match(raw.strip()))
            ready = "" if compared else self.shown(prompt, raw)
            if ready.startswith(sent) and len(ready) > len(sent):
                yield ready[len(sent) :]
                sent = ready
        text = self.shown(prompt, self.decode(ids), complete=ended)
        yield text[len(sent) :]
        yield Reply(text, "stop" if ended else "length", prompt_tokens, len(ids))

    @staticmethod
    def shown(prompt: PocketPrompt, text: str, *, complete: bool = False) -> str:
        """An answer as people see it; one that was cut off is no description that could be compared."""
        if prompt.description and complete:
            text = faithful(text.strip(), prompt.description, caption=prompt.question is None)
        elif complete:
            text = completed(text.strip(), prompt.listed)
        if prompt.sight:
            text = tidied(true_to(text.strip(), prompt.facts[-1] if prompt.facts else (), prompt.count))
        return quoted(sentences(text), prompt.lines)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of token ids, without the model's own marks, except those that stand for lines of writing."""
        text: str = self.tokenizer.decode([one for one in ids if one not in self.hidden], skip_special_tokens=False)
        return text
