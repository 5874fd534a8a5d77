"""Exercises of L04: the gradients of a dense layer, and flattening that keeps the samples apart."""

import numpy as np

from minidl.teaching import Exercise, Wrong


def linear_backward(X, W, gY):
    return gY @ W, gY.T @ X, gY.sum(0)


def weight_transposed(X, W, gY):
    return gY @ W, X.T @ gY, gY.sum(0)


def bias_averaged(X, W, gY):
    return gY @ W, gY.T @ X, gY.mean(0)


def bias_of_each_sample(X, W, gY):
    return gY @ W, gY.T @ X, gY


def weight_averaged(X, W, gY):
    return gY @ W, gY.T @ X / len(X), gY.sum(0)


def another_order(X, W, gY):
    return gY.T @ X, gY @ W, gY.sum(0)


def flattened(images):
    return images.reshape(len(images), -1)


def all_in_one_row(images):
    return images.flatten()


def channels_last(images):
    return images.transpose(0, 2, 3, 1).reshape(len(images), -1)


def samples_mixed(images):
    return images.reshape(-1, len(images)).T


def cases():
    rng = np.random.default_rng(4)
    return [
        (rng.standard_normal((4, 2)), rng.standard_normal((3, 2)), rng.standard_normal((4, 3))),
        (rng.standard_normal((3, 5)), rng.standard_normal((2, 5)), rng.standard_normal((3, 2))),
    ]


def batches():
    return [(np.arange(2 * 3 * 4 * 5.0).reshape(2, 3, 4, 5),), (np.arange(3 * 2 * 2 * 2.0).reshape(3, 2, 2, 2),)]


EXERCISES = (
    Exercise(
        "E04.1",
        "linear_backward",
        linear_backward,
        cases,
        [
            Wrong(
                weight_transposed,
                "W 的形状是 (out, in)，你的梯度是 (in, out)：梯度和它所属的东西形状相同。",
                "W has the shape (out, in), your gradient (in, out): a gradient has the shape of what it belongs to.",
                "002-F3",
            ),
            Wrong(
                another_order,
                "三个都对，次序不对：先是输入 X 的，再是 W 的，最后是 b 的。",
                "All three are right, in another order: first that of the input X, then of W, last of b.",
            ),
            Wrong(
                bias_averaged,
                "b 被每个样本用了一次，贡献是相加的。要平均，得由损失来平均。",
                "Every sample uses b once, and contributions add up. If anything is to be averaged, the loss does it.",
            ),
            Wrong(
                bias_of_each_sample,
                "b 只有一个，所有样本共用：它的梯度不该有批量轴。",
                "There is one b, shared by all samples: its gradient should have no batch axis.",
            ),
            Wrong(
                weight_averaged,
                "W 的梯度除以了 N：相加的贡献里没有这个除法，要平均得由损失来平均。",
                "You divided the gradient of W by N: adding contributions divides by nothing; if anything averages, it is the loss.",
            ),
        ],
    ),
    Exercise(
        "E04.2",
        "flattened",
        flattened,
        batches,
        [
            Wrong(
                all_in_one_row,
                "样本都并成一行了，批量轴没有了。文章 001 的程序错在同一处。",
                "All samples became one row; the batch axis is gone. The program of document 001 fails at the same place.",
                "001-C4",
            ),
            Wrong(
                channels_last,
                "形状对，次序变了：通道跑到最后去了。后面的权重会配错像素。",
                "The shape is right, the order is not: the channels went last. The weights behind would meet the wrong pixels.",
            ),
            Wrong(
                samples_mixed,
                "形状对，可是一行里混进了别的样本的像素：看看第一行的前几个数。",
                "The shape is right, but pixels of different samples share a row: look at the first numbers of the first row.",
            ),
        ],
    ),
)

EXPECTED = {
    "Y[0]": "-.9 4.5 1.9",
    "parameters": "2580",
}
