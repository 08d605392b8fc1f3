"""Ask about the frames of a video, find what appears and disappears, and summarise it as one story.

First every frame is described, distant ones first, so that an early end still covers the whole video. Then come
questions about changes: whether a thing that was named in one frame is in the frame before and after. The remaining
rounds go to follow-up questions, as for a picture. The story mentions each thing where it was first seen.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from core import nouns
from core.tasks import NOTHING_NEW, Task, TaskTurn
from plugins.scripted import lexicon
from plugins.scripted.asking import WORDINGS, hopeless_kinds, learn, next_question
from plugins.scripted.knowledge import Knowledge, NamedThing
from plugins.scripted.topics import topic_of
from plugins.scripted.writing import Summary

_LABEL: Final = re.compile(r"\s*frame[\s_]*(\d+)\s*:\s*", re.IGNORECASE)
_SCENE: Final = re.compile(r"\s*scene \d+, (\S+) to (\S+?):?\s*$", re.IGNORECASE)
_SPOTS: Final = ("left", "right", "middle")
# Answers to these may differ between frames; the others are asked once.
_CHANGING: Final = frozenset({"describe", "else", "action", "happening", "place"})
NOTHING: Final = "What this video shows could not be told for certain."
MOST_CHECKS: Final = 2  # per frame
MOST_PASSED_OVER: Final = 20  # questions of one frame


# --- asking -----------------------------------------------------------------------------------------------------------


def next_video_question(task: Task, seed: int | None = None, told: str = "") -> str:
    """The next question, beginning with its frame, or `NOTHING_NEW`. The same task and seed give the same question.

    `told`: what the owner of the video says; things that it names and no frame has shown are looked for once.
    """
    numbers = [number for number, _ in task.frames]
    talk = by_frame(task.turns, numbers)
    refused = by_frame([TaskTurn(question, "") for question in task.refused], numbers)
    for frame in _far_first(numbers):
        question = WORDINGS["describe"][0]
        if not talk[frame] and not refused[frame]:
            return _labelled(frame, question)
    story = Story(task)
    checks = sum(topic_of(turn.question).kind == "presence" for turns in talk.values() for turn in turns)
    if checks < MOST_CHECKS * len(numbers):
        for frame, question in story.doubts():
            asked = [turn.question for turn in (*talk[frame], *refused[frame])]
            if topic_of(question).key not in {topic_of(other).key for other in asked}:
                return _labelled(frame, question)
    named = {word for known in story.known.values() for thing in known.things for word in thing.name.split()}
    told = " ".join(word for word in told.split() if nouns.singular(word.strip(".,").lower()) not in named)
    once = [turn.question for turns in talk.values() for turn in turns if topic_of(turn.question).kind not in _CHANGING]
    # A vision model that failed twice at a kind of question fails at it in every frame.
    hopeless = hopeless_kinds([turn for turns in talk.values() for turn in turns])
    for frame in sorted(numbers, key=lambda number: (len(talk[number]), number)):
        here = {turn.question for turn in talk[frame]}
        passed_over = [question for question in once if question not in here]
        passed_over += [turn.question for turn in refused[frame]]
        for _ in range(MOST_PASSED_OVER):
            question = next_question(talk[frame], passed_over, seed, told, task.cannot_tell)
            if question == NOTHING_NEW:
                break
            if topic_of(question).kind not in hopeless:
                return _labelled(frame, question)
            passed_over.append(question)
    return NOTHING_NEW


def by_frame(turns: Sequence[TaskTurn], numbers: Sequence[int]) -> dict[int, list[TaskTurn]]:
    """The turns about each frame, in order, without the label of the frame."""
    found: dict[int, list[TaskTurn]] = {number: [] for number in numbers}
    for turn in turns:
        label = _LABEL.match(turn.question)
        if label and int(label[1]) in found:
            found[int(label[1])].append(TaskTurn(turn.question[label.end() :], turn.answer, turn.sure))
    return found


def _labelled(frame: int, question: str) -> str:
    return f"Frame {frame}: {question}"


def _far_first(numbers: Sequence[int]) -> list[int]:
    """First and last, then the middle of each gap, the widest first."""
    order = list(dict.fromkeys([numbers[0], numbers[-1]])) if numbers else []
    places = sorted({numbers.index(number) for number in order})
    while len(places) < len(numbers):
        low, high = max(zip(places, places[1:], strict=False), key=lambda gap: gap[1] - gap[0])
        middle = (low + high) // 2
        places = sorted([*places, middle])
        order.append(numbers[middle])
    return order


# --- what comes and goes ----------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Track:
    """One thing in the video: the frames in which it was seen or denied."""

    name: str
    head: str
    named: set[int] = field(default_factory=set)  # frames where the answerer mentioned it unasked
    seen: dict[int, NamedThing] = field(default_factory=dict)
    denied: set[int] = field(default_factory=set)

    @property
    def first(self) -> int:
        return min(self.seen)

    @property
    def last(self) -> int:
        return max(self.seen)

    def fits(self, thing: NamedThing) -> bool:
        """Whether `thing` of another frame is the same: "duck" and "rubber duck"."""
        mine = {nouns.singular(word) for word in self.name.split()}
        theirs = {nouns.singular(word) for word in thing.name.split()}
        return nouns.singular(self.head) == nouns.singular(thing.head) and (mine <= theirs or theirs <= mine)


class Story:
    """The combined facts of the certain answers about all frames."""

    def __init__(self, task: Task) -> None:
        self.frames = [number for number, _ in task.frames]
        talk = by_frame(task.turns, self.frames)
        self.talk = {frame: turns for frame, turns in talk.items() if turns}
        self.known: dict[int, Knowledge] = {frame: learn(turns) for frame, turns in self.talk.items()}
        self.frames_asked = sorted(self.known)
        self.tracks: list[Track] = []
        for frame in self.frames_asked:
            unasked = learn([turn for turn in self.talk[frame] if topic_of(turn.question).kind != "presence"])
            named = {thing.name for thing in unasked.shown}
            for thing in self.known[frame].shown:
                if not thing.doubtful:
                    track = self._track(thing)
                    track.seen.setdefault(frame, thing)
                    if thing.name in named:
                        track.named.add(frame)
        self._believe()
        for track in self.tracks:
            head = nouns.singular(track.head)
            track.denied = {frame for frame in self.frames_asked if head in self.known[frame].absent} - set(track.seen)

    def _believe(self) -> None:
        """Accept a mere "yes" only next to a frame where the thing was named unasked.

        Some answerers say yes to every question, which would put everything into the first frame.
        """
        for track in self.tracks:
            beside = {
                self.frames_asked[place]
                for frame in track.named
                for place in range(self.frames_asked.index(frame) - 1, self.frames_asked.index(frame) + 2)
                if 0 <= place < len(self.frames_asked)
            }
            track.seen = {frame: thing for frame, thing in track.seen.items() if frame in beside}
        self.tracks = [track for track in self.tracks if track.seen]

    def _track(self, thing: NamedThing) -> Track:
        for track in self.tracks:
            if track.fits(thing):
                if len(thing.name.split()) > len(track.name.split()):
                    track.name = thing.name
                return track
        self.tracks.append(Track(thing.name, thing.head))
        return self.tracks[-1]

    def doubts(self) -> Iterator[tuple[int, str]]:
        """Ask whether a thing is there just before its first and just after its last mention."""
        for far in (False, True):
            for track in self.tracks:
                if nouns.singular(track.head) in lexicon.NATURE:
                    continue
                place = self.frames_asked.index(max(track.named) if far else min(track.named)) + (1 if far else -1)
                if 0 <= place < len(self.frames_asked) and self.frames_asked[place] not in track.denied:
                    yield self.frames_asked[place], f"{_is_there(track)}?"

    def fleeting(self, track: Track) -> bool:
        """Whether a thing was named once and denied in the neighbouring frames."""
        at = self.frames_asked.index(track.first)
        beside = [self.frames_asked[place] for place in (at - 1, at + 1) if 0 <= place < len(self.frames_asked)]
        return len(track.seen) == 1 and bool(beside) and all(frame in track.denied for frame in beside)

    def gone(self, track: Track) -> int | None:
        """The first frame without the thing; None if that was not answered."""
        later = [frame for frame in self.frames_asked if frame > track.last]
        return later[0] if later and later[0] in track.denied else None


def _is_there(track: Track) -> str:
    if nouns.is_plural(nouns.singular(track.head)) or nouns.is_mass(track.head):
        return f"Is there any {track.name}"
    name = " ".join(nouns.singular(word) if word == track.head else word for word in track.name.split())
    return f"Is there {nouns.with_article(name)}"


# --- the story --------------------------------------------------------------------------------------------------------


def tell(task: Task, seed: int | None = None) -> str:
    """The story of a video, or of its summarised scenes."""
    stated = [(found, turn.answer) for turn in task.turns if (found := _SCENE.match(turn.question))]
    if stated:
        return " ".join(f"From {found[1]} to {found[2]}: {text}" for found, text in stated)
    return with_evidence(_Telling(Story(task)).text(), task.turns)


def with_evidence(story: str, turns: Sequence[TaskTurn]) -> str:
    """The story, then what witnesses are certain of; that alone if the vision model was certain of nothing."""
    evidence = [
        f"In the video one can read {turn.answer.removeprefix('It says ')}"
        if turn.answer.startswith("It says ")
        else turn.answer
        for turn in turns
        if turn.answered_by and turn.sure and turn.answer
    ]
    return " ".join([*([] if evidence and story == NOTHING else [story]), *evidence])


class _Telling:
    """Turns a story into sentences, in the order of first appearance, without naming frames."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self.summaries = {frame: Summary(known, None) for frame, known in story.known.items()}

    def text(self) -> str:
        story = self.story
        if not story.tracks:
            return self._nothing()
        sentences: list[str] = []
        for frame in story.frames_asked:
            new = [track for track in story.tracks if track.first == frame and not story.fleeting(track)]
            brief = [track for track in story.tracks if track.first == frame and story.fleeting(track)]
            gone = [track for track in story.tracks if story.gone(track) == frame and not story.fleeting(track)]
            if frame == story.frames_asked[0]:
                sentences += self._beginning(frame, new)
            elif new:
                sentences.append(f"{self._when(frame, sentences)} {self._appear(frame, new)}")
            if gone:
                names = lexicon.listed([f"the {track.name}" for track in gone])
                sentences.append(f"{self._when(frame, sentences)} {names} can no longer be seen")
            if brief:
                names = lexicon.listed([self._noun(track, frame) for track in brief])
                sentences.append(f"for a moment there seems to be {names}")
        sentences += [*self._moves(), *self._colours()]
        sentences += self._ground()
        return " ".join(f"{sentence[0].upper()}{sentence[1:]}." for sentence in sentences)

    def _nothing(self) -> str:
        known = [self.summaries[frame].text() for frame in self.story.frames_asked]
        text = next((text for text in known if "could not be told" not in text and "nothing certain" not in text), "")
        return text.replace("this picture", "this video") or NOTHING

    def _beginning(self, frame: int, tracks: list[Track]) -> list[str]:
        background = self.summaries[frame]._background_phrase()
        opener = "at first" if len(self.story.frames_asked) > 1 else "in this video"
        if not tracks:
            return [f"{opener} there is nothing to be seen{background}"] if background else []
        phrases = [self._phrase(track, frame) for track in tracks]
        be = "are" if tracks[0].seen[frame].plural else "is"
        comma = "," if background and (len(phrases) > 1 or tracks[0].seen[frame].places) else ""
        return [f"{opener} there {be} {lexicon.listed(phrases)}{comma}{background}"]

    def _when(self, frame: int, sentences: list[str]) -> str:
        if not sentences:
            return "at first" if frame == self.story.frames_asked[0] else "after a while"
        if frame == self.story.frames_asked[-1]:
            return "at the end"
        for word in ("then", "after that", "later", "still later"):
            if not any(sentence.startswith(word + " ") for sentence in sentences):
                return word
        return "then"

    def _appear(self, frame: int, tracks: list[Track]) -> str:
        if len(tracks) == 1:
            thing = tracks[0].seen[frame]
            verb = "appear" if thing.plural else "appears"
            places = self.summaries[frame]._places(thing)
            return " ".join([self._noun(tracks[0], frame), verb, *thing.actions[:1], *places[:1]])
        return f"{lexicon.listed([self._phrase(track, frame) for track in tracks])} appear"

    def _thing(self, track: Track, frame: int) -> NamedThing:
        """The thing in that frame; a missing colour is taken from another frame."""
        thing = track.seen[frame]
        if not thing.colours:
            thing.colours = next((other.colours for other in track.seen.values() if other.colours), [])
        return thing

    def _noun(self, track: Track, frame: int) -> str:
        return self.summaries[frame]._noun(self._thing(track, frame))

    def _phrase(self, track: Track, frame: int) -> str:
        return self.summaries[frame]._phrase(self._thing(track, frame))

    def _moves(self) -> list[str]:
        """Things that changed sides."""
        sentences = []
        for track in self.story.tracks:
            spots = [spot for frame in sorted(track.seen) if (spot := _column(track.seen[frame]))]
            if len(spots) > 1 and spots[0] != spots[-1] and not self.story.fleeting(track):
                where = {"left": "on the left", "right": "on the right", "middle": "in the middle"}
                be = "are" if track.seen[track.first].plural else "is"
                sentences.append(f"the {track.name} {be} {where[spots[0]]} first and {where[spots[-1]]} later")
        return sentences

    def _colours(self) -> list[str]:
        """Things that changed their colour once; alternating answers are no change."""
        sentences = []
        for track in self.story.tracks:
            colours = [track.seen[frame].colours for frame in sorted(track.seen) if track.seen[frame].colours]
            if len(colours) < 2 or set(colours[0]) & set(colours[-1]) or self.story.fleeting(track):
                continue
            early = [bool(set(each) & set(colours[0])) for each in colours]
            late = [bool(set(each) & set(colours[-1])) for each in colours]
            if early == sorted(early, reverse=True) and late == [not one for one in early]:
                be = "are" if track.seen[track.first].plural else "is"
                sentences.append(f"the {track.name} {be} {colours[0][0]} first and {colours[-1][0]} later")
        return sentences

    def _ground(self) -> list[str]:
        """A change of the background, and the setting."""
        story, sentences = self.story, []
        colours = [known.background_colours for _, known in sorted(story.known.items()) if known.background_colours]
        if len(colours) > 1 and not set(colours[0]) & set(colours[-1]):
            sentences.append(f"the background turns from {colours[0][0]} to {colours[-1][0]}")
        settings = {known.setting for known in story.known.values() if known.setting and not known.setting_is_a_guess}
        if len(settings) == 1:
            sentences.append(f"the scene is {settings.pop()}")
        return sentences


def _column(thing: NamedThing) -> str:
    """Left, right or middle, if exactly one of them was stated."""
    spots = {word for place in thing.places for word in place.split() if word in _SPOTS}
    return spots.pop() if len(spots) == 1 else ""
