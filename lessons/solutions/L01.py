"""Exercises of L01: a graph from its picture, a derivative by the chain rule."""

from typing import Any

import minidl as dl
from minidl.player import record
from minidl.teaching import Exercise, Wrong


def build(x, w, b):
    y = w * x + b
    return y * y


def squared(x, w, b):
    return (w * x + b) ** 2


def computed_twice(x, w, b):
    return (w * x + b) * (w * x + b)


def bias_outside(x, w, b):
    return w * x * (w * x) + b


def recorded_graph(answer: Any, x: float, w: float, b: float) -> Any:
    """The value, and the graph with every node numbered in the order in which it is met from the result."""
    leaves = [dl.tensor(x), dl.tensor(w, requires_grad=True), dl.tensor(b, requires_grad=True)]
    with record() as tape:
        result = answer(*leaves)
    if not isinstance(result, dl.Tensor):
        return result
    nodes = {node["id"]: node for node in tape.trace().nodes}
    shapes: dict[int, str] = {}
    for key, node in nodes.items():
        parts = sorted(shapes[k] for k in node["inputs"])
        shapes[key] = f"{node['op']}({','.join(parts)})" if parts else f"leaf {node['value']['data'][0]}"
    met: dict[int, int] = {}

    def walked(key: int) -> str:
        if key in met:
            return f"#{met[key]}"
        met[key] = len(met)
        inside = ",".join(walked(k) for k in sorted(nodes[key]["inputs"], key=lambda k: shapes[k]))
        return f"{nodes[key]['op']}({inside})" if inside else shapes[key]

    return result.item(), walked(max(nodes)) if nodes else ""


def derivative(x, w, b):
    return 2 * (w * x + b - 1) * x


def inner_forgotten(x, w, b):
    return 2 * (w * x + b - 1)


def two_forgotten(x, w, b):
    return (w * x + b - 1) * x


def sign_turned(x, w, b):
    return 2 * (1 - w * x - b) * x


EXERCISES = (
    Exercise(
        "E01.1",
        "build",
        build,
        [(3.0, -2.0, 1.0), (0.5, 4.0, -1.5)],
        [
            Wrong(
                squared,
                "数值一样，图不一样：你的图以一个乘方结尾，只有一个箭头进去；画里的最后一个运算有两个箭头。",
                "The value is the same, the graph is not: yours ends with a power, which one arrow enters; in the picture two "
                "arrows enter the last operation.",
            ),
            Wrong(
                computed_twice,
                "数值一样，但同一个数你算了两遍，图上有两份。画里只有一份，它的两个箭头去同一个地方：先给它一个名字。",
                "The value is the same, but you computed one number twice and the graph has it twice. In the picture there is one, "
                "with two arrows to the same place: give it a name first.",
            ),
            Wrong(
                bias_outside,
                "看 b 的箭头：它在相乘之前就进来了。",
                "Look at the arrow of b: it comes in before the last multiplication.",
            ),
        ],
        call=recorded_graph,
    ),
    Exercise(
        "E01.2",
        "derivative",
        derivative,
        [(3.0, -2.0, 1.0), (2.0, 0.5, -1.0), (-1.0, 1.5, 0.25)],
        [
            Wrong(
                inner_forgotten,
                "这是 ∂L/∂y。w 动一下，y 要动 x 倍：还差里面那层的导数。",
                "That is ∂L/∂y. When w moves, y moves x times as far: the derivative of the inner part is missing.",
            ),
            Wrong(
                two_forgotten,
                "平方的导数是 2(y−1)，不是 (y−1)。",
                "The derivative of the square is 2(y−1), not (y−1).",
            ),
            Wrong(
                sign_turned,
                "大小对，符号反了：外层是 (y−1)²，先减的是目标。",
                "The size is right, the sign is not: the square is of y−1, the target is what is subtracted.",
            ),
        ],
    ),
)

EXPECTED = {
    "(y, L)": "-5 36",
    "(w.grad, b.grad)": "-36 -12",
}
