"""Exercises of L13: the states of a recurrent network, and its gradient through time."""

import math

import numpy as np

from minidl.teaching import Exercise, Wrong


def rnn_states(xs, h0, W_xh, W_hh, b):
    h, states = h0, []
    for x in xs:
        h = np.tanh(W_hh @ h + W_xh @ x + b)
        states.append(h)
    return np.array(states)


def without_memory(xs, h0, W_xh, W_hh, b):
    return np.array([np.tanh(W_hh @ h0 + W_xh @ x + b) for x in xs])


def never_squashed(xs, h0, W_xh, W_hh, b):
    h, states = h0, []
    for x in xs:
        h = W_hh @ h + W_xh @ x + b
        states.append(h)
    return np.array(states)


def rectified(xs, h0, W_xh, W_hh, b):
    h, states = h0, []
    for x in xs:
        h = np.maximum(W_hh @ h + W_xh @ x + b, 0)
        states.append(h)
    return np.array(states)


def bias_once(xs, h0, W_xh, W_hh, b):
    h, states = h0, []
    for t, x in enumerate(xs):
        h = np.tanh(W_hh @ h + W_xh @ x + (b if t == 0 else 0))
        states.append(h)
    return np.array(states)


def start_included(xs, h0, W_xh, W_hh, b):
    return np.array([h0, *rnn_states(xs, h0, W_xh, W_hh, b)])


def path(xs, h0, w, u):
    states = [h0]
    for x in xs:
        states.append(math.tanh(u * states[-1] + w * x))
    return states


def through_time(xs, h0, w, u):
    h, gradient, bar = path(xs, h0, w, u), 0.0, 1.0
    for t in range(len(xs), 0, -1):
        bar *= 1 - h[t] ** 2
        gradient += bar * h[t - 1]
        bar *= u
    return gradient


def last_step_only(xs, h0, w, u):
    h = path(xs, h0, w, u)
    return (1 - h[-1] ** 2) * h[-2]


def slope_forgotten(xs, h0, w, u):
    h, gradient, bar = path(xs, h0, w, u), 0.0, 1.0
    for t in range(len(xs), 0, -1):
        gradient += bar * h[t - 1]
        bar *= u
    return gradient


def first_step_only(xs, h0, w, u):
    h, bar = path(xs, h0, w, u), 1.0
    for t in range(len(xs), 1, -1):
        bar *= (1 - h[t] ** 2) * u
    return bar * (1 - h[1] ** 2) * h[0]


def not_carried(xs, h0, w, u):
    h = path(xs, h0, w, u)
    return sum((1 - h[t] ** 2) * h[t - 1] for t in range(1, len(xs) + 1))


def sequences():
    rng = np.random.default_rng(13)
    return [
        (
            rng.standard_normal((3, 1)),
            np.zeros(2),
            rng.standard_normal((2, 1)),
            rng.standard_normal((2, 2)),
            np.ones(2),
        ),
        (rng.standard_normal((4, 2)), np.ones(3) / 2, rng.standard_normal((3, 2)), np.eye(3) / 2, -np.ones(3)),
    ]


EXERCISES = (
    Exercise(
        "E13.1",
        "rnn_states",
        rnn_states,
        sequences,
        [
            Wrong(
                without_memory,
                "每一步都从 h₀ 出发，上一步的状态没有传下来。",
                "Every step starts from h₀; the state of the step before is not handed on.",
                "001-C8",
            ),
            Wrong(
                start_included,
                "多了一行：h₀ 是给定的，要的是从 h₁ 起的 T 个。",
                "One row too many: h₀ is given; asked for are the T states from h₁ on.",
            ),
            Wrong(
                never_squashed,
                "少了 tanh：没有它，所有的步合起来还是一个线性映射，而且会越来越大。",
                "The tanh is missing: without it all steps together are one linear map, and grow.",
            ),
            Wrong(
                rectified,
                "文章的程序里写了 relu，可是它自己的公式是 tanh。",
                "The program of the document has relu, but its own formula is a tanh.",
                "001-C8",
            ),
            Wrong(
                bias_once,
                "偏置和权重一样，每一步都要用。",
                "Like the weights, the bias is used in every step.",
            ),
        ],
    ),
    Exercise(
        "E13.2",
        "through_time",
        through_time,
        [([1.0, 0.5, -1.0], 0.3, 0.8, 0.6), ([0.2, -0.4], -0.5, 1.0, -0.9), ([1.0], 0.7, 0.5, 0.4)],
        [
            Wrong(
                last_step_only,
                "只算了最后一步。u 在每一步都用到，每一步都有贡献。",
                "That is the last step only. Every step uses u, and every step contributes.",
                "001-T19",
            ),
            Wrong(
                slope_forgotten,
                "tanh 的导数 1−h² 呢？每一步都要乘。",
                "What about the derivative of tanh, 1−h²? Each step multiplies by it.",
            ),
            Wrong(
                first_step_only,
                "只有第一步的贡献：路上每一步的 h_{t−1} 都要收进来。",
                "Only the first step contributes: collect the h_{t−1} of each step on the way.",
            ),
            Wrong(
                not_carried,
                "各步的贡献加了，可是梯度没有往回传：前面的状态通过后面的每一步影响 L，要乘 u (1−h²)。",
                "The contributions are added, but the gradient is not carried back: earlier states act on L through all later steps, "
                "each of which multiplies by u (1−h²).",
            ),
        ],
    ),
)

EXPECTED = {
    "seen[1]": ".7616 -.7616",
    "seen[2]": ".8038 -.5732",
    "seen[3]": "-.4021 .7313",
}
