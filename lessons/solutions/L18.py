"""Exercises of L18: the first principal direction, and Fisher's."""

import numpy as np

from minidl.teaching import Exercise, Wrong


def pointed(w):
    w = w / np.linalg.norm(w)
    return w if w.sum() > 0 else -w


def principal(X):
    return pointed(np.linalg.eigh(np.cov(X.T))[1][:, -1])


def uncentred(X):
    return pointed(np.linalg.eigh(X.T @ X)[1][:, -1])


def smallest(X):
    return pointed(np.linalg.eigh(np.cov(X.T))[1][:, 0])


def row_of_vectors(X):
    return pointed(np.linalg.eigh(np.cov(X.T))[1][-1])


def standardised(X):
    return pointed(np.linalg.eigh(np.corrcoef(X.T))[1][:, -1])


def other_sign(X):
    return -principal(X)


def scatter(X, y):
    return sum((X[y == k] - X[y == k].mean(0)).T @ (X[y == k] - X[y == k].mean(0)) for k in (0, 1))


def gap(X, y):
    return X[y == 1].mean(0) - X[y == 0].mean(0)


def unit(w):
    return w / np.linalg.norm(w)


def fisher_direction(X, y):
    return unit(np.linalg.solve(scatter(X, y), gap(X, y)))


def means_only(X, y):
    return unit(gap(X, y))


def not_inverted(X, y):
    return unit(scatter(X, y) @ gap(X, y))


def widest(X, y):
    return principal(X)


def not_of_length_one(X, y):
    return np.linalg.solve(scatter(X, y), gap(X, y))


def turned(X, y):
    return -fisher_direction(X, y)


def clouds():
    rng = np.random.default_rng(18)
    shape = np.array([[2.0, 0.3, 0.1], [0.0, 0.7, 0.2], [0.0, 0.0, 0.3]])
    return [(rng.standard_normal((20, 3)) @ shape + [0.0, 4.0, 1.0],), (rng.standard_normal((12, 3)) @ shape - 2.0,)]


def classes():
    rng = np.random.default_rng(19)
    y = np.repeat([0, 1], 10)
    X = rng.standard_normal((20, 3)) @ np.array([[1.5, 1.0, 0.0], [0.0, 0.5, 0.2], [0.0, 0.0, 0.4]])
    return [(X + np.outer(y, [0.3, -0.8, 0.5]), y), (X[:, :2] + np.outer(y, [1.0, 0.2]), y)]


EXERCISES = (
    Exercise(
        "E18.1",
        "principal",
        principal,
        clouds,
        [
            Wrong(
                uncentred,
                "先减去平均值：不然找到的方向指向平均值，而不是散得最开的方向。",
                "Subtract the mean first: otherwise the direction points at the mean and not along the spread.",
            ),
            Wrong(
                smallest,
                "eigh 从小到大排：你拿的是散得最少的方向。",
                "eigh sorts from small to large: that is the direction of the least spread.",
            ),
            Wrong(
                other_sign,
                "方向对，符号要取使各分量之和为正的那个。",
                "The direction is right; take the sign that makes the components add up to something positive.",
            ),
            Wrong(
                row_of_vectors,
                "特征向量是列，不是行。",
                "Eigenvectors are columns and not rows.",
            ),
            Wrong(
                standardised,
                "这是相关系数矩阵的方向：各个像素先除以标准差。PCA 用协方差。",
                "That belongs to the correlation matrix, with every pixel divided by its deviation. PCA takes the covariance.",
            ),
        ],
    ),
    Exercise(
        "E18.2",
        "fisher_direction",
        fisher_direction,
        classes,
        [
            Wrong(
                means_only,
                "连接两个平均值的方向没有看类内散得怎样：同类可能正是沿着它拉长的。",
                "The line between the means ignores the spread within: each class may be stretched along just that line.",
            ),
            Wrong(
                not_inverted,
                "应当避开类内散得开的方向，乘 S_W 反而偏向它：要用逆。",
                "Directions of large spread within should be avoided; multiplying by S_W prefers them. Use its inverse.",
            ),
            Wrong(
                widest,
                "这是 PCA：没有用到标签。",
                "That is PCA: labels were not used.",
                "003-T2",
            ),
            Wrong(
                not_of_length_one,
                "方向对，还没有化成长度一：除以 np.linalg.norm(w)。",
                "The direction is right, the length is not one yet: divide by np.linalg.norm(w).",
            ),
            Wrong(
                turned,
                "方向反了：从 m₀ 指向 m₁。",
                "It points the other way: from m₀ to m₁.",
            ),
        ],
    ),
)

EXPECTED = {
    "w_lda": "-.7071 .7071",
}
