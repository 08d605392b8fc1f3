"""Write a task's questions for lmms-eval (a task folder) or VLMEvalKit (a TSV), so that both measure the same.

lmms-eval 0.7: `lmms-eval --include_path OUT --tasks inquisight_pope ...`; the folder has a task file, functions and the
questions, which name the image files. VLMEvalKit: `LMUData=OUT python run.py --config OUT/vlmevalkit.json`; the
configuration names the class that evaluates the TSV, since VLMEvalKit evaluates no data set that it does not know. An
image is in the row of its first question, later rows hold that row's index.
"""

from __future__ import annotations

import base64
import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from core.errors import UsageError, printable, why
from core.files.journal import write_json, write_lines, write_whole
from evaluation.data.documents import read_bytes

FORMATS: Final = ("lmms-eval", "vlmevalkit")
QUESTIONS: Final = "questions.jsonl"
CONFIG: Final = "vlmevalkit.json"
ADDRESS: Final = "http://127.0.0.1:8300/v1/chat/completions"  # of `inquisight serve`
LEAST: Final = 4  # answers of a question to VLMEvalKit's VQA score, which leaves one out and looks for three
FUNCTIONS: Final = Path(__file__).with_name("lmms_eval_functions.py")
_TASK: Final = """\
task: {name}
dataset_path: json
dataset_kwargs:
  data_files:
    test: {questions}
test_split: test
output_type: generate_until
doc_to_visual: !function utils.doc_to_visual
doc_to_text: !function utils.doc_to_text
doc_to_target: answer
generation_kwargs:
  max_new_tokens: 60
  temperature: 0
  do_sample: false
process_results: !function utils.{kind}_results
metric_list:
{metrics}
metadata:
  - version: 1.0
"""
_METRIC: Final = "  - metric: {name}\n    aggregation: !function utils.mean\n    higher_is_better: {better}"
_VLMEVALKIT: Final = {"pope": ("inquisight_POPE", "ImageYORNDataset"), "vqa": ("inquisight_VQA", "ImageVQADataset")}
_METRICS: Final = {
    "pope": {"official_accuracy": True, "strict_accuracy": True, "unparsed": False},
    "vqa": {"exact_match": True, "unparsed": False},
}


@dataclass(frozen=True, slots=True)
class ExportedQuestion:
    """A question with all that other programs need."""

    id: str
    file: Path
    text: str
    answers: tuple[str, ...]
    category: str


def write_export(form: str, task: str, questions: Sequence[ExportedQuestion], out: Path) -> list[Path]:
    """Write the files to a folder and return their paths. Raises UsageError or StoreError."""
    if not questions:
        raise UsageError(f"{task} has no questions that could be exported; --export takes pope and vqa.")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--out '{printable(out)}' cannot be made: {why(error)}.") from None
    return (
        _lmms_eval(f"inquisight_{task}", task, questions, out)
        if form == "lmms-eval"
        else _vlmevalkit(task, questions, out)
    )


def _lmms_eval(name: str, task: str, questions: Sequence[ExportedQuestion], out: Path) -> list[Path]:
    rows = [
        {
            "question_id": one.id,
            "image": str(one.file.absolute()),
            "question": one.text,
            "answer": max(one.answers, key=one.answers.count),
            "answers": list(one.answers),
            "category": one.category,
        }
        for one in questions
    ]
    write_lines(out / QUESTIONS, rows)
    write_whole(out / "utils.py", read_bytes(FUNCTIONS))
    metrics = [_METRIC.format(name=metric, better=str(up).lower()) for metric, up in _METRICS[task].items()]
    path = json.dumps(str((out / QUESTIONS).absolute()))  # a JSON string is a YAML string
    text = _TASK.format(name=name, questions=path, kind=task, metrics="\n".join(metrics))
    write_whole(out / f"{name}.yaml", text)
    return [out / f"{name}.yaml", out / "utils.py", out / QUESTIONS]


def _vlmevalkit(task: str, questions: Sequence[ExportedQuestion], out: Path) -> list[Path]:
    name, kind = _VLMEVALKIT[task]
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t", lineterminator="\n")
    writer.writerow(("index", "question_id", "category", "question", "answer", "image"))
    first: dict[Path, int] = {}
    for index, one in enumerate(questions):
        shown = first.setdefault(one.file, index)
        image = base64.b64encode(read_bytes(one.file)).decode() if shown == index else str(shown)
        if task == "pope":
            answer = one.answers[0].capitalize()  # as VLMEvalKit extracts them
        else:
            answer = repr([*one.answers] * (1 if len(one.answers) >= LEAST else LEAST))
        writer.writerow((index, one.id, one.category, one.text, answer, image))
    write_whole(out / f"{name}.tsv", text.getvalue())
    model = {"class": "GPT4V", "model": "pocket", "api_base": ADDRESS, "key": "none", "max_tokens": 60}
    write_json(out / CONFIG, {"model": {"pocket": model}, "data": {name: {"class": kind, "dataset": name}}})
    return [out / f"{name}.tsv", out / CONFIG]
