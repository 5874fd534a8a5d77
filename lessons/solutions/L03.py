"""Exercises of L03: a cross-entropy that does not overflow, and its gradient."""

import minidl as dl
from minidl.teaching import Exercise, Wrong


def cross_entropy(o, c):
    m = o.max()
    return m + dl.log(dl.exp(o - m).sum()) - o[c]


def overflowing(o, c):
    p = dl.exp(o) / dl.exp(o).sum()
    return -dl.log(p[c])


def sum_overflowing(o, c):
    return dl.log(dl.exp(o).sum()) - o[c]


def binary_mean(o, c):
    p = dl.softmax(o, dim=0)
    y = dl.tensor([float(k == c) for k in range(len(o))])
    return -(y * dl.log(p) + (1 - y) * dl.log(1 - p)).mean()


def binary_sum(o, c):
    p = dl.softmax(o, dim=0)
    y = dl.tensor([float(k == c) for k in range(len(o))])
    return -(y * dl.log(p) + (1 - y) * dl.log(1 - p)).sum()


def label_instead(o, c):
    return dl.log(dl.tensor(float(o.argmax().item() == c))).neg()


def sign_forgotten(o, c):
    return dl.log_softmax(o, dim=0)[c]


def gradient(o, c):
    p = dl.softmax(o, dim=0)
    y = dl.tensor([float(k == c) for k in range(len(o))])
    return p - y


def turned(o, c):
    return -gradient(o, c)


def probabilities_only(o, c):
    return dl.softmax(o, dim=0)


def of_the_probability(o, c):
    p = dl.softmax(o, dim=0)
    return dl.tensor([-1 / p[k].item() if k == c else 0.0 for k in range(len(o))])


def cases():
    return [(dl.tensor(o), c) for o, c in (([2.0, 1.0, 0.0], 0), ([0.5, -1.0, 3.0, 0.0], 1))]


EXERCISES = (
    Exercise(
        "E03.1",
        "cross_entropy",
        cross_entropy,
        lambda: [*cases(), (dl.tensor([1000.0, 1001.0]), 0)],
        [
            Wrong(
                overflowing,
                "小分数都对，一千分时成了 nan：exp(1000) 装不下。softmax 不变的那一步在“一千分怎么办”里。",
                "Right for small scores, but a thousand gives nan: exp(1000) does not fit. The step that leaves softmax as it is "
                "stands under “A score of a thousand”.",
            ),
            Wrong(
                sum_overflowing,
                "公式对，小分数也对；一千分时 exp 成了无穷大，损失也跟着无穷。先减去最大的分数。",
                "The formula is right, and so are small scores; at a thousand exp is infinite, and the loss with it. Subtract the "
                "largest score first.",
            ),
            Wrong(
                binary_mean,
                "这是文章 001 的二元公式，用在 one-hot 上再取平均。多类时只看正确答案的概率。",
                "That is the binary formula of document 001, over the one-hot vector, averaged. With many classes only the "
                "probability of the right answer counts.",
                "001-F1",
            ),
            Wrong(
                binary_sum,
                "这是文章 001 的二元公式，用在 one-hot 上再求和。错误答案那几项不属于多类交叉熵。",
                "That is the binary formula of document 001, summed over the one-hot vector. The terms of the wrong answers do not "
                "belong to the cross-entropy of many classes.",
                "001-F1",
            ),
            Wrong(
                label_instead,
                "你把预测的标签代进了对数：答对得 0，答错得无穷大。代进去的应当是概率。",
                "You put the predicted label into the logarithm: 0 when right, infinite when wrong. It should be the probability.",
                "001-F1a",
            ),
            Wrong(
                sign_forgotten,
                "少了负号：概率的对数是负的，损失应当是正的。",
                "The minus is missing: logarithms of probabilities are negative, a loss is positive.",
            ),
        ],
    ),
    Exercise(
        "E03.2",
        "gradient",
        gradient,
        cases,
        [
            Wrong(turned, "符号反了：下降时要减去梯度，正确答案的分数应当升高，所以它的梯度是负的。",
                  "The sign is turned: descent subtracts the gradient, the right score should rise, so its gradient is negative."),
            Wrong(probabilities_only, "还没有用到正确答案：那里要减去 1。", "The right answer has not been used yet: subtract 1 there."),
            Wrong(of_the_probability, "这是对概率 p 的导数。还要再过一次 softmax，才到分数 o。",
                  "That is the derivative with respect to p. It still has to pass through the softmax to reach the scores o."),
        ],
    ),
)  # fmt: skip

EXPECTED = {
    "(p, L, o.grad)": ".6652 .2447 .0900 .4076 -.3348 .2447 .0900",
    "binary(0.8, 1.0)": ".3711",
    "(mse, guess.grad * 3)": ".5 -1 1 -2",
    "categorical": ".356675",
    "(article.mean(), article.sum())": ".228393 .685179",
    "dl.logsumexp(large, dim=0)": "1001.313262",
}
