"""Exercises of L15: one step of an LSTM, and how long a memory lasts."""

import math

import numpy as np

from minidl.teaching import Exercise, Wrong


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def parts(a):
    i, f, g, o = np.split(np.asarray(a, float), 4)
    return i, f, g, o


def lstm_step(a, c):
    i, f, g, o = parts(a)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def gates_swapped(a, c):
    i, f, g, o = parts(a)
    c = sigmoid(i) * c + sigmoid(f) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def like_a_gru(a, c):
    i, _, g, o = parts(a)
    c = (1 - sigmoid(i)) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def memory_shown_raw(a, c):
    i, f, g, o = parts(a)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * c, c


def other_order(a, c):
    i, f, o, g = parts(a)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def content_gated_by_sigmoid(a, c):
    i, f, g, o = parts(a)
    c = sigmoid(f) * c + sigmoid(i) * sigmoid(g)
    return sigmoid(o) * np.tanh(c), c


def memory_first(a, c):
    return lstm_step(a, c)[::-1]


def kept(b, T):
    return (1 / (1 + math.exp(-b))) ** T


def once(b, T):
    return 1 / (1 + math.exp(-b))


def bias_as_factor(b, T):
    return b**T


def forgotten(b, T):
    return (1 - 1 / (1 + math.exp(-b))) ** T


def linear_loss(b, T):
    return 1 - T * (1 - 1 / (1 + math.exp(-b)))


EXERCISES = (
    Exercise(
        "E15.1",
        "lstm_step",
        lstm_step,
        [
            (np.array([0.7, 1.05, -0.25, 0.6]), np.array([0.8])),
            (np.array([1.0, -2.0, 0.5, 3.0, -1.0, 2.0, 0.0, -0.5]), np.array([0.3, -1.5])),
        ],
        [
            Wrong(
                gates_swapped,
                "乘在旧记忆上的是遗忘门，乘在新内容上的是输入门。",
                "The old memory is multiplied by the forget gate, the new content by the input gate.",
            ),
            Wrong(
                like_a_gru,
                "这是 GRU 的办法：一道门分给新旧。LSTM 的遗忘门是另外算的。",
                "That is the way of the GRU, one gate for both. The forget gate of an LSTM is computed on its own.",
                "003-T16",
            ),
            Wrong(
                memory_shown_raw,
                "h 少了 tanh：记忆可以比一大，给外面看之前要压一压。",
                "h lacks its tanh: a memory may be larger than one and is squeezed before it is shown.",
            ),
            Wrong(
                memory_first,
                "两个都对，次序反了：先 h，后 c。",
                "Both are right, in the other order: first h, then c.",
            ),
            Wrong(
                other_order,
                "后两段的次序是 g, o。",
                "The order of the last two parts is g, o.",
            ),
            Wrong(
                content_gated_by_sigmoid,
                "g 是内容，不是门：它要能取负值，用 tanh。",
                "g is content and no gate: it has to be able to be negative, hence tanh.",
            ),
        ],
    ),
    Exercise(
        "E15.2",
        "kept",
        kept,
        [(0.0, 1), (1.0, 30), (3.0, 30), (-1.0, 2)],
        [
            Wrong(once, "这是一步之后的。每一步都要再乘一次。", "That is after one step. Each step multiplies again."),
            Wrong(
                bias_as_factor,
                "门是 σ(b)，不是 b：它总在零与一之间。",
                "The gate is σ(b) and not b: it always lies between zero and one.",
            ),
            Wrong(
                forgotten,
                "这是忘掉的部分的乘积：遗忘门说的是留下几分。",
                "That multiplies what is forgotten: the forget gate says how much stays.",
            ),
            Wrong(
                linear_loss,
                "每一步忘的是剩下的一部分，不是原来的一部分：所以是乘方。",
                "Each step forgets a part of what is left and not of the original: hence a power.",
            ),
        ],
    ),
)

EXPECTED = {
    "(i, f, o, g)": ".6682 .7408 .6457 -.2449",
    "(c_t, h_t)": ".4290 .2611",
}
