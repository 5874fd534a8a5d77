"""Training history and early stopping."""

from __future__ import annotations

import math

import pytest

from minidl import Tensor
from minidl.optim.progress import EarlyStopping, History


def test_history_keeps_rows_and_finds_the_best():
    history = History()
    for epoch, loss in enumerate([3.0, math.nan, 1.0, 1.0]):
        history.add(epoch=epoch, loss=Tensor(loss), accuracy=epoch / 10)
    assert history.best("loss")["epoch"] == 2
    assert history.best("accuracy", "max")["epoch"] == 3
    assert [type(v) for v in history["loss"]] == [float] * 4
    assert len(history) == len(list(history)) == 4
    other = History()
    other.load_state_dict(history.state_dict())
    history.add(epoch=4)
    assert len(other) == 4
    assert history["loss"][4] is None
    with pytest.raises(KeyError, match=r"no row has 'los'; there are \['accuracy', 'epoch', 'loss'\]"):
        history["los"]
    with pytest.raises(KeyError, match="no row has a value of 'x'"):
        history.best("x")
    with pytest.raises(ValueError, match="mode is 'min' or 'max', got 'least'"):
        history.best("loss", "least")


@pytest.mark.parametrize(("patience", "epochs"), [(0, 3), (2, 5), (100, None)])
def test_it_stops_after_patience_epochs_without_improvement(patience, epochs):
    stop = EarlyStopping(patience)
    values = [3.0, 2.0, 2.0, 2.5, math.nan, 2.0, 2.1]
    stopped = [stop.step(v) for v in values]
    assert (stopped.index(True) + 1 if any(stopped) else None) == epochs
    assert (stop.best, stop.best_epoch) == (2.0, 1)


def test_improvement_counts_from_min_delta_and_in_the_right_direction():
    stop = EarlyStopping(5, min_delta=0.1, mode="max")
    improved = []
    for value in (0.5, 0.55, 0.61, 0.6, 0.9):
        stop.step(Tensor(value))
        improved.append(stop.improved)
    assert improved == [True, False, True, False, True]
    assert not EarlyStopping().improved


def test_T26_a_loaded_stop_goes_on_counting():
    values = [3.0, 2.0, 2.5, 2.5, 2.5]
    whole, half, rest = EarlyStopping(2), EarlyStopping(2), EarlyStopping(2)
    expected = [whole.step(v) for v in values]
    seen = [half.step(v) for v in values[:3]]
    rest.load_state_dict(half.state_dict())
    assert seen + [rest.step(v) for v in values[3:]] == expected
    assert expected[-1]
    with pytest.raises(ValueError, match="not one of mode 'max'"):
        EarlyStopping(mode="max").load_state_dict(half.state_dict())
    with pytest.raises(ValueError, match="patience ≥ 0"):
        EarlyStopping(-1)
