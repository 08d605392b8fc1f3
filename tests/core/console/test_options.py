"""Options that commands share: values are read, or named in the error; `import core` stays free of typer."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from datetime import date

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from core.console.options import day, number, whole_number


def test_values_are_read() -> None:
    assert (whole_number("-1"), number("0.5"), day("2024-02-29")) == (-1, 0.5, date(2024, 2, 29))


@pytest.mark.parametrize("read", [whole_number, number, day])
@given(st.text(max_size=12))
def test_what_is_no_value_is_named(read: Callable[[str], object], text: str) -> None:
    try:
        read(text)
    except typer.BadParameter as error:
        assert repr(text) in error.message and error.message.isprintable()


def test_core_alone_does_not_import_typer() -> None:
    code = "import core, sys; print('typer' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
