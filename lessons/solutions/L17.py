"""Exercises of L17: attention, and the code of a position."""

import numpy as np

from minidl.teaching import Exercise, Wrong


def softmax(s, axis=-1):
    e = np.exp(s - s.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def attention(Q, K, V):
    return softmax(Q @ K.T / np.sqrt(Q.shape[1])) @ V


def over_queries(Q, K, V):
    return softmax(Q @ K.T / np.sqrt(Q.shape[1]), 0) @ V


def unscaled(Q, K, V):
    return softmax(Q @ K.T) @ V


def divided_by_d(Q, K, V):
    return softmax(Q @ K.T / Q.shape[1]) @ V


def always_one(Q, K, V):
    s = (Q * K).sum(1, keepdims=True)
    return softmax(s) * V


def divided_by_tokens(Q, K, V):
    return softmax(Q @ K.T / np.sqrt(len(Q))) @ V


def sums_laid_across(Q, K, V):
    e = np.exp(Q @ K.T / np.sqrt(Q.shape[1]))
    return e / e.sum(1) @ V


def raw_scores(Q, K, V):
    return Q @ K.T / np.sqrt(Q.shape[1]) @ V


def keys_and_queries_swapped(Q, K, V):
    return softmax(K @ Q.T / np.sqrt(Q.shape[1])) @ V


def encode(t, d):
    angles = t / 10000 ** (np.arange(0, d, 2) / d)
    return np.stack([np.sin(angles), np.cos(angles)], 1).ravel()


def halves(t, d):
    angles = t / 10000 ** (np.arange(0, d, 2) / d)
    return np.concatenate([np.sin(angles), np.cos(angles)])


def own_angle_each(t, d):
    angles = t / 10000 ** (np.arange(d) / d)
    return np.where(np.arange(d) % 2 == 0, np.sin(angles), np.cos(angles))


def half_the_exponent(t, d):
    angles = t / 10000 ** (np.arange(d // 2) / d)
    return np.stack([np.sin(angles), np.cos(angles)], 1).ravel()


def just_the_number(t, d):
    return np.full(d, float(t))


def cases():
    rng = np.random.default_rng(17)
    three = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    return [
        (three, three, np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])),
        (rng.standard_normal((4, 5)), rng.standard_normal((4, 5)), rng.standard_normal((4, 3))),
    ]


EXERCISES = (
    Exercise(
        "E17.1",
        "attention",
        attention,
        cases,
        [
            Wrong(
                over_queries,
                "轴错了：每个查询的权重要加起来等于一，也就是沿着行。",
                "The axis: the weights of each query have to add up to one, that is along the rows.",
            ),
            Wrong(
                always_one,
                "这和文章 003 一样：softmax 在长度为一的轴上，每个权重都是一，输出就是 V 自己。",
                "As in document 003: a softmax along an axis of length one; every weight is one, and the output is V itself.",
                "003-C5a",
            ),
            Wrong(
                unscaled,
                "少了 √d：键一长，分数就大，softmax 只看一个。",
                "The √d is missing: with long keys the scores grow, and softmax looks at one only.",
            ),
            Wrong(
                divided_by_d,
                "内积的方差是 d，标准差是 √d：除以标准差。",
                "The variance of the inner product is d, its standard deviation √d: divide by the latter.",
            ),
            Wrong(
                divided_by_tokens,
                "除错了数：d 是键的长度，也就是列数，不是词的个数。",
                "The wrong number: d is the length of a key, the number of columns, and not that of tokens.",
            ),
            Wrong(
                sums_laid_across,
                "每行的和除到列上去了：求和时要 keepdims=True，或者写 e.sum(1)[:, None]。",
                "The sums of the rows divide the columns: sum with keepdims=True, or write e.sum(1)[:, None].",
            ),
            Wrong(
                raw_scores,
                "分数可以是负的，加起来也不等于一：要先变成权重。",
                "Scores may be negative and add up to anything: make weights of them first.",
                "003-T20",
            ),
            Wrong(
                keys_and_queries_swapped,
                "查询和键换了位置：第 i 行应当是第 i 个查询对所有键的分数。",
                "Queries and keys changed places: row i should hold the scores of query i with all keys.",
            ),
        ],
    ),
    Exercise(
        "E17.2",
        "encode",
        encode,
        [(1.0, 4), (5.0, 4), (3.0, 6)],
        [
            Wrong(
                halves,
                "正弦和余弦要交替，一对共用一个角：sin, cos, sin, cos。",
                "Sine and cosine come in turn, a pair to an angle: sin, cos, sin, cos.",
            ),
            Wrong(
                own_angle_each,
                "一对共用一个角：指数里是 2i/d，余弦那个也用 2i。",
                "A pair shares its angle: the exponent is 2i/d, for the cosine 2i as well.",
            ),
            Wrong(
                half_the_exponent,
                "指数差了一倍：公式里是 2i/d，i 从 0 数到 d/2−1。",
                "The exponent is half of what it should be: 2i/d in the formula, with i from 0 to d/2−1.",
            ),
            Wrong(
                just_the_number,
                "位置的编号不是编码：要一个向量，各个分量转得快慢不同。",
                "The number of the position is no code: it takes a vector whose parts turn at different speeds.",
                "003-T22",
            ),
        ],
    ),
)

EXPECTED = {
    "A[0]": ".4011 .1978 .4011",
    "Y[0]": "3 4",
    "pe_1": ".8415 .5403 .0100 1.0000",
}
