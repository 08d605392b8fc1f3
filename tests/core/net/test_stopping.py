"""Halts: set for all that is within them, waking who waits; a call that has not begun does not begin."""

from __future__ import annotations

import threading

import pytest

from core.net.remote import Pace, concurrently, retrying
from core.stopping import CalledOff, Halt, current_halt, halting


class BusyError(Exception):
    status_code = 503


def test_a_halt_is_set_along_with_the_one_around_it() -> None:
    outer = Halt()
    inner, later = Halt(outer), Halt(Halt(outer))
    assert not inner.is_set()
    woken = threading.Thread(target=inner.wait, args=(120,))
    woken.start()
    error = ValueError("no key")
    outer.set(error)
    outer.set(ValueError("a later one"))
    woken.join(120)
    assert not woken.is_alive() and inner.is_set() and later.is_set() and outer.reason is error
    assert inner.reason is error


def test_an_inner_halt_leaves_the_outer_one() -> None:
    outer = threading.Event()
    inner = Halt(outer)
    inner.set()
    assert not outer.is_set()
    other = Halt(outer)
    outer.set()
    assert other.is_set()


def test_a_call_within_a_halt_that_is_set_does_not_begin() -> None:
    halt, calls = Halt(), []
    with halting(halt):
        assert current_halt() is halt
        assert retrying(lambda: calls.append(1) or "said", retries=0, pace=Pace()) == "said"  # type: ignore[func-returns-value]
        halt.set()
        with pytest.raises(CalledOff):
            retrying(lambda: calls.append(1), retries=3, pace=Pace())
    assert calls == [1] and current_halt() is None


def test_no_further_try_after_a_halt() -> None:
    halt, calls = Halt(), []

    def call() -> None:
        calls.append(1)
        halt.set()
        raise BusyError

    with halting(halt), pytest.raises(CalledOff):
        retrying(call, retries=5, pace=Pace())
    assert calls == [1]


def test_calls_at_once_end_with_the_work_around_them() -> None:
    halt, begun = Halt(), []

    def call(stop: threading.Event) -> int:
        begun.append(1)
        halt.set()
        assert stop.is_set() and current_halt() is stop
        return len(begun)

    with halting(halt):
        results = concurrently([call] * 8, workers=1, give_up=lambda error: False)
    assert results == [1, *[None] * 7]
