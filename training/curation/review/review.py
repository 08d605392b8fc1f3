"""The terminal view for labels: one text at a time, one key per kind of error.

`Review` is what happens when a key is pressed, without a screen; `run` puts it on one.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from core.errors import InquisightError, printable
from training.curation import text_metrics
from training.curation.folder import CurationFolder
from training.curation.review.edits import change
from training.curation.review.labels import Kinds, Label, LabelItem, Labels, Stage

if TYPE_CHECKING:
    from prompt_toolkit.application import Application

Fragments = list[tuple[str, str]]
WIDTH: Final = 100
HELP: Final = "Enter keep and go on | s skip | b back | u undo | n note | p picture | q leave"
CAN_EDIT: Final = " | Ctrl-E edit the text"


class Review:
    """Where a reviewer is, and what is ticked for the text in view."""

    def __init__(
        self,
        items: Sequence[LabelItem],
        labels: Labels,
        reviewer: str,
        kinds: Kinds,
        folder: CurationFolder | None = None,
        stage: Stage = "repair",
    ) -> None:
        self.items = list(items)
        self.labels = labels
        self.reviewer = reviewer
        self.kinds = kinds
        self.folder = folder  # None: texts are looked at, and not edited
        self.stage: Stage = stage
        self.place = 0
        self.ticked: set[str] = set()
        self.note = ""
        self.said = ""  # a word about the last key
        self._given: list[tuple[int, Callable[[], None]]] = []  # place, how to take it back
        self._go_to_next(-1)

    @property
    def item(self) -> LabelItem | None:
        """The text in view; None when all have been seen."""
        return self.items[self.place] if self.place < len(self.items) else None

    @property
    def done(self) -> int:
        """How many texts of the sample this reviewer has labelled."""
        return sum(self.labels.get(self.reviewer, item) is not None for item in self.items)

    def tick(self, key: str) -> None:
        """Press the key of a kind: on, or off again."""
        name = next((kind.name for kind in self.kinds.kind if kind.key == key), None)
        if name is None or self.item is None:
            self.said = f"the key {key} means nothing here"
            return
        self.ticked ^= {name}
        self.said = ""

    def keep(self) -> None:
        """Write the label of this text (nothing ticked: it is fine), and go to the next that has none."""
        item = self.item
        if item is None:
            return
        before = self.labels.get(self.reviewer, item)
        ticked = tuple(name for name in self.kinds.names if name in self.ticked)
        label = Label(item.id, self.reviewer, item.of, ticked, self.note.strip())
        self.labels.add(label)

        def take_back() -> None:
            self.labels.undo(label)
            if before is not None:
                self.labels.add(before)

        self._given.append((self.place, take_back))
        self.said = f"kept: {', '.join(ticked) or 'fine'}"
        self._go_to_next(self.place)

    def edit(self, text: str) -> None:
        """Put `text` in place of the one in view, for everybody; what was said of the old one counts no more.

        Raises UsageError where it is empty or the same, or where the text has changed since it was shown.
        """
        place, old = self.place, self.item
        if old is None or self.folder is None:
            return
        self.items[place], undo = change(self.folder, old, text, self.reviewer, self.stage)

        def take_back() -> None:
            self.items[place] = undo()

        self._given.append((place, take_back))
        self._show(place)
        self.said = "changed"

    def skip(self) -> None:
        """Go on without a label."""
        if self.place < len(self.items):
            self._show(self.place + 1)

    def back(self) -> None:
        """Look at the text before this one, with its label."""
        if self.place > 0:
            self._show(self.place - 1)

    @property
    def can_undo(self) -> bool:
        """Whether something was done in this sitting that can be taken back."""
        return bool(self._given)

    def go_to(self, place: int) -> None:
        """Look at the text at `place`, counted from 0."""
        self._show(place)

    def undo(self) -> None:
        """Take back the last label or edit of this sitting; a label or text that it replaced is in force again."""
        if not self._given:
            self.said = "nothing to take back"
            return
        place, take_back = self._given[-1]
        take_back()
        self._given.pop()
        self._show(place)
        self.said = "taken back"

    def _go_to_next(self, place: int) -> None:
        said = self.said
        free = [at for at in range(len(self.items)) if self.labels.get(self.reviewer, self.items[at]) is None]
        later = [at for at in free if at > place]
        self._show((later or free or [len(self.items)])[0])
        self.said = said

    def _show(self, place: int) -> None:
        self.place = place
        label = self.labels.get(self.reviewer, self.item) if self.item else None
        self.ticked = set(label.kinds) if label else set()
        self.note = label.note if label else ""
        self.said = ""


def measured(text: str) -> str:
    """What can be counted: the number of words, and every sign that is not nought."""
    told = [
        f"{name} {value:g}"
        for name, value in text_metrics.measure(text).items()
        if value and name not in ("words", "sentences")
    ]
    return ", ".join([f"{len(text_metrics.words_of(text))} words", *told])


def lines(review: Review, width: int = WIDTH) -> Fragments:
    """What is on the screen, as prompt_toolkit fragments; texts are untrusted and come out printable."""
    item = review.item
    head = f"{review.done} of {len(review.items)} labelled by {review.reviewer}"
    if item is None:
        return [("bold", f"{head}\n\n"), ("", "That was all. u takes the last label back, b looks back, q leaves.\n")]
    wrapped = textwrap.fill(printable(item.text, limit=None), width) or "(no text)"
    shown: Fragments = [
        ("bold", f"{head}   {review.place + 1}/{len(review.items)}   {printable(item.id, 60)}\n"),
        ("ansibrightblack", f"{printable(item.picture, width)}\n\n"),
        ("", f"{wrapped}\n\n"),
        ("ansibrightblack", f"{measured(item.text)}\n\n"),
    ]
    for kind in review.kinds.kind:
        ticked = kind.name in review.ticked
        shown.append(("ansired bold" if ticked else "", f" {'x' if ticked else ' '} {kind.key}  {kind.name:<12}"))
        shown.append(("ansibrightblack", f" {kind.says}\n"))
    if review.note:
        shown.append(("", f"\n note: {printable(review.note, width)}\n"))
    more = CAN_EDIT if review.folder is not None else ""
    shown += [("ansibrightblack", f"\n{HELP}{more}\n"), ("ansiyellow", review.said)]
    return shown


def thumbnail(path: str, width: int = 56, height: int = 40) -> Fragments:
    """The picture in half blocks, two pixels to a character; a line of words where it cannot be opened."""
    from core.images.picture import open_picture

    try:
        image = open_picture(path).image
    except InquisightError as error:
        return [("ansired", f"{error}\n")]
    image.thumbnail((width, height))
    pixels = image.load()
    assert pixels is not None
    rows: Fragments = []
    for y in range(0, image.height - 1, 2):
        for x in range(image.width):
            upper, lower = (_hex(pixels[x, y + half]) for half in (0, 1))
            rows.append((f"fg:{upper} bg:{lower}", "▀"))
        rows.append(("", "\n"))
    return rows


def _hex(rgb: Any) -> str:
    red, green, blue = rgb
    return f"#{red:02x}{green:02x}{blue:02x}"


def application(review: Review, **options: Any) -> Application[None]:
    """The view as a prompt_toolkit application, which leaves when q is pressed."""
    from prompt_toolkit.application import Application
    from prompt_toolkit.buffer import Buffer
    from prompt_toolkit.filters import Condition
    from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
    from prompt_toolkit.layout import BufferControl, ConditionalContainer, FormattedTextControl, HSplit, Layout, Window

    keys = KeyBindings()
    note, whole = Buffer(multiline=False), Buffer(multiline=False)
    picture: dict[str, Fragments] = {}  # path -> rows; only the one in view is kept
    seeing = False
    writing = Condition(lambda: app.layout.has_focus(note))
    editing = Condition(lambda: app.layout.has_focus(whole))

    def body() -> Any:
        item = review.item
        if not seeing or item is None:
            return lines(review)
        if item.picture not in picture:
            picture.clear()
            picture[item.picture] = thumbnail(item.picture)
        return [*picture[item.picture], ("", "\n"), *lines(review)]

    def bind(key: str, action: Any) -> None:
        @keys.add(key, filter=~writing & ~editing)
        def _(event: KeyPressEvent) -> None:
            action()

    def look() -> None:
        nonlocal seeing
        seeing = not seeing

    for key, action in {"s": review.skip, "b": review.back, "u": review.undo, "enter": review.keep, "p": look}.items():
        bind(key, action)
    for kind in review.kinds.kind:
        bind(kind.key, lambda key=kind.key: review.tick(key))

    @keys.add("n", filter=~writing & ~editing)
    def _(event: KeyPressEvent) -> None:
        if review.item is not None:
            note.text = review.note
            note.cursor_position = len(note.text)
            event.app.layout.focus(note)

    @keys.add("enter", filter=writing)
    @keys.add("escape", filter=writing, eager=True)
    def _(event: KeyPressEvent) -> None:
        review.note = note.text
        event.app.layout.focus(screen)

    @keys.add("c-e", filter=~writing & ~editing)
    def _(event: KeyPressEvent) -> None:
        if review.item is not None and review.folder is not None:
            whole.text = review.item.text
            whole.cursor_position = len(whole.text)
            event.app.layout.focus(whole)

    @keys.add("enter", filter=editing)
    def _(event: KeyPressEvent) -> None:
        event.app.layout.focus(screen)
        try:
            review.edit(whole.text)
        except InquisightError as error:
            review.said = str(error)

    @keys.add("escape", filter=editing, eager=True)
    def _(event: KeyPressEvent) -> None:
        event.app.layout.focus(screen)

    @keys.add("q", filter=~writing & ~editing)
    @keys.add("c-c")
    @keys.add("c-d")
    def _(event: KeyPressEvent) -> None:
        event.app.exit()

    screen = Window(FormattedTextControl(body, focusable=True, show_cursor=False), wrap_lines=True)
    line = HSplit(
        [Window(FormattedTextControl("note (Enter when done):"), height=1), Window(BufferControl(note), height=1)]
    )
    text = HSplit(
        [
            Window(FormattedTextControl("text (Enter when done, Escape leaves it as it was):"), height=1),
            Window(BufferControl(whole), wrap_lines=True),
        ]
    )
    below = [ConditionalContainer(line, filter=writing), ConditionalContainer(text, filter=editing)]
    app: Application[None] = Application(
        layout=Layout(HSplit([screen, *below]), focused_element=screen),
        key_bindings=keys,
        full_screen=True,
        **options,
    )
    return app


def review_in_terminal(review: Review) -> None:
    """Show the view until the reviewer leaves it; every label is on the disk when its key was pressed."""
    application(review).run()
