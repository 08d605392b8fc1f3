"""What the gallery's page asks the server for, beside Streamlit's connection: lists, thumbnails, captions to save.

Each address contains the random id of a folder that the page gave to this browser, and is answered only to the browser
whose cookie it is (`ui.state.session`). What changes something needs a header that other sites' pages cannot send.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Final

from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from agents.captions.export import FORMATS
from core.captions.records import CaptionChange
from core.errors import ImageError, InquisightError, UsageError
from ui.gallery.captions import edit_of
from ui.gallery.details import details, versions
from ui.gallery.entries import Entry, Query
from ui.gallery.exports import write_export
from ui.gallery.folder import ConflictError, GalleryFolder
from ui.gallery.library import folders, is_private, libraries_of, thumbnails
from ui.gallery.uploads import VisitorFolder, visitor_folder
from ui.state.images import arriving_bytes, label_of
from ui.state.session import Visitor, token_of, visitors
from ui.text import capital, count, error_message

PREFIX: Final = "/gallery-data"
THUMBNAIL: Final = 360  # pixels of the longer side
PREVIEW: Final = 1600
MAX_ROWS: Final = 500  # of one request
MAX_BODY: Final = 4_000_000  # bytes of a request with captions
HEADER: Final = "x-inquisight-gallery"
PRIVATE: Final = {
    "Cache-Control": "private, no-store",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
}
FOREVER: Final = {**PRIVATE, "Cache-Control": "private, max-age=31536000, immutable"}

_arriving: Final = asyncio.Semaphore(3)  # uploads that are read at a time

Answer = Callable[[Request, GalleryFolder], Awaitable[Response]]


class UnknownFolderError(UsageError):
    """The folder is not open in this browser."""


def routes() -> list[Any]:
    """The routes for `streamlit.starlette.App`."""
    at = PREFIX + "/{library}"
    return [
        Route(at + "/state", _guarded(_state)),
        Route(at + "/find", _guarded(_find)),
        Route(at + "/rows", _guarded(_rows)),
        Route(at + "/details/{number:int}", _guarded(_details)),
        Route(at + "/thumbnail/{number:int}", _guarded(_thumbnail)),
        Route(at + "/picture/{number:int}", _guarded(_picture)),
        Route(at + "/caption", _guarded(_caption), methods=["POST"]),
        Route(at + "/change", _guarded(_change), methods=["POST"]),
        Route(at + "/undo", _guarded(_undo), methods=["POST"]),
        Route(at + "/redo", _guarded(_redo), methods=["POST"]),
        Route(at + "/versions/{number:int}", _guarded(_versions)),
        Route(at + "/restore", _guarded(_restore), methods=["POST"]),
        Route(at + "/upload", _guarded(_upload), methods=["POST"]),
        Route(at + "/rescan", _guarded(_rescan), methods=["POST"]),
        Route(at + "/remove", _guarded(_remove), methods=["POST"]),
        Route(at + "/export/{name}", _guarded(_export)),
        Route(at + "/numbers", _guarded(_numbers), methods=["POST"]),
    ]


def _guarded(answer: Answer) -> Callable[[Request], Awaitable[Response]]:
    async def respond(request: Request) -> Response:
        try:
            if request.method == "POST" and not request.headers.get(HEADER):
                raise UnknownFolderError("this request did not come from the gallery")
            return await answer(request, await run_in_threadpool(folder_of, request))
        except ConflictError as error:
            return _refused(error, 409, now=error.now)
        except UnknownFolderError as error:
            return _refused(error, 404)
        except Exception as error:  # noqa: BLE001 - the last frame before the browser
            return _refused(error, 400 if isinstance(error, InquisightError) else 500)

    return respond


def visitor_of(request: Request) -> Visitor | None:
    """Whose browser has sent a request."""
    token = token_of(request.cookies)
    return visitors().find(token) if token is not None else None


def folder_of(request: Request) -> GalleryFolder:
    """The folder of an address. Raises UnknownFolderError if it is not one of this browser's."""
    one = visitor_of(request)
    root = libraries_of(one).open.get(request.path_params["library"]) if one is not None else None
    if root is None:
        raise UnknownFolderError("this folder is not open in this browser; reload the page")
    return folders().get(root)


def _refused(error: Exception, status: int, **more: Any) -> JSONResponse:
    return JSONResponse({"error": error_message(error), **more}, status, headers=PRIVATE)


def _json(value: Any) -> JSONResponse:
    return JSONResponse(value, headers=PRIVATE)


async def _body(request: Request) -> dict[str, Any]:
    data = b""
    async for part in request.stream():
        data += part
        if len(data) > MAX_BODY:
            raise UsageError("the request is too large")
    try:
        value = json.loads(data)
    except ValueError:
        raise UsageError("the request is not JSON") from None
    if not isinstance(value, dict):
        raise UsageError("the request is not a JSON object")
    return value


# --- lists --------------------------------------------------------------------------------------------------------


async def _state(request: Request, folder: GalleryFolder) -> Response:
    return _json({"version": folder.version, "listed": folder.listed, "total": len(folder)})


async def _find(request: Request, folder: GalleryFolder) -> Response:
    query = Query.read(request.query_params)
    found = await run_in_threadpool(folder.find, query)
    return _json({"version": found.version, "numbers": found.numbers, "total": found.total, "counts": found.counts})


async def _rows(request: Request, folder: GalleryFolder) -> Response:
    wanted = [int(one) for one in request.query_params.get("numbers", "").split(",") if one.isdecimal()]
    return _json({"rows": [row(folder, entry) for entry in folder.entries(wanted[:MAX_ROWS])]})


def row(folder: GalleryFolder, entry: Entry) -> dict[str, Any]:
    """What the grid shows of one picture."""
    facts = folder.facts_of(entry)
    error = entry.problem or facts.error
    marks = {
        "unsure": facts.unsure > 0,
        "edited": facts.edited,
        "failed": facts.failed_check,
        "missed": bool(error),
    }
    return {
        "number": entry.number,
        "name": entry.key,
        "caption": entry.caption,
        "stamp": entry.stamp,
        "marks": [name for name, holds in marks.items() if holds],
        "error": error,
    }


async def _details(request: Request, folder: GalleryFolder) -> Response:
    return _json(await run_in_threadpool(details, folder, folder.entry(request.path_params["number"])))


# --- pictures -----------------------------------------------------------------------------------------------------


async def _thumbnail(request: Request, folder: GalleryFolder) -> Response:
    return await _jpeg(request, folder, THUMBNAIL)


async def _picture(request: Request, folder: GalleryFolder) -> Response:
    return await _jpeg(request, folder, PREVIEW)


async def _jpeg(request: Request, folder: GalleryFolder, edge: int) -> Response:
    path = folder.path(folder.entry(request.path_params["number"]))
    private = folder.data / "thumbnails" if is_private(folder.root) else None
    with thumbnails().request(path, edge, private) as wanted:
        try:
            made = await _unless_gone(request, wanted.future)
        except ImageError as error:
            return _refused(error, 422)
    return Response(status_code=499) if made is None else FileResponse(made, media_type="image/jpeg", headers=FOREVER)


async def _unless_gone(request: Request, future: Future[Path]) -> Path | None:
    """The result; None as soon as the browser does not wait for it any more, as after fast scrolling."""
    waiting = asyncio.wrap_future(future)
    while True:
        done, _ = await asyncio.wait({waiting}, timeout=0.25)
        if done:
            return waiting.result()
        if await request.is_disconnected():
            waiting.cancel()
            return None


# --- captions -----------------------------------------------------------------------------------------------------


async def _caption(request: Request, folder: GalleryFolder) -> Response:
    body = await _body(request)
    number, text, before = body.get("number"), body.get("text"), body.get("before")
    if not isinstance(number, int) or not isinstance(text, str) or not isinstance(before, str | None):
        raise UsageError("the request needs the number of a picture and a text")
    entry = await run_in_threadpool(folder.set_caption, number, text, before)
    return _json({"row": row(folder, entry), "version": folder.version})


async def _numbers(request: Request, folder: GalleryFolder) -> Response:
    """The numbers of pictures by their names, for texts that a browser kept from an earlier visit."""
    names = (await _body(request)).get("names")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UsageError("the request needs the names of pictures")
    found = {name: folder.number_of(name) for name in names}
    return _json({"numbers": {name: number for name, number in found.items() if number is not None}})


async def _change(request: Request, folder: GalleryFolder) -> Response:
    """Change many captions by a form; with `preview`, say what would change."""
    body = await _body(request)
    numbers = body.get("numbers")
    if not isinstance(numbers, list) or not all(isinstance(one, int) for one in numbers):
        raise UsageError("the request needs the numbers of pictures")
    edit, entries = edit_of(body), folder.entries(numbers)
    if body.get("preview"):
        found = await run_in_threadpool(folder.preview, edit, entries)
        examples = [{"name": one.path, "before": one.before, "after": one.after} for one in found.shown]
        return _json({"changed": found.total, "examples": examples})
    done = await run_in_threadpool(folder.apply, edit, entries)
    return _json({"changed": done.captions, "words": f"{count(done.captions, 'caption')} changed. Undo takes it back."})


async def _undo(request: Request, folder: GalleryFolder) -> Response:
    return _stepped(await run_in_threadpool(folder.undo))


async def _redo(request: Request, folder: GalleryFolder) -> Response:
    return _stepped(await run_in_threadpool(folder.redo))


def _stepped(done: CaptionChange) -> Response:
    left = f"; {count(done.skipped, 'caption')} that was changed since stays" if done.skipped else ""
    words = f"{capital(done.label)}: {count(done.captions, 'caption')}{left}."
    return _json({"changed": done.captions, "words": words})


async def _versions(request: Request, folder: GalleryFolder) -> Response:
    entry = folder.entry(request.path_params["number"])
    return _json({"versions": await run_in_threadpool(versions, folder, entry)})


async def _restore(request: Request, folder: GalleryFolder) -> Response:
    body = await _body(request)
    number, version = body.get("number"), body.get("version")
    if not isinstance(number, int) or not isinstance(version, int):
        raise UsageError("the request needs the number of a picture and of a version")
    entry = await run_in_threadpool(folder.restore, number, version)
    return _json({"row": row(folder, entry), "version": folder.version})


# --- uploads and exports ------------------------------------------------------------------------------------------


def _own(request: Request, folder: GalleryFolder) -> VisitorFolder:
    """The visitor's own uploads, if the address is theirs. Raises UsageError."""
    one = visitor_of(request)
    if one is None or libraries_of(one).own != folder.root:
        raise UsageError("pictures are added to the folder itself, not in the gallery")
    return visitor_folder(one)


async def _upload(request: Request, folder: GalleryFolder) -> Response:
    own = _own(request, folder)
    most, data = arriving_bytes(), bytearray()
    async with _arriving:
        async for part in request.stream():
            data += part
            if len(data) > most:
                raise UsageError(f"the file is larger than {most // 1_000_000} MB; scale it down first")
        name = label_of(request.query_params.get("name", ""))
        return _json({"name": await run_in_threadpool(own.add, bytes(data), name)})


async def _rescan(request: Request, folder: GalleryFolder) -> Response:
    """Look for new pictures, and for captions that other programs have written."""
    await run_in_threadpool(folder.scan)
    return _json({"total": len(folder)})


async def _remove(request: Request, folder: GalleryFolder) -> Response:
    numbers = (await _body(request)).get("numbers")
    if not isinstance(numbers, list) or not all(isinstance(one, int) for one in numbers):
        raise UsageError("the request needs the numbers of pictures")
    removed = await run_in_threadpool(_own(request, folder).remove, folder, numbers)
    return _json({"words": f"{count(removed, 'picture')} removed."})


async def _export(request: Request, folder: GalleryFolder) -> Response:
    one = visitor_of(request)
    wanted = libraries_of(one).exports.get(request.path_params["name"]) if one is not None else None
    if wanted is None:
        raise UnknownFolderError("this export is not there any more; make it again")
    scratch = Path(await run_in_threadpool(tempfile.mkdtemp, prefix="inquisight-export-"))
    out = scratch / FORMATS[wanted.format].file
    try:
        await run_in_threadpool(write_export, folder, wanted, out)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise
    name = f"{folder.root.name}-{out.name}" if folder.root.name != "pictures" else out.name
    return FileResponse(
        out, filename=name, headers=PRIVATE, background=BackgroundTask(shutil.rmtree, scratch, ignore_errors=True)
    )
