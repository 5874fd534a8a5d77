"""Exercises of L02: the rules of three operations, and the walk that adds up contributions."""

from minidl.teaching import Exercise, Wrong


def rule(op, a, b, gy):
    if op == "add":
        return gy, gy
    if op == "mul":
        return gy * b, gy * a
    return (gy * b * a ** (b - 1),)


def own_factor(op, a, b, gy):
    return (gy * a, gy * b) if op == "mul" else rule(op, a, b, gy)


def upstream_forgotten(op, a, b, gy):
    return rule(op, a, b, 1.0)


def exponent_kept(op, a, b, gy):
    return (gy * b * a**b,) if op == "pow" else rule(op, a, b, gy)


def sum_halved(op, a, b, gy):
    return (gy / 2, gy / 2) if op == "add" else rule(op, a, b, gy)


def bare_number(op, a, b, gy):
    found = rule(op, a, b, gy)
    return found if op != "pow" else found[0]


def backward(table):
    bar = {name: 0.0 for result, inputs in table for name in [result, *[name for name, _ in inputs]]}
    bar[table[-1][0]] = 1.0
    for result, inputs in reversed(table):
        for name, local in inputs:
            bar[name] += bar[result] * local
    return bar


def overwritten(table):
    bar = {name: 0.0 for result, inputs in table for name in [result, *[name for name, _ in inputs]]}
    bar[table[-1][0]] = 1.0
    for result, inputs in reversed(table):
        for name, local in inputs:
            bar[name] = bar[result] * local
    return bar


def forwards(table):
    bar = {name: 0.0 for result, inputs in table for name in [result, *[name for name, _ in inputs]]}
    bar[table[-1][0]] = 1.0
    for result, inputs in table:
        for name, local in inputs:
            bar[name] += bar[result] * local
    return bar


def locals_added(table):
    bar = {name: 0.0 for result, inputs in table for name in [result, *[name for name, _ in inputs]]}
    bar[table[-1][0]] = 1.0
    for result, inputs in reversed(table):
        for name, local in inputs:
            bar[name] += bar[result] + local
    return bar


def start_forgotten(table):
    return dict.fromkeys(backward(table), 0.0)


TABLES = [
    ([("p", [("x", 3.0), ("x", 3.0)]), ("y", [("p", 1.0), ("x", 1.0)])],),
    (
        [
            ("a", [("x", 2.0), ("x", 2.0)]),
            ("c", [("a", 4.0), ("a", 4.0)]),
            ("d", [("a", 2.0), ("x", 4.0)]),
            ("y", [("c", 1.0), ("d", 1.0)]),
        ],
    ),
]

EXERCISES = (
    Exercise(
        "E02.1",
        "rule",
        rule,
        [("add", 2.0, -3.0, 0.5), ("mul", 2.0, -3.0, 0.5), ("pow", 2.0, 3, 0.5), ("pow", -1.5, 2, -4.0)],
        [
            Wrong(
                own_factor,
                "乘法：a 动一下，y 要动多少，看的是另一个因数。",
                "The product: how far y moves when a moves is told by the other factor.",
            ),
            Wrong(
                upstream_forgotten,
                "这些是局部导数。链式法则还要乘上从后面来的 gy。",
                "These are the local derivatives. The chain rule multiplies them by gy, which comes from behind.",
            ),
            Wrong(
                exponent_kept,
                "乘方：求导之后指数要减一。",
                "The power: differentiating lowers the exponent by one.",
            ),
            Wrong(
                bare_number,
                "数都对；乘方的那一个也要装在元组里返回，(x,)，这样三种运算可以一样对待。",
                "The numbers are right; return that of the power in a tuple as well, (x,), so that all operations are treated alike.",
            ),
            Wrong(
                sum_halved,
                "加法不分摊梯度：两个输入各动一点，y 就动两点。",
                "A sum does not share the gradient out: each input moves y by as much as it moves itself.",
            ),
        ],
    ),
    Exercise(
        "E02.2",
        "backward",
        backward,
        TABLES,
        [
            Wrong(
                overwritten,
                "有一个名字收到不止一份贡献，你只留下了最后一份。",
                "One name receives more than one contribution, and you kept only the last.",
                "001-T4",
            ),
            Wrong(
                forwards,
                "方向反了：走到一行时，它的结果还没有收到任何梯度。从哪一行开始，结果的梯度是已知的？",
                "That is the other direction: when a row is reached, its result has not received a gradient yet. In which row is "
                "the gradient of the result known?",
            ),
            Wrong(
                locals_added,
                "链式法则把上游的梯度与局部导数相乘，相加的是各条路的贡献。",
                "The chain rule multiplies the upstream gradient by the local derivative; what is added are the contributions of "
                "the paths.",
            ),
            Wrong(
                start_forgotten,
                "全是零：L 对自己的梯度是多少？",
                "All zeros: what is the gradient of L with respect to itself?",
            ),
        ],
    ),
)

EXPECTED = {
    "(w.grad, x.grad, b.grad)": "-36 24 -12",
    "t.grad": "7",
    "walks['+=']": "44",
}
