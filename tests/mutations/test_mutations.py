"""The checks have teeth: every seeded fault is caught by the functions that the registry walk runs.

`-rA` or the end of any run shows the table: fault, and the first check that caught it.
"""

from __future__ import annotations

from collections import Counter

import pytest
from checks import CHECKS
from faults import FAULTS, Fault
from forms import OPERATIONS

from minidl.ops.registry import Operation


def verdict(operation: Operation) -> tuple[str, BaseException] | None:
    """The first check that fails, and how; None if all hold."""
    for name, check in CHECKS.items():
        if operation.orders >= check.orders:
            try:
                check.holds(operation)
            except Exception as error:  # a fault may also crash: it is caught all the same
                return name, error
    return None


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_every_fault_is_caught(
    fault: Fault, monkeypatch: pytest.MonkeyPatch, record_property: pytest.FixtureRequest
) -> None:
    operation = OPERATIONS[fault.operation]
    with monkeypatch.context() as patch:
        mutant = fault.plant(patch) or operation
        found = verdict(mutant)
    record_property("fault", (fault.name, found[0] if found else "SURVIVED"))
    assert found, f"nothing noticed: {fault.name}"
    name, _ = found
    assert not fault.only or name in fault.only, f"caught by {name}, was meant for {sorted(fault.only)}: {found[1]}"
    CHECKS[name].holds(operation)  # and the healthy operation passes the check that caught the sick one


def test_there_are_enough_faults_of_every_kind() -> None:
    assert len(FAULTS) >= 150
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)
    kinds = Counter(fault.operation for fault in FAULTS)
    assert len(kinds) >= 80, "spread over many operations"
    second = [fault for fault in FAULTS if fault.only and "first_derivative" not in fault.only]
    assert len(second) >= 50, "faults that a check of the first derivative cannot see"


def test_every_check_is_needed() -> None:
    """For each check there is a fault that it, or its kind, alone can find; the test above holds them to it."""
    alone = set().union(*[fault.only for fault in FAULTS if len(fault.only) <= 3])
    assert alone | {"first_derivative"} == set(CHECKS)
