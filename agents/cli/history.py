"""`inquisight history` and `show`: list, export, delete or print transcripts."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from agents.cli.listing import print_history
from agents.cli.render.chat import make_chat_printer, replay_chat
from agents.cli.render.interview import make_printer, replay
from agents.cli.requests import HistoryRequest, ShowRequest
from agents.text.export import kind_of, write
from core.console.status import Status
from core.errors import UsageError, printable
from core.files.outputs import check_output, whole
from core.records import Caption, Chat
from core.store.query import INTERVIEW, KINDS, STATES, TranscriptQuery, after, first_moment
from core.store.transcripts import StoredCaption, TranscriptStore

SHOWN: Final = 20
EXIT_KEPT: Final = 1  # the deletion was not confirmed
_NAMED: Final = 3  # transcripts named in the confirmation


def run_history(request: HistoryRequest) -> int:
    """List, export or delete; returns the exit code. Raises InquisightError."""
    query = make_query(request)
    with closing(TranscriptStore()) as store:
        if request.export is None and not request.delete:
            _list(request, query, store)
            return 0
        return _export_and_delete(request, query, store)


def run_show(request: ShowRequest) -> int:
    """Print one transcript. Raises InquisightError."""
    record = TranscriptStore().get_record(request.id)
    if isinstance(record, Chat):
        chat_printer = make_chat_printer(json=request.json)
        for chat_event in replay_chat(record):
            chat_printer.event(chat_event)
    else:
        printer = make_printer(json=request.json)
        for event in replay(record):
            printer.event(event)
    return 0


def make_query(request: HistoryRequest) -> TranscriptQuery:
    """Check the request. Raises UsageError, one line."""
    if request.limit is not None and request.limit < 1:
        raise UsageError(f"--limit must be 1 or more, not {request.limit}")
    for option, value, known in (("--kind", request.kind, KINDS), ("--status", request.status, STATES)):
        if value is not None and value not in known:
            raise UsageError(f"{option} is '{printable(value, limit=40)}': take {', '.join(known[:-1])} or {known[-1]}")
    if request.status is not None and request.kind not in (None, INTERVIEW):
        raise UsageError(f"--status is for interviews, so it does not go with --kind {request.kind}")
    for option, name in (("--vision", request.vision), ("--questioner", request.questioner)):
        if name is not None and not name.strip():
            raise UsageError(f"{option} is empty; name a model, or leave it out")
    if request.since is not None and request.until is not None and request.until < request.since:
        raise UsageError(f"--until {request.until} lies before --since {request.since}; change one of them")
    if request.export is not None:
        kind_of(request.export)
        check_output(request.export, overwrite=request.overwrite)
    elif request.overwrite:
        raise UsageError("--overwrite only means something together with --export")
    _check_delete(request)
    try:
        since, before = first_moment(request.since), after(request.until)
    except (OverflowError, ValueError, OSError):  # the year 1, where this machine's clock is ahead of UTC
        raise UsageError("--since and --until take days that this machine's calendar knows") from None
    return TranscriptQuery(
        words=" ".join(request.words),
        kind=request.kind or "",
        status=request.status or "",
        vision=request.vision or "",
        questioner=request.questioner or "",
        since=since,
        before=before,
    )


def _check_delete(request: HistoryRequest) -> None:
    """Refuse --delete without a selection, such as an empty variable of a script."""
    if not request.delete:
        for option, given in (("--all", request.everything), ("--yes", request.yes)):
            if given:
                raise UsageError(f"{option} only means something together with --delete")
        return
    if any(not word.strip() for word in request.words):
        raise UsageError("--delete with an empty word would take more than was meant; leave the word out")
    selected = bool(request.words) or request.filtered
    if selected and request.everything:
        raise UsageError("--all takes no words or filters; leave it or them out")
    if not selected and not request.everything:
        raise UsageError("--delete needs words or a filter that say which, or --all for every transcript there is")


# --- listing ----------------------------------------------------------------------------------------------------------


def _list(request: HistoryRequest, query: TranscriptQuery, store: TranscriptStore) -> None:
    limit = SHOWN if request.limit is None else request.limit
    found = store.find(query, limit, best_first=True)
    if not found:
        _report_nothing(request, query, store)
    elif request.json:
        for one in found:
            print(json.dumps(as_json(one), ensure_ascii=False))
    else:
        print_history(found, query.words)
        if sys.stdout.isatty() and (total := store.count(query)) > len(found):
            print(f"{len(found):,} of {total:,}; --limit N lists more")


def as_json(one: StoredCaption) -> dict[str, Any]:
    """A transcript of the list, with the names of an export."""
    chat = one.status in KINDS
    return {
        "id": one.id,
        "kind": one.status if chat else INTERVIEW,
        "status": None if chat else one.status,
        "created": one.created.isoformat(),
        "source": one.source,
        "picture_sha256": one.picture_sha256,
        "text": one.text,
        "vision": one.vision,
        "questioner": one.questioner,
        "turns": one.turns,
    }


def _report_nothing(request: HistoryRequest, query: TranscriptQuery, store: TranscriptStore) -> None:
    if not request.filtered:
        print_history((), query.words)
        return
    hints = []
    names = store.names()
    for option, name, known in (
        ("--vision", request.vision, names.visions),
        ("--questioner", request.questioner, names.questioners),
    ):
        if name is not None and known and name not in known:
            hints.append(f"for {option} there are {', '.join(printable(one, limit=60) for one in known)}")
    print(f"inquisight: {'; '.join(['no transcript fits', *hints])}", file=sys.stderr)


# --- export and delete ------------------------------------------------------------------------------------------------


def _export_and_delete(request: HistoryRequest, query: TranscriptQuery, store: TranscriptStore) -> int:
    """Export and delete; the transcripts are chosen first, so exactly those that were exported are deleted."""
    if request.limit is None:
        ids = store.ids(query)
    else:
        ids = [one.id for one in store.find(query, request.limit, best_first=True)]
    chosen = TranscriptQuery(ids=frozenset(ids))
    if request.delete and ids and not request.yes and not sys.stdin.isatty():
        raise UsageError(f"--delete would remove {_count(len(ids))} for good; add --yes if that is what you want")
    if not ids:
        _report_nothing(request, query, store)
    done: dict[str, Any] = {"found": len(ids), "exported": None, "file": None, "deleted": None}
    if request.export is not None:
        done["exported"] = _export(request.export, store, chosen, len(ids), overwrite=request.overwrite)
        done["file"] = str(request.export)
        if not request.json:
            print(f"{_count(done['exported'])} in {printable(request.export, limit=None)}", flush=True)
    code = 0
    if request.delete:
        if ids and not request.yes and not _confirmed(store, chosen, len(ids)):
            print("inquisight: nothing was deleted", file=sys.stderr)
            code = EXIT_KEPT
        done["deleted"] = store.delete_all(ids) if code == 0 else 0
        if not request.json and code == 0:
            print(f"{_count(done['deleted'])} deleted")
    if request.json:
        print(json.dumps(done, ensure_ascii=False))
    return code


def _export(path: Path, store: TranscriptStore, chosen: TranscriptQuery, total: int, *, overwrite: bool) -> int:
    status = Status()
    try:
        with whole(path, overwrite=overwrite) as file:
            return write(_watched(store.records(chosen), total, status), file, kind_of(path))
    finally:
        status.clear()


def _watched(records: Iterable[Caption | Chat], total: int, status: Status) -> Iterator[Caption | Chat]:
    for number, record in enumerate(records):
        if number % 100 == 0:
            status.show(f"writing {number:,} of {total:,}")
        yield record


def _confirmed(store: TranscriptStore, chosen: TranscriptQuery, total: int) -> bool:
    """Ask for confirmation on standard error; only "y" and "yes" confirm."""
    named = [printable(one.source or "no picture", limit=40) for one in store.find(chosen, _NAMED)]
    if total > _NAMED:
        named.append(f"{total - _NAMED:,} more")
    print(f"Delete {_count(total)} for good ({', '.join(named)})? [y/N]: ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _count(number: int) -> str:
    return "1 transcript" if number == 1 else f"{number:,} transcripts"
