"""The language model's tokenizer with one more token, the picture's placeholder, and otherwise unchanged."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.errors import BackendError, printable
from core.files.model_folder import read_json, without_remote_code
from plugins.minigpt4.runtime.conversation import FORMATS, IMAGE_END, IMAGE_START, SYSTEM

IMAGE = "<image>"
_PROBES = (
    SYSTEM + "###Human: ",
    IMAGE_END + " What is in this picture?###Assistant: ",
    "[INST] a  b\n\tc [/INST] 7 \u4e16\u754c \u00e9\u20ac",
    "###",
)


@dataclass
class SpecialTokens:
    """`image` is the placeholder's id, `rows` how many rows the embedding table needs for it."""

    tokenizer: Any
    image: int
    rows: int
    stops: list[int]  # ids that end an answer
    joint: str  # what the chat template writes between a special token and text
    notes: list[str] = field(default_factory=list)

    def save(self, directory: Path, template: str) -> None:
        """Write the files, and check that the opened tokenizer reads text the same. Raises BackendError."""
        from transformers import AutoTokenizer

        self.tokenizer.chat_template = template
        self.tokenizer.save_pretrained(directory)
        file = directory / "tokenizer_config.json"
        settings = without_remote_code(read_json(file))
        for passing in ("local_files_only", "is_local"):
            settings.pop(passing, None)
        file.write_text(json.dumps(settings, indent=2, ensure_ascii=False) + "\n", "utf-8")
        opened = AutoTokenizer.from_pretrained(directory, local_files_only=True, trust_remote_code=False)
        same = _probe(opened) == _probe(self.tokenizer) and opened.convert_tokens_to_ids(IMAGE) == self.image
        if not same or opened("a").input_ids[:1] != [opened.bos_token_id]:
            raise BackendError(
                f"the tokenizer in {printable(directory)} reads text differently once it is saved: take the language "
                "model's "
                "tokenizer.json instead of its tokenizer.model, or another version of transformers."
            )


def prepare(directory: Path, title: str, rows: int, template: str) -> SpecialTokens:
    """The tokenizer of `directory`, whose model has `rows` embeddings, ready to be saved. Raises BackendError."""
    where = f"--llm {printable(title)}"
    tokenizer, notes = _load(directory, where)
    known = len(tokenizer)
    if known > rows:
        raise BackendError(
            f"{where}: its tokenizer has {known} tokens, its model's table {rows} rows: they are of two models "
            "(Vicuna v0 has 32001 of both, LLaMA 32000); fetch both from one place."
        )
    for kind in ("bos", "eos"):
        if getattr(tokenizer, f"{kind}_token_id") is None:
            raise BackendError(
                f"{where}: its tokenizer names no {kind} token: an early conversion with an empty "
                "special_tokens_map.json; "
                "take the tokenizer files of a later one."
            )
    before = _probe(tokenizer)
    if tokenizer.convert_tokens_to_ids(IMAGE) in (None, tokenizer.unk_token_id):
        tokenizer.add_tokens([_image_token()], special_tokens=True)
    image = int(tokenizer.convert_tokens_to_ids(IMAGE))
    if _probe(tokenizer) != before:
        raise BackendError(f"{where}: adding {IMAGE} to its tokenizer changes how other text is read; it is not used.")
    needed = max(rows, image + 1)
    notes.append(
        f"the placeholder {IMAGE} has id {image}; "
        + (
            f"the table grows from {rows} to {needed} rows"
            if needed > rows
            else f"a spare one of the table's {rows} rows"
        )
    )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.unk_token or tokenizer.eos_token
        notes.append(f"no padding token was named: {tokenizer.pad_token} serves")
    tokenizer.padding_side = "left"
    tokenizer.chat_template = None  # set with the number of tokens a picture takes
    joint = _joint(tokenizer, image)
    if joint is None:
        joint = ""
        notes.append("the chat template reads text behind a picture slightly differently from the original")
    return SpecialTokens(tokenizer, image, needed, _stops(tokenizer, template), joint, notes)


def _load(directory: Path, where: str) -> tuple[Any, list[str]]:
    only_sentencepiece = (directory / "tokenizer.model").is_file() and not (directory / "tokenizer.json").is_file()
    settings, notes = _healed(directory)
    try:
        tokenizer = _open(directory, only_sentencepiece, settings)
        if tokenizer.bos_token_id is not None and tokenizer("a").input_ids[:1] != [tokenizer.bos_token_id]:
            tokenizer = _open(directory, only_sentencepiece, {**settings, "add_bos_token": True})
            notes.append("the tokenizer did not begin text with its BOS, which the model needs: now it does")
    except Exception as error:  # one of many, by tokenizer class and file
        reason = " ".join(str(error).split())
        hint = "fetch its tokenizer files (tokenizer.json or tokenizer.model, tokenizer_config.json)"
        if only_sentencepiece and importlib.util.find_spec("sentencepiece") is None:
            hint = "reading tokenizer.model needs: pip install sentencepiece protobuf"
        raise BackendError(f"{where}: its tokenizer does not open ({printable(reason, 120)}); {hint}.") from error
    if tokenizer.bos_token_id is not None and tokenizer.bos_token_id == tokenizer.eos_token_id:
        notes.append(f"the tokenizer names {tokenizer.bos_token} as BOS and EOS, as early conversions do: kept")
    return tokenizer, notes


def _open(directory: Path, only_sentencepiece: bool, settings: dict[str, Any]) -> Any:
    from transformers import AutoTokenizer, LlamaTokenizer

    if not only_sentencepiece:
        return AutoTokenizer.from_pretrained(directory, local_files_only=True, trust_remote_code=False, **settings)
    # Without a class named in its configuration, AutoTokenizer would take a generic one that reads text differently.
    tokenizer = LlamaTokenizer.from_pretrained(directory, local_files_only=True, **settings)
    _merge_by_score(tokenizer, directory / "tokenizer.model")
    return tokenizer


def _merge_by_score(tokenizer: Any, file: Path) -> None:
    """Join pieces in the order of their scores, as sentencepiece does.

    transformers 5 goes by their ids. LLaMA's runs of blanks have small ids and the lowest score of all: "a:  b" would
    become other tokens, and so would every indented line of code.
    """
    from sentencepiece import SentencePieceProcessor
    from tokenizers.models import BPE

    old = tokenizer.backend_tokenizer.model
    if not isinstance(old, BPE):
        return
    pieces = SentencePieceProcessor(model_file=str(file))
    ids = {pieces.id_to_piece(number): number for number in range(pieces.get_piece_size())}
    merges: list[tuple[str, str]] = []
    for text in sorted(ids, key=lambda text: (-pieces.get_score(ids[text]), ids[text])):
        halves = [(text[:cut], text[cut:]) for cut in range(1, len(text))]
        known = [pair for pair in halves if pair[0] in ids and pair[1] in ids]
        merges += sorted(known, key=lambda pair: (ids[pair[0]], ids[pair[1]]))
    tokenizer.backend_tokenizer.model = BPE(
        vocab=ids, merges=merges, unk_token=old.unk_token, fuse_unk=old.fuse_unk, byte_fallback=old.byte_fallback
    )


def _healed(directory: Path) -> tuple[dict[str, Any], list[str]]:
    """LLaMA's own special tokens, if an early conversion left them empty, which transformers cannot open."""
    file, other = directory / "tokenizer_config.json", directory / "special_tokens_map.json"
    named = {**(read_json(file) if file.is_file() else {}), **(read_json(other) if other.is_file() else {})}
    healed = {}
    for kind, token in (("bos", "<s>"), ("eos", "</s>"), ("unk", "<unk>")):
        value = named.get(f"{kind}_token", token)
        if (value.get("content") if isinstance(value, dict) else value) == "":
            healed[f"{kind}_token"] = token
    notes = [f"the tokenizer left {', '.join(healed)} empty: LLaMA's own are taken"] if healed else []
    return healed, notes


def _image_token() -> Any:
    from tokenizers import AddedToken

    return AddedToken(IMAGE, normalized=False, special=True)


def _probe(tokenizer: Any) -> list[list[int]]:
    return [tokenizer(text, add_special_tokens=False).input_ids for text in _PROBES]


def _joint(tokenizer: Any, image: int) -> str | None:
    """What makes a prompt with placeholders in it the same tokens as its pieces, each read by itself.

    The original cut its prompt at the pictures, and LLaMA's tokenizer puts a blank before each piece; with placeholders
    in the text it does so only in its old ("legacy") way of 2023. A blank written there makes both the same.
    """
    pieces = [SYSTEM + IMAGE_START, IMAGE_END + " What is this?"]
    first, second = (tokenizer(piece, add_special_tokens=False).input_ids for piece in pieces)
    for joint in ("", " "):
        whole = f"{tokenizer.bos_token}{joint}{pieces[0]}{IMAGE}{joint}{pieces[1]}"
        if tokenizer(whole, add_special_tokens=False).input_ids == [tokenizer.bos_token_id, *first, image, *second]:
            return joint
    return None


def _stops(tokenizer: Any, template: str) -> list[int]:
    """EOS, and for Vicuna v0 the single token of `###` if the vocabulary has one (835 in LLaMA's)."""
    stops = [int(tokenizer.eos_token_id)]
    if template == "vicuna":
        marks = tokenizer("###", add_special_tokens=False).input_ids
        if len(marks) == 1 and marks[0] != tokenizer.unk_token_id:
            stops.append(int(marks[0]))
    return stops


def chat_template(name: str, tokens_per_picture: int, joint: str = "") -> str:
    """The format `name` of `conversation.FORMATS` as a Jinja template for `apply_chat_template`.

    A picture becomes its placeholders, so that the tokenized text needs no further expansion.
    """
    chosen = FORMATS[name]
    bos = f"{{{{- bos_token + {_quoted(joint)} -}}}}" if chosen.bos_each_turn else ""
    picture = (
        f"{{{{- {_quoted(IMAGE_START)} + {_quoted(IMAGE)} * {tokens_per_picture} + {_quoted(joint + IMAGE_END)} -}}}}"
    )
    return "".join(
        (
            "{%- macro said(content) -%}{%- if content is string -%}{{- content | trim -}}{%- else -%}",
            "{%- for part in content -%}{%- if not loop.first -%}{{- ' ' -}}{%- endif -%}",
            "{%- if part.type == 'image' -%}",
            picture,
            "{%- else -%}{{- part.text | trim -}}{%- endif -%}{%- endfor -%}{%- endif -%}{%- endmacro -%}",
            f"{{{{- bos_token + {_quoted(joint)} -}}}}",
            "{%- if messages and messages[0].role == 'system' -%}{{- said(messages[0].content) -}}",
            f"{{%- else -%}}{{{{- {_quoted(chosen.system)} -}}}}{{%- endif -%}}",
            f"{{{{- {_quoted(chosen.separator)} -}}}}",
            "{%- for message in messages -%}{%- if message.role == 'user' -%}",
            bos,
            f"{{{{- {_quoted(chosen.human)} + said(message.content) + {_quoted(chosen.separator)} -}}}}",
            "{%- elif message.role == 'assistant' -%}",
            f"{{{{- {_quoted(chosen.assistant)} + said(message.content) + {_quoted(chosen.separator)} -}}}}",
            "{%- endif -%}{%- endfor -%}",
            f"{{%- if add_generation_prompt -%}}{{{{- {_quoted(chosen.opening)} -}}}}{{%- endif -%}}",
        )
    )


def _quoted(text: str) -> str:
    """A Jinja string literal; the formats hold no quotes and no backslashes."""
    return f"'{text}'"
