"""`inquisight captions`: list, search, change with a preview, undo, and export the captions of a folder."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from agents.cli.captions.request import EDITS, OTHERS, CaptionsRequest
from agents.cli.listing import print_table
from core.captions.edits import Edit, Prefix, Replace, Suffix, Tags, Trim
from core.captions.folder import CaptionFolder
from core.captions.forms import Form, XmpName
from core.captions.records import SORTS, CaptionChange, CaptionQuery, PictureCaption, Preview, Refreshed
from core.console.status import Status
from core.errors import UsageError, printable
from core.files.outputs import check_output

SHOWN: Final = 20
EXIT_KEPT: Final = 1  # a change was shown and not made
EXIT_PROBLEMS: Final = 1  # captions that cannot be read
_WIDTH: Final = 160  # characters of a caption in lists


def run_captions(request: CaptionsRequest) -> int:
    """Do what the options ask; returns the exit code. Raises InquisightError."""
    query, edit, form = make_query(request), make_edit(request), _form(request)
    names = {name.value: name for name in XmpName}
    if request.xmp_name is not None and request.xmp_name not in names:
        raise UsageError(f"--xmp-name is '{printable(request.xmp_name, 40)}': take {' or '.join(names)}")
    if request.export is not None:
        from agents.captions.export import check_kind

        check_kind(request.export, request.export_format)
        check_output(request.export, overwrite=request.overwrite)
    xmp_name = names[request.xmp_name] if request.xmp_name else XmpName.FULL
    with CaptionFolder(request.folder, form=form, tables=request.table, xmp_name=xmp_name) as folder:
        found = _refreshed(folder)
        if request.unsure or request.failed_audit:
            _read_transcripts(folder)
        code = _act(request, folder, query, edit)
        for problem in found.problems:
            _say(problem)
        if found.left_out:
            _say(str(found.left_out))
    return code or (EXIT_PROBLEMS if found.problems or found.left_out.faults else 0)


# --- the request ------------------------------------------------------------------------------------------------------


def make_query(request: CaptionsRequest) -> CaptionQuery:
    """Which captions are meant. Raises UsageError."""
    if request.limit is not None and request.limit < 1:
        raise UsageError(f"--limit must be 1 or more, not {request.limit}")
    if request.sort is not None and request.sort not in SORTS:
        raise UsageError(f"--sort is '{printable(request.sort, 40)}': take {', '.join(SORTS[:-1])} or {SORTS[-1]}")
    if request.missing and request.text and request.write is None:
        raise UsageError("--missing lists images without caption, so no caption contains a text; leave one of them out")
    return CaptionQuery(
        contains="" if request.write is not None else request.text,
        captioned=False if request.missing else None,
        edited=request.edited or None,
        unsure=request.unsure or None,
        failed_audit=request.failed_audit or None,
        name=request.name or "",
        below=request.below or "",
        sort=request.sort or "path",  # type: ignore[arg-type]
    )


def make_edit(request: CaptionsRequest) -> Edit | None:
    """The change that is asked for, if any. Raises UsageError."""
    given = [name for name in (*EDITS, *OTHERS) if getattr(request, name) not in (None, False, ())]
    if set(given) == {"add_tag", "remove_tag"} or set(given) == {"versions", "restore"}:
        given = given[:1]
    if len(given) > 1:
        first, second = (f"--{name.replace('_', '-')}" for name in given[:2])
        raise UsageError(f"{first} and {second} are two things to do; run the command once for each")
    _check_alone(request, given)
    if not given or given[0] in OTHERS:
        return None
    edits: dict[str, Callable[[], Edit]] = {
        "replace": lambda: Replace(
            request.replace or "", request.by or "", request.regex, request.ignore_case, request.words
        ),
        "prefix": lambda: Prefix(request.prefix or ""),
        "suffix": lambda: Suffix(request.suffix or ""),
        "trim": Trim,
        "remove_duplicates": lambda: Tags(separator=request.separator),
    }
    tags = lambda: Tags(request.add_tag, request.remove_tag, request.separator)  # noqa: E731
    edit = edits.get(given[0], tags)()
    edit.check()
    return edit


def _check_alone(request: CaptionsRequest, given: Sequence[str]) -> None:
    """Raise UsageError for an option that means nothing without another one."""
    for name in ("by", "regex", "ignore_case", "words"):
        if getattr(request, name) not in (None, False) and request.replace is None:
            raise UsageError(f"--{name.replace('_', '-')} only means something together with --replace")
    if request.replace is not None and request.by is None:
        raise UsageError("--replace needs --by TEXT; write --by '' to remove the text")
    if request.change is not None and not request.undo:
        raise UsageError("--change only means something together with --undo")
    if request.restore is not None and request.versions is None:
        raise UsageError("--restore needs --versions PICTURE, which also lists the numbers")
    for name in ("overwrite", "export_format"):
        if getattr(request, name) and request.export is None:
            raise UsageError(f"--{name.replace('_', '-')} only means something together with --export")
    if request.apply and (not given or given[0] in OTHERS):
        raise UsageError(f"--apply needs a change: --{', --'.join(name.replace('_', '-') for name in EDITS)}")


def _form(request: CaptionsRequest) -> Form | None:
    if request.form is None:
        return None
    try:
        return Form(request.form)
    except ValueError:
        known = [str(form) for form in Form]
        raise UsageError(
            f"--form is '{printable(request.form, 40)}': take {', '.join(known[:-1])} or {known[-1]}"
        ) from None


# --- the work ---------------------------------------------------------------------------------------------------------


def _refreshed(folder: CaptionFolder) -> Refreshed:
    status = Status()
    try:
        return folder.refresh(lambda count: status.show(f"looking for captions: {count:,}"))
    finally:
        status.clear()


def _read_transcripts(folder: CaptionFolder) -> None:
    """Take over from the history which images had an uncertain answer or a failed audit."""
    from core.store.transcripts import TranscriptStore

    store, status = TranscriptStore(), Status()
    if not os.path.exists(store.location):
        return
    try:
        folder.read_transcripts(store, lambda count: status.show(f"reading the history: {count:,}"))
    finally:
        status.clear()
        store.close()


def _act(request: CaptionsRequest, folder: CaptionFolder, query: CaptionQuery, edit: Edit | None) -> int:
    if edit is not None:
        return _edit(request, folder, query, edit)
    if request.undo or request.redo:
        return _step(request, folder)
    if request.history:
        return _history(request, folder)
    if request.versions is not None:
        return _versions(request, folder, request.versions)
    if request.write is not None:
        change = folder.set(folder.get(request.write).path, request.text)
        return _tell(request, change, "written")
    if request.export is not None:
        return _export(request, folder, query)
    return _list(request, folder, query)


def _list(request: CaptionsRequest, folder: CaptionFolder, query: CaptionQuery) -> int:
    limit = SHOWN if request.limit is None else request.limit
    found = folder.find(query, limit=limit)
    if request.json:
        for one in found:
            print(json.dumps(as_json(one), ensure_ascii=False))
        return 0
    rows = [(one.path, _short(one.text), _marks(one)) for one in found]
    if rows:
        print_table(("image", "caption", "where"), rows)
    total, counts = folder.count(query), folder.counts()
    if total > len(found):
        _say(f"{len(found):,} of {total:,}; --limit N lists more")
    if not found:
        _say("no image fits" if counts["pictures"] else f"there are no images in '{printable(request.folder)}'")
    _say(_summary(counts))
    return 0


def as_json(one: PictureCaption) -> dict[str, Any]:
    """A picture with its caption, as one line of --json."""
    return {
        "path": one.path,
        "caption": one.text,
        "places": [{"form": str(place.form), "file": place.file, "caption": place.text} for place in one.places],
        "edited": one.edited,
        "unsure": one.unsure,
        "failed_audit": one.failed_audit,
        "problem": one.problem or None,
        "changed": one.changed.isoformat() if one.changed else None,
    }


def _marks(one: PictureCaption) -> str:
    marks = [name for name, on in (("edited", one.edited), ("unsure", one.unsure), ("audit", one.failed_audit)) if on]
    places = [str(place.form) for place in one.places if place.text is not None]
    return ", ".join([*dict.fromkeys(places), *marks, *(["cannot be read"] if one.problem else [])])


def _summary(counts: dict[str, int]) -> str:
    parts = [f"{counts['captioned']:,} with caption"]
    words = {"edited": "edited", "unsure": "unsure", "failed_audit": "with a failed audit", "problem": "unreadable"}
    parts += [f"{counts[name]:,} {word}" for name, word in words.items() if counts[name]]
    return f"{counts['pictures']:,} {'image' if counts['pictures'] == 1 else 'images'}: {', '.join(parts)}"


def _edit(request: CaptionsRequest, folder: CaptionFolder, query: CaptionQuery, edit: Edit) -> int:
    preview = folder.preview(edit, query, limit=SHOWN if request.limit is None else request.limit)
    made = None
    if preview.total and (request.apply or _confirmed(request, edit, preview)):
        status = Status()
        try:
            made = folder.apply(edit, query, lambda count: status.show(f"writing captions: {count:,}"))
        finally:
            status.clear()
        return _tell(request, made, "changed")
    if request.json:
        shown = [{"path": one.path, "before": one.before, "after": one.after} for one in preview.shown]
        facts = {"label": edit.label, "captions": preview.total, "of": preview.of, "applied": False, "shown": shown}
        print(json.dumps(facts, ensure_ascii=False))
    elif not sys.stdin.isatty() or not preview.total:
        _show(edit, preview)
    if not preview.total:
        _say(f"no caption of {preview.of:,} changes")
        return 0
    _say("nothing was changed; add --apply to change them")
    return EXIT_KEPT


def _show(edit: Edit, preview: Preview) -> None:
    if preview.shown:
        rows = [(one.path, *_around(one.before, one.after)) for one in preview.shown]
        print_table(("image", "now", "then"), rows)
    if preview.total > len(preview.shown):
        _say(f"{len(preview.shown):,} of {preview.total:,} shown; --limit N shows more")


def _confirmed(request: CaptionsRequest, edit: Edit, preview: Preview) -> bool:
    """Show the change and ask on standard error; only "y" and "yes" confirm."""
    if request.json or not sys.stdin.isatty():
        return False
    _show(edit, preview)
    many = f"{preview.total:,} {'caption' if preview.total == 1 else 'captions'}"
    print(f"{edit.label[:1].upper()}{edit.label[1:]} in {many}? [y/N]: ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _around(before: str, after: str) -> tuple[str, str]:
    """Both texts, shortened so that the first difference shows."""
    same = next((at for at, (one, two) in enumerate(zip(before, after, strict=False)) if one != two), len(before))
    begin = max(0, same - 40) if max(len(before), len(after)) > _WIDTH else 0
    dots = "..." if begin else ""
    return _short(dots + before[begin:]), _short(dots + after[begin:])


def _short(text: str | None) -> str:
    if text is None:
        return ""
    return text if not sys.stdout.isatty() or len(text) <= _WIDTH else f"{text[: _WIDTH - 3]}..."


def _tell(request: CaptionsRequest, change: CaptionChange, word: str) -> int:
    if request.json:
        print(json.dumps({**change_json(change), "applied": True}, ensure_ascii=False))
    else:
        many = f"{change.captions:,} {'caption' if change.captions == 1 else 'captions'} {word}"
        print(f"{many}; --undo takes it back" if change.kind != "undo" and change.id else many)
    if change.skipped:
        _say(f"{change.skipped:,} left alone, since another program changed them or they cannot be read")
    return 0


def change_json(change: CaptionChange) -> dict[str, Any]:
    """A change, as one line of --json."""
    return {
        "change": change.id,
        "kind": change.kind,
        "label": change.label,
        "created": change.created.isoformat(),
        "captions": change.captions,
        "skipped": change.skipped,
        "undone": change.undone,
    }


def _step(request: CaptionsRequest, folder: CaptionFolder) -> int:
    status = Status()
    try:
        show: Callable[[int], None] = lambda count: status.show(f"writing captions: {count:,}")  # noqa: E731
        change = folder.undo(request.change, show) if request.undo else folder.redo(show)
    finally:
        status.clear()
    if change is None:
        _say(f"there is nothing to {'undo' if request.undo else 'redo'}")
        return EXIT_KEPT
    if not request.json:
        print(change.label)
    return _tell(request, change, "changed back" if request.undo else "changed again")


def _history(request: CaptionsRequest, folder: CaptionFolder) -> int:
    changes = folder.changes(SHOWN if request.limit is None else request.limit)
    if request.json:
        for change in changes:
            print(json.dumps(change_json(change), ensure_ascii=False))
        return 0
    _print_rows(
        ("change", "when", "captions", "what"),
        (
            (
                str(one.id),
                one.created.astimezone().strftime("%Y-%m-%d %H:%M"),
                f"{one.captions:,}",
                f"{one.label} (undone)" if one.undone else one.label,
            )
            for one in changes
        ),
        "no caption was changed yet",
    )
    return 0


def _versions(request: CaptionsRequest, folder: CaptionFolder, picture: str) -> int:
    path = folder.get(picture).path
    if request.restore is not None:
        return _tell(request, folder.restore(path, request.restore), "restored")
    versions = folder.versions(path)
    if request.json:
        for one in versions:
            facts = {"version": one.id, "file": one.file, "before": one.before, "after": one.after}
            print(json.dumps({**facts, "change": change_json(one.change)}, ensure_ascii=False))
        return 0
    rows = [
        (
            str(one.id),
            one.change.created.astimezone().strftime("%Y-%m-%d %H:%M"),
            one.change.label,
            "(removed)" if one.after is None else _short(one.after),
        )
        for one in versions
    ]
    if versions and versions[-1].before is not None:
        rows.append(("0", "", "before the first change", _short(versions[-1].before)))
    _print_rows(("version", "when", "what", "caption"), rows, "this caption was never changed")
    return 0


def _print_rows(header: Sequence[str], rows: Iterable[Sequence[str]], nothing: str) -> None:
    if found := list(rows):
        print_table(header, found)
    else:
        _say(nothing)


def _export(request: CaptionsRequest, folder: CaptionFolder, query: CaptionQuery) -> int:
    from agents.captions.export import export_captions

    assert request.export is not None
    status = Status()
    try:
        done = export_captions(
            folder,
            request.export,
            query,
            name=request.export_format,
            overwrite=request.overwrite,
            progress=lambda count: status.show(f"writing {count:,}"),
        )
    finally:
        status.clear()
    if request.json:
        facts = {"exported": done.exported, "without_caption": done.without, "unreadable": done.unreadable}
        print(json.dumps({**facts, "files": [str(path) for path in done.files]}))
    else:
        where = ", ".join(printable(path, None) for path in done.files)
        print(f"{done.exported:,} {'caption' if done.exported == 1 else 'captions'} in {where}")
    if done.without:
        _say(f"{done.without:,} images without caption were left out")
    if done.unreadable:
        _say(f"{done.unreadable:,} images cannot be read and were left out (first: {printable(done.first_unreadable)})")
    return 1 if done.unreadable else 0


def _say(line: str) -> None:
    print(f"inquisight: {line}", file=sys.stderr, flush=True)
