"""Exercises of L21: the answer of an open-set recognizer, and the threshold for a share of false alarms."""

import numpy as np

from minidl.teaching import Exercise, Wrong


def decide(similarities, names, threshold):
    best = max(range(len(names)), key=lambda i: similarities[i])
    return names[best] if similarities[best] >= threshold else None


def always_somebody(similarities, names, threshold):
    return names[max(range(len(names)), key=lambda i: similarities[i])]


def first_above(similarities, names, threshold):
    return next((name for s, name in zip(similarities, names) if s >= threshold), None)


def least_similar(similarities, names, threshold):
    best = min(range(len(names)), key=lambda i: similarities[i])
    return names[best] if similarities[best] <= threshold else None


def strictly_above(similarities, names, threshold):
    best = max(range(len(names)), key=lambda i: similarities[i])
    return names[best] if similarities[best] > threshold else None


def threshold_for(impostors, far):
    falling = sorted(impostors, reverse=True)
    return falling[int(far * len(falling) + 1e-9)]


def from_the_wrong_end(impostors, far):
    return sorted(impostors)[int(far * len(impostors) + 1e-9)]


def highest(impostors, far):
    return max(impostors)


def average(impostors, far):
    return sum(impostors) / len(impostors)


def quantile(impostors, far):
    return float(np.quantile(impostors, 1 - far))


def one_too_many(impostors, far):
    falling = sorted(impostors, reverse=True)
    return falling[min(int(far * len(falling) + 1e-9) + 1, len(falling) - 1)]


NAMES = ["ann", "ann", "bob", "cleo"]
STRANGERS = [0.31, 0.72, 0.55, 0.12, 0.48, 0.9, 0.66, 0.27, 0.4, 0.61]

EXERCISES = (
    Exercise(
        "E21.1",
        "decide",
        decide,
        [
            ([0.9, 0.7, 0.95, 0.2], NAMES, 0.8),
            ([0.5, 0.7, 0.6, 0.2], NAMES, 0.8),
            ([0.1, 0.2, 0.3, 0.8], NAMES, 0.8),
            ([0.85, 0.81, 0.2, 0.84], NAMES, 0.8),
        ],
        [
            Wrong(
                always_somebody,
                "没有用到阈值：名单之外的人也被叫了一个名字。",
                "The threshold was not used: somebody who is not on the list was given a name.",
            ),
            Wrong(
                first_above,
                "第一个过阈值的未必是最像的。",
                "The first above the threshold need not be the most similar.",
            ),
            Wrong(
                least_similar,
                "相似度越大越像；你按距离来用了。",
                "A larger similarity is more alike; you used it as a distance.",
            ),
            Wrong(
                strictly_above,
                "等于阈值也算认识。",
                "Equal to the threshold counts as known.",
            ),
        ],
    ),
    Exercise(
        "E21.2",
        "threshold_for",
        threshold_for,
        [(STRANGERS, 0.1), (STRANGERS, 0.0), (STRANGERS, 0.35)],
        [
            Wrong(
                from_the_wrong_end,
                "从小的一头数起了：高于它的陌生人太多。",
                "Counted from the small end: far too many strangers lie above it.",
            ),
            Wrong(
                highest,
                "这样一个陌生人也不放过，可是允许放过一些；阈值高了，熟人也被拒。",
                "That admits no stranger at all, though some are allowed; and a high threshold refuses acquaintances.",
            ),
            Wrong(
                average,
                "平均值和要求的比例没有关系：大约一半的陌生人在它之上。",
                "The mean has nothing to do with the share that is allowed: about half of the strangers lie above it.",
            ),
            Wrong(
                quantile,
                "这是插值出来的分位数，落在两个相似度之间；要的是 impostors 里的一个，而且越小越好。",
                "That is an interpolated quantile, between two of the similarities; asked for is one of them, and the smallest that will do.",
            ),
            Wrong(
                one_too_many,
                "多放了一个：数一数严格大于阈值的有几个。",
                "One too many: count how many are strictly above the threshold.",
            ),
        ],
    ),
)

EXPECTED = {
    "int(exam.sum())": "16",
}
