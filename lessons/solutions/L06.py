"""Exercises of L06: the sliding window, the size of its output, its gradient."""

import numpy as np

from minidl.teaching import Exercise, Wrong


def correlate(x, w):
    (H, W), (K, L) = x.shape, w.shape
    y = np.zeros((H - K + 1, W - L + 1))
    for i in range(H - K + 1):
        for j in range(W - L + 1):
            y[i, j] = (x[i : i + K, j : j + L] * w).sum()
    return y


def flipped(x, w):
    return correlate(x, w[::-1, ::-1])


def updated_in_the_scan(x, w):
    (H, W), (K, L) = x.shape, w.shape
    w = w.copy()
    y = np.zeros((H - K + 1, W - L + 1))
    for i in range(H - K + 1):
        for j in range(W - L + 1):
            y[i, j] = (x[i : i + K, j : j + L] * w).sum()
            w -= 0.01 * x[i : i + K, j : j + L]
    return y


def last_window_forgotten(x, w):
    return correlate(x, w)[:-1, :-1]


def averaged(x, w):
    return correlate(x, w) / w.size


def rows_and_columns_exchanged(x, w):
    return correlate(x, w.T)


def side(H, K, S, P):
    return (H + 2 * P - K) // S + 1


def without_the_one(H, K, S, P):
    return (H + 2 * P - K) // S


def stride_forgotten(H, K, S, P):
    return H + 2 * P - K + 1


def kernel_forgotten(H, K, S, P):
    return (H + 2 * P) // S


def padded_once(H, K, S, P):
    return (H + P - K) // S + 1


def not_rounded(H, K, S, P):
    return (H + 2 * P - K) / S + 1


def input_gradient(g, w):
    K, L = w.shape
    padded = np.pad(g, ((K - 1, K - 1), (L - 1, L - 1)))
    return correlate(padded, w[::-1, ::-1])


def not_flipped(g, w):
    K, L = w.shape
    padded = np.pad(g, ((K - 1, K - 1), (L - 1, L - 1)))
    return correlate(padded, w)


def not_padded(g, w):
    return correlate(g, w[::-1, ::-1])


def images():
    rng = np.random.default_rng(6)
    small = (np.arange(1.0, 10.0).reshape(3, 3), np.array([[1.0, 2.0], [3.0, 4.0]]))
    return [small, (rng.normal(size=(6, 5)), rng.normal(size=(3, 2)))]


def gradients():
    rng = np.random.default_rng(7)
    small = (np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[1.0, 2.0], [3.0, 4.0]]))
    return [small, (rng.normal(size=(4, 3)), rng.normal(size=(2, 3)))]


EXERCISES = (
    Exercise(
        "E06.1",
        "correlate",
        correlate,
        images,
        [
            Wrong(
                flipped,
                "你把核转了半圈：那是数学家的卷积。这里要的是互相关，核不转。",
                "You turned the kernel by half a circle: the convolution of mathematics. Asked for is cross-correlation, not turned.",
            ),
            Wrong(
                last_window_forgotten,
                "少了最后一行和最后一列：一共有 H−K+1 个位置。",
                "The last row and the last column are missing: there are H−K+1 places.",
            ),
            Wrong(averaged, "是求和，不是平均。", "It is a sum, not a mean."),
            Wrong(
                updated_in_the_scan,
                "第一个数对，后面的不对：扫描途中核变了。文章 001 的“更新卷积核”不属于扫描，整张图用同一个核。",
                "The first number is right and the others are not: the kernel changed during the scan. Document 001's “update the "
                "kernel” does not belong there; one kernel serves the whole image.",
                "001-T16",
            ),
            Wrong(
                rows_and_columns_exchanged,
                "核的行与列换了位置。",
                "Rows and columns of the kernel are exchanged.",
            ),
        ],
    ),
    Exercise(
        "E06.2",
        "side",
        side,
        [(128, 3, 1, 0), (5, 3, 2, 1), (6, 3, 2, 0), (224, 7, 2, 3)],
        [
            Wrong(
                without_the_one,
                "窗口一步不走时就已经有一个输出：还要加 1。",
                "Before the window moves at all there is one output: add 1.",
            ),
            Wrong(
                stride_forgotten,
                "步幅还没有用到：每次走 S 格，位置就少到大约 S 分之一。",
                "The stride has not been used: moving by S leaves about one place in S.",
            ),
            Wrong(
                kernel_forgotten,
                "窗口有 K 格宽，走到右边缘就得停：还没有用到 K。",
                "The window is K wide and has to stop at the right edge: K has not been used yet.",
            ),
            Wrong(padded_once, "填充在两边都有：是 2P。", "The padding is on both sides: 2P."),
            Wrong(
                not_rounded,
                "不满一步的那一截走不了：向下取整。",
                "What is left over is too short for another step: round down.",
            ),
        ],
    ),
    Exercise(
        "E06.3",
        "input_gradient",
        input_gradient,
        gradients,
        [
            Wrong(
                not_flipped,
                "大小对，核的方向不对：像素在窗口的右下角时，乘的是核的右下格；从像素的角度看，核是倒着走来的。",
                "The size is right, the kernel points the wrong way: seen from a pixel, the windows come with their last cell first.",
            ),
            Wrong(
                not_padded,
                "太小了：x̄ 应当和 x 一样大。边上的像素也进过窗口，所以 ȳ 四周要补 K−1 圈零。",
                "Too small: x̄ is as large as x. Pixels at the edge were in a window, too, so ȳ needs K−1 rings of zeros.",
            ),
        ],
    ),
)

EXPECTED = {
    "plain": "37 47 67 77",
    "turned": "23 33 53 63",
    "x.grad": "1 4 4 6 20 16 9 24 16",
    "w.grad": "37 47 67 77",
}
