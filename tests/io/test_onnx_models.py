"""Whole models as ONNX files, what such a file holds, and the models that are refused, each with a sentence."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

import minidl as dl
from minidl import nn, ops
from minidl.backend import Generator
from minidl.faces.networks import NETWORKS
from minidl.io import NotExportable, export_onnx
from minidl.nn import functional as F

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

SIZE = (24, 20)


class Calls(nn.Module):
    """Any function of tensors as a module, with a layer it may use."""

    def __init__(self, function, layer=None):
        super().__init__()
        self.function, self.layer = function, layer

    def forward(self, *args):
        return self.function(*args) if self.layer is None else self.function(self.layer, *args)


class Small(nn.Module):
    """A convolution, a normalisation and a dense layer, with a shortcut and a constant."""

    def __init__(self, generator):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1, generator=generator)
        self.norm = nn.BatchNorm2d(4)
        self.head = nn.Linear(4 * 6 * 5, 3, generator=generator)

    def forward(self, image):
        y = F.relu(self.norm(self.conv(image)) + image)
        return self.head((y * 0.5).flatten(1))


def floats(rng, *shape):
    return rng.standard_normal(shape).astype("f4")


def session(path):
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def agree(model, path, *arrays):
    with nn.evaluating(model), dl.no_grad():
        expected = model(*[dl.tensor(x) for x in arrays])
    expected = expected if isinstance(expected, tuple) else (expected,)
    there = session(path)
    found = there.run(None, {i.name: x for i, x in zip(there.get_inputs(), arrays, strict=True)})
    for a, b in zip(found, expected, strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b.numpy(), rtol=1e-5, atol=1e-5)


# ── whole models ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", NETWORKS)
def test_every_face_network_names_and_describes_faces_as_here(kind, tmp_path, rng, generator):
    network = NETWORKS[kind].build(7, SIZE, generator)
    for _ in range(2):  # running statistics of its own
        network(dl.tensor(floats(rng, 6, 1, *SIZE)))
    both = Calls(lambda net, x: (net(x), net.embed(x)), network)
    assert network.training
    export_onnx(both, dl.tensor(floats(rng, 1, 1, *SIZE)), tmp_path / "face.onnx", output_names=["logits", "embedding"])
    assert network.training, "the mode of the model comes back"
    for n in (1, 2, 5, 9):
        agree(both, tmp_path / "face.onnx", floats(rng, n, 1, *SIZE))


@pytest.mark.parametrize("padding_idx", [None, 2])
def test_words_are_looked_up_by_the_numbers_that_come_in(padding_idx, tmp_path, rng, generator):
    words = nn.Embedding(11, 4, padding_idx, generator=generator)
    model = Calls(lambda layer, k: layer(k).mean(1), words)
    export_onnx(model, dl.zeros(1, 5, dtype=dl.int64), tmp_path / "words.onnx")
    for n in (1, 3, 8):
        agree(model, tmp_path / "words.onnx", rng.integers(0, 11, (n, 5)))


def test_several_inputs_and_states_with_every_size_fixed(tmp_path, rng, generator):
    layer = nn.LSTM(3, 4, 2, bidirectional=True, generator=generator)
    model = Calls(lambda lstm, x, h, c: ops.cat([y.flatten() for y in flat(lstm(x, (h, c)))]), layer)
    arrays = floats(rng, 6, 2, 3), floats(rng, 4, 2, 4), floats(rng, 4, 2, 4)
    export_onnx(model, [dl.tensor(x) for x in arrays], tmp_path / "lstm.onnx", dynamic_batch=False)
    agree(model, tmp_path / "lstm.onnx", *[floats(rng, *x.shape) for x in arrays])


def flat(result):
    return [result] if isinstance(result, dl.Tensor) else [y for part in result for y in flat(part)]


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("layer", ["rnn", "lstm", "gru"])
def test_sequences_of_different_lengths_end_where_they_end(layer, reverse, tmp_path, rng):
    gates, states = {"rnn": (1, 1), "lstm": (4, 2), "gru": (3, 1)}[layer]
    weights = [dl.tensor(floats(rng, *s)) for s in ((gates * 4, 3), (gates * 4, 4), (gates * 4,), (gates * 4,))]
    run = getattr(ops, layer)
    model = Calls(lambda x: run(x, *[None] * states, *weights, lengths=[2, 5, 3], reverse=reverse))
    x = floats(rng, 5, 3, 3)
    export_onnx(model, dl.tensor(x), tmp_path / "m.onnx", dynamic_batch=False)
    agree(model, tmp_path / "m.onnx", floats(rng, 5, 3, 3))
    with pytest.raises(NotExportable):
        export_onnx(model, dl.tensor(x), tmp_path / "m.onnx")


def test_time_may_be_the_dimension_that_varies(tmp_path, rng, generator):
    model = Calls(lambda gru, x: gru(x)[0], nn.GRU(3, 4, generator=generator))
    export_onnx(model, dl.tensor(floats(rng, 5, 2, 3)), tmp_path / "m.onnx")
    for steps in (1, 4, 30):
        agree(model, tmp_path / "m.onnx", floats(rng, steps, 2, 3))


# ── what the file holds ───────────────────────────────────────────────────────────────────────────


def test_the_file_reads_like_the_model(tmp_path, generator):
    export_onnx(Small(generator), dl.zeros(1, 1, 6, 5), tmp_path / "m.onnx")
    made = onnx.load(tmp_path / "m.onnx")
    assert made.opset_import[0].version == 21
    assert made.ir_version == 10
    assert [node.op_type for node in made.graph.node] == [
        "Conv", "Mul", "Add", "Add", "Relu", "Mul", "Reshape", "Gemm", "Identity",
    ]  # fmt: skip
    names = {constant.name for constant in made.graph.initializer}
    assert {"conv.weight", "conv.bias", "head.weight", "head.bias", "norm.weight/Reshape", "norm.bias/Reshape"} < names
    assert not names & {"norm.weight", "norm.running_var"}, "what depends on no input is computed once, here"
    (image,), (output,) = made.graph.input, made.graph.output
    assert (image.name, output.name) == ("image", "output")
    dims = [[d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim] for v in (image, output)]
    assert dims == [["batch", 1, 6, 5], ["batch", 3]]


def test_the_parameters_in_the_file_are_those_of_the_model(tmp_path, generator):
    model = Small(generator)
    export_onnx(model, dl.zeros(1, 1, 6, 5), tmp_path / "m.onnx")
    stored = {c.name: onnx.numpy_helper.to_array(c) for c in onnx.load(tmp_path / "m.onnx").graph.initializer}
    for name in ("conv.weight", "conv.bias", "head.weight"):
        np.testing.assert_array_equal(stored[name], model.state_dict()[name].array)


def test_names_are_the_callers_to_choose(tmp_path, generator):
    model = Small(generator)
    export_onnx(model, dl.zeros(2, 1, 6, 5), tmp_path / "m.onnx", input_names=["face"], output_names=["who"])
    there = session(tmp_path / "m.onnx")
    assert [i.name for i in there.get_inputs()] == ["face"]
    assert [o.name for o in there.get_outputs()] == ["who"]
    for names in ({"input_names": ["a", "b"]}, {"output_names": []}, {"input_names": ["conv.weight"]}):
        with pytest.raises(ValueError, match="names"):
            export_onnx(model, dl.zeros(2, 1, 6, 5), tmp_path / "other.onnx", **names)
    assert os.listdir(tmp_path) == ["m.onnx"]


def test_with_a_fixed_batch_another_is_refused_by_the_reader(tmp_path, generator):
    export_onnx(Small(generator), dl.zeros(2, 1, 6, 5), tmp_path / "m.onnx", dynamic_batch=False)
    there = session(tmp_path / "m.onnx")
    assert there.get_inputs()[0].shape == [2, 1, 6, 5]
    with pytest.raises(Exception, match="INVALID_ARGUMENT"):
        there.run(None, {"image": np.zeros((3, 1, 6, 5), "f4")})


@pytest.mark.parametrize("opset", [18, 20, 21, 24])
def test_other_operator_sets(opset, tmp_path, rng, generator):
    model = Small(generator)
    export_onnx(model, dl.zeros(2, 1, 6, 5), tmp_path / "m.onnx", opset=opset)
    assert onnx.load(tmp_path / "m.onnx").opset_import[0].version == opset
    agree(model, tmp_path / "m.onnx", floats(rng, 4, 1, 6, 5))


@pytest.mark.parametrize("opset", [17, 1000])
def test_operator_sets_that_are_too_old_or_unheard_of(opset, tmp_path, generator):
    with pytest.raises(ValueError, match=f"opset must be from 18 to .*, got {opset}"):
        export_onnx(Small(generator), dl.zeros(2, 1, 6, 5), tmp_path / "m.onnx", opset=opset)


def test_nothing_of_the_model_or_the_example_is_changed(tmp_path, rng, generator):
    model, image = Small(generator), dl.tensor(floats(rng, 2, 1, 6, 5))
    before = {name: x.array.copy() for name, x in (*model.state_dict().items(), ("image", image))}
    model.norm.eval()
    export_onnx(model, image, tmp_path / "m.onnx")
    assert (model.training, model.norm.training) == (True, False)
    for name, x in (*model.state_dict().items(), ("image", image)):
        np.testing.assert_array_equal(x.array, before[name])
    assert all(p.grad is None for p in model.parameters())


# ── what is refused ───────────────────────────────────────────────────────────────────────────────


def in_place(x):
    y = x * 1
    y += 1
    return y


def draws(x):
    return x + dl.tensor(np.random.default_rng().standard_normal(6).astype("f4"))


REFUSED = {
    "an operation without a counterpart": (lambda x: F.unfold(x.reshape(-1, 1, 2, 3), 2), "Unfold .*no counterpart"),
    "work on the array": (lambda x: x * dl.tensor(x.array.max(1, keepdims=True)), "Mul .*no operation computed"),
    "the same row for all": (lambda x: x + dl.tensor(np.tile(x.array.sum(0), (len(x), 1))), "no operation computed"),
    "a number read off the input": (lambda x: x * float(x.array.sum()), "Mul .*no operation computed"),
    "indices of the largest": (lambda x: x.max(1).values, "TakeAlong .*no operation computed"),
    "a mask as an index": (lambda x: x[x > 0], "do other|index|other operations"),
    "random numbers": (draws, "Add .*no operation computed"),
    "dropout that never sleeps": (lambda x: F.dropout(x, 0.5, True), "Dropout .*no counterpart|no operation computed"),
    "a branch on the numbers": (lambda x: x * 2 if float(x.array.flat[0]) > 0 else x + 1, "does other operations"),
    "a loop over the batch": (lambda x: sum(row.sum() for row in x), "does other operations"),
    "a write in place": (in_place, "in place"),
    "a position counted from the batch": (lambda x: x[len(x) // 2 :], "for one batch"),
    "an input that nothing reads": (lambda x: dl.ones(3), "no operation reads the input"),
    "an input read for nothing": (lambda x: (x * 2, dl.ones(3))[1], "no operation reads the input"),
    "a result that is no tensor": (lambda x: (x, "yes"), "returns a str"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_file_cannot_say_is_refused_with_a_sentence(name, tmp_path, rng):
    function, sentence = REFUSED[name]
    example = floats(rng, 2, 6)
    example[0, 0], example[-1, -1] = 1, -1
    with pytest.raises(NotExportable, match=sentence):
        export_onnx(Calls(function), dl.tensor(example), tmp_path / "m.onnx")
    assert os.listdir(tmp_path) == []


def test_the_sentence_names_the_line(tmp_path):
    def looks(x):
        return x.max(1).values

    with pytest.raises(NotExportable, match=rf"test_onnx_models.py, line {looks.__code__.co_firstlineno + 1}\)"):
        export_onnx(Calls(looks), dl.ones(2, 3), tmp_path / "m.onnx")


def test_inputs_that_share_no_batch_must_be_fixed(tmp_path, rng):
    model = Calls(lambda x, y: x @ y)
    inputs = [dl.tensor(floats(rng, 2, 3)), dl.tensor(floats(rng, 3, 4))]
    with pytest.raises(NotExportable, match=r"dynamic_batch.*\(2, 3\), \(3, 4\)"):
        export_onnx(model, inputs, tmp_path / "m.onnx")
    export_onnx(model, inputs, tmp_path / "m.onnx", dynamic_batch=False)
    agree(model, tmp_path / "m.onnx", floats(rng, 2, 3), floats(rng, 3, 4))


def test_a_file_that_stands_there_survives_a_refusal(tmp_path, generator):
    export_onnx(Small(generator), dl.zeros(1, 1, 6, 5), tmp_path / "m.onnx")
    before = (tmp_path / "m.onnx").read_bytes()
    with pytest.raises(NotExportable):
        export_onnx(Calls(lambda x: x.max(1).values), dl.ones(2, 3), tmp_path / "m.onnx")
    assert (tmp_path / "m.onnx").read_bytes() == before


def test_without_the_package_a_sentence_says_what_to_install(tmp_path, monkeypatch, generator):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'minidl\[onnx\]'"):
        export_onnx(Small(generator), dl.zeros(1, 1, 6, 5), tmp_path / "m.onnx")


def test_importing_minidl_does_not_import_onnx():
    code = "import sys, minidl, minidl.io; print('onnx' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_the_second_run_has_other_numbers_even_where_the_example_is_all_zero(tmp_path):
    """An array read off an example of zeros must not pass as a constant (T33)."""
    with pytest.raises(NotExportable, match="no operation computed"):
        export_onnx(Calls(lambda x: x + dl.tensor(x.array.sum(1, keepdims=True))), dl.zeros(1, 3), tmp_path / "m.onnx")


def test_generators_of_the_model_are_not_asked(tmp_path):
    generator = Generator(3)
    before = generator.get_state()
    export_onnx(nn.Sequential(nn.Dropout(0.5, generator=generator), nn.ReLU()), dl.ones(1, 3), tmp_path / "m.onnx")
    assert generator.get_state() == before
