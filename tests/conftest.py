"""Rules for every test: nothing invalid is computed silently, nothing global stays set, every skip is counted."""

from __future__ import annotations

import gc
import os
import zlib
from collections import Counter
from collections.abc import Iterator
from typing import Any

import hypothesis
import numpy as np
import pytest

import minidl  # noqa: F401  # Tensor becomes the class of results
from minidl.autograd.modes import tape
from minidl.backend import Generator, float32, float64, get_default_dtype, set_default_dtype
from minidl.kernels import current_choice, use_kernels

# "ci" draws the same examples in every run, "nightly" others each time; choose with HYPOTHESIS_PROFILE
hypothesis.settings.register_profile("ci", derandomize=True, max_examples=30, deadline=None, database=None)
hypothesis.settings.register_profile("nightly", max_examples=500, deadline=None, print_blob=True)
hypothesis.settings.register_profile("brief", derandomize=True, max_examples=6, deadline=None, database=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


@pytest.fixture(autouse=True)
def _nothing_stays_set() -> Iterator[None]:
    """A nan out of nowhere raises, and a test leaves the switches of the engine as it found them (T33)."""
    with np.errstate(invalid="raise"):
        yield
    assert tape.grad_enabled, "the test left gradients switched off"
    assert tape.recorder is None, "the test left a recorder listening"
    assert not tape.anomaly, "the test left detect_anomaly on"
    assert get_default_dtype() == float32, "the test left another default dtype"
    assert current_choice() == "auto", "the test left other kernels chosen"


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """A NumPy generator of the test's own, seeded by its name: the same numbers in any order of tests."""
    return np.random.default_rng(zlib.crc32(request.node.nodeid.encode()))


@pytest.fixture
def generator(request: pytest.FixtureRequest) -> Generator:
    """A minidl generator of the test's own, seeded by its name."""
    return Generator(zlib.crc32(request.node.nodeid.encode()))


@pytest.fixture
def float64_default() -> Iterator[None]:
    """Python floats become float64 inside the test."""
    set_default_dtype(float64)
    yield
    set_default_dtype(float32)


@pytest.fixture(params=["auto", "numpy", "reference"])
def kernels(request: pytest.FixtureRequest) -> Iterator[str]:
    """The test runs once in each room of kernels."""
    with use_kernels(request.param):
        yield request.param


def pytest_collection_finish() -> None:
    """Leave what was imported out of every later garbage collection: the tests collect often, on purpose."""
    gc.collect()
    gc.freeze()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say how many tests were skipped and why, and which check caught which seeded fault."""
    reasons = Counter(
        report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        for report in terminalreporter.stats.get("skipped", [])
    )
    total = sum(reasons.values())
    terminalreporter.write_line(f"{total} skipped" + (":" if total else ": every test that exists was run"))
    for reason, count in sorted(reasons.items()):
        terminalreporter.write_line(f"  {count} × {reason.removeprefix('Skipped: ')}")
    caught = [
        value
        for outcome in ("passed", "failed")
        for report in terminalreporter.stats.get(outcome, [])
        for key, value in getattr(report, "user_properties", [])
        if key == "fault"
    ]
    if caught:
        width = max(len(fault) for fault, _ in caught)
        terminalreporter.section("seeded faults and the check that caught each")
        for fault, check in sorted(caught):
            terminalreporter.write_line(f"  {fault:<{width}}  {check}")
