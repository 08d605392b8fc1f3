"""The events that `inquisight.interview` yields; the last one is Done, Failed or InterviewStopped."""

from agents.interview.events import (
    Answered,
    Done,
    Encoded,
    Event,
    Failed,
    InterviewStopped,
    PlainCaption,
    QuestionAsked,
    QuestionRefused,
    Started,
    SummaryPiece,
    SummaryRefused,
    SummaryWritten,
    Waiting,
)

__all__ = [
    "Answered",
    "Done",
    "Encoded",
    "Event",
    "Failed",
    "InterviewStopped",
    "PlainCaption",
    "QuestionAsked",
    "QuestionRefused",
    "Started",
    "SummaryPiece",
    "SummaryRefused",
    "SummaryWritten",
    "Waiting",
]
