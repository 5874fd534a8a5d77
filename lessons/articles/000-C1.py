"""Document 000, section 4: a convolutional network and an LSTM, as one model that can be trained.

The document's program does not run: a bracket and two names are missing, the data is an ellipsis, and the output of one
model is declared the input of the other. Here the columns of the last feature map are the steps of the sequence.

文档 000 第 4 节：卷积网络与 LSTM 组成一个能训练的模型。原程序不能运行：少了括号和两个名字，数据是省略号，
还把一个模型的输出当作另一个模型的输入端。这里把最后一张特征图的各列当作序列的各步。

Corrects 000-C1 and 000-C1a … 000-C1i, 000-T8, 000-T11, 000-T12.
"""

# %%
from __future__ import annotations

from material import FAST, faces, fit, measured

import minidl as dl
from minidl import autograd, nn
from minidl.tensor import Tensor

H, W = 112, 96  # ERRATA 000-C1b: a face is taller than wide; pictures are (N, C, H, W)
data = faces(people=5, size=(H, W), color=True)  # ERRATA 000-T12, 000-C1c: faces and identities, not an ellipsis


# %%
def feature_maps() -> nn.Sequential:
    """ERRATA 000-C1d: three convolutions with pooling: 3×112×96 → 128×12×10."""
    layers: list[nn.Module] = []
    for C, K in ((3, 32), (32, 64), (64, 128)):
        layers += [nn.Conv2d(C, K, 3), nn.ReLU(), nn.MaxPool2d(2)]  # ERRATA 000-C1a: the name is there
    return nn.Sequential(*layers)


class ColumnsThroughLSTM(nn.Module):
    """ERRATA 000-C1g: the second network is called on what the first returns."""

    def __init__(self, people: int) -> None:
        super().__init__()
        self.maps = feature_maps()
        self.lstm = nn.LSTM(128 * 12, 128, batch_first=True)  # ERRATA 000-C1f: it reads the columns it is given
        self.dropout = nn.Dropout(0.5)  # ERRATA 000-C1e: x ⊙ m / (1 − p) in training, nothing in use
        self.head = nn.Linear(128, people)

    def forward(self, x: Tensor) -> Tensor:
        columns = self.maps(x).permute(0, 3, 1, 2).flatten(2)  # (N, 10, 1536): ten columns, left to right
        states, _ = self.lstm(columns)
        return self.head(self.dropout(states[:, -1]))  # many to one: only the last step has an output (000-T8)


dl.manual_seed(0)
both = ColumnsThroughLSTM(data.people)
alone = nn.Sequential(
    feature_maps(), nn.Flatten(), nn.Linear(128 * 12 * 10, 128), nn.ReLU(), nn.Dropout(0.5),
    nn.Linear(128, data.people),  # ERRATA 000-C1d: the classifier that was missing
)  # fmt: skip

# %%
# Keras counts 946,373; an LSTM has one bias vector a gate more here, as in PyTorch: 4·128
assert sum(p.numel() for p in both.parameters()) == 946_373 + 4 * 128
with dl.no_grad():
    trail = [tuple(both.maps[: k + 1](dl.zeros(1, 3, H, W)).shape[1:]) for k in (2, 5, 8)]
print("feature maps 特征图:", " → ".join("×".join(map(str, shape)) for shape in trail))
assert trail[-1] == (128, 12, 10)

# %%
# ERRATA 000-T11: an LSTM holds no convolution; the operations of one step, as the engine records them
with autograd.record() as recorder:
    nn.LSTMCell(4, 3)(dl.zeros(1, 4))
operations = sorted(set(recorder.operations))
print("operations of one LSTM step 一步 LSTM 的运算:", ", ".join(operations))
assert {"Sigmoid", "Tanh", "Mul"} <= set(operations)
assert not any("Conv" in operation for operation in operations)

# %%
epochs = 4 if FAST else 12
results = {}
for name, model in (("CNN + LSTM", both), ("CNN", alone)):
    history = fit(model, data.train_x, data.train_y, epochs)  # ERRATA 000-C1i: arrays, not symbols
    assert history[-1] < history[0]
    results[name] = measured(name, model, data)
assert min(results.values()) >= (0.3 if FAST else 0.8)
