"""Extract the answer from a language model's text, without reasoning, tool calls and their tags.

    answer_in("<think>PRIVATE</think>A red ball.")          # "A red ball."
    reader = AnswerReader()
    for piece in pieces:
        show(*reader.feed(piece))                           # text that can be shown already
    show(*reader.finish())
    reader.text                                             # the whole answer

Notations: `<think>` and similar tags (any name with thinking, thought or reasoning), `[THINK]`, `◁think▷`,
`<|begin_of_thought|>`, `<|START_THINKING|>`, the channels of harmony (https://cookbook.openai.com/articles/openai-harmony)
and of Gemma, Granite's "Here is my thought process:", and tags around the answer such as `<answer>`. A closing tag
without an opening one ends reasoning that the chat template opened, so all text before it is removed. Tool calls
written as text are removed by `core.net.tool_text`.

Every pattern is bounded, so the time is linear in the text.
"""

from __future__ import annotations

import re
from typing import Final, Literal

from core.net.tool_text import begins_word, begun_call, has_call, without_calls, written_call

Mode = Literal["answer", "reasoning", "header", "outside"]

HELD: Final = 200  # characters of an answer that are buffered after reasoning, since some models close it twice

_MARK = re.compile(r"<[^<>]{1,160}>|\[/?[A-Za-z_]{3,20}\]|◁/?[A-Za-z_ ]{1,40}▷")
_BEGUN_MARK = re.compile(r"(?:<[^<>]{0,160}|\[/?[A-Za-z_]{0,20}|◁[/A-Za-z_ ]{0,41})\Z")
_LONGEST: Final = 170  # characters of a partial tag
_NAME = re.compile(r"[^\s=|｜/<>\[\]◁▷]{1,60}")
_REASONING: Final = ("think", "thought", "reasoning", "scratchpad", "monologue")  # anywhere in the name of a tag
_REASONING_TAGS: Final = frozenset({"reason", "analysis", "reflection", "cot", "deliberation"})
_ANSWER_TAGS: Final = frozenset({"answer", "final_answer", "response", "solution"})
_CALLS: Final = ("tool_call", "toolcall", "function_call", "tool_use", "tool_code", "python_tag", "action_start")
_HARMONY: Final = {"channel": "header", "start": "header", "message": "message", "end": "end", "return": "end"}
_SURROGATE = re.compile("[\ud800-\udfff]")

# Beginnings of reasoning whose opening tag is in the chat template, in lower case. A reply with such a beginning is
# shown only when it is complete.
_DELIBERATING: Final = tuple(
    "okay|ok,|ok.|ok so|alright|all right|hmm|hm,|got it|right,|well,|wait|sure, let|so the |so, |so i |so we |now,|"
    "now i |now we |first,|first i|firstly|let me|let us|let's|let’s|we need|we have to|we must|we should|we are asked|"
    "we're asked|we are given|we want|i need|i should|i must|i have to|i am asked|i'm asked|i will|i'll |i want to|"
    "i think|i'm going to|i am going to|the user|user |the question|the task|the prompt|the instruction|"
    "the request|the human |the person asks|the person wants|the system|he asks|she asks|they ask|they want|to answer|"
    "to describe|to respond|thinking|thought|reasoning|step 1|step one|looking at the|analysis|analyzing|analysing|"
    "internal|plan:|here is my thought|here's my thought|here’s my thought|my thought".split("|")
)
_DECIDED: Final = max(map(len, _DELIBERATING))
_STRIPPED_CHANNEL = re.compile(r"\s{0,20}analysis(?=[A-Z\"'])")  # harmony decoded without its special tokens
_THOUGHT_PROCESS = re.compile(r"\s{0,20}here(?: is|'s|’s) my thought process:", re.IGNORECASE)
_RESPONSE = re.compile(r"here(?: is|'s|’s) my response:", re.IGNORECASE)
_FINAL_ANSWER = re.compile(r"final answer:", re.IGNORECASE)
_THOUGHT = re.compile(r"\s{0,20}thought:", re.IGNORECASE)


def read_answer(text: str) -> AnswerReader:
    """Read a whole text; see `text`, `reasoned` and `called` of the result."""
    reader = AnswerReader()
    reader.feed(text)
    reader.finish()
    return reader


def answer_in(text: str) -> str:
    """The answer in a whole text; "" if it is only reasoning and tool calls."""
    return read_answer(text).text


class AnswerReader:
    """Reads a text in pieces, split anywhere, and returns its answer in pieces, without lone surrogates.

    The results of `feed` and `finish` make up `text`. Exception: a late closing tag turns earlier text into reasoning;
    then `retracted` is true and only `text` is valid. `careful` returns nothing before the end.
    """

    def __init__(self, *, careful: bool = False) -> None:
        self.text = ""
        self.reasoned = False
        """Reasoning was removed."""
        self.called = False
        """A tool call was removed."""
        self.unopened = False
        """A closing tag had no opening tag in the text."""
        self.deliberates = False
        """The answer starts like reasoning."""
        self.retracted = False
        self._mode: Mode = "answer"
        self._tail = ""  # possibly a partial tag
        self._half = ""  # of a surrogate pair
        self._out: list[str] = []  # the answer so far
        self._length = 0  # of it, in characters
        self._shown = 0  # pieces of it that were returned
        self._hold = careful  # return nothing before the end
        self._wait = 0  # length that the answer must reach before more is returned
        self._undecided = True  # whether the answer starts like reasoning
        self._header = ""  # of a channel
        self._fenced = False  # inside of a code block

    def feed(self, piece: str) -> list[str]:
        """Read a piece and return the pieces of the answer that can be shown."""
        piece, self._half = _paired(self._half + piece)
        self._read(self._tail + piece)
        return self._release()

    def finish(self) -> list[str]:
        """Complete the text and return the rest of the answer."""
        tail, self._tail = self._tail, ""
        self._read(_closed(tail), final=True)
        whole, shown = "".join(self._out), "".join(self._out[: self._shown])
        answer = _after_phrases(whole)
        self.text = without_calls(answer).lstrip()
        self.reasoned |= answer != whole or self._mode in ("reasoning", "header")
        self.called |= len(self.text) < len(answer.lstrip())
        self.retracted |= not self.text.startswith(shown)
        if self.retracted:
            return []
        return self._out[self._shown :] if self.text == whole else [*filter(None, [self.text[len(shown) :]])]

    # ---- reading ---------------------------------------------------------------------------------------------------

    def _read(self, text: str, *, final: bool = False) -> None:
        """Parse `text`, leaving a possible partial tag in `_tail`."""
        place, end = 0, len(text)
        if not final and (begun := _BEGUN_MARK.search(text, max(0, end - _LONGEST))):
            end = begun.start()
        for mark in _MARK.finditer(text, 0, end):
            kind = _kind_of(mark[0])
            if kind:
                self._take(text[place : mark.start()])
                self._obey(kind, mark[0])
                place = mark.end()
        if not final and self._mode == "answer":
            end = begun_call(text, place, end)
        self._take(text[place:end])
        self._tail = text[end:]

    def _take(self, text: str) -> None:
        if self._mode == "header":
            self._header = (self._header + text)[:_LONGEST]
        if self._mode != "answer":
            return
        if not self._out:
            text = text.lstrip()
        if text:
            self._fenced ^= bool(text.count("```") % 2)
            self._hold = self._hold or has_call(text)
            self._out.append(text)
            self._length += len(text)

    def _obey(self, kind: str, mark: str) -> None:
        match kind:
            case "open":
                self._mode, self.reasoned = "reasoning", True
            case "close" | "/details":
                if self._mode != "reasoning" and kind == "close":
                    self._forget()
                    self.unopened = True
                elif self._mode != "reasoning":
                    self._take(mark)
                    return
                self._mode, self._fenced = "answer", False
                self._undecided = self._undecided or not self._out
                self._wait = self._length + HELD
            case "answer" | "/answer" if self._fenced and self._mode == "answer":
                self._take(mark)
            case "answer":
                if self._mode != "reasoning":
                    self._forget()
                    self._mode = "answer"
            case "/answer":
                if self._mode == "answer" and self._out:
                    self._mode = "outside"
            case "call":
                if self._mode != "reasoning":
                    self._mode, self.called = "outside", True
            case "/call":
                if self._mode == "outside":
                    self._mode = "answer"
            case "header":
                self._mode, self._header = "header", ""
            case "message" if self._mode == "header":
                self._begin_message()
            case "end" if self._header:
                self._mode = "outside"
            case "end":
                self._take(mark)

    def _begin_message(self) -> None:
        """The header of a channel is complete; only the final channel is shown."""
        self._header = self._header.strip() or "final"
        if self._header.split()[0].lower() in ("final", "assistant"):
            self._forget()
            self._mode = "answer"
        else:
            self._mode, self.reasoned = "reasoning", True
            self.called |= "to=" in self._header

    def _forget(self) -> None:
        """Discard the answer so far."""
        self.reasoned |= bool(self._out)
        self.retracted |= self._shown > 0
        self._out.clear()
        self._length = self._shown = 0

    # ---- returning -------------------------------------------------------------------------------------------------

    def _release(self) -> list[str]:
        if self._hold or self.retracted or self._shown == len(self._out) or (self._undecided and not self._decide()):
            return []
        if self._length < self._wait:
            return []
        new = self._out[self._shown :]
        self._shown = len(self._out)
        return new

    def _decide(self) -> bool:
        """Whether the beginning of the answer may be shown, since it cannot be that of reasoning."""
        head = "".join(self._out)
        start = head[: 2 * _DECIDED].lstrip("*_#>-\"'( \n").lower()
        self.deliberates = start.startswith(_DELIBERATING)
        self._hold = self.deliberates or written_call(head)
        undecided = any(known.startswith(start) for known in _DELIBERATING) or begins_word(head)
        if len(head) < 2 * _DECIDED and undecided:
            return False
        self._undecided = False
        return not self._hold


def _kind_of(mark: str) -> str:
    """The meaning of a tag; "" for other tags, such as HTML."""
    inner = mark[1:-1].strip()
    first, last = inner[:1] in ("|", "｜"), inner[-1:] in ("|", "｜")
    found = _NAME.search(inner)
    if found is None:
        return ""
    closing = "/" in inner[: found.start()]
    name = found[0].lower().replace("▁", "_").replace("-", "_")
    if first and last and name in _HARMONY:
        return _HARMONY[name]
    if name == "channel" and first != last:  # Gemma's <|channel> and <channel|>
        return "open" if first else "close"
    words = set(name.split("_"))
    closing |= bool((first or last) and words & {"end", "suffix"})
    slash = "/" if closing else ""
    if any(call in name for call in _CALLS) or (mark[0] == "<" and name in ("function", "invoke")):
        return f"{slash}call"
    if first and words & {"tool", "tools", "call"}:
        return f"{slash}call"
    reasoning = any(part in name for part in _REASONING) or name in ("inner_prefix", "inner_suffix")
    if reasoning or (mark[0] == "<" and name.rpartition(":")[2] in _REASONING_TAGS):
        return "close" if closing else "open"
    if name == "details" and mark[0] == "<":  # <details type="reasoning">, as Open WebUI writes it
        return "/details" if closing else "open" if "reasoning" in inner else ""
    wrapped = first and bool(words & {"begin", "start", "end"} and words & {"solution", "response", "answer", "box"})
    return f"{slash}answer" if wrapped or (mark[0] == "<" and name in _ANSWER_TAGS) else ""


def _closed(tail: str) -> str:
    """The end of a text with its truncated tag completed, or removed if it is too short."""
    if tail[:1] == "<" and len(tail) > 2:
        if _kind_of(f"{tail}>"):
            return f"{tail}>"
        name = tail.lstrip("</| ").lower()
        return "" if name and any(known.startswith(name) for known in _REASONING) else tail
    return tail


def _after_phrases(text: str) -> str:
    """The answer after reasoning that is marked by phrases instead of tags."""
    if _STRIPPED_CHANNEL.match(text):
        return text.rpartition("assistantfinal")[2] if "assistantfinal" in text else ""
    if begun := _THOUGHT_PROCESS.match(text):
        response = _RESPONSE.search(text, begun.end())
        return text[response.end() :] if response else ""
    if (begun := _THOUGHT.match(text)) and (final := _FINAL_ANSWER.search(text, begun.end())):
        return text[final.end() :]
    return text


def _paired(text: str) -> tuple[str, str]:
    """`text` without lone surrogates, and the first half of a pair that is split at its end."""
    if text.isascii() or not _SURROGATE.search(text):
        return text, ""
    half = text[-1] if "\ud800" <= text[-1] <= "\udbff" else ""
    whole = text[: len(text) - len(half)].encode("utf-16-le", "surrogatepass")
    return whole.decode("utf-16-le", "ignore"), half


def without_surrogates(text: str) -> str:
    """`text` without lone surrogates, which cannot be encoded; split pairs are joined."""
    return _paired(text)[0]
