"""Plugins enter by one door; a bad one is reported with its name and harms nobody."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
import typer

from core.console.shadow import check_not_shadowed, shadowing
from core.errors import BackendError, InquisightError, QuestionerError, RegistryError, UsageError
from core.registry import OURS, Registry, load_registry

ROOT = Path(__file__).resolve().parents[2]
Install = Callable[..., None]

GOOD = """
    from core import hookimpl

    @hookimpl
    def register_vision_backends(register):
        register("see", "{module}_late:Eye", description="sees", capabilities={{"streams": True}})

    @hookimpl
    def register_questioners(register):
        register("ask", lambda argument: __import__("types").SimpleNamespace(invoke=print, argument=argument))
"""
LATE = """
    from core import EncodedImage, VisionBackend

    class Eye(VisionBackend):
        def __init__(self, argument=None):
            self.argument = argument
        name = "see"
        revision = "1"
        def encode(self, pictures):
            return []
        def answer(self, questions):
            return []
"""


HALF = """
    from core import hookimpl

    @hookimpl
    def register_vision_backends(register):
        register("half", print)

    @hookimpl
    def register_trainers(register):
        1 / 0
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Puts a distribution with one plugin module on the path, as pip would leave it."""
    for variable in ("INQUISIGHT_LOAD_PLUGINS", "INQUISIGHT_STRICT_PLUGINS"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr("core.registry.BUILTINS", {})
    # what is installed of our own is not what these tests are about
    others = lambda **query: [point for point in entry_points(**query) if point.dist and point.dist.name != OURS]  # noqa: E731
    monkeypatch.setattr("core.registry.entry_points", others)
    monkeypatch.syspath_prepend(str(tmp_path))
    made: list[str] = []

    def put(distribution: str, code: str, *, name: str | None = None, **modules: str) -> None:
        module = f"{distribution.replace('-', '_')}_plugin"
        for one, text in {module: code, **{f"{module}_{key}": value for key, value in modules.items()}}.items():
            (tmp_path / f"{one}.py").write_text(textwrap.dedent(text).replace("{module}", module))
            made.append(one)
        info = tmp_path / f"{distribution.replace('-', '_')}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[inquisight]\n{name or distribution} = {module}\n")

    yield put
    for one in made:
        sys.modules.pop(one, None)


def good() -> str:
    return GOOD.replace("{{", "{").replace("}}", "}")


def only_problem(registry: Registry, *words: str) -> None:
    """The registry holds one problem, and it says `words`."""
    assert len(registry.problems) == 1, registry.problems
    line = str(registry.problems[0])
    assert line.isprintable() and all(word in line for word in words), line


def test_a_plugin_is_listed_without_importing_its_target(install: Install) -> None:
    install("sight", good(), late=LATE)
    registry = load_registry()
    entry = registry.vision_backends["see"]
    assert (entry.plugin, entry.distribution, entry.description) == ("sight", "sight", "sees")
    assert entry.capabilities == {"streams": True} and registry.problems == []
    assert "sight_plugin_late" not in sys.modules
    assert registry.create_vision("see").name == "see"
    assert "sight_plugin_late" in sys.modules
    backend: Any = registry.create_vision("see:large:model")
    assert backend.argument == "large:model"
    assert registry.create_questioner("ask:x").argument == "x" and registry.create_questioner("ask").argument is None


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import a_module_nobody_has", ["ModuleNotFoundError", "a_module_nobody_has"]),
        ("def broken(:", ["SyntaxError"]),
        ("raise SystemExit('no\\x1b[31m')", ["SystemExit", "no\\x1b[31m"]),
        ("1 / 0", ["ZeroDivisionError"]),
        ("def register_vision_backends(register): ...", ["implements no hook", "hookimpl"]),
        (
            "from core import hookimpl\n@hookimpl\ndef register_vision_backend(register): ...",
            ["no hook 'register_vision_backend'", "did you mean 'register_vision_backends'?"],
        ),
        ("from core import hookimpl\n@hookimpl\ndef register_trainers(register, more): ...", ["more"]),
        ("from core import hookimpl\n@hookimpl\ndef register_trainers(register): raise OSError('disk')", ["disk"]),
        (
            "from core import hookimpl\n@hookimpl\ndef register_trainers(register): register('A b', print)",
            ["'A b'", "lower-case"],
        ),
        (
            "from core import hookimpl\n@hookimpl\ndef register_trainers(register): register('a', 'os.path')",
            ["module:attribute", "os.path"],
        ),
        (
            HALF,
            ["ZeroDivisionError"],
        ),
    ],
)
def test_a_broken_plugin_is_reported_and_harms_nobody(install: Install, code: str, words: list[str]) -> None:
    install("aaa-broken", code)
    install("sight", good(), late=LATE)
    registry = load_registry()
    only_problem(registry, "aaa-broken", *words)
    assert sorted(registry.vision_backends) == ["see"] and registry.create_vision("see").name == "see"
    assert registry.plugins == {"sight": "sight"}
    with pytest.raises(RegistryError) as caught:
        load_registry(strict=True)
    assert "aaa-broken" in str(caught.value) and "INQUISIGHT_STRICT_PLUGINS" in str(caught.value)


def test_strict_mode_is_read_from_the_environment(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install("broken", "1 / 0")
    monkeypatch.setenv("INQUISIGHT_STRICT_PLUGINS", "0")
    assert load_registry().problems
    monkeypatch.setenv("INQUISIGHT_STRICT_PLUGINS", "1")
    with pytest.raises(RegistryError, match="ZeroDivisionError"):
        load_registry()


def test_a_name_claimed_twice_is_an_error_that_names_both(install: Install) -> None:
    install("first", good(), late=LATE)
    install("second", good(), late=LATE)
    registry = load_registry()
    assert registry.vision_backends == {} == registry.questioners and len(registry.problems) == 2
    with pytest.raises(RegistryError) as caught:
        registry.create_vision("see")
    assert "first" in str(caught.value) and "second" in str(caught.value)
    assert "first" in str(registry.problems[0]) and "second" in str(registry.problems[0])
    with pytest.raises(RegistryError, match="claimed by"):
        load_registry(strict=True)
    chosen = load_registry(load="second")
    assert chosen.vision_backends["see"].distribution == "second" and chosen.problems == []


def test_two_plugins_of_one_name(install: Install) -> None:
    install("first", good(), late=LATE)
    install("second", "from core import hookimpl\n@hookimpl\ndef register_trainers(register): ...", name="first")
    only_problem(load_registry(), "second", "first", "loaded already")


def test_plugins_are_selected_by_plugin_or_distribution_name(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install("sight", good(), late=LATE)
    install("dist-name", good().replace('"see"', '"other"').replace('"ask"', '"say"'), late=LATE, name="plug")
    for selection, expected in {
        "": [],
        " , ": [],
        "sight": ["see"],
        "dist-name": ["other"],
        "plug,sight": ["other", "see"],
    }.items():
        monkeypatch.setenv("INQUISIGHT_LOAD_PLUGINS", selection)
        registry = load_registry()
        assert sorted(registry.vision_backends) == expected and registry.problems == []
    monkeypatch.setenv("INQUISIGHT_LOAD_PLUGINS", "sigth")
    only_problem(load_registry(), "sigth", "INQUISIGHT_LOAD_PLUGINS")


def test_unknown_names_get_suggestions(install: Install) -> None:
    install("sight", good(), late=LATE)
    registry = load_registry()
    for spec, words in {
        "sea": "did you mean 'see'?",
        "zzzzzz": "there is see",
        "": "there is see",
        "s\x1bee": "did you",
    }.items():
        with pytest.raises(RegistryError) as caught:
            registry.create_vision(spec)
        assert words in str(caught.value) and str(caught.value).isprintable()
        assert caught.value.exit_code == 3
    with pytest.raises(RegistryError, match="none is installed"):
        registry.trainer("stage1")
    with pytest.raises(UsageError, match="ends in a colon"):
        registry.create_vision("see:")


TARGETS = """
    from core import InquisightError, hookimpl

    def fails(argument):
        raise RuntimeError("first line\\nsecond line")

    def explains(argument):
        raise InquisightError("the weights are missing; run this and that.")

    def lazy(argument):
        import a_library_nobody_has

    number = 3

    @hookimpl
    def register_vision_backends(register):
        register("gone", "no_such_module_at_all:Thing")
        register("needy", "{module}_needy:Thing", extra="sight[gpu]")
        register("bare", "{module}_needy:Thing")
        register("absent", "{module}:thing")
        register("number", "{module}:number")
        register("fails", fails)
        register("explains", "{module}:explains")
        register("lazy", lazy, extra="sight[lazy]")
        register("wrong", lambda argument: 7)

    @hookimpl
    def register_questioners(register):
        register("fails", fails)
        register("wrong", lambda argument: 7)
"""


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("gone", RegistryError, ["no_such_module_at_all", "does not exist", "plugin 'sight' of sight"]),
        ("needy", RegistryError, ["a_library_nobody_has", "pip install 'sight[gpu]'"]),
        ("bare", RegistryError, ["a_library_nobody_has", "install the package"]),
        ("absent", RegistryError, ["'thing' is not there"]),
        ("number", RegistryError, ["cannot be called"]),
        ("fails", BackendError, ["could not start", "RuntimeError: first line"]),
        ("explains", InquisightError, ["the weights are missing; run this and that."]),
        ("lazy", BackendError, ["a_library_nobody_has", "pip install 'sight[lazy]'"]),
        ("wrong", RegistryError, ["int", "not a VisionBackend"]),
    ],
)
def test_a_target_that_cannot_be_used_is_explained(
    install: Install, name: str, error: type[InquisightError], words: list[str]
) -> None:
    install("sight", TARGETS, needy="import a_library_nobody_has")
    registry = load_registry()
    assert registry.problems == []
    with pytest.raises(error) as caught:
        registry.create_vision(name)
    message = str(caught.value)
    assert all(word in message for word in words) and message.isprintable() and "second line" not in message


def test_questioners_fail_as_questioners(install: Install) -> None:
    install("sight", TARGETS)
    with pytest.raises(QuestionerError, match="could not start"):
        load_registry().create_questioner("fails")
    with pytest.raises(RegistryError, match="not a LangChain chat model"):
        load_registry().create_questioner("wrong")


COMMANDS = """
    from core import hookimpl

    @hookimpl
    def register_commands(cli):
        @cli.command("{name}")
        def added() -> None:
            print("added")
        {more}
"""


@pytest.mark.parametrize(
    ("name", "more", "words"),
    [
        ("new", "", None),
        ("caption", "", "'caption' exists already"),
        ("new", "cli.callback()(print)", "replaces the callback"),
        ("new", "1 / 0", "ZeroDivisionError"),
    ],
)
def test_commands_are_added_or_taken_back(install: Install, name: str, more: str, words: str | None) -> None:
    install("sight", COMMANDS.replace("{name}", name).replace("{more}", more))
    cli = typer.Typer()
    cli.command()(lambda: None)
    cli.registered_commands[0].name = "caption"
    registry = load_registry()
    registry.register_commands(cli)
    names = [info.name for info in cli.registered_commands]
    if words is None:
        assert names == ["caption", "new"] and registry.problems == []
    else:
        assert names == ["caption"] and cli.registered_callback is None
        only_problem(registry, "sight", words)


def test_builtins_enter_by_the_same_door(install: Install, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "built_in_room.py").write_text(textwrap.dedent(good()).replace("{module}", "built_in_room"))
    (tmp_path / "built_in_room_late.py").write_text(textwrap.dedent(LATE))
    monkeypatch.setattr("core.registry.BUILTINS", {"inside": "built_in_room"})
    registry = load_registry(load="")
    assert registry.vision_backends["see"].distribution == "inquisight"
    assert registry.create_vision("see").name == "see" and registry.problems == []


def test_a_foreign_package_of_our_name_is_told_plainly(tmp_path: Path) -> None:
    check_not_shadowed()
    assert shadowing() == {}
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "__init__.py").touch()
    code = (
        f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(ROOT)!r}]; from inquisight.__main__ import main; main()"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code, "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and done.stdout == ""
    assert "package 'agents'" in done.stderr and str(tmp_path) in done.stderr and done.stderr.count("\n") == 1


def test_the_stable_names_are_all_there() -> None:
    """`core` lists its stable names, and a wrong one is an ordinary AttributeError."""
    import core

    assert all(getattr(core, name) is not None for name in core.__all__)
    assert set(core.__all__) <= set(dir(core))
    with pytest.raises(AttributeError, match="hookimp"):
        _ = core.hookimp  # type: ignore[attr-defined]
