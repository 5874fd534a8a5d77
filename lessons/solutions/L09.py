"""Exercises of L09: from the average to the heavy ball, and one step of momentum."""

from minidl.teaching import Exercise, Wrong


def heavy_rate(alpha, beta):
    return (1 - beta) * alpha


def divided(alpha, beta):
    return alpha / (1 - beta)


def unchanged(alpha, beta):
    return alpha


def multiplied(alpha, beta):
    return alpha * beta


def momentum_step(theta, v, g, alpha, beta):
    v = beta * v + (1 - beta) * g
    return theta - alpha * v, v


def heavy_step(theta, v, g, alpha, beta):
    v = beta * v + g
    return theta - alpha * v, v


def gradient_step(theta, v, g, alpha, beta):
    return theta - alpha * g, beta * v + (1 - beta) * g


def old_velocity(theta, v, g, alpha, beta):
    return theta - alpha * v, beta * v + (1 - beta) * g


def uphill(theta, v, g, alpha, beta):
    v = beta * v + (1 - beta) * g
    return theta + alpha * v, v


def weights_swapped(theta, v, g, alpha, beta):
    v = (1 - beta) * v + beta * g
    return theta - alpha * v, v


EXERCISES = (
    Exercise(
        "E09.1",
        "heavy_rate",
        heavy_rate,
        [(0.01, 0.9), (0.1, 0.5), (0.002, 0.99)],
        [
            Wrong(
                divided,
                "方向反了：重球的 v 比平均的大，学习率应当变大还是变小？",
                "The other way round: the heavy ball's v is larger than the average. Should the rate grow or shrink?",
            ),
            Wrong(
                unchanged,
                "同一个学习率，重球会快好几倍：比一比三个梯度等于一时的两个 v。",
                "With the same rate the heavy ball is several times as fast: compare the two v for three gradients of one.",
                "001-F4a",
            ),
            Wrong(
                multiplied,
                "β 接近一时，这几乎没有改变学习率；可重球的 v 那时最大。",
                "With β near one this hardly changes the rate, and yet the heavy ball's v is largest then.",
            ),
        ],
    ),
    Exercise(
        "E09.2",
        "momentum_step",
        momentum_step,
        [(1.0, 0.0, 2.0, 0.1, 0.9), (0.5, -1.0, 3.0, 0.01, 0.5), (-2.0, 0.25, -1.0, 0.2, 0.8)],
        [
            Wrong(
                heavy_step,
                "这是重球。文章的 v 是平均：新的梯度要乘上 (1−β)。",
                "That is the heavy ball. The document's v is an average: the new gradient is multiplied by (1−β).",
                "001-F4a",
            ),
            Wrong(
                gradient_step,
                "v 算了却没有用：更新要沿着 v 走。文章 3.2.3 节漏掉的正是这一行。",
                "You computed v but did not use it: the update goes along v. It is the line that section 3.2.3 of the document leaves out.",
                "001-F12",
            ),
            Wrong(
                old_velocity,
                "更新用的是旧的 v：先更新 v，再走。",
                "The update used the old v: first v, then the step.",
            ),
            Wrong(
                uphill,
                "符号反了：梯度指向损失增大的方向。",
                "The sign is turned: the gradient points to where the loss grows.",
            ),
            Wrong(
                weights_swapped,
                "β 和 1−β 换了位置：β 大，表示记得久。",
                "β and 1−β changed places: a large β means a long memory.",
            ),
        ],
    ),
)

EXPECTED = {
    "average[1:]": ".1 .19 .271",
    "heavy[1:]": "1 1.9 2.71",
    "document[-1]": "1e-6 .12041",
    "matched[-1]": "1e-6 .12041",
    "unmatched[-1]": "-1.7e-5 -4e-6",
}
