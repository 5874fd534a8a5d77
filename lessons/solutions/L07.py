"""Exercises of L07: the gradient of max pooling, and the size of what comes out."""

import numpy as np

from minidl.teaching import Exercise, Wrong


def windows(x):
    m, n = x.shape[0] // 2, x.shape[1] // 2
    return np.asarray(x, float).reshape(m, 2, n, 2).transpose(0, 2, 1, 3).reshape(m, n, 4)


def joined(cells):
    m, n = cells.shape[:2]
    return cells.reshape(m, n, 2, 2).transpose(0, 2, 1, 3).reshape(2 * m, 2 * n)


def max_pool_backward(x, gy):
    cells = windows(x)
    chosen = np.arange(4) == cells.argmax(-1)[..., None]
    return joined(chosen * gy[..., None])


def shared_equally(x, gy):
    return joined(np.repeat(gy[..., None] / 4, 4, axis=-1))


def given_to_all(x, gy):
    return joined(np.repeat(gy[..., None], 4, axis=-1))


def both_of_a_tie(x, gy):
    cells = windows(x)
    return joined((cells == cells.max(-1, keepdims=True)) * gy[..., None])


def last_of_a_tie(x, gy):
    cells = windows(x)
    chosen = np.arange(4) == 3 - cells[..., ::-1].argmax(-1)[..., None]
    return joined(chosen * gy[..., None])


def times_the_value(x, gy):
    return max_pool_backward(x, gy) * x


def pooled_size(n, k, stride):
    return (n - k) // stride + 1


def plus_one_forgotten(n, k, stride):
    return (n - k) // stride


def stride_forgotten(n, k, stride):
    return n - k + 1


def divided(n, k, stride):
    return n // stride


def rounded_up(n, k, stride):
    return -(-(n - k) // stride) + 1


EXERCISES = (
    Exercise(
        "E07.1",
        "max_pool_backward",
        max_pool_backward,
        [
            (
                np.array([[1.0, 3.0, 2.0, 4.0], [5.0, 6.0, 1.0, 0.0], [7.0, 2.0, 9.0, 8.0], [1.0, 0.0, 3.0, 4.0]]),
                np.array([[1.0, 2.0], [3.0, 4.0]]),
            ),
            (np.array([[2.0, 2.0, -1.0, -3.0], [1.0, 2.0, -1.0, -1.0]]), np.array([[0.5, -2.0]])),
        ],
        [
            Wrong(
                shared_equally,
                "这是平均池化的回程。最大池化的结果只取决于窗口里的一个数。",
                "That is mean pooling backwards. The result of max pooling depends on one number of the window only.",
            ),
            Wrong(
                given_to_all,
                "窗口里其余的数动一点点，结果动不动？",
                "If one of the other numbers of the window moves a little, does the result move?",
            ),
            Wrong(
                both_of_a_tie,
                "平手时你给了不止一个，梯度的总和变大了：只给先遇到的。",
                "At a tie you gave to more than one, and the gradients add up to more than before: only the first gets it.",
            ),
            Wrong(
                last_of_a_tie,
                "平手时给的是后遇到的；约定是先遇到的（先行后列）。",
                "At a tie the last one got it; by convention it is the first, row by row.",
            ),
            Wrong(
                times_the_value,
                "y 就是那个数本身，局部导数是一，不用再乘它的值。",
                "y is that number itself, the local derivative is one; do not multiply by its value.",
            ),
        ],
    ),
    Exercise(
        "E07.2",
        "pooled_size",
        pooled_size,
        [(4, 2, 2), (7, 2, 2), (7, 3, 2), (8, 3, 2), (5, 3, 1), (6, 2, 3)],
        [
            Wrong(
                plus_one_forgotten,
                "数的是步数。窗口比步数多一个：不走的时候已经有一个了。",
                "That counts steps. There is one window more than steps: one is there before the first step.",
            ),
            Wrong(
                stride_forgotten,
                "步幅还没有用到：这是步幅为一时的个数。",
                "The stride has not been used: that is the number for a stride of one.",
            ),
            Wrong(
                divided,
                "只在窗口等于步幅时才对：窗口和步幅是两回事。",
                "Right only where window and stride are equal: they are two different things.",
            ),
            Wrong(
                rounded_up,
                "最后一个窗口伸到图外去了：装不下的不要，往下取整。",
                "The last window sticks out of the image: what does not fit is left out, so round down.",
            ),
        ],
    ),
)

EXPECTED = {
    "both['max'][0, 0]": "6 4 7 9",
    "both['mean'][0, 0]": "3.75 1.75 2.5 6",
    "counts": "0 5",
}
