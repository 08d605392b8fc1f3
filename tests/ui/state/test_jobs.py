"""Jobs: states, limits, and stopping."""

from __future__ import annotations

import threading

import pytest

from core.errors import UsageError
from tests.ui.gates import until
from ui.state.jobs import MAX_RUNNING, Job, Jobs

LONG = 20.0  # seconds a test waits for what takes none


def test_work_says_how_it_ended() -> None:
    jobs = Jobs()
    halted = threading.Event()

    def waits(job: Job) -> None:
        halted.wait(LONG)
        job.check()

    def fails(job: Job) -> None:
        raise UsageError("the thing is wrong; do it otherwise")

    def breaks(job: Job) -> None:
        raise RuntimeError("secret details")

    done, failed, broken = (jobs.start("x", work) for work in (lambda job: None, fails, breaks))
    stopped = jobs.start("x", waits)
    stopped.stop()
    assert stopped.state == "stopping" and stopped.active
    halted.set()
    assert all(job.wait(LONG) for job in (done, failed, broken, stopped))
    assert [job.state for job in (done, failed, broken, stopped)] == ["done", "failed", "failed", "stopped"]
    assert failed.error == "The thing is wrong; do it otherwise."
    assert "secret" not in broken.error and "log" in broken.error
    assert jobs.active() == []


def test_one_visitor_cannot_have_everything_running() -> None:
    jobs, end = Jobs(), threading.Event()
    for _ in range(MAX_RUNNING):
        jobs.start("x", lambda job: end.wait(LONG) and None)
    with pytest.raises(UsageError, match="running"):
        jobs.start("x", lambda job: None)
    for job in jobs.active():
        job.stop()
    end.set()
    until(lambda: not jobs.active())
    assert jobs.start("x", lambda job: None).wait(LONG)


def test_stop_ends_the_waiting_for_a_servers_next_try() -> None:
    from core.net.remote import Pace, retrying

    class BusyError(Exception):
        status_code = 503

    calls: list[int] = []
    called = threading.Event()

    def call() -> None:
        calls.append(1)
        called.set()
        error = BusyError()
        error.response = type("Response", (), {"headers": {"retry-after": "50"}})  # type: ignore[attr-defined]
        raise error

    job = Jobs().start("one", lambda job: retrying(call, retries=5, pace=Pace()))
    assert called.wait(60)
    job.stop()
    assert job.wait(60) and job.state == "stopped" and calls == [1]
