"""What the tools return."""

from __future__ import annotations

from pydantic import BaseModel, Field


class Turn(BaseModel):
    question: str
    answer: str
    asked_by: str
    answered_by: str = ""
    certainty: str = Field(description='"sure" or "unsure": unsure answers are left out of the description')


class JudgedClaim(BaseModel):
    text: str
    verdict: str = Field(description="supported, contradicted or unsupported")
    score: float = Field(description="probability that the claim is true, 0 to 1")
    question: str


class Description(BaseModel):
    picture: str = Field(description="handle of the picture, for further calls")
    description: str
    plain: str = Field(description="the vision model's caption without any question")
    dialogue: list[Turn]
    claims: list[JudgedClaim] = Field(description="of the description, if it was audited")


class AnswerAbout(BaseModel):
    picture: str
    answer: str


class Box(BaseModel):
    left: float
    top: float
    right: float
    bottom: float


class FoundThing(BaseModel):
    name: str
    score: float
    place: str = Field(description="left, middle or right")
    box: Box = Field(description="in pixels")


class FoundThings(BaseModel):
    picture: str
    width: int
    height: int
    things: list[FoundThing]
    perhaps: list[FoundThing] = Field(description="too unsure to be told")


class FoundLine(BaseModel):
    text: str
    score: float
    certain: bool
    box: Box


class FoundText(BaseModel):
    picture: str
    text: str = Field(description="the certain lines in reading order")
    lines: list[FoundLine]


class AuditedText(BaseModel):
    picture: str
    claims: list[JudgedClaim]
    repaired: str = Field(description="the caption without the claims that are not supported")


class FoundTranscript(BaseModel):
    id: str
    created: str
    source: str
    text: str


class FoundTranscripts(BaseModel):
    transcripts: list[FoundTranscript]


class PictureList(BaseModel):
    pictures: list[str]
    left_out: int = Field(description="pictures that are not listed")
