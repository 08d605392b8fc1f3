"""Functions of an lmms-eval task that `inquisight evaluate --export lmms-eval` writes as utils.py.

It runs in lmms-eval's environment and needs Pillow alone. The parsers are those of `evaluation.measures.yes_no`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PIL import Image, ImageOps


def doc_to_visual(doc: dict[str, Any]) -> list[Image.Image]:
    """The image of a question, upright."""
    with Image.open(doc["image"]) as image:
        return [ImageOps.exif_transpose(image).convert("RGB")]


def doc_to_text(doc: dict[str, Any], lmms_eval_specific_kwargs: object = None) -> str:
    """The question as `inquisight evaluate` asks it."""
    return str(doc["question"])


def pope_results(doc: dict[str, Any], results: Sequence[str]) -> dict[str, float]:
    """Whether POPE's own parser, and a strict one, find the label."""
    answer = results[0]
    words = answer.partition(".")[0].replace(",", "").split(" ")
    official = "no" if not {"No", "not", "no"}.isdisjoint(words) else "yes"
    strict = answer.strip().rstrip(".!").strip().lower()
    return {
        "official_accuracy": float(official == doc["answer"]),
        "strict_accuracy": float(strict == doc["answer"]),
        "unparsed": float(strict not in ("yes", "no")),
    }


def vqa_results(doc: dict[str, Any], results: Sequence[str]) -> dict[str, float]:
    """Whether the answer is one that people gave."""
    answer = results[0].strip().rstrip(".").strip().lower()
    return {
        "exact_match": float(answer in [one.strip().lower() for one in doc["answers"]]),
        "unparsed": float(not 0 < len(answer.split()) <= 3),
    }


def mean(results: Sequence[float]) -> float:
    """The mean over all questions."""
    return sum(results) / len(results) if results else 0.0
