"""The workloads, written once: the same text runs on minidl and on PyTorch, because the names are the same.

`Workloads(engine).builders()` gives, for each name, a function that builds everything and returns one step. JAX,
DeZero and autograd have names of their own and modules of their own (`peers_*.py`), for the workloads they can do.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

Step: TypeAlias = Callable[[], object]


CONVOLUTIONS = {
    # name: (channels in, channels out, height, width, window, stride, padding), batches of 32
    "conv-first": (1, 32, 112, 92, 3, 1, 0),
    "conv-rgb": (3, 32, 96, 112, 3, 1, 0),
    "conv-32-64": (32, 64, 55, 45, 3, 1, 0),
    "conv-64-128": (64, 128, 26, 21, 3, 1, 0),
    "conv-64-64": (64, 64, 56, 56, 3, 1, 1),
    "conv-1x1": (64, 128, 56, 56, 1, 1, 0),
    "conv-5x5": (32, 64, 28, 28, 5, 1, 2),
    "conv-stride-2": (64, 128, 56, 56, 3, 2, 1),
}
PASSES = ("forward", "input", "weight")
SWEEPS = {
    "batch": (1, 2, 4, 8, 16, 32, 64),
    "time": (8, 16, 32, 64, 128, 256),
    "tokens": (32, 64, 128, 256, 512, 1024),
    "channels": (1, 3, 8, 16, 32, 64, 96),
    "depth": (10, 100, 1000, 10000),
}
"""Sizes at which a workload is measured to see how its cost grows."""


class Workloads:
    """The workloads on one engine.

    Arguments:
        engine: the package, "minidl" or "torch".
        setting: for PyTorch, "" (its defaults), "channels-last" (networks of images in that layout) or "compile"
            (networks through torch.compile).
        device: "cpu" or "cuda"; everything lives there.
    """

    def __init__(self, engine: str, setting: str = "", device: str = "cpu") -> None:
        self.setting, self.device = setting, device
        self.dl: Any = importlib.import_module(engine)
        self.nn: Any = importlib.import_module(f"{engine}.nn")
        self.F: Any = importlib.import_module(f"{engine}.nn.functional")
        self.optim: Any = importlib.import_module(f"{engine}.optim")

    # ── numbers on the device ─────────────────────────────────────────────────────────────────

    def normal(self, *shape: int) -> Any:
        """Normal numbers."""
        return self.dl.randn(*shape, device=self.device)

    def drawn(self, *shape: int) -> Any:
        """Normal numbers that a gradient is wanted of."""
        return self.normal(*shape).requires_grad_()

    def labels(self, classes: int, n: int) -> Any:
        """So many classes."""
        return self.dl.randint(0, classes, (n,), device=self.device)

    # ── what is measured ──────────────────────────────────────────────────────────────────────

    def face_cnn(self) -> Any:
        """Three times convolution, ReLU and max-pooling, then two dense layers, for images 1×112×92."""
        nn = self.nn
        network = nn.Sequential(
            nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(64, 128, 3), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(128 * 12 * 9, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, 40),
        )  # fmt: skip
        return network.to(self.device)

    def tuned(self, model: Any, x: Any) -> tuple[Any, Any]:
        """The network and its images as the setting wants them."""
        if self.setting == "channels-last":
            return model.to(memory_format=self.dl.channels_last), x.to(memory_format=self.dl.channels_last)
        return (self.dl.compile(model), x) if self.setting == "compile" else (model, x)

    def training_step(self, model: Any, x: Any, labels: Any, optimizer: Any) -> Step:
        """Forward, loss, backward, update."""

        def step() -> None:
            optimizer.zero_grad()
            self.F.cross_entropy(model(x), labels).backward()
            optimizer.step()

        return step

    def train_face_cnn(self, batch: int = 32) -> Step:
        model, labels = self.face_cnn(), self.labels(40, batch)
        optimizer = self.optim.Adam(model.parameters(), lr=1e-3)
        model, x = self.tuned(model, self.normal(batch, 1, 112, 92))
        return self.training_step(model, x, labels, optimizer)

    def capture_face_cnn(self, batch: int = 32) -> Step:
        """The training step on a GPU: minidl's captured as a graph, PyTorch's as its users write it."""
        if self.dl.__name__ != "minidl":
            return self.train_face_cnn(batch)
        model, x, labels = self.face_cnn(), self.normal(batch, 1, 112, 92), self.labels(40, batch)

        def step(x: Any, labels: Any) -> Any:
            loss = self.F.cross_entropy(model(x), labels)
            loss.backward()
            return loss

        captured = self.dl.cuda.graph(step, self.optim.Adam(model.parameters(), lr=1e-3), warm_up=1)
        return lambda: captured(x, labels)

    def infer_face_cnn(self, batch: int) -> Step:
        model, x = self.tuned(self.face_cnn().eval(), self.normal(batch, 1, 112, 92))

        def step() -> None:
            with self.dl.no_grad():
                model(x)

        return step

    def train_mlp(self) -> Step:
        nn = self.nn
        model = nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 16)).to(self.device)
        labels, optimizer = self.labels(16, 16), self.optim.SGD(model.parameters(), lr=1e-2)
        return self.training_step(model, self.normal(16, 16), labels, optimizer)

    def convolution(self, name: str, which: str) -> Step:
        """One convolution: its forward pass, its gradient for the input, or that for the weight."""
        C, O, H, W, k, stride, padding = CONVOLUTIONS[name]
        x, w = self.normal(32, C, H, W), self.normal(O, C, k, k)

        def forward(x: Any = x, w: Any = w) -> Any:
            return self.F.conv2d(x, w, None, stride, padding)

        if which == "forward":
            return forward
        wanted = (x if which == "input" else w).requires_grad_()
        y = forward()
        gy = self.normal(*y.shape)
        return lambda: self.dl.autograd.grad(y, [wanted], gy, retain_graph=True)

    def both_passes(self, layer: Any, *inputs: Any) -> Step:
        """Forward, and the gradients of every parameter and of every floating input for a given gradient."""
        parameters = list(layer.parameters()) if hasattr(layer, "parameters") else []
        wanted = [x for x in (*inputs, *parameters) if x.requires_grad]
        given: list[Any] = []

        def step() -> None:
            y = layer(*inputs)
            if not given:
                given.append(self.normal(*y.shape))
            self.dl.autograd.grad(y, wanted, given[0])

        return step

    def recurrent(self, kind: str, T: int = 112) -> Step:
        layer = getattr(self.nn, kind)(92, 128).to(self.device)
        return self.both_passes(lambda x, *_: layer(x)[0], self.drawn(T, 32, 92), *layer.parameters())

    def attend(self, T: int, batch: int = 32) -> Step:
        layer = self.nn.MultiheadAttention(128, 4, batch_first=True).to(self.device)
        x = self.drawn(batch, T, 128)
        return self.both_passes(lambda x, *_: layer(x, x, x, need_weights=False)[0], x, *layer.parameters())

    def cross_entropy(self) -> Step:
        x, labels = self.drawn(256, 10000), self.labels(10000, 256)

        def step() -> None:
            self.dl.autograd.grad(self.F.cross_entropy(x, labels), [x])

        return step

    def pool(self, backward: bool) -> Step:
        """2×2 max-pooling of 32×64×56×56, or only its gradient."""
        x = self.drawn(32, 64, 56, 56)
        if not backward:
            return lambda: self.F.max_pool2d(x, 2)
        y = self.F.max_pool2d(x, 2)
        gy = self.normal(*y.shape)
        return lambda: self.dl.autograd.grad(y, [x], gy, retain_graph=True)

    def update(self, optimizer: str, **options: Any) -> Step:
        """One step over 2 million parameters in 20 tensors."""
        parameters = [self.drawn(100, 1000) for _ in range(20)]
        for parameter in parameters:
            parameter.grad = self.normal(100, 1000)
        return getattr(self.optim, optimizer)(parameters, lr=1e-3, **options).step

    def deep(self, depth: int) -> Step:
        """A chain of so many multiplications of 16 numbers, forward and backward: what the tape costs."""
        x = self.drawn(16)

        def step() -> None:
            y = x
            for _ in range(depth):
                y = y * 0.5
            self.dl.autograd.grad(y.sum(), [x])

        return step

    def growing(self) -> dict[str, Callable[[], Step]]:
        """Workloads of growing size, `sweep/size`."""
        found: dict[str, Callable[[], Step]] = {}
        for n in SWEEPS["batch"]:
            found[f"batch/{n}"] = partial(self.train_face_cnn, n)
        for n in SWEEPS["time"]:
            found[f"time/{n}"] = partial(self.recurrent, "GRU", n)
        for n in SWEEPS["tokens"]:
            found[f"tokens/{n}"] = partial(self.attend, n, 4)
        for n in SWEEPS["channels"]:
            found[f"channels/{n}"] = partial(self.wide_convolution, n)
        for n in SWEEPS["depth"]:
            found[f"depth/{n}"] = partial(self.deep, n)
        return found

    def wide_convolution(self, channels: int) -> Step:
        """A 3×3 convolution of 16 images 28×28 with as many channels out as in, forward and backward."""
        layer = self.nn.Conv2d(channels, channels, 3, padding=1).to(self.device)
        return self.both_passes(lambda x, *_: layer(x), self.drawn(16, channels, 28, 28), *layer.parameters())

    def builders(self) -> dict[str, Callable[[], Step]]:
        """What there is to measure, by name."""
        return {
            "face-cnn": self.train_face_cnn,
            **({"face-cnn-captured": self.capture_face_cnn} if self.device == "cuda" else {}),
            "face-cnn-infer-1": lambda: self.infer_face_cnn(1),
            "face-cnn-infer-32": lambda: self.infer_face_cnn(32),
            "mlp": self.train_mlp,
            **self.growing(),
            **{f"{name}-{which}": partial(self.convolution, name, which) for name in CONVOLUTIONS for which in PASSES},
            "rnn": lambda: self.recurrent("RNN"),
            "gru": lambda: self.recurrent("GRU"),
            "lstm": lambda: self.recurrent("LSTM"),
            "attention-128": lambda: self.attend(128),
            "attention-512": lambda: self.attend(512),
            "softmax-xent": self.cross_entropy,
            "layernorm": lambda: self.both_passes(self.nn.LayerNorm(512).to(self.device), self.drawn(4096, 512)),
            "batchnorm": lambda: self.both_passes(self.nn.BatchNorm2d(64).to(self.device), self.drawn(32, 64, 28, 28)),
            "maxpool": lambda: self.pool(False),
            "maxpool-back": lambda: self.pool(True),
            "sgd": lambda: self.update("SGD", momentum=0.9),
            "adamw": lambda: self.update("AdamW"),
            "adam": lambda: self.update("Adam"),
            "adam-fused": lambda: self.update("Adam", **({"fused": True} if self.dl.__name__ == "torch" else {})),
        }
