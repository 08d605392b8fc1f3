"""The audit of a video's description: which frames a claim is asked of, what is left as it is, and what is kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("av", reason="videos are an optional part")

from agents.audit.auditor import Audited
from agents.audit.captions import with_turns
from agents.claims.extract import extract_claims
from agents.cli.render.audit import audit_lines, marks
from agents.interview.events import Audited as AuditedEvent
from agents.interview.events import Done, Encoded, Failed, QuestionAsked, SummaryWritten
from agents.video.audit import FrameAudit
from agents.video.driver import interview_video, plan_video
from agents.video.interview import VideoOptions
from agents.video.records import scenes
from core.errors import BackendError
from core.records import Caption, Claim, Turn
from core.video.base import Video
from core.video.clip import open_video
from core.vision import VisualQuestion
from plugins.scripted import ScriptedQuestioner
from tests.agents.fakes import ListQuestioner
from tests.agents.plugin_on_disk import Shell
from tests.agents.video.clips import THINGS, DrawnEye, film, scene

STORY = "There is an apple. There is a frog. Later there is a lemon."


class Teller(ListQuestioner):
    """Its summaries are kept as they are."""

    follows_rules: bool = True


class Judge(DrawnEye):
    """Knows whether a thing is in a frame; fails where it is told to."""

    error: BackendError | None = None

    def __init__(self) -> None:
        super().__init__()
        self.scored: list[VisualQuestion] = []

    def score(self, questions: Sequence[VisualQuestion], choices: Sequence[Sequence[str]]) -> list[tuple[float, ...]]:
        if self.error is not None:
            raise self.error
        self.scored += questions
        return [
            tuple(-0.1 if choice == self.right(question) else -3.0 for choice in some)
            for question, some in zip(questions, choices, strict=True)
        ]

    @staticmethod
    def right(question: VisualQuestion) -> str:
        return "yes" if any(name in (question.question or "") for name in question.image.data) else "no"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An apple from the beginning to 4 s, a lemon from 4 s; six seconds."""
    frames = scene(("apple", 0, 4), ("lemon", 4, 9))
    return film(tmp_path_factory.mktemp("clips") / "clip.mp4", frames)


@pytest.fixture
def video(clip: Path) -> Iterator[Video]:
    with open_video(clip, name="clip.mp4") as opened:
        yield opened


def options(**more: Any) -> VideoOptions:
    return VideoOptions(**{"rounds": 1, "audit": "drop", **more})


def audited(video: Video, eye: Judge, **more: Any) -> list[Any]:
    return list(interview_video(video, plan_video(video), eye, Teller(summary=STORY), options(), **more))


def verdicts(claims: Sequence[Claim]) -> dict[str, str | None]:
    return {claim.text: claim.verdict for claim in claims}


def test_a_claim_holds_if_one_frame_shows_it(video: Video) -> None:
    eye = Judge()
    events = audited(video, eye)
    caption = events[-1].caption
    assert verdicts(caption.claims) == {
        "an apple": "supported", "a frog": "contradicted", "a lemon": "supported"
    }  # fmt: skip
    assert caption.summary == STORY and caption.audited == "There is an apple. Later there is a lemon."
    assert caption.text == caption.audited == scenes(caption)[0].text
    assert "frog" in "\n".join(audit_lines(caption.claims)) and caption.seconds["audit"] > 0
    assert caption.options["audit"] == "drop" and Caption.from_json(caption.to_json()) == caption
    [event] = [event for event in events if isinstance(event, AuditedEvent)]
    assert event.questions == len(eye.scored)


def test_frames_are_encoded_once_and_asked_no_more_than_needed(video: Video) -> None:
    eye = Judge()
    audited(video, eye)
    assert len(eye.encoded) == len(set(eye.encoded)) == 8
    frames = {name: {one.image.sha256 for one in eye.scored if name in (one.question or "")} for name in THINGS}
    assert len(frames["apple"]) == 1, "the answer about frame 1 says it, and frame 1 shows it"
    assert len(frames["frog"]) == 8 and len(frames["lemon"]) == 8, "no answer says it"
    assert len({(one.image.sha256, one.question) for one in eye.scored}) == len(eye.scored)


def test_the_frames_of_all_scenes_stay_encoded(tmp_path: Path) -> None:
    grounds = ((128, 128, 128), (250, 250, 250), (10, 10, 10))
    shots = zip(("apple", "ball", "frog"), grounds, strict=True)
    frames = [image for name, ground in shots for image in scene((name, 0, 9), seconds=2.0, ground=ground)]
    eye = Judge()
    with open_video(film(tmp_path / "scenes.mp4", frames)) as video:
        plan = plan_video(video, most_scenes=5)
        *_, last = interview_video(video, plan, eye, ScriptedQuestioner(), options(rounds=4))
    assert eye.batches == [4, 4, 4] and isinstance(last, Done)
    found = verdicts(last.caption.claims)
    assert {found["an apple"], found["a ball"], found["a frog"]} == {"supported"}


def test_an_audit_that_fails_is_repeated_alone(video: Video) -> None:
    eye = Judge()
    eye.error = BackendError("no scores today.")
    first = audited(video, eye)[-1]
    assert isinstance(first, Failed) and first.caption.unaudited == "no scores today."
    assert first.caption.status == "complete" and first.caption.summary == STORY and not first.caption.audited
    eye.error = None
    events = audited(video, eye, earlier=first.caption)
    assert not any(isinstance(event, QuestionAsked | SummaryWritten) for event in events)
    assert any(isinstance(event, Encoded) for event in events)
    last = events[-1]
    assert type(last) is Done and last.caption.finished and verdicts(last.caption.claims)["a frog"] == "contradicted"


# --- which frames are asked ---------------------------------------------------------------------------------------


def turn(question: str, answer: str, **more: Any) -> Turn:
    return Turn(question=question, answer=answer, **more)


TURNS = (
    turn("Frame 2: What is there?", "A red car."),
    turn("Frame 3: Is there a dog?", "A dog.", certainty="unsure"),
    turn("Which things can be made out, and when?", "There are two cats.", answered_by="detector"),
)


def begun(text: str, frames: int = 3) -> FrameAudit:
    return FrameAudit(with_turns(extract_claims(text), TURNS), TURNS, frames)


def judged(audit: FrameAudit, asked: dict[int, frozenset[int]], score: float) -> None:
    """Every claim that is asked about gets this score in every frame."""
    verdict = "supported" if score > 0.5 else "contradicted"
    update = {"verdict": verdict, "score": score, "evidence": "eye", "question": "Is it?"}
    results = [
        Audited(tuple(one.model_copy(update=update) if at in some else one for at, one in enumerate(audit.claims)), 1)
        for some in asked.values()
    ]
    audit.take(asked, results)


def test_frames_whose_answers_say_it_come_first() -> None:
    audit = begun("There is a red car. There is a dog.")
    car, red, dog = range(3)
    assert audit.next_frames() == {2: {car, red}}
    judged(audit, {2: frozenset({car, red})}, 0.1)
    assert audit.next_frames() == {1: {car, red, dog}, 2: {dog}, 3: {car, red, dog}}
    judged(audit, audit.next_frames(), 0.2)
    assert audit.next_frames() == {} and audit.judged.questions == 4
    assert [claim.score for claim in audit.judged.claims] == [0.2, 0.2, 0.2]
    assert [claim.evidence for claim in audit.judged.claims] == ["eye"] * 3


def test_asking_ends_with_the_first_frame_that_shows_it() -> None:
    audit = begun("There is a red car.")
    judged(audit, audit.next_frames(), 0.9)
    assert audit.next_frames() == {}
    assert {claim.evidence for claim in audit.judged.claims} == {"eye in frame 2"}


def test_many_frames_are_asked_in_batches() -> None:
    audit = begun("There is a dog.", frames=40)
    sizes = []
    while asked := audit.next_frames():
        sizes.append(len(asked))
        judged(audit, asked, 0.3)
    assert sizes == [16, 16, 8]


def test_what_witnesses_say_and_what_happens_in_time_is_left() -> None:
    audit = begun("There are two cats. A man comes into view at 0:12. A dog walks through the room before the end.")
    left = {claim.text: (claim.verdict, claim.evidence) for claim in audit.judged.claims}
    assert left["cats"] == left["two cats"] == ("supported", "detector")
    assert left["the man is coming"] == (None, "")
    asked = {audit.claims[number].text for number in audit.next_frames()[1]}
    assert {"a man", "a dog", "the dog is walking"} <= asked and "the man is coming" not in asked
    text = "A man comes."
    [man, coming] = extract_claims(text)
    both = [replace_verdict(man), coming]
    assert marks(both, text, text) == [(man.start, man.end, "green")], "a claim without a verdict has no mark"


def replace_verdict(claim: Claim) -> Claim:
    return claim.model_copy(update={"verdict": "supported"})


# --- the command ----------------------------------------------------------------------------------------------------


def test_the_command_marks_and_says_so(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    film(tmp_path / "clip.mp4", scene(("apple", 0, 9), seconds=1.0))
    command = ("video", "clip.mp4", "--frames", "2", "--rounds", "2", "--questioner", "scripted", "--audit", "mark")
    shell.environment["UNSCORED"] = "1"
    failed = shell.run(*command, "--timeline", "clip.vtt")
    assert failed.returncode == 4 and "the same command checks it" in failed.stderr
    assert not (tmp_path / "clip.vtt").exists()
    Path(shell.environment["MENDED"]).touch()
    done = shell.run(*command, "--timeline", "clip.vtt")
    assert done.returncode == 0 and "only its claims are checked" in done.stderr, done.stderr
    assert "audit: " in done.stdout and (tmp_path / "clip.vtt").exists()
    shown = shell.run("show", done.stdout.strip().splitlines()[-1].split("inquisight show ")[1])
    assert "audit: " in shown.stdout
    wrong = shell.run("video", "clip.mp4", "--threshold", "0.7")
    assert wrong.returncode == 2 and "--threshold only means something together with --audit" in wrong.stderr
