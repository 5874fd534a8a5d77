"""What can be measured, and against whom."""

from __future__ import annotations

from dataclasses import dataclass, field

from benchmarks.workloads import CONVOLUTIONS, PASSES

WORKLOADS = {
    "face-cnn": "training step of the face CNN, 32×1×112×92, Adam",
    "face-cnn-captured": "the same step on a GPU, minidl's captured as a graph (with --device cuda)",
    "face-cnn-infer-1": "the face CNN, one image, no gradient",
    "face-cnn-infer-32": "the face CNN, 32 images, no gradient",
    "mlp": "training step of a 16–16–16 network, batch 16, SGD",
    **{
        f"{name}-{which}": f"convolution {c}→{o}, {h}×{w}, window {k}, stride {s}, batch 32: {which}"
        for name, (c, o, h, w, k, s, _) in CONVOLUTIONS.items()
        for which in PASSES
    },
    "rnn": "tanh RNN, T=112, 92→128, batch 32, forward and backward",
    "gru": "GRU, T=112, 92→128, batch 32, forward and backward",
    "lstm": "LSTM, T=112, 92→128, batch 32, forward and backward",
    "attention-128": "multi-head attention, 32×128×128, 4 heads, forward and backward",
    "attention-512": "multi-head attention, 32×512×128, 4 heads, forward and backward",
    "softmax-xent": "cross-entropy of 256×10000, forward and backward",
    "layernorm": "layer norm of 4096×512, forward and backward",
    "batchnorm": "batch norm of 32×64×28×28, forward and backward",
    "maxpool": "2×2 max-pooling of 32×64×56×56, forward",
    "maxpool-back": "2×2 max-pooling of 32×64×56×56, backward",
    "sgd": "SGD with momentum, 2 million parameters in 20 tensors",
    "adamw": "AdamW, 2 million parameters in 20 tensors",
    "adam": "Adam, 2 million parameters in 20 tensors",
    "adam-fused": "the same, PyTorch's with fused=True",
}
"""Every workload in words."""

MALLOC = {"MALLOC_MMAP_THRESHOLD_": "4294967296", "MALLOC_TRIM_THRESHOLD_": "8589934592", "MALLOC_TOP_PAD_": "67108864"}
"""Tells glibc to keep large blocks; minidl does so by itself."""


@dataclass(frozen=True)
class Engine:
    """One engine in one setting: what runs in a process of its own."""

    package: str
    about: str
    setting: str = ""
    environment: dict[str, str] = field(default_factory=dict)


ENGINES = {
    "minidl": Engine("minidl", "as installed"),
    "torch": Engine("torch", "PyTorch, default settings"),
    "torch+malloc": Engine("torch", "PyTorch, the allocator keeps large blocks", environment=MALLOC),
    "torch+best": Engine("torch", "the same, and images channels-last", "channels-last", MALLOC),
    "torch+compile": Engine("torch", "networks through torch.compile, tuned allocator", "compile", MALLOC),
    "jax": Engine("jax", "JAX on the CPU, the whole step under jit"),
    "dezero": Engine("dezero", "DeZero, default settings"),
    "autograd": Engine("autograd", "HIPS autograd, default settings"),
}
"""minidl and its peers, by the name on the command line. Chainer needs a NumPy that Python 3.11 can no longer build."""

ON_GPU = ("minidl", "torch")
"""Engines whose workloads can live on a GPU."""
