"""What `inquisight.interview` yields, in the order in which it happens; the last event is Done, Failed or Stopped."""

from agents.driver import (
    Answered,
    Done,
    Encoded,
    Event,
    Failed,
    PlainCaption,
    QuestionAsked,
    QuestionRefused,
    Started,
    Stopped,
    SummaryPiece,
    SummaryWritten,
    Waiting,
)

__all__ = [
    "Answered",
    "Done",
    "Encoded",
    "Event",
    "Failed",
    "PlainCaption",
    "QuestionAsked",
    "QuestionRefused",
    "Started",
    "Stopped",
    "SummaryPiece",
    "SummaryWritten",
    "Waiting",
]
