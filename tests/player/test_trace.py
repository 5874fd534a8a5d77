"""A trace holds what happened, bounded, and refuses what is no trace in one sentence."""

from __future__ import annotations

import copy
import itertools
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import traces

import minidl as dl
from minidl import nn, player
from minidl.nn import functional as F
from minidl.player.snapshot import array_of, snapshot
from minidl.player.steps import level_name, levels_of, steps_of
from minidl.player.trace import Trace


def _event(trace: Trace, kind: str, **fields: Any) -> dict[str, Any]:
    return next(e for e in trace.events if e["kind"] == kind and all(e[k] == v for k, v in fields.items()))


def _data(taken: dict[str, Any]) -> Any:
    array = array_of(taken)
    assert array is not None
    return array.tolist()


# ── what is recorded ──────────────────────────────────────────────────────────────────────────────


def test_the_numbers_of_lesson_one() -> None:
    """x = 3, w = −2, b = 1: y = −5, L = 36, dL/dw = −36, dL/dx = 24, dL/db = −12."""
    trace = traces.square()
    named = {node["name"]: node for node in trace.nodes if node["name"]}
    assert set(named) == {"x", "w", "b", "y", "L"}, "leaves by the caller's variables, results by their assignments"
    assert [_data(named[k]["value"]) for k in "xwbyL"] == [3, -2, 1, -5, 36]
    sent = {}
    for event in trace.events:
        if event["kind"] == "grad":
            sent |= {part["to"]: _data(part["accumulated"]) for part in event["contributions"] if part}
    assert [sent[named[k]["id"]] for k in "wxb"] == [-36, 24, -12]
    update = _event(trace, "update", node=named["w"]["id"])
    assert [_data(update[k]) for k in ("before", "gradient")] == [-2, -36]
    assert _data(update["after"]) == pytest.approx(-1.64)
    check = _event(trace, "check")
    assert check["passed"]
    assert [row["name"] for row in check["inputs"]] == ["x", "w", "b"]
    assert [round(_data(row["analytic"]), 9) for row in check["inputs"]] == [24, -36, -12]
    assert _event(trace, "note", key="E01.1")["text"] == {"zh": "练习一", "en": "Exercise one"}


def test_lines_of_code_and_no_folders() -> None:
    trace = traces.square()
    codes = [e["source"]["code"].strip() for e in trace.nodes if e["call"] is not None]
    assert codes == ["y = w * x + b"] * 2 + ["L = (y - 1) ** 2"] * 2
    assert [source["file"] for source in trace.sources] == ["traces.py"]
    assert str(Path(__file__).parent) not in json.dumps(trace.to_json())
    listed = [line for stretch in trace.sources[0]["stretches"] for line in stretch["lines"]]
    assert any("y = w * x + b" in line for line in listed)
    assert len(listed) < 40, "the listing is the code around what ran, not the file"


def test_a_value_used_twice_accumulates() -> None:
    """x² + x at 3: 6 and then 7 in all (LESSONS L02)."""
    x = dl.tensor(3.0, requires_grad=True)
    with player.record() as tape:
        (x * x + x).backward()
    parts = [p for e in tape.trace().events if e["kind"] == "grad" for p in e["contributions"] if p and p["to"] == 0]
    assert [_data(p["value"]) for p in parts] == [1, 3, 3]
    assert [_data(p["accumulated"]) for p in parts] == [1, 4, 7]


def test_gradients_that_were_there_before_are_counted_in() -> None:
    x = dl.tensor(3.0, requires_grad=True)
    (x * 5.0).backward()
    with player.record() as tape:
        (x * 2.0).backward()
    assert _data(_event(tape.trace(), "grad")["contributions"][0]["accumulated"]) == 7


def test_names_that_are_given_win() -> None:
    x = dl.tensor([1.0, 2.0])
    with player.record() as tape:
        tape.name("features", x)
        y = x * 2.0
        assert tape.name("doubled", y) is y
    assert [node["name"] for node in tape.trace().nodes] == ["features", "", "doubled"]


def test_scopes_come_from_modules_and_from_the_caller() -> None:
    dl.manual_seed(0)
    net = nn.Sequential(nn.Linear(2, 2), nn.Tanh())
    with player.record() as tape, tape.scope("epoch 1"):
        net(dl.ones(1, 2))
    scopes = {node["op"]: node["scope"] for node in tape.trace().nodes}
    assert scopes["Linear"] == ["epoch 1", "Sequential", "0: Linear"]
    assert scopes["Tanh"] == ["epoch 1", "Sequential", "1: Tanh"]
    assert {n["name"] for n in tape.trace().nodes if n["op"] == "Parameter"} == {"weight", "bias"}


def test_a_scope_ends_when_an_error_passes() -> None:
    class Broken(nn.Module):
        def forward(self, x: Any) -> Any:
            raise ValueError("inside")

    with player.record() as tape:
        with pytest.raises(ValueError, match="inside"):
            Broken()(dl.ones(1))
        dl.ones(1).exp()
    assert tape.trace().nodes[-1]["scope"] == []


def test_a_fused_layer_is_one_operation_or_what_it_is_made_of() -> None:
    dl.manual_seed(0)
    layer, x = nn.GRU(2, 2), dl.ones(3, 1, 2)
    with player.record() as whole:
        layer(x)
    with player.record(inside=True) as inside:
        layer(x)
    assert [n["output"] for n in whole.trace().nodes if n["op"] == "GRU"] == [0, 1], "one operation, two outputs"
    nodes = inside.trace().nodes
    assert "GRU" not in {n["op"] for n in nodes}
    assert {part for n in nodes for part in n["scope"]} >= {"GRU", "t=0", "t=1", "t=2"}
    assert {"r", "z", "n", "h"} <= {n["name"] for n in nodes}
    np.testing.assert_allclose(
        array_of(next(n for n in whole.trace().nodes if n["op"] == "GRU")["value"]).reshape(-1)[-2:],  # type: ignore[union-attr]
        array_of([n for n in nodes if n["name"] == "h"][-1]["value"]).reshape(-1),  # type: ignore[union-attr]
        rtol=1e-6,
    )


def test_fused_layers_are_whole_on_the_numpy_path_too() -> None:
    x = dl.randn(2, 3, generator=dl.Generator(0))
    with dl.use_kernels("numpy"), player.record() as tape:
        F.cross_entropy(x, dl.tensor([0, 1]))
    assert "SoftmaxCrossEntropy" in [n["op"] for n in tape.trace().nodes]


def test_recording_changes_no_number_and_leaves_nothing_behind() -> None:
    def run() -> Any:
        dl.manual_seed(1)
        net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
        loss = F.cross_entropy(net(dl.ones(2, 3)), dl.tensor([0, 1]))
        loss.backward()
        return [p.grad.array for p in net.parameters()]

    quiet = run()
    with player.record() as tape:
        loud = run()
    assert len(tape.trace().events) > 10
    for a, b in zip(quiet, loud, strict=True):
        np.testing.assert_array_equal(a, b)


def test_optimizer_state_before_and_after() -> None:
    event = [e for e in traces.images().events if e["kind"] == "update"]
    first, later = event[0], [e for e in event if e["node"] == event[0]["node"]][1]
    assert first["state_before"] == {}
    assert first["state_after"]["step"] == 1
    assert later["state_before"]["exp_avg"] == first["state_after"]["exp_avg"]
    assert later["before"] == first["after"]
    assert first["options"]["betas"] == [0.9, 0.999]


def test_landscape_puts_the_parameters_back() -> None:
    a = dl.tensor(1.5)
    with player.record() as tape:
        tape.landscape(lambda: a * a, a, span=(-1.0, 1.0), points=5)
    assert a.item() == 1.5
    assert _event(tape.trace(), "landscape")["heights"] == [1, 0.25, 0, 0.25, 1]
    with pytest.raises(ValueError, match=r"one element, got shape \(2,\)"), player.record() as tape:
        tape.landscape(lambda: a, dl.ones(2))


def test_a_backward_from_before_the_recording_is_said() -> None:
    x = dl.tensor(3.0, requires_grad=True)
    y = x * 2.0
    with player.record() as tape:
        y.backward()
    assert [e["kind"] for e in tape.trace().events] == ["note"]


def test_a_failing_check_is_recorded_as_such() -> None:
    x = dl.tensor([1.0, 2.0], requires_grad=True)
    with player.record() as tape:
        assert not tape.check(lambda x: (x.detach() * x).sum(), x, name="half of it")
    assert not _event(tape.trace(), "check")["passed"]
    with pytest.raises(ValueError, match="no input requires a gradient"), player.record() as tape:
        tape.check(lambda x: x, dl.ones(1))


# ── snapshots are bounded ─────────────────────────────────────────────────────────────────────────


def test_a_large_array_is_a_summary() -> None:
    trace = traces.large()
    taken = trace.nodes[0]["value"]
    x = np.random.default_rng(2).normal(size=(100, 100)).astype(np.float64)
    assert "data" not in taken
    assert np.shape(taken["corner"]) == (8, 8)
    np.testing.assert_allclose(taken["corner"], x[:8, :8].astype(taken["dtype"]), rtol=1e-6)
    assert taken["stats"]["mean"] == pytest.approx(x.mean(), abs=1e-6)
    assert taken["stats"]["norm"] == pytest.approx(np.linalg.norm(x), rel=1e-6)
    assert sum(taken["histogram"]["counts"]) == 10_000
    assert len(taken["histogram"]["edges"]) == 17
    assert len(json.dumps(trace.to_json())) < 60_000, "six snapshots of 10,000 numbers would be a megabyte"


@pytest.mark.parametrize("shape", [(), (1,), (3, 4), (0, 3), (2, 2, 2)])
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int64", "bool"])
def test_a_small_array_comes_back_as_it_was(shape: tuple[int, ...], dtype: str) -> None:
    x = (np.random.default_rng(0).normal(size=shape) * 3).astype(dtype)
    taken = json.loads(json.dumps(snapshot(x, 100), allow_nan=False))
    back = array_of(taken)
    assert back is not None
    assert back.dtype == x.dtype
    np.testing.assert_array_equal(back, x)


def test_infinities_and_nan_survive_json() -> None:
    x = np.array([np.nan, np.inf, -np.inf, 1.0])
    text = json.dumps(snapshot(x, 10), allow_nan=False)
    np.testing.assert_array_equal(array_of(json.loads(text)), x)
    big = json.loads(json.dumps(snapshot(np.tile(x, 10), 10), allow_nan=False))
    assert big["stats"] == {"min": 1, "max": 1, "mean": 1, "std": 0, "norm": pytest.approx(10**0.5), "not_finite": 30}


# ── the file ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", traces.ALL)
def test_a_trace_comes_back_as_it_was(name: str, tmp_path: Path) -> None:
    trace = traces.ALL[name]()
    trace.save(tmp_path / "trace.json")
    assert Trace.load(tmp_path / "trace.json") == trace
    assert json.loads((tmp_path / "trace.json").read_text(encoding="utf-8")) == trace.to_json()


def _without(*path: Any) -> Callable[[Any], None]:
    def change(data: Any) -> None:
        *way, last = path
        for key in way:
            data = data[key]
        del data[last]

    return change


def _with(value: Any, *path: Any) -> Callable[[Any], None]:
    def change(data: Any) -> None:
        *way, last = path
        for key in way:
            data = data[key]
        data[last] = value

    return change


KINDS = [event["kind"] for event in traces.square().events]
NODE, GRAD, UPDATE, CHECK = (KINDS.index(kind) for kind in ("node", "grad", "update", "check"))
FAULTS = {
    "another format": (_with("midi", "format"), "its format is 'midi', not 'minidl.trace'"),
    "a later version": (_with(2, "version"), "is of version 2; this reader knows version 1"),
    "no events": (_without("events"), "the file has no 'events'"),
    "events no list": (_with({}, "events"), "the file.events should be a list of events, but is an object"),
    "a kind unknown": (_with("dance", "events", NODE, "kind"), "is of kind 'dance'; there are node, grad"),
    "a field missing": (_without("events", NODE, "scope"), "events[1] has no 'scope'"),
    "an id twice": (_with(7, "events", NODE, "id"), "events[1].id is 7; the nodes are numbered in order"),
    "an input from the future": (_with([99], "events", NODE, "inputs"), "names node 99, but only 0 nodes come before"),
    "a number too few": (_with([], "events", NODE, "value", "data"), "has 0 numbers, but the shape [] holds 1"),
    "no number": (_with(["x"], "events", NODE, "value", "data"), "should be a number, 'nan', 'inf' or '-inf'"),
    "no dtype": (_with("float99", "events", NODE, "value", "dtype"), "is 'float99', which is no dtype"),
    "a dtype of objects": (_with("object", "events", NODE, "value", "dtype"), "is 'object', which is no dtype of"),
    "a size below 0": (_with([-1], "events", NODE, "value", "shape"), "is [-1], but no size is negative"),
    "a kind that is a list": (_with([1], "events", NODE, "kind"), "is of kind [1]; there are node, grad"),
    "a name that is a number": (_with(3, "events", NODE, "name"), "should be a text, but is the number 3"),
    "an unknown formula": (_with("Sqare", "events", 3, "formula"), "is 'Sqare', which is not among the formulas"),
    "a file that is not there": (_with(5, "events", 3, "source", "file"), "is 5, but the trace has 1 files"),
    "over the limit": (_with(0, "limit"), "numbers whole, more than the limit of 0"),
    "contributions lost": (_with([], "events", GRAD, "contributions"), "has 0 entries, but node 7 has 1 inputs"),
    "a check undecided": (_with(None, "events", CHECK, "passed"), "should be true or false, but is nothing"),
    "one language": (_without("events", -1, "text", "zh"), "text has no 'zh'"),
    "lines lost": (_without("sources", 0, "stretches", 0, "lines"), "has no 'lines'"),
    "an adjoint lost": (_without("formulas", "Mul", "adjoint"), "formulas.Mul has no 'adjoint'"),
    "state of words": (_with({"m": "x"}, "events", UPDATE, "state_after"), "state_after.m should be a number"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_no_trace_is_refused_in_a_sentence(fault: str) -> None:
    change, sentence = FAULTS[fault]
    data = copy.deepcopy(traces.square().to_json())
    Trace.from_json(data)
    change(data)
    with pytest.raises(ValueError, match=r"^trace: ") as told:
        Trace.from_json(data)
    assert sentence in str(told.value)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [("{", "is not JSON"), ("[]", "should be an object, but is a list"), ("[" * 100_000, "nests deeper")],
)
def test_a_file_that_is_no_trace(text: str, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(ValueError, match=sentence):
        Trace.load(tmp_path / "x.json")


# ── steps and groups ──────────────────────────────────────────────────────────────────────────────


def test_groups_nest() -> None:
    """Where a coarser group changes, every finer one does."""
    for make in traces.ALL.values():
        steps = steps_of(make())
        for before, after in itertools.pairwise(steps):
            changed = [a != b for a, b in zip(before.groups, after.groups, strict=True)]
            assert changed[0]
            assert changed == sorted(changed, reverse=True), (before, after)


def test_time_steps_and_epochs_are_groups() -> None:
    gated, trained = steps_of(traces.gated()), steps_of(traces.images())
    times = {step.groups[3]: step.scope for step in gated if step.kind == "forward"}
    assert {scope[-1] for scope in times.values() if scope} >= {"t=0", "t=1"}
    epochs = [step.groups[4] for step in trained if step.scope[:1] == ("epoch 2",)]
    assert len(set(epochs)) == 1
    assert {s.kind for s in trained if s.groups[4] == epochs[0]} == {"forward", "backward", "update", "draw"}
    assert 4 in levels_of(trained)
    assert level_name(trained, 4) == "epoch"
    assert level_name(gated, 4) == "pass"
    assert 3 in levels_of(gated)


def test_importing_minidl_loads_none_of_it() -> None:
    """T: `import minidl` stays light; the player itself loads neither rich nor latex2mathml until it needs them."""
    code = (
        "import sys, minidl; assert 'minidl.player' not in sys.modules\n"
        "from minidl import player; heavy = {'rich', 'latex2mathml', 'playwright'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
