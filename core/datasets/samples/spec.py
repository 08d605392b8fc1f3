"""What a user writes about a data set. Closed: an unknown field is an error."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Kind = Literal["webdataset", "folder", "table", "cc_sbu_align", "vqa"]


class DataSpec(BaseModel):
    """One source of pictures with texts; several are mixed by weight."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    path: str = Field(min_length=1)
    """A folder, a file, or a brace pattern of shards such as laion/{00000..00115}.tar."""
    kind: Literal["auto"] | Kind = "auto"
    """auto: detected; webdataset: .tar shards; folder: pictures with .txt or .json beside them; table: CSV, TSV, JSON,
    JSON Lines or Parquet; cc_sbu_align: filter_cap.json and image/; vqa: the questions and annotations of VQA v2."""
    weight: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    """How often it is drawn from, relative to the others."""
    share: float = Field(default=1.0, gt=0, le=1)
    """Use only this share of the samples, always the same ones."""
    text_column: str | None = Field(default=None, min_length=1)
    """The column, or the field of a .json beside a picture, that holds the text; by default usual names are tried."""
    picture_column: str | None = Field(default=None, min_length=1)
    """The column of a table that holds the picture's path (relative to the table) or its bytes."""
    instruction_column: str | None = Field(default=None, min_length=1)
    """The column or field that holds the instruction."""
    instruction: str | None = Field(default=None, min_length=1)
    """The instruction, the same for every sample of this source."""

    questions: bool = False
    """Each sample is a question with one or several answers: columns or fields `question` and `answers` or `answer`."""
    annotations: str | None = Field(default=None, min_length=1)
    """File with the answers to VQA's questions; unset: beside the questions, under the name that VQA v2 gives it."""
    pictures: str | None = Field(default=None, min_length=1)
    """Folder of VQA's pictures; unset: the folder of the questions, images/ in it, or the one named as the split."""

    @model_validator(mode="after")
    def _one_instruction(self) -> Self:
        if self.instruction is not None and self.instruction_column is not None:
            raise ValueError("instruction and instruction_column exclude each other")
        return self
