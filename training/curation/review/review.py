"""Label texts in the terminal: one text at a time, one key per kind of error.

`Review` holds the state and the actions, without a screen; `application` shows it.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from agents.text import text_metrics
from core.errors import InquisightError, printable
from training.curation.folder import CurationFolder
from training.curation.review.edits import change
from training.curation.review.labels import Kinds, Label, LabelItem, Labels, Stage

if TYPE_CHECKING:
    from prompt_toolkit.application import Application

Fragments = list[tuple[str, str]]
WIDTH: Final = 100
HELP: Final = "Enter keep and next | s skip | b back | u undo | n note | p picture | q quit"
CAN_EDIT: Final = " | Ctrl-E edit the text"


class Review:
    """The position of a reviewer in the sample, and the kinds ticked for the current text."""

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
        self.folder = folder  # None: texts cannot be edited
        self.stage: Stage = stage
        self.place = 0
        self.ticked: set[str] = set()
        self.note = ""
        self.message = ""  # about the last key
        self._given: list[tuple[int, Callable[[], None]]] = []  # place, undo
        self._go_to_next(-1)

    @property
    def item(self) -> LabelItem | None:
        """The current text; None after the last one."""
        return self.items[self.place] if self.place < len(self.items) else None

    @property
    def done(self) -> int:
        """Number of texts of the sample that this reviewer has labelled."""
        return sum(self.labels.get(self.reviewer, item) is not None for item in self.items)

    def tick(self, key: str) -> None:
        """Toggle the kind of this key."""
        name = next((kind.name for kind in self.kinds.kind if kind.key == key), None)
        if name is None or self.item is None:
            self.message = f"the key {key} has no function here"
            return
        self.ticked ^= {name}
        self.message = ""

    def keep(self) -> None:
        """Write the label of this text (no ticked kind: no error), and go to the next unlabelled one."""
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
        self.message = f"kept: {', '.join(ticked) or 'no error'}"
        self._go_to_next(self.place)

    def edit(self, text: str) -> None:
        """Replace the current text for everybody; labels of the old one no longer count.

        Raises UsageError if `text` is empty or the same, or if the text has changed since it was shown.
        """
        place, old = self.place, self.item
        if old is None or self.folder is None:
            return
        self.items[place], undo = change(self.folder, old, text, self.reviewer, self.stage)

        def take_back() -> None:
            self.items[place] = undo()

        self._given.append((place, take_back))
        self._show(place)
        self.message = "changed"

    def skip(self) -> None:
        """Go to the next text without a label."""
        if self.place < len(self.items):
            self._show(self.place + 1)

    def back(self) -> None:
        """Go to the previous text, with its label."""
        if self.place > 0:
            self._show(self.place - 1)

    @property
    def can_undo(self) -> bool:
        """Whether this session has an action to undo."""
        return bool(self._given)

    def go_to(self, place: int) -> None:
        """Go to the text at `place`, counted from 0."""
        self._show(place)

    def undo(self) -> None:
        """Undo the last label or edit of this session; the label or text that it replaced is valid again."""
        if not self._given:
            self.message = "nothing to undo"
            return
        place, take_back = self._given[-1]
        take_back()
        self._given.pop()
        self._show(place)
        self.message = "undone"

    def _go_to_next(self, place: int) -> None:
        said = self.message
        free = [at for at in range(len(self.items)) if self.labels.get(self.reviewer, self.items[at]) is None]
        later = [at for at in free if at > place]
        self._show((later or free or [len(self.items)])[0])
        self.message = said

    def _show(self, place: int) -> None:
        self.place = place
        label = self.labels.get(self.reviewer, self.item) if self.item else None
        self.ticked = set(label.kinds) if label else set()
        self.note = label.note if label else ""
        self.message = ""


def measured(text: str) -> str:
    """The number of words, and every metric that is not 0."""
    values = [
        f"{name} {value:g}"
        for name, value in text_metrics.measure(text).items()
        if value and name not in ("words", "sentences")
    ]
    return ", ".join([f"{len(text_metrics.words_of(text))} words", *values])


def lines(review: Review, width: int = WIDTH) -> Fragments:
    """The screen as prompt_toolkit fragments; untrusted texts are made printable."""
    item = review.item
    head = f"{review.done} of {len(review.items)} labelled by {review.reviewer}"
    if item is None:
        return [
            ("bold", f"{head}\n\n"),
            ("", "All texts are reviewed. u undoes, b goes back, q quits.\n"),
        ]
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
    shown += [("ansibrightblack", f"\n{HELP}{more}\n"), ("ansiyellow", review.message)]
    return shown


def thumbnail(path: str, width: int = 56, height: int = 40) -> Fragments:
    """The picture in half blocks, two pixels per character; the error if it cannot be opened."""
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
    """The view as a prompt_toolkit application; q quits."""
    from prompt_toolkit.application import Application
    from prompt_toolkit.buffer import Buffer
    from prompt_toolkit.filters import Always, Condition, Filter
    from prompt_toolkit.key_binding import KeyBindings
    from prompt_toolkit.layout import BufferControl, ConditionalContainer, FormattedTextControl, HSplit, Layout, Window

    keys = KeyBindings()
    note, whole = Buffer(multiline=False), Buffer(multiline=False)
    picture: dict[str, Fragments] = {}  # path -> rows, of the current picture
    show_picture = False
    writing = Condition(lambda: app.layout.has_focus(note))
    editing = Condition(lambda: app.layout.has_focus(whole))
    idle = ~writing & ~editing

    def body() -> Any:
        item = review.item
        if not show_picture or item is None:
            return lines(review)
        if item.picture not in picture:
            picture.clear()
            picture[item.picture] = thumbnail(item.picture)
        return [*picture[item.picture], ("", "\n"), *lines(review)]

    def bind(key: str, action: Callable[[], Any], when: Filter = idle, **options: Any) -> None:
        keys.add(key, filter=when, **options)(lambda event: action())

    def toggle_picture() -> None:
        nonlocal show_picture
        show_picture = not show_picture

    def open_buffer(buffer: Buffer, text: str) -> None:
        buffer.text, buffer.cursor_position = text, len(text)
        app.layout.focus(buffer)

    def write_note() -> None:
        if review.item is not None:
            open_buffer(note, review.note)

    def write_text() -> None:
        if review.item is not None and review.folder is not None:
            open_buffer(whole, review.item.text)

    def keep_note() -> None:
        review.note = note.text
        app.layout.focus(screen)

    def keep_text() -> None:
        app.layout.focus(screen)
        try:
            review.edit(whole.text)
        except InquisightError as error:
            review.message = str(error)

    for key, action in {
        "s": review.skip,
        "b": review.back,
        "u": review.undo,
        "enter": review.keep,
        "p": toggle_picture,
        "n": write_note,
        "c-e": write_text,
    }.items():
        bind(key, action)
    for kind in review.kinds.kind:
        bind(kind.key, partial(review.tick, kind.key))
    bind("enter", keep_note, writing)
    bind("escape", keep_note, writing, eager=True)
    bind("enter", keep_text, editing)
    bind("escape", lambda: app.layout.focus(screen), editing, eager=True)
    for key, when in (("q", idle), ("c-c", Always()), ("c-d", Always())):
        keys.add(key, filter=when)(lambda event: event.app.exit())

    def field(title: str, buffer: Buffer, when: Filter, **options: Any) -> ConditionalContainer:
        label = Window(FormattedTextControl(title), height=1)
        return ConditionalContainer(HSplit([label, Window(BufferControl(buffer), **options)]), filter=when)

    screen = Window(FormattedTextControl(body, focusable=True, show_cursor=False), wrap_lines=True)
    below = [
        field("note (Enter when done):", note, writing, height=1),
        field("text (Enter when done, Escape cancels):", whole, editing, wrap_lines=True),
    ]
    app: Application[None] = Application(
        layout=Layout(HSplit([screen, *below]), focused_element=screen),
        key_bindings=keys,
        full_screen=True,
        **options,
    )
    return app


def review_in_terminal(review: Review) -> None:
    """Show the view until the reviewer quits; each label is on disk when its key is pressed."""
    application(review).run()
