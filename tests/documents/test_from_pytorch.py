"""Every row of lessons/FROM_PYTORCH.md, run in both libraries: `test_<row>` holds the row of that name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minidl as dl
import minidl.nn.functional as F
from minidl import data, nn, optim
from minidl.autograd import record
from minidl.kernels.threads import num_threads, set_num_threads

PAGE = Path(__file__).parents[2] / "lessons" / "FROM_PYTORCH.md"
deviation = pytest.mark.oracle


@pytest.fixture
def torch() -> Any:
    """PyTorch, or the test is skipped."""
    return pytest.importorskip("torch")


def test_every_row_has_a_test_and_every_test_a_row() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    tests = {name.removeprefix("test_") for name in globals() if name.startswith("test_")}
    about_the_page = {"every_row_has_a_test_and_every_test_a_row", "what_is_the_same", "one_training_loop_runs_in_both"}
    assert len(rows) == len(set(rows)) > 30
    assert set(rows) == tests - about_the_page


def both(torch: Any) -> list[tuple[Any, Any, Any]]:
    """The library, its functional and its nn, for minidl and PyTorch."""
    return [(dl, F, nn), (torch, torch.nn.functional, torch.nn)]


def leaf(d: Any, *values: float) -> Any:
    """A vector that requires grad."""
    return d.tensor(list(values), requires_grad=True)


# ── what is the same ──────────────────────────────────────────────────────────────────────────────


@deviation
@pytest.mark.filterwarnings("ignore:.*(mse_loss|target size)")
def test_what_is_the_same(torch: Any) -> None:
    found = []
    for d, f, n in both(torch):
        gradients = []
        for call in (
            lambda x, d=d: x.max(), lambda x, d=d: x.amax(0), lambda x, d=d: x.max(0)[0],
            lambda x, d=d: d.maximum(x, d.tensor([1.0, 1.0, 0.5])).sum(),
            lambda x, f=f: f.max_pool2d(x.reshape(1, 1, 1, 3), (1, 3)).sum(),
            lambda x, f=f: f.relu(x - 1).sum(), lambda x: (x * 0).norm(),
        ):  # fmt: skip
            x = leaf(d, 1.0, 1.0, 0.0)
            call(x).backward()
            gradients.append(x.grad.tolist())
        norm = n.BatchNorm1d(1)
        norm(d.tensor([[1.0], [2.0], [4.0]]))
        facts = [
            (d.tensor(7) // d.tensor(-2)).item(), d.round(d.tensor([0.5, 1.5])).tolist(),
            d.tensor([True, True]).sum().item(), round(norm.running_var.item(), 5),
            f.cross_entropy(d.zeros(1, 3), d.tensor([-100])).isnan().item(),
            f.mse_loss(d.zeros(2, 1), d.ones(2)).item(), sorted(n.LSTM(2, 3).state_dict()),
            [tuple(v.shape) for v in n.MultiheadAttention(4, 2).state_dict().values()],
        ]  # fmt: skip
        twice = (leaf(d, 1.0) ** 2).sum()
        twice.backward()
        for refused, error in (
            (twice.backward, RuntimeError),
            (leaf(d, 1.0).numpy, RuntimeError),
            (lambda d=d: leaf(d, 1.0).mul_(2), RuntimeError),
            (lambda d=d, n=n: n.BatchNorm1d(2)(d.ones(1, 2)), ValueError),
        ):
            with pytest.raises(error):
                refused()
        found.append((gradients, facts))
    assert found[0] == found[1]


@deviation
def test_one_training_loop_runs_in_both(torch: Any, rng: np.random.Generator) -> None:
    x, labels, w = rng.standard_normal((6, 1, 8, 8)).astype("f4"), rng.integers(0, 3, 6), rng.standard_normal((3, 36))
    runs = []
    for d, _, n in both(torch):
        model = n.Sequential(n.Conv2d(1, 4, 3), n.ReLU(), n.MaxPool2d(2), n.Flatten(), n.Linear(36, 3))
        with d.no_grad():
            model[0].weight.fill_(0.1)
            model[0].bias.zero_()
            model[4].weight.copy_(d.tensor(w))
            model[4].bias.zero_()
        optimizer, loss = d.optim.Adam(model.parameters(), lr=0.01), n.CrossEntropyLoss()
        losses = []
        for _ in range(5):
            optimizer.zero_grad()
            y = loss(model(d.tensor(x)), d.tensor(labels))
            y.backward()
            n.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            losses.append(y.item())
        runs.append(np.array(losses))
    assert np.ptp(runs[0]) > 0.01
    np.testing.assert_allclose(runs[0], runs[1], rtol=1e-4)


# ── the tape ──────────────────────────────────────────────────────────────────────────────────────


@deviation
def test_in_place(torch: Any) -> None:
    for d, named_anew in ((dl, True), (torch, False)):
        y = z = leaf(d, 1.0, 2.0) * 2
        y += 1
        assert (z is not y) is named_anew
        assert y.tolist() == [3, 5]
        assert z.tolist() == ([2, 4] if named_anew else [3, 5])
        w = v = leaf(d, 1.0)
        with d.no_grad():
            w -= 0.5
        assert v is w
        assert v.tolist() == [0.5]
    (leaf(torch, 1.0) * 2).add_(1)[0] = 3
    with pytest.raises(RuntimeError, match="add_: a value on the tape cannot be changed in place"):
        (leaf(dl, 1.0) * 2).add_(1)
    with pytest.raises(RuntimeError, match="a value on the tape cannot be changed in place"):
        (leaf(dl, 1.0) * 2)[0] = 3


@deviation
def test_write_between(torch: Any) -> None:
    for d in (dl, torch):
        x = leaf(d, 1.0)
        y = x * x
        x.data.mul_(0)
        if d is torch:
            y.backward()
            assert x.grad.tolist() == [0]  # the gradient at 1 is 2
        else:
            with pytest.raises(RuntimeError, match="changed in place"):
                y.backward()
        x = leaf(d, 1.0)
        y = x * x
        x.detach().mul_(0)
        with pytest.raises(RuntimeError):
            y.backward()


@deviation
def test_array(torch: Any) -> None:
    x = leaf(dl, 1.0)
    assert type(x.array) is np.ndarray
    assert not hasattr(torch.ones(1), "array")
    for d in (dl, torch):
        assert type(leaf(d, 1.0).data) is d.Tensor
        assert not leaf(d, 1.0).data.requires_grad
    y = x * x
    x.array[:] = 0
    y.backward()  # nobody was told
    assert x.grad.tolist() == [0]


@deviation
def test_asarray(torch: Any) -> None:
    assert np.asarray(leaf(dl, 1.0)).tolist() == [1]
    with pytest.raises(RuntimeError):
        np.asarray(leaf(torch, 1.0))


@deviation
def test_grad_mode(torch: Any) -> None:
    for d, acts in ((dl, False), (torch, True)):
        d.set_grad_enabled(False)
        try:
            assert d.is_grad_enabled() is not acts
        finally:
            torch.set_grad_enabled(True)
        with d.set_grad_enabled(False):
            assert not d.is_grad_enabled()
        assert d.no_grad()(d.is_grad_enabled)() is False
    assert torch.no_grad(torch.is_grad_enabled)() is False
    with pytest.raises(TypeError):
        dl.no_grad(dl.is_grad_enabled)


@deviation
def test_retain_grad(torch: Any) -> None:
    for d, kept in ((dl, 3.0), (torch, 6.0)):
        x = leaf(d, 1.0)
        y = x * 1
        y.retain_grad()
        y.register_hook(lambda g: g * 2)
        (y * 3).sum().backward()
        assert (y.grad.item(), x.grad.item()) == (kept, 6.0)
        z = leaf(d, 1.0) * 1
        z.register_hook(lambda g: g * 2)
        z.retain_grad()
        z.sum().backward()
        assert z.grad.item() == 2.0


@deviation
def test_complex_gradient(torch: Any) -> None:
    for d, gradient in ((dl, 1 + 2j), (torch, 1 - 2j)):
        z = d.tensor(1 + 1j, requires_grad=True)
        (z * (1 + 2j)).backward(d.tensor(1 + 0j))
        assert z.grad.item() == gradient


@deviation
def test_old_hooks(torch: Any) -> None:
    assert hasattr(torch.nn.Module, "register_backward_hook")
    assert not hasattr(nn.Module, "register_backward_hook")
    for d, _, n in both(torch):
        seen: list[Any] = []
        layer = n.Linear(1, 1)
        layer.register_full_backward_hook(lambda m, gx, gy, seen=seen: seen.append((gx[0].shape, gy[0].item())))
        layer(leaf(d, 1.0)).sum().backward()
        assert seen == [((1,), 1.0)]


# ── numbers ───────────────────────────────────────────────────────────────────────────────────────


@deviation
def test_dtypes(torch: Any) -> None:
    assert dl.zeros(1).dtype == np.float32 == dl.float32
    assert torch.zeros(1).dtype != np.float32
    assert torch.ones(1, dtype=torch.bfloat16).dtype == torch.bfloat16
    with pytest.raises(TypeError, match="there are no tensors of bfloat16"):
        dl.ones(1, dtype=dl.bfloat16)


@deviation
def test_complex_default(torch: Any) -> None:
    assert dl.tensor(1j).dtype == dl.complex128
    assert torch.tensor(1j).dtype == torch.complex64


@deviation
def test_mixed_products(torch: Any) -> None:
    a, b = np.ones((2, 2), "f4"), np.ones((2, 2))
    assert (dl.tensor(a) @ dl.tensor(b)).dtype == dl.float64
    assert nn.Linear(2, 2)(dl.tensor(b)).dtype == dl.float64
    with pytest.raises(RuntimeError):
        torch.tensor(a) @ torch.tensor(b)
    assert (torch.tensor(a) + torch.tensor(b)).dtype == torch.float64


@deviation
@pytest.mark.filterwarnings("ignore:where received a uint8")
def test_bool_conditions(torch: Any) -> None:
    assert torch.where(torch.tensor([1, 0], dtype=torch.uint8), 1.0, 2.0).tolist() == [1, 2]
    with pytest.raises(TypeError, match="must be bool, got uint8"):
        dl.where(dl.tensor([1, 0], dtype=dl.uint8), 1.0, 2.0)


@deviation
def test_integer_labels(torch: Any) -> None:
    labels = np.zeros(1, "i4")
    assert F.cross_entropy(dl.zeros(1, 3), dl.tensor(labels)).item() > 1
    with pytest.raises(RuntimeError):
        torch.nn.functional.cross_entropy(torch.zeros(1, 3), torch.tensor(labels))


@deviation
def test_random(torch: Any) -> None:
    drawn = dl.randn(4, generator=dl.Generator(5), dtype=dl.float64)
    assert drawn.tolist() == np.random.Generator(np.random.PCG64(5)).standard_normal(4).tolist()
    assert drawn.tolist() != torch.randn(4, generator=torch.Generator().manual_seed(5), dtype=torch.float64).tolist()


@deviation
def test_generators(torch: Any) -> None:
    first, second = (nn.Linear(3, 3, generator=dl.Generator(1)) for _ in range(2))
    assert first.weight.equal(second.weight)
    dropped = [F.dropout(dl.ones(50), generator=dl.Generator(1)).tolist() for _ in range(2)]
    assert dropped[0] == dropped[1]
    with pytest.raises(TypeError):
        torch.nn.Linear(3, 3, generator=torch.Generator())


@deviation
def test_deterministic(torch: Any, rng: np.random.Generator) -> None:
    assert not hasattr(dl, "use_deterministic_algorithms")
    assert hasattr(torch, "use_deterministic_algorithms")
    x, w = rng.standard_normal((8, 3, 20, 20)).astype("f4"), rng.standard_normal((16, 3, 3, 3)).astype("f4")
    found, before = [], num_threads()
    try:
        for threads in (1, 2, 2):
            set_num_threads(threads)
            a, b = dl.tensor(x, requires_grad=True), dl.tensor(w, requires_grad=True)
            (F.max_pool2d(F.relu(F.conv2d(a, b)), 2) ** 2).sum().backward()
            found.append((a.grad.numpy().tobytes(), b.grad.numpy().tobytes()))
    finally:
        set_num_threads(before)
    assert found[0] == found[1] == found[2]


# ── shapes and indices ────────────────────────────────────────────────────────────────────────────


@deviation
def test_view(torch: Any) -> None:
    assert tuple(dl.zeros(2, 3).t().view(6).shape) == (6,)
    with pytest.raises(RuntimeError):
        torch.zeros(2, 3).t().view(6)


@deviation
def test_backward_slices(torch: Any) -> None:
    x = leaf(dl, 1.0, 2.0)
    (x[::-1] * dl.tensor([1.0, 10.0])).sum().backward()
    assert x.grad.tolist() == [10, 1]
    with pytest.raises(ValueError, match="step"):
        torch.ones(2)[::-1]


@deviation
def test_negative_positions(torch: Any) -> None:
    assert dl.tensor([1.0, 2.0]).gather(0, dl.tensor([-1])).item() == 2
    assert dl.tensor([1.0, 2.0]).index_select(0, dl.tensor([-1])).item() == 2
    with pytest.raises(RuntimeError):
        torch.tensor([1.0, 2.0]).gather(0, torch.tensor([-1]))
    with pytest.raises(IndexError):
        torch.tensor([1.0, 2.0]).index_select(0, torch.tensor([-1]))


@deviation
def test_axis(torch: Any) -> None:
    assert torch.ones(2, 3).sum(axis=0).tolist() == dl.ones(2, 3).sum(dim=0).tolist()
    assert torch.add(torch.ones(1), torch.ones(1), out=torch.zeros(1)).item() == 2
    with pytest.raises(TypeError):
        dl.ones(2, 3).sum(axis=0)
    with pytest.raises(TypeError):
        dl.add(dl.ones(1), dl.ones(1), out=dl.zeros(1))


@deviation
def test_softmax_dim(torch: Any) -> None:
    with pytest.warns(UserWarning, match="Implicit dimension"):
        torch.nn.functional.softmax(torch.ones(2))
    with pytest.raises(TypeError, match="say along which dimension"):
        F.softmax(dl.ones(2))


@deviation
def test_windows(torch: Any) -> None:
    for d, f, _ in both(torch):
        with pytest.raises(ValueError if d is dl else RuntimeError):
            f.conv2d(d.zeros(1, 1, 2, 2), d.zeros(1, 1, 3, 3))
        with pytest.raises(RuntimeError):
            f.max_pool2d(d.zeros(1, 1, 2, 2), 3)


# ── layers and losses ─────────────────────────────────────────────────────────────────────────────


@deviation
def test_state_dtype(torch: Any) -> None:
    for _, _, n in both(torch):
        state = {key: value.double() for key, value in n.Linear(2, 1).state_dict().items()}
        layer = n.Linear(2, 1)
        if n is nn:
            with pytest.raises(RuntimeError, match="dtype of weight: the model has float32, the state float64"):
                layer.load_state_dict(state)
            with pytest.raises(TypeError, match="assign"):
                layer.load_state_dict(state, assign=True)
            layer.load_state_dict(state, strict=False)
        else:
            layer.load_state_dict(state)
        assert layer.weight.tolist() == state["weight"].tolist()
        assert str(layer.weight.dtype).endswith("float32")


@deviation
def test_state_all_or_nothing(torch: Any) -> None:
    for d, _, n in both(torch):
        layer = n.Linear(2, 1)
        before = layer.weight.tolist()
        with pytest.raises(RuntimeError):
            layer.load_state_dict({"weight": d.zeros(1, 2), "bias": d.zeros(3)})
        assert (layer.weight.tolist() == before) is (d is dl)


@deviation
def test_inplace(torch: Any) -> None:
    for d, f, n in both(torch):
        for call in (n.ReLU(inplace=True), lambda x, f=f: f.relu(x, inplace=True)):
            x = d.tensor([-1.0, 1.0])
            assert call(x).tolist() == [0, 1]
            assert x.tolist() == ([-1, 1] if d is dl else [0, 1])
        x = d.ones(4)
        assert f.dropout(x, 1.0, True, True).tolist() == [0] * 4
        assert x.tolist() == ([1] * 4 if d is dl else [0] * 4)


@deviation
def test_loss_arguments(torch: Any) -> None:
    assert torch.nn.CrossEntropyLoss(None, None, 1).ignore_index == 1
    with pytest.raises(TypeError):
        nn.CrossEntropyLoss(None, None, 1)
    with pytest.raises(TypeError):
        nn.CrossEntropyLoss(size_average=True)
    for d, _, n in both(torch):
        loss = n.CrossEntropyLoss(d.ones(3), ignore_index=1, reduction="sum", label_smoothing=0.1)
        assert loss(d.zeros(2, 3), d.tensor([0, 1])).item() == pytest.approx(np.log(3))


@deviation
def test_fusion(torch: Any, generator: dl.Generator) -> None:
    model = nn.Sequential(nn.Conv2d(1, 4, 3, generator=generator), nn.ReLU(), nn.MaxPool2d(2))
    twin = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU(), torch.nn.MaxPool2d(2))
    twin.load_state_dict({key: torch.tensor(value.numpy()) for key, value in model.state_dict().items()})
    x = dl.randn(2, 1, 8, 8, generator=generator)
    y = model(x)
    np.testing.assert_allclose(y.detach(), twin(torch.tensor(x.numpy())).detach(), rtol=1e-4, atol=1e-6)

    def is_fused() -> bool:
        return model(x).grad_fn.name == "Conv2dReluMaxPool2d"

    assert is_fused()
    with record() as heard:
        model(x)
    assert [name for name in heard.operations if name in ("Conv2d", "ReLU")] == ["Conv2d", "ReLU"]
    with dl.use_kernels("numpy"):
        assert not is_fused()
        np.testing.assert_allclose(model(x).detach(), y.detach(), rtol=1e-4, atol=1e-6)
    handle = model[1].register_forward_hook(lambda *_: None)
    assert not is_fused()
    handle.remove()
    assert is_fused()


@deviation
def test_nowhere_to_look(torch: Any) -> None:
    for d, _, n in both(torch):
        x = d.ones(1, 1, 2)
        weights = n.MultiheadAttention(2, 1)(x, x, x, key_padding_mask=d.tensor([[True]]))[1]
        assert weights.isnan().item() is (d is torch)
        assert d is torch or weights.item() == 0


@deviation
def test_nearest_only(torch: Any) -> None:
    assert torch.nn.Upsample(scale_factor=2, mode="bilinear")(torch.ones(1, 1, 2, 2)).shape[2] == 4
    with pytest.raises(ValueError, match="must be 'nearest'"):
        nn.Upsample(scale_factor=2, mode="bilinear")


@deviation
def test_gru_forms(torch: Any, generator: dl.Generator) -> None:
    ours, theirs = nn.GRUCell(2, 3, generator=generator), torch.nn.GRUCell(2, 3)
    state = ours.state_dict()
    theirs.load_state_dict({key: torch.tensor(value.numpy()) for key, value in state.items()})
    x, h = dl.randn(1, 2, generator=generator), dl.randn(1, 3, generator=generator)
    expected = theirs(torch.tensor(x.numpy()), torch.tensor(h.numpy())).detach().numpy()
    np.testing.assert_allclose(ours(x, h).detach(), expected, rtol=1e-5, atol=1e-6)
    for form in ({"reset": "before"}, {"z_keeps": "new"}):
        other = nn.GRUCell(2, 3, **form)
        other.load_state_dict(state)
        assert np.abs(other(x, h).detach().numpy() - expected).max() > 1e-3


# ── optimizers ────────────────────────────────────────────────────────────────────────────────────


def with_gradient(d: Any, gradient: float, dtype: str = "float32") -> Any:
    """A parameter of one number with a gradient."""
    p = d.ones(1, dtype=getattr(d, dtype), requires_grad=True)
    p.grad = d.full((1,), gradient, dtype=getattr(d, dtype))
    return p


@deviation
def test_norm_dtype(torch: Any) -> None:
    assert nn.utils.clip_grad_norm_([with_gradient(dl, 3, "float16")], 9.0).dtype == dl.float32
    assert torch.nn.utils.clip_grad_norm_([with_gradient(torch, 3, "float16")], 9.0).dtype == torch.float16
    large = [with_gradient(dl, 60000, "float16") for _ in range(4)]
    assert nn.utils.clip_grad_norm_(large, 1e9).item() == pytest.approx(120000, rel=1e-3)


@deviation
def test_norm_twice(torch: Any) -> None:
    for d, _, n in both(torch):
        p = with_gradient(d, 3)
        expected = 3 if d is dl else 3 * 2**0.5
        assert n.utils.clip_grad_norm_([p, p], 100.0).item() == pytest.approx(expected)


@deviation
def test_autocast_dtype(torch: Any) -> None:
    for d, default in ((torch, torch.bfloat16), (dl, np.dtype(np.float16))):
        with d.autocast("cpu"):
            assert (d.ones(2, 2) @ d.ones(2, 2)).dtype == default
    with pytest.raises(ValueError, match="bfloat16"):
        dl.autocast("cpu", dtype="bfloat16")


@deviation
def test_autocast_bfloat16(torch: Any) -> None:
    """On the CPU PyTorch shows what it does on a GPU, and ours what stays as it is; `tests/gpu` has the rounding."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16
    with dl.autocast("cuda", dtype=dl.bfloat16):
        assert (dl.ones(2, 2) @ dl.ones(2, 2)).dtype == dl.float32


@deviation
def test_optimizer_twice(torch: Any) -> None:
    p = with_gradient(torch, 1)
    with pytest.warns(UserWarning, match="duplicate"):
        torch.optim.SGD([p, p], lr=1.0).step()
    assert p.item() == -1
    p = with_gradient(dl, 1)
    with pytest.raises(ValueError, match="parameter 1 appears twice"):
        optim.SGD([p, p], lr=1.0)


@deviation
@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step")
def test_schedulers(torch: Any) -> None:
    for d, rate in ((dl, 0.5), (torch, 0.05)):
        optimizer = d.optim.SGD([with_gradient(d, 1)], lr=1.0)
        schedulers = d.optim.lr_scheduler
        for scheduler in (schedulers.StepLR(optimizer, 1), schedulers.ExponentialLR(optimizer, 0.5)):
            scheduler.step()
        assert optimizer.param_groups[0]["lr"] == pytest.approx(rate)
    optimizer = optim.SGD([with_gradient(dl, 1)], lr=1.0)
    assert optim.lr_scheduler.StepLR(optimizer, 10).lr_at(1.0, 25) == pytest.approx(0.01)


@deviation
def test_centred_variance(torch: Any) -> None:
    constants = np.linspace(0.1, 1, 200).astype("f4")
    for d in (dl, torch):
        x = d.zeros(200, requires_grad=True)
        optimizer = d.optim.RMSprop([x], centered=True, alpha=0.9)
        for _ in range(300):
            x.grad = d.tensor(constants)
            optimizer.step()
        assert np.isfinite(np.asarray(x.detach())).all() == (d is dl)


# ── data ──────────────────────────────────────────────────────────────────────────────────────────


@deviation
def test_collate(torch: Any) -> None:
    assert data.default_collate([1.0, 2.0]).dtype == dl.float32
    assert torch.utils.data.default_collate([1.0, 2.0]).dtype == torch.float64


@deviation
def test_workers(torch: Any) -> None:
    from threading import current_thread

    seen = set()

    class Numbers(data.Dataset[int]):
        def __len__(self) -> int:
            return 12

        def __getitem__(self, index: int, /) -> int:
            seen.add(current_thread().name)
            return index

    batches = [
        [batch.tolist() for batch in data.DataLoader(Numbers(), 3, shuffle=True, num_workers=workers, seed=4)]
        for workers in (0, 2)
    ]
    assert batches[0] == batches[1]
    assert len(seen) > 1, "with workers, items were read in this process by other threads"
    assert hasattr(torch.utils.data.dataloader, "_MultiProcessingDataLoaderIter")


@deviation
def test_absent(torch: Any) -> None:
    for there, here, names in (
        (torch, dl, ("sparse", "jit", "compile", "distributed")),
        (torch.nn, nn, ("Conv3d", "EmbeddingBag", "CTCLoss")),
    ):
        for name in names:
            assert hasattr(there, name)
            assert not hasattr(here, name), f"{name} exists now: take it off the page"
