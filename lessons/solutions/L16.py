"""Exercises of L16: the candidate state, the new state, the number of parameters."""

import numpy as np

import minidl as dl
from minidl.teaching import Exercise, Wrong


def candidate_state(h, x, r, W_h):
    return dl.tanh(W_h @ dl.cat([r * h, x]))


def gate_on_everything(h, x, r, W_h):
    return dl.tanh(r * (W_h @ dl.cat([h, x])))


def reset_after(h, x, r, W_h):
    H = len(h)
    return dl.tanh(W_h[:, H:] @ x + r * (W_h[:, :H] @ h))


def no_gate(h, x, r, W_h):
    return dl.tanh(W_h @ dl.cat([h, x]))


def gate_turned(h, x, r, W_h):
    return dl.tanh(W_h @ dl.cat([(1 - r) * h, x]))


def sigmoid_instead(h, x, r, W_h):
    return dl.sigmoid(W_h @ dl.cat([r * h, x]))


def new_state(h, candidate, z):
    return (1 - z) * h + z * candidate


def swapped(h, candidate, z):
    return z * h + (1 - z) * candidate


def added(h, candidate, z):
    return h + z * candidate


def count(D, H):
    return 3 * (H * (H + D) + H)


def four_blocks(D, H):
    return 4 * (H * (H + D) + H)


def without_biases(D, H):
    return 3 * H * (H + D)


def two_biases(D, H):
    return 3 * (H * (H + D) + 2 * H)


def steps():
    """The memory, the input, the gate and the matrix of two steps."""
    rng = np.random.default_rng(16)
    found = [((0.5, -1.0), (1.0,), (0.31, 0.74), ((0.7, -0.2, 0.5), (-0.3, 0.9, 0.4)))]
    found.append(tuple(rng.uniform(0.1, 0.9, size) for size in ((3,), (2,), (3,), (3, 5))))
    return [tuple(dl.tensor(np.array(each)) for each in case) for case in found]


def mixtures():
    return [tuple(dl.tensor(each) for each in ([0.5, -1.0], [0.6391, -0.3033], [0.5374, 0.5744]))]


EXERCISES = (
    Exercise(
        "E16.1",
        "candidate_state",
        candidate_state,
        steps,
        [
            Wrong(
                gate_on_everything,
                "这是文章 004 的写法：门乘在整个和上，门一关，输入也没了。门该乘在哪一个量上？",
                "That is the formula of document 004: the gate multiplies the whole sum, and when it shuts the input is gone too. "
                "Which one quantity should the gate multiply?",
                "004-F3",
            ),
            Wrong(
                reset_after,
                "这是 PyTorch 的 reset after：公式没错，但题目要的是 Cho 等人的形式，先乘门，再乘矩阵。",
                "That is PyTorch's reset after: a right formula, but the exercise asks for the form of Cho et al., first the gate, "
                "then the matrix.",
            ),
            Wrong(no_gate, "还没有用到 r。", "r has not been used yet."),
            Wrong(
                gate_turned,
                "门反了：r = 1 的意思是旧记忆全看。",
                "The gate is turned: r = 1 means that all of the old memory is looked at.",
            ),
            Wrong(
                sigmoid_instead,
                "候选状态用 tanh：记忆可以是负的。",
                "A candidate takes tanh: a memory may be negative.",
            ),
        ],
    ),
    Exercise(
        "E16.2",
        "new_state",
        new_state,
        mixtures,
        [
            Wrong(
                swapped,
                "z 与 1−z 换了位置：这是 PyTorch 的约定。题目里 z 大表示写。",
                "z and 1−z are exchanged: that is PyTorch's convention. Here a large z means write.",
                "004-F4",
            ),
            Wrong(
                added,
                "旧记忆没有让位：应当是加权平均，两个权重加起来等于 1。",
                "The old memory does not make room: it should be a weighted mean, whose weights add up to 1.",
            ),
        ],
    ),
    Exercise(
        "E16.3",
        "count",
        count,
        [(1, 2), (192, 128)],
        [
            Wrong(four_blocks, "四块的是 LSTM。", "Four blocks make an LSTM."),
            Wrong(without_biases, "矩阵对了，偏置还没数。", "The matrices are right; count the biases too."),
            Wrong(
                two_biases,
                "PyTorch 每块存两个偏置向量，所以它报的数更大；公式里只有一个。",
                "PyTorch keeps two vectors of biases a block and reports more; the formula has one.",
            ),
        ],
    ),
)

EXPECTED = {
    "z": ".5374 .5744",
    "r": ".3100 .7408",
    "candidates['004']": ".3145 -.4474",
    "candidates['before']": ".6391 -.3033",
    "candidates['after']": ".5853 -.3608",
    "states['before']": ".5748 -.5998",
    "states['after']": ".5459 -.6328",
    "states['004']": ".4003 -.6826",
    "(cell('before', 'old', -1.0), cell('after', 'new', 1.0))": ".5748 -.5998 .5459 -.6328",
}
