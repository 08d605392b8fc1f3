"""`inquisight new-plugin NAME --kind KIND`: write a package that installs and passes its tests.

The files of `templates/` are read as `string.Template`: those of the kind's folder, and `pyproject` and `readme`, which
all kinds share.
"""

from __future__ import annotations

import os
import re
import shlex
import tempfile
from pathlib import Path
from string import Template
from typing import Final

from agents.cli.new_plugin.request import NewPluginRequest
from agents.llm.providers import PROVIDERS
from core.entries import Entry
from core.errors import UsageError, printable, why
from core.registry import Registry, get_registry

KINDS: Final = {  # kind -> (what it is called, how the new plugin is tried)
    "vision": ("vision model", "inquisight caption --vision {name} --questioner scripted PICTURE"),
    "questioner": ("questioner", "inquisight caption --questioner {name} PICTURE"),
    "witness": ("witness", "inquisight examine --witness {name} PICTURE"),
    "trainer": ("trainer", "inquisight train-{name} RECIPE.toml --out DIR"),
}
RESERVED: Final = ("auto", "none")  # values of --witness
LONGEST: Final = 30  # characters of a name: the lines of the templates stay within 120
TEMPLATES: Final = Path(__file__).with_name("templates")
_NAME = re.compile(r"[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*")


def run_new_plugin(request: NewPluginRequest) -> int:
    """Write the package and print its folder and the next commands. Returns the exit code; raises UsageError."""
    if request.kind not in KINDS:
        *first, last = KINDS
        raise UsageError(f"--kind is '{printable(request.kind, limit=40)}': take {', '.join(first)} or {last}.")
    check_name(request.name, get_registry())
    folder = request.folder or Path(f"inquisight-{request.name}")
    write_package(request.name, request.kind, folder)
    where = shlex.quote(os.path.join(os.curdir, printable(folder, limit=None)))  # else pip takes it for a name on PyPI
    print(f"{printable(folder, limit=None)}: the {KINDS[request.kind][0]} '{request.name}'\n")
    print(f"pip install -e {where}", f"pytest {where}", KINDS[request.kind][1].format(name=request.name), sep="\n")
    return 0


def check_name(name: str, registry: Registry) -> None:
    """Raise UsageError if a plugin cannot be called `name`, or something registered is."""
    shown = f"'{printable(name, limit=60)}'"
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{shown} cannot be the name of a plugin: take lower-case letters and digits, beginning with a letter, "
            "with single '-' or '_' between them, such as night-owl."
        )
    if len(name) > LONGEST:
        raise UsageError(f"the name {shown} has {len(name)} characters; take at most {LONGEST}.")
    if name in RESERVED:
        raise UsageError(f"{shown} has a meaning of its own in --witness; choose another name.")
    if name in PROVIDERS:
        raise UsageError(f"{shown} is a provider of language models in --questioner; choose another name.")
    entries: list[Entry] = [
        table[name]
        for table in (registry.vision_backends, registry.questioners, registry.witnesses, registry.trainers)
        if name in table
    ]
    if entries:
        owner = entries[0].distribution
        raise UsageError(f"{shown} is the name of a {entries[0].kind} of {owner} already; choose another one.")
    if name in registry.plugins:
        raise UsageError(f"{shown} is the name of a plugin of {registry.plugins[name]} already; choose another one.")


def write_package(name: str, kind: str, folder: Path) -> None:
    """Write the package of a plugin into `folder`, all files or none. Raises UsageError if the folder exists."""
    shown = f"'{printable(folder)}'"
    if folder.exists() or folder.is_symlink():
        raise UsageError(f"{shown} exists already, and nothing in it is replaced; choose another --folder.")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{name}.", dir=folder.parent) as beside:
            made = Path(beside, "package")
            for path, text in package_files(name, kind).items():
                (made / path).parent.mkdir(parents=True, exist_ok=True)
                (made / path).write_text(text, encoding="utf-8", newline="\n")
            made.rename(folder)
    except OSError as error:
        raise UsageError(f"{shown} cannot be written: {why(error)}; choose another --folder.") from error


def package_files(name: str, kind: str) -> dict[str, str]:
    """The files of a plugin's package: path inside it -> text."""
    package = f"inquisight_{name.replace('-', '_')}"
    words = {
        "name": name,
        "kind": KINDS[kind][0],
        "try": KINDS[kind][1].format(name=name),
        "distribution": f"inquisight-{name.replace('_', '-')}",
        "package": package,
        "module": kind,
        "Class": "".join(part.capitalize() for part in re.split("[-_]", name)),
    }
    templates = {
        "pyproject.toml": "pyproject",
        "README.md": "readme",
        f"src/{package}/__init__.py": f"{kind}/hooks",
        f"src/{package}/{kind}.py": f"{kind}/module",
        f"tests/test_{name.replace('-', '_')}.py": f"{kind}/tests",
    }
    texts = {path: (TEMPLATES / f"{template}.txt").read_text("utf-8") for path, template in templates.items()}
    return {path: Template(text).substitute(words) for path, text in texts.items()} | {f"src/{package}/py.typed": ""}
