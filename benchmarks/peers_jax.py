"""The workloads on JAX: every step one jitted function, images channels-last, as its users would write them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from benchmarks.workloads import CONVOLUTIONS, PASSES, Step

_rng = np.random.default_rng(0)


def _normal(*shape: int, scale: float = 1.0) -> Any:
    return jnp.asarray(_rng.standard_normal(shape, np.float32) * np.float32(scale))


def _labels(classes: int, n: int) -> Any:
    return jnp.asarray(_rng.integers(0, classes, n))


def _waits(function: Callable[..., Any], *arguments: Any) -> Step:
    compiled = jax.jit(function)
    return lambda: jax.block_until_ready(compiled(*arguments))


def _convolve(x: Any, w: Any, stride: int = 1, padding: int = 0) -> Any:
    sides = [(padding, padding)] * 2
    return lax.conv_general_dilated(x, w, (stride, stride), sides, dimension_numbers=("NHWC", "HWIO", "NHWC"))


def _cross_entropy(logits: Any, labels: Any) -> Any:
    return -jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], 1).mean()


def _face_parameters() -> dict[str, Any]:
    channels, p = (1, 32, 64, 128), {}
    for i in range(3):
        fan_in = 9 * channels[i]
        p[f"w{i}"], p[f"b{i}"] = _normal(3, 3, *channels[i : i + 2], scale=fan_in**-0.5), _normal(channels[i + 1])
    p["w3"], p["b3"] = _normal(12 * 9 * 128, 128, scale=0.01), _normal(128)
    p["w4"], p["b4"] = _normal(128, 40, scale=0.1), _normal(40)
    return p


def _face(p: dict[str, Any], x: Any, key: Any = None) -> Any:
    for i in range(3):
        x = jax.nn.relu(_convolve(x, p[f"w{i}"]) + p[f"b{i}"])
        x = lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
    x = jax.nn.relu(x.reshape(len(x), -1) @ p["w3"] + p["b3"])
    if key is not None:
        x = jnp.where(jax.random.bernoulli(key, 0.5, x.shape), 2 * x, 0)
    return x @ p["w4"] + p["b4"]


def _train_face() -> Step:
    x, labels, p = _normal(32, 112, 92, 1), _labels(40, 32), _face_parameters()
    zeros = jax.tree.map(jnp.zeros_like, p)

    def update(state: Any) -> Any:
        p, m, v, t, key = state
        key, drop = jax.random.split(key)
        g = jax.grad(lambda p: _cross_entropy(_face(p, x, drop), labels))(p)
        t = t + 1
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
        v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
        rate = 1e-3 * jnp.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        return jax.tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(v) + 1e-8), p, m, v), m, v, t, key

    compiled = jax.jit(update, donate_argnums=0)
    states = [(p, zeros, jax.tree.map(jnp.zeros_like, p), jnp.float32(0), jax.random.PRNGKey(0))]

    def step() -> None:
        states[0] = jax.block_until_ready(compiled(states[0]))

    return step


def _train_mlp() -> Step:
    x, labels = _normal(16, 16), _labels(16, 16)
    p = {name: _normal(16, 16, scale=0.25) for name in ("w0", "w1")} | {"b0": _normal(16), "b1": _normal(16)}

    def loss(p: Any) -> Any:
        hidden = jax.nn.relu(x @ p["w0"] + p["b0"])
        return _cross_entropy(hidden @ p["w1"] + p["b1"], labels)

    compiled = jax.jit(lambda p: jax.tree.map(lambda p, g: p - 0.01 * g, p, jax.grad(loss)(p)))
    states = [p]

    def step() -> None:
        states[0] = jax.block_until_ready(compiled(states[0]))

    return step


def _convolution(name: str, which: str) -> Step:
    c, o, h, w, k, stride, padding = CONVOLUTIONS[name]
    x, weight = _normal(32, h, w, c), _normal(k, k, c, o)
    if which == "forward":
        return _waits(lambda x, weight: _convolve(x, weight, stride, padding), x, weight)
    gy = _normal(*_convolve(x, weight, stride, padding).shape)
    if which == "input":
        return _waits(lambda x, gy: jax.vjp(lambda x: _convolve(x, weight, stride, padding), x)[1](gy), x, gy)
    return _waits(lambda weight, gy: jax.vjp(lambda w: _convolve(x, w, stride, padding), weight)[1](gy), weight, gy)


def _recurrent(kind: str) -> Step:
    gates = {"rnn": 1, "lstm": 4, "gru": 3}[kind]
    x = _normal(112, 32, 92)
    p = (_normal(92, gates * 128, scale=0.1), _normal(128, gates * 128, scale=0.1), _normal(gates * 128))
    zero = jnp.zeros((32, 128))

    def cell(p: Any, state: Any, a: Any) -> Any:
        _, u, b = p
        h = state[0]
        s = h @ u + b
        if kind == "rnn":
            h = jnp.tanh(a + s)
            return (h,), h
        if kind == "lstm":
            i, f, g, o = jnp.split(a + s, 4, 1)
            c = jax.nn.sigmoid(f) * state[1] + jax.nn.sigmoid(i) * jnp.tanh(g)
            h = jax.nn.sigmoid(o) * jnp.tanh(c)
            return (h, c), h
        r, z = jnp.split(jax.nn.sigmoid((a + s)[:, :256]), 2, 1)
        n = jnp.tanh(a[:, 256:] + r * s[:, 256:])
        h = (1 - z) * n + z * h
        return (h,), h

    def run(x: Any, p: Any) -> Any:
        start = (zero, zero) if kind == "lstm" else (zero,)
        return lax.scan(lambda state, a: cell(p, state, a), start, x @ p[0])[1]

    gy = _normal(112, 32, 128)
    return _waits(lambda x, p, gy: jax.vjp(run, x, p)[1](gy), x, p, gy)


def _cross_entropy_of_many() -> Step:
    return _waits(jax.grad(lambda x, labels: _cross_entropy(x, labels)), _normal(256, 10000), _labels(10000, 256))


def builders() -> dict[str, Callable[[], Step]]:
    """What JAX is asked, by name."""
    p = _face_parameters()
    found: dict[str, Callable[[], Step]] = {
        "face-cnn": _train_face,
        "face-cnn-infer-1": lambda: _waits(_face, p, _normal(1, 112, 92, 1)),
        "face-cnn-infer-32": lambda: _waits(_face, p, _normal(32, 112, 92, 1)),
        "mlp": _train_mlp,
        "softmax-xent": _cross_entropy_of_many,
    }
    for kind in ("rnn", "gru", "lstm"):
        found[kind] = lambda kind=kind: _recurrent(kind)  # type: ignore[misc]
    for name in CONVOLUTIONS:
        for which in PASSES:
            found[f"{name}-{which}"] = lambda name=name, which=which: _convolution(name, which)  # type: ignore[misc]
    return found
