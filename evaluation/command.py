"""`inquisight evaluate`: check the request, run the task, write and print the result."""

from __future__ import annotations

import importlib
import json
import platform
import sys
from collections.abc import Mapping
from contextlib import ExitStack, closing
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from agents.batch.plan import locked
from agents.cli.models import load_vision
from agents.interview.seeds import check_seed
from core.console.silence import hush_libraries
from core.console.status import Status
from core.errors import StoreError, UsageError, printable, why
from core.files.journal import read_json
from core.settings import Settings, get_settings
from core.vision import CHAT_TOKENS, SHORT_TOKENS
from evaluation.captions import ALONE, DETAIL, JOURNAL, KINDS, earlier_captions, read_captions
from evaluation.data.documents import read_bytes, sha256_of
from evaluation.data.examples import DataSet
from evaluation.data.load import load_data
from evaluation.export.write import FORMATS, write_export
from evaluation.measures.statistics import COVERAGE, RESAMPLES
from evaluation.report import FILES, Result
from evaluation.request import TASKS, EvaluateRequest
from evaluation.run import SETTINGS, EvaluationRun, Models
from evaluation.tasks.base import Task, TaskOptions

_OPTIONS_OF: Final = {
    "references": ("chair", "telling", "failures"),
    "answers": ("vqa", "pope"),
    "sampling": ("pope",),
    "synonyms": ("chair", "telling", "failures"),
}
_LIBRARIES: Final = ("inquisight", "torch", "transformers", "numpy", "pillow")


def run_evaluate(request: EvaluateRequest) -> int:
    """Run a task and print its figures; returns the exit code. Raises InquisightError."""
    settings = get_settings()
    data, task = make_task(request)
    if request.export is not None:
        for path in write_export(request.export, request.task, task.exported(), request.out):
            print(printable(path))
        return 0
    others = captions_of_others(request, task, data)
    hush_libraries()
    with ExitStack() as stack:
        stack.enter_context(locked(request.out))
        if request.fresh:
            start_over(request.out)
        run = EvaluationRun(request.out, data.left_out)
        recipe = facts(request, data, task)
        uses_model = task.asks or bool(task.caption_kinds)
        if uses_model:
            vision = stack.enter_context(closing(load_vision(request.vision or settings.vision, Status())))
            recipe["vision"] = identity(vision.describe())
            models = make_models(request, settings, task, vision, recipe)
        run.begin(recipe)
        if uses_model:
            run.work(task, models)
        rows = run.rows(task, others)
    recipe |= described_captions(request) | closing_facts()
    result = Result(request.task, rows, recipe, data.left_out.as_json(), task.shown)
    notices = result.write(request.out)
    print(json.dumps(result.as_json(), ensure_ascii=False) if request.json else result.as_text())
    if data.left_out:
        notices.append(str(data.left_out))
    for notice in [*notices, f"results in {printable(request.out)}: {', '.join([*FILES, JOURNAL])}"]:
        print(f"inquisight: {notice}", file=sys.stderr, flush=True)
    return 1 if data.left_out.faults else 0


def make_task(request: EvaluateRequest) -> tuple[DataSet, Task]:
    """Check the request and read its data. Raises UsageError, one line."""
    if request.task not in TASKS:
        raise UsageError(f"there is no task '{printable(request.task, 40)}': take {', '.join(TASKS)}.")
    if request.export is not None and request.export not in FORMATS:
        raise UsageError(f"--export is '{printable(request.export, 40)}': take {' or '.join(FORMATS)}.")
    for name, value in (("--limit", request.limit), ("--per-image", request.per_image), ("--batch", request.batch)):
        if value is not None and value < 1:
            raise UsageError(f"{name} is {value}: it must be 1 or more.")
    for name, tasks in _OPTIONS_OF.items():
        if getattr(request, name) is not None and request.task not in tasks:
            raise UsageError(f"--{name} has no effect on {request.task}; it is for {' and '.join(tasks)}.")
    seed = check_seed(request.seed) or 0
    data = load_data(request.data, images=request.images, references=request.references, answers=request.answers)
    data = data.sample(request.limit, seed)
    module = importlib.import_module(f"evaluation.tasks.{request.task}")
    options = TaskOptions(
        seed=seed,
        prompt=request.prompt,
        kinds=caption_kinds(request),
        samplings=words_in(request.sampling),
        per_image=request.per_image,
        synonyms=request.synonyms,
    )
    task: Task = getattr(module, request.task.capitalize())(data, options)
    if not task.captioned and (request.caption_file or request.captions):
        raise UsageError(f"{request.task} measures no captions; leave out --captions and --caption-file.")
    if task.captioned and not options.kinds and not request.caption_file:
        raise UsageError("--captions none leaves nothing to measure; name a --caption-file.")
    return data, task


def caption_kinds(request: EvaluateRequest) -> tuple[str, ...]:
    """The kinds of captions of the vision model that are measured. Raises UsageError."""
    if request.captions is None:
        return () if request.caption_file else KINDS
    kinds = words_in(request.captions)
    if kinds == ("none",):
        return ()
    for kind in kinds:
        if kind not in KINDS:
            raise UsageError(f"--captions names '{printable(kind, 40)}': take {', '.join(KINDS)}, or none.")
    return kinds


def captions_of_others(request: EvaluateRequest, task: Task, data: DataSet) -> dict[str, Mapping[str, str]]:
    """The captions of --caption-file, by kind or file. Raises UsageError, also where two are called the same."""
    found: dict[str, Mapping[str, str]] = {}
    for path in request.caption_file:
        if path.is_dir():
            more: Mapping[str, Mapping[str, str]] = earlier_captions(path, task.examples)
        else:
            more = {path.stem: read_captions(path, task.examples, data.left_out)}
        if twice := (found.keys() | set(task.caption_kinds)) & more.keys():
            raise UsageError(
                f"two kinds of captions are called '{printable(min(twice), 60)}'; rename one of the files."
            )
        found.update(more)
    return found


def described_captions(request: EvaluateRequest) -> dict[str, str]:
    """Where the captions of --caption-file come from: the hash of a file, or what an earlier run was begun with."""
    found = {}
    for path in request.caption_file:
        if path.is_dir():
            begun = read_json(path / SETTINGS) or {}
            kept = {
                name: begun[name] for name in ("vision", "seed", "captions", "questioner", "interview") if name in begun
            }
            found[f"captions of {path.name}"] = json.dumps(kept, ensure_ascii=False)
        else:
            found[f"captions of {path.name}"] = f"sha256 {sha256_of(read_bytes(path))[:16]}"
    return found


def words_in(text: str | None) -> tuple[str, ...]:
    """The words of a list with commas, each once."""
    return tuple(dict.fromkeys(word for part in (text or "").split(",") if (word := part.strip())))


def facts(request: EvaluateRequest, data: DataSet, task: Task) -> dict[str, str]:
    """What the answers depend on beside the models; a run resumes only with the same."""
    return {
        "task": request.task,
        "data": f"{data.format} of {data.path.name}, sha256 {data.sha256[:16]}",
        "images": f"{len(task.examples):,}"
        + (f", drawn with --limit {request.limit}" if request.limit is not None else ""),
        "seed": str(request.seed or 0),
        **task.recipe(),
    }


def make_models(
    request: EvaluateRequest, settings: Settings, task: Task, vision: Any, recipe: dict[str, str]
) -> Models:
    """Load the questioner, if captions need an interview, and add to the recipe how models are used."""
    from agents.batch.pipeline import PipelineConfig
    from agents.interview.calls import describe_questioner, described_options
    from agents.interview.options import InterviewOptions
    from agents.interview.prompts import Prompts
    from agents.llm.questioners import load_questioner
    from agents.witnesses.choice import chosen

    kinds, questioner, prompts = task.caption_kinds, None, Prompts.load(None)
    interviews = any(kind not in ALONE for kind in kinds)
    options = InterviewOptions(
        rounds=settings.rounds if request.rounds is None else request.rounds,
        history=settings.history,
        witnesses=tuple(chosen(request.witness or settings.witness)) if interviews else (),
        audit="drop" if "audited" in kinds else "none",
    )
    prompt = request.prompt if request.prompt and not task.asks else DETAIL
    recipe["decoding"] = f"greedy; at most {SHORT_TOKENS} tokens, {CHAT_TOKENS} for descriptions and text"
    if kinds:
        recipe["captions"] = f"{', '.join(kinds)}; plain has no prompt; that of detailed: {prompt}"
    if interviews:
        questioner = load_questioner(request.questioner or settings.questioner, settings, seed=request.seed)
        recipe["questioner"] = identity(describe_questioner(questioner))
        recipe["interview"] = json.dumps(described_options(options, prompts), ensure_ascii=False)
    config = PipelineConfig(options, prompts, request.seed, batch=request.batch)
    return Models(vision, questioner, config, prompt, settings.max_pixels)


def identity(described: Mapping[str, str]) -> str:
    """What decides what a model answers, of its description; not the device, and no counts."""
    return ", ".join(f"{name} {described[name]}" for name in ("name", "model", "revision") if name in described)


def closing_facts() -> dict[str, str]:
    """What does not decide whether a run may be resumed: the interval and the versions."""
    versions = {"python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "not installed"
    return {
        "interval": f"{COVERAGE:.0%}, percentiles of {RESAMPLES:,} bootstrap samples of images",
        "versions": ", ".join(f"{name} {number}" for name, number in versions.items()),
    }


def start_over(folder: Path) -> None:
    """Delete the files of an earlier run. Raises StoreError."""
    for name in (JOURNAL, SETTINGS, *FILES):
        try:
            (folder / name).unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(f"'{printable(folder / name)}' cannot be deleted: {why(error)}.") from None
