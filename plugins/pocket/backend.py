"""`pocket` as a vision backend: pictures in, encoded once, questions answered in batches."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

from core.errors import BackendError
from core.images import Picture
from core.vision import EncodedImage, GenerationOptions, VisionBackend, VisualQuestion

MODEL = Path(__file__).with_name("model")
FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
BATCH = 32  # pictures or questions at a time: memory stays flat however many are asked


class PocketBackend(VisionBackend):
    """`pocket` or `pocket:DIRECTORY`. Raises BackendError where the directory holds no pocket model."""

    follows_instructions: ClassVar[bool] = False
    streams: ClassVar[bool] = True
    max_images: ClassVar[int] = 1

    def __init__(self, argument: str | None = None) -> None:
        self.directory = Path(argument).expanduser() if argument else MODEL
        self._name = f"pocket:{argument}" if argument else "pocket"
        missing = [name for name in FILES if not (self.directory / name).is_file()]
        if missing:
            raise BackendError(
                f"{self.directory} is not a pocket model: it has no {', '.join(missing)}; give a directory that "
                "`python -m training.pocket.export` wrote, or just `pocket`."
            )
        self._digest = hashlib.sha256((self.directory / "model.safetensors").read_bytes()).hexdigest()[:12]
        self.device, self.reason = self._choose_device()
        self.engine = self._load()

    @staticmethod
    def _choose_device() -> tuple[str, str]:
        import torch

        if torch.cuda.is_available():
            return "cuda", "a CUDA GPU is there"
        return "cpu", "no CUDA GPU is there"

    def _load(self) -> Any:
        import torch
        from safetensors import SafetensorError
        from transformers import PreTrainedTokenizerFast
        from transformers.utils import logging

        from plugins.pocket.engine import Engine
        from plugins.pocket.modeling import PocketForConditionalGeneration

        bars = logging.is_progress_bar_enabled()
        logging.disable_progress_bar()
        try:
            model, report = PocketForConditionalGeneration.from_pretrained(
                self.directory, dtype=torch.float32, local_files_only=True, output_loading_info=True
            )
            tokenizer = PreTrainedTokenizerFast.from_pretrained(self.directory, local_files_only=True)
        except (OSError, ValueError, RuntimeError, SafetensorError) as error:
            raise BackendError(
                f"the pocket model in {self.directory} cannot be read: {str(error).splitlines()[0]}"
            ) from error
        finally:
            if bars:
                logging.enable_progress_bar()
        wrong = [key for kind in ("missing_keys", "unexpected_keys", "mismatched_keys") for key in report[kind]]
        if wrong:
            raise BackendError(
                f"the weights in {self.directory} do not fit the model: {len(wrong)} tensors are missing, unknown "
                f"or of another shape, first {wrong[0]}; export the model again."
            )
        return Engine(model.eval().requires_grad_(False).to(self.device), tokenizer)

    @property
    def name(self) -> str:
        return self._name

    @property
    def revision(self) -> str:
        return f"pocket-{self._digest}-{self.device}-fp32"

    def encode(self, pictures: Sequence[Picture]) -> list[EncodedImage]:
        """One forward pass of the eye per picture, in batches; `data` is a tensor (56, hidden)."""
        import numpy as np
        import torch
        from PIL import Image

        from plugins.pocket.modeling import normalise
        from plugins.pocket.tower import IMAGE_SIZE

        encoded: list[EncodedImage] = []
        for start in range(0, len(pictures), BATCH):
            group = pictures[start : start + BATCH]
            # plain resize to a square, as BLIP-2 and MiniGPT-4 do: nothing is cropped away
            arrays = [
                np.asarray(picture.image.resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BICUBIC, reducing_gap=3.0))
                for picture in group
            ]
            pixels = torch.from_numpy(np.stack(arrays)).to(self.device)
            with torch.inference_mode():
                tokens = self.engine.model.get_image_features(normalise(pixels)).pooler_output
            encoded += [
                EncodedImage(picture.sha256, self.revision, row.clone())
                for picture, row in zip(group, tokens, strict=True)
            ]
        return encoded

    def answer(self, questions: Sequence[VisualQuestion]) -> list[str]:
        """Questions with equal options are answered together."""
        answers = [""] * len(questions)
        groups: dict[GenerationOptions, list[int]] = {}
        for index, question in enumerate(questions):
            groups.setdefault(question.options, []).append(index)
        for options, indices in groups.items():
            for start in range(0, len(indices), BATCH):
                rows = indices[start : start + BATCH]
                said = self.engine.answer([self._prompt(questions[row]) for row in rows], **self._sampling(options))
                for row, text in zip(rows, said, strict=True):
                    answers[row] = text
        return answers

    def stream(self, question: VisualQuestion) -> Iterator[str]:
        yield from self.engine.stream(self._prompt(question), **self._sampling(question.options))

    def _prompt(self, question: VisualQuestion) -> Any:
        from plugins.pocket.engine import Prompt

        if question.image.revision != self.revision:
            raise BackendError(
                f"this picture was encoded by {question.image.revision}, not by {self.revision}; "
                "encode it again with this backend."
            )
        return Prompt(question.image.data, question.question, question.history)

    @staticmethod
    def _sampling(options: GenerationOptions) -> dict[str, Any]:
        return {
            "max_new_tokens": max(options.max_new_tokens, 1),
            "temperature": options.temperature,
            "top_p": options.top_p,
            "seed": options.seed,
        }

    def count_tokens(self, text: str) -> int:
        """How many tokens pocket reads `text` as."""
        return len(self.engine.tokenizer(text, add_special_tokens=False).input_ids)

    def describe(self) -> dict[str, str]:
        return {
            "name": self.name,
            "revision": self.revision,
            "device": self.device,
            "dtype": "float32",
            "why": f"{self.reason}; fp32 because the model is small",
        }
