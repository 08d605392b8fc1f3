"""The page Gallery: which folder it shows, and to whom."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import UsageError
from tests.ui.app import html_of, open_page, visitor_of
from tests.ui.gallery.served import make_pictures
from ui.commands import check
from ui.gallery.library import libraries_of
from ui.gallery.uploads import visitor_folder
from ui.state.options import UiOptions, get_options


def test_a_folder_is_opened(tmp_path: Path) -> None:
    root = make_pictures(tmp_path / "pictures")
    (root / "film.mp4").write_bytes(b"no picture")
    app = open_page("gallery")
    app.text_input(key="gallery-folder").set_value(str(root)).run()
    assert not app.error, html_of(app)
    assert list(libraries_of(visitor_of(app)).open.values()) == [root]
    assert "1 video" in app.caption[0].value


@pytest.mark.parametrize("typed", ["none", "file.txt"])
def test_a_folder_that_is_none_is_told(tmp_path: Path, typed: str) -> None:
    (tmp_path / "file.txt").write_text("x")
    app = open_page("gallery")
    app.text_input(key="gallery-folder").set_value(str(tmp_path / typed)).run()
    assert "There is no folder" in app.error[0].value


def test_it_begins_with_the_folder_of_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make_pictures(tmp_path / "pictures")
    for name, value in UiOptions(folder=root).to_environment().items():
        monkeypatch.setenv(name, value)
    get_options.cache_clear()
    app = open_page("gallery")
    assert app.text_input(key="gallery-folder").value == str(root)
    assert list(libraries_of(visitor_of(app)).open.values()) == [root]


def test_visitors_see_no_folder_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = UiOptions(host="0.0.0.0", folder=tmp_path)
    for name, value in options.to_environment().items():
        monkeypatch.setenv(name, value)
    get_options.cache_clear()
    app = open_page("gallery")
    assert not app.text_input and str(tmp_path) not in html_of(app)
    assert list(libraries_of(visitor_of(app)).open.values()) == [visitor_folder(visitor_of(app)).pictures]


def test_the_command_wants_a_folder_and_the_right_to_show_it(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        check(UiOptions(folder=tmp_path / "none"))
    with pytest.raises(UsageError, match="is a file"):
        (tmp_path / "file").write_text("x")
        check(UiOptions(folder=tmp_path / "file"))
    with pytest.raises(UsageError, match="--visitors-may-use-server-paths"):
        check(UiOptions(folder=tmp_path, host="0.0.0.0", open_to_all=True))
    check(UiOptions(folder=tmp_path))
