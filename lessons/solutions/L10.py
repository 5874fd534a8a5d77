"""Exercises of L10: one step of Adam, one of AdaGrad."""

import math

from minidl.teaching import Exercise, Wrong


def adam_step(theta, m, v, t, g, alpha, beta1, beta2, eps):
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    step = (m / (1 - beta1**t)) / (math.sqrt(v / (1 - beta2**t)) + eps)
    return theta - alpha * step, m, v


def uncorrected(theta, m, v, t, g, alpha, beta1, beta2, eps):
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    return theta - alpha * m / (math.sqrt(v) + eps), m, v


def decayed(theta, m, v, t, g, alpha, beta1, beta2, eps):
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    return theta - g / math.sqrt(1 + eps * t), m, v


def no_root(theta, m, v, t, g, alpha, beta1, beta2, eps):
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    return theta - alpha * (m / (1 - beta1**t)) / (v / (1 - beta2**t) + eps), m, v


def corrected_kept(theta, m, v, t, g, alpha, beta1, beta2, eps):
    m = (beta1 * m + (1 - beta1) * g) / (1 - beta1**t)
    v = (beta2 * v + (1 - beta2) * g * g) / (1 - beta2**t)
    return theta - alpha * m / (math.sqrt(v) + eps), m, v


def gradient_not_squared(theta, m, v, t, g, alpha, beta1, beta2, eps):
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * abs(g)
    return theta - alpha * (m / (1 - beta1**t)) / (math.sqrt(v / (1 - beta2**t)) + eps), m, v


def adagrad_step(theta, G, g, alpha, eps):
    G = G + g * g
    return theta - alpha * g / (math.sqrt(G) + eps), G


def old_sum(theta, G, g, alpha, eps):
    return theta - alpha * g / (math.sqrt(G) + eps), G + g * g


def forgetful(theta, G, g, alpha, eps):
    return theta - alpha * g / (math.sqrt(g * g) + eps), g * g


def gradients_added(theta, G, g, alpha, eps):
    G = G + abs(g)
    return theta - alpha * g / (math.sqrt(G) + eps), G


def eps_in_the_root(theta, G, g, alpha, eps):
    G = G + g * g
    return theta - alpha * g / math.sqrt(G + eps), G


ADAM = [
    (0.0, 0.0, 0.0, 1, 0.1, 0.001, 0.9, 0.999, 1e-8),
    (1.0, 0.5, 0.25, 3, -10.0, 0.01, 0.9, 0.999, 1e-8),
    (-2.0, 0.1, 4.0, 10, 0.3, 0.1, 0.8, 0.9, 1e-3),
]

EXERCISES = (
    Exercise(
        "E10.1",
        "adam_step",
        adam_step,
        ADAM,
        [
            Wrong(
                uncorrected,
                "第一步的步长是 α 的三倍多：m 和 v 从零开始，头几步的平均偏小，要除以 1−βᵗ。",
                "The first step is more than three times α: m and v start from zero, so the first averages are too small; divide by 1−βᵗ.",
            ),
            Wrong(
                decayed,
                "这是文章 001 的公式：一个只随时间衰减的数，m 和 v 都没有用上。",
                "That is the formula of document 001: one number that decays with time; neither m nor v is used.",
                "001-F5",
            ),
            Wrong(
                no_root,
                "v 是平方的平均：除以它的根，步长才与梯度的大小无关。",
                "v is an average of squares: divide by its root, or the step depends on the size of the gradient.",
            ),
            Wrong(
                corrected_kept,
                "修正过的只在这一步里用；留到下一步的应是没有修正的 m 和 v。",
                "The corrected values are for this step only; what is kept are m and v without the correction.",
            ),
            Wrong(
                gradient_not_squared,
                "v 平均的是 g 的平方，不是绝对值。",
                "v averages the square of g and not its absolute value.",
            ),
        ],
    ),
    Exercise(
        "E10.2",
        "adagrad_step",
        adagrad_step,
        [(1.0, 0.0, 2.0, 0.1, 1e-2), (0.5, 3.0, -0.5, 0.1, 1e-2), (0.0, 9.0, 4.0, 1.0, 1e-2)],
        [
            Wrong(
                old_sum,
                "先把这一步的平方加进 G，再走：不然第一步就除以零。",
                "First add this step's square to G, then step: otherwise the first step divides by zero.",
            ),
            Wrong(
                eps_in_the_root,
                "ε 加在了根号里面；公式里它在根号外面。",
                "You added ε inside the root; in the formula it stands outside.",
            ),
            Wrong(
                forgetful,
                "旧的都忘了：AdaGrad 把平方一直累积下去。",
                "The past is forgotten: AdaGrad goes on adding up squares.",
            ),
            Wrong(
                gradients_added,
                "累积的是平方，不是绝对值：看看它的根的单位。",
                "Squares are added up and not absolute values: look at the unit of the root.",
            ),
        ],
    ),
)

EXPECTED = {
    "first": "-.001 .001",
    "rates[100]": ".7071",
}
