"""Document 003, section 4.3: two LSTM layers that read a face row by row.

The program runs as printed when the picture has no channel axis. Reading rows from top to bottom is a demonstration of
sequences, so a convolutional network stands beside it.

文档 003 第 4.3 节：两层 LSTM 逐行读人脸。图像没有通道轴时原程序可以运行。由上到下逐行读只是序列的演示，
所以旁边放一个卷积网络作比较。

Corrects 003-C3, 003-C4, 003-T15, 003-T16.
"""

# %%
from __future__ import annotations

from material import FAST, faces, fit, measured

import minidl as dl
from minidl import nn
from minidl.tensor import Tensor

SIZE, PEOPLE = 128, 5
data = faces(PEOPLE, (SIZE, SIZE))


# %%
class Rows(nn.Module):
    """(N, 1, T, D) → T = 128 steps of D = 128 numbers → the last state → logits."""

    def __init__(self, features: int, people: int) -> None:
        super().__init__()
        self.recurrent = nn.LSTM(features, 128, num_layers=2, batch_first=True)
        self.head = nn.Linear(128, people)

    def forward(self, x: Tensor) -> Tensor:
        rows = x.squeeze(1)  # ERRATA 003-C4: the layer takes (N, T, D); the number of steps needs no argument
        states, _ = self.recurrent(rows)
        return self.head(states[:, -1])


dl.manual_seed(0)
lstm = Rows(SIZE, PEOPLE)
# Keras counts 263,813; here an LSTM layer has a second bias of 4·128 numbers, as in PyTorch
assert sum(p.numel() for p in lstm.parameters()) == 263_813 + 2 * 4 * 128
gates = lstm.recurrent.weight_ih_l0
print(f"ERRATA 003-T16: four blocks i, f, g, o 四个块: {tuple(gates.shape)} = (4·128, 128)")
assert tuple(gates.shape) == (4 * 128, 128)

try:
    lstm.recurrent(dl.tensor(data.train_x))  # ERRATA 003-C4: four axes are refused
except RuntimeError as error:
    print("003-C4 refused 被拒绝:", error)
else:
    raise AssertionError("an LSTM must not take a picture with four axes")

# %%
cnn = nn.Sequential(
    nn.Conv2d(1, 16, 5, stride=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 5), nn.ReLU(), nn.MaxPool2d(2),
    nn.Flatten(), nn.Linear(32 * 13 * 13, PEOPLE),
)  # fmt: skip
for name, model, epochs, floor in (("LSTM on rows 逐行 LSTM", lstm, 25, 0.35), ("CNN", cnn, 15, 0.6)):
    fit(model, data.train_x, data.train_y, epochs // 4 if FAST else epochs, lr=2e-3, clip=1.0)
    assert measured(name, model, data) >= (0.3 if FAST else floor)
