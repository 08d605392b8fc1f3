"""`reader`: lines of text in a picture. PP-OCR through rapidocr, with models inside its package: offline."""

from __future__ import annotations

from core.entries import Register
from core.hookspecs import hookimpl


@hookimpl
def register_witnesses(register: Register) -> None:
    """Offer `reader` (extra `ocr`)."""
    register(
        "reader",
        "plugins.reader.witness:RapidOcrWitness",
        check="plugins.readiness:reader",
        extra="inquisight[ocr]",
        capabilities={"starts_early": True},
        description="Reads lines of text, in Latin script, Chinese and Japanese: PP-OCR, CPU, offline.",
    )
