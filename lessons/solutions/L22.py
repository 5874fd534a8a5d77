"""Exercises of L22: the strides of the windows, the best tile for a number of registers, a filter made ready for Winograd."""

import numpy as np

from minidl.teaching import Exercise, Wrong


def window_strides(x, S):
    plane, down, right = x.strides
    return plane, down, right, S * down, S * right


def step_forgotten(x, S):
    plane, down, right = x.strides
    return plane, down, right, down, right


def step_inside(x, S):
    plane, down, right = x.strides
    return plane, S * down, S * right, down, right


def places_first(x, S):
    plane, down, right = x.strides
    return S * down, S * right, plane, down, right


def in_numbers(x, S):
    return tuple(stride // x.itemsize for stride in window_strides(x, S))


def from_the_shape(x, S):
    _, H, W = x.shape
    size = x.itemsize
    return H * W * size, W * size, size, S * W * size, S * size


def best(registers, used, cost):
    shapes = [(r, v) for r in range(1, registers + 1) for v in range(1, registers + 1) if used(r, v) <= registers]
    return min(shapes, key=lambda shape: cost(*shape))


def loads(r, v):
    return (r + v) / (r * v)


def best_tile(registers):
    shapes = [
        (rows, vectors)
        for vectors in range(1, registers)
        for rows in range(1, registers)
        if rows * vectors + vectors + 1 <= registers
    ]
    return min(shapes, key=lambda shape: (shape[0] + shape[1]) / (shape[0] * shape[1]))


def sums_alone(registers):
    return best(registers, lambda r, v: r * v, loads)


def splat_forgotten(registers):
    return best(registers, lambda r, v: r * v + v, loads)


def vectors_forgotten(registers):
    return best(registers, lambda r, v: r * v + 1, loads)


def all_numbers_kept(registers):
    return best(registers, lambda r, v: r * v + v + r, loads)


def most_sums(registers):
    return best(registers, lambda r, v: r * v + v + 1, lambda r, v: -r * v)


def fewest_loads(registers):
    return best(registers, lambda r, v: r * v + v + 1, lambda r, v: r + v)


def shape_and_registers(answer, registers):
    """The shape, of two equally good ones either, and whether it fits."""
    found = answer(registers)
    if found is None:
        return None
    rows, vectors = found
    return max(rows, vectors), min(rows, vectors), bool(rows * vectors + vectors + 1 <= registers)


def transformed(g):
    def along(a, b, c):
        return np.stack([a, (a + b + c) / 2, (a - b + c) / 2, c])

    return along(*along(*g).T).T


def with_matrix(g, G):
    return G @ g @ G.T


def halves_forgotten(g):
    return with_matrix(g, np.array([[1.0, 0, 0], [1, 1, 1], [1, -1, 1], [0, 0, 1]]))


def halved_once(g):
    G = np.array([[1.0, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
    return G @ g @ (G * [[1.0], [2], [2], [1]]).T


def sign_forgotten(g):
    return with_matrix(g, np.array([[1.0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0.5], [0, 0, 1]]))


def one_direction(g):
    return np.array([[1.0, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]]) @ g


def turned(g):
    return transformed(g[::-1, ::-1])


def images():
    """Whole arrays, and ones of which every second column or row is looked at."""
    return [
        (np.zeros((2, 6, 5)), 1),
        (np.zeros((3, 7, 9), np.float32), 2),
        (np.zeros((2, 6, 10), np.float32)[:, :, ::2], 1),
        (np.zeros((2, 12, 8))[:, ::2], 3),
    ]


def filters():
    sobel = np.array([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]])
    return [(sobel,), (np.random.default_rng(22).standard_normal((3, 3)),)]


EXERCISES = (
    Exercise(
        "E22.1",
        "window_strides",
        window_strides,
        images,
        [
            Wrong(
                step_forgotten,
                "步幅 S 还没有用到：输出走一格，窗口在图上走 S 格。",
                "S has not been used: one place further in the output is S pixels further in the image.",
            ),
            Wrong(
                step_inside,
                "S 用错了轴：这样窗口里的数彼此隔开了（那是空洞卷积），窗口之间却只隔一格。",
                "S is on the wrong axes: now the numbers inside a window lie apart (a dilated convolution), and the windows do not.",
            ),
            Wrong(
                places_first,
                "五个数都对，次序不对：先是窗口里的三根轴 C、K、K，再是窗口的位置。",
                "The five numbers are right, their order is not: first the three axes within a window, C, K, K, then its place.",
            ),
            Wrong(
                in_numbers,
                "NumPy 的步距按字节数，不按元素数。",
                "NumPy counts strides in bytes, not in elements.",
            ),
            Wrong(
                from_the_shape,
                "数组连续时这是对的。可 x 也许是另一个数组里隔行、隔列取出来的：它自己知道下一个数有多远。",
                "Right as long as the array is contiguous. But x may be every second row or column of another array: it knows itself how "
                "far away the next number is.",
            ),
        ],
    ),
    Exercise(
        "E22.2",
        "best_tile",
        best_tile,
        [(16,), (32,), (64,), (8,)],
        [
            Wrong(
                sums_alone,
                "和占满了所有的寄存器，读来的向量与铺开的数就没有地方放了。",
                "The sums take all registers, and nothing is left for what is loaded: vectors, and a number spread over a register.",
            ),
            Wrong(
                splat_forgotten,
                "和与读来的向量都算了；那个要铺满一个寄存器的数呢？",
                "Sums and loaded vectors are counted; and the number that is spread over a register?",
            ),
            Wrong(
                vectors_forgotten,
                "同一行 B 的几个向量要供所有的行用，一直占着寄存器：把它们也算上。",
                "The vectors of a row of B serve all rows of the tile and stay in their registers meanwhile: count them.",
            ),
            Wrong(
                all_numbers_kept,
                "A 的数用完就扔，下一个可以放在同一个寄存器里：不必每行留一个。",
                "A number of A is done with after its row, and the next can take its register: there is no need for one a row.",
            ),
            Wrong(
                most_sums,
                "这是和最多的形状。和多不是目的：要的是每次乘加读得最少，太瘦的小块读得多。",
                "That is the shape with the most sums. They are not the aim: a multiply-add should load as little as possible, and thin "
                "tiles load much.",
            ),
            Wrong(
                fewest_loads,
                "读得少，算得更少：要比的是每次乘加读几次，即 (r+v)/(rv)。",
                "It loads little and computes less: compare loads for each multiply-add, (r+v)/(rv).",
            ),
        ],
        call=shape_and_registers,
    ),
    Exercise(
        "E22.3",
        "transformed",
        transformed,
        filters,
        [
            Wrong(
                halves_forgotten,
                "中间两行忘了除以二：用全是 1 的卷积核试一试，G 应当给出 (1, 3/2, 1/2, 1)。",
                "The middle rows want halves: try a filter of ones, for which G gives (1, 3/2, 1/2, 1).",
            ),
            Wrong(
                halved_once,
                "只有一个方向除了二：行和列都要经过同一个 G。",
                "The halves are there in one direction only: rows and columns pass through the same G.",
            ),
            Wrong(
                sign_forgotten,
                "中间两行一样了，也就少了一半的信息：其中一行的中间那个数是减去的。",
                "Now the two middle rows are alike, and half of what they should tell is lost: in one of them the middle number is subtracted.",
            ),
            Wrong(
                one_direction,
                "只变换了一个方向，得到 4×3；另一个方向也要，结果是 4×4。",
                "Only one direction was transformed, which gives 4×3; do the other as well, and the result is 4×4.",
            ),
            Wrong(
                turned,
                "卷积核转了半圈。深度学习里的卷积不转（L06）。",
                "The filter was turned by half a circle. The convolution of deep learning does not turn it (L06).",
            ),
        ],
    ),
)

EXPECTED = {
    "multiply_adds": "9216",
    "unfolded": "37 47 67 77",
    "seen": "1 2 1 2 4 2 1 2 1",
    "m": "-2 15 3 -6",
    "y": "16 18",
    "intensity[7, 2]": "2.18",
    "rounds": "2",
    "saved(1)": "2",
}
