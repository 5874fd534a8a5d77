"""Document 004, section 4.1: two GRU layers with dropout, fed with what a GRU takes, and asked what a recognizer is asked.

The document's program stops at its first layer, and its one sigmoid tells two classes apart. Here the rows of a picture
are the sequence. First the question of the document, is it this person, then the one of a recognizer, who is it; and a
small convolutional network beside it.

文档 004 第 4.1 节：带 Dropout 的两层 GRU。原程序在第一层就停下，而且一个 sigmoid 只能区分两类。这里把图像的行作为
序列：先回答文中的问题（是不是这个人），再回答识别的问题（是谁），旁边放一个小卷积网络作比较。

Corrects 004-C1, 004-C1a … 004-C1e, 004-F3, 004-F4, 004-T6.
"""

# %%
from __future__ import annotations

import numpy as np
from material import FAST, faces, fit, measured

import minidl as dl
import minidl.nn.functional as F
from minidl import nn
from minidl.faces.metrics import accuracy
from minidl.tensor import Tensor

SIZE, PEOPLE = 64, 10

# %% the candidate of formula 004-F3 候选状态
w_h = dl.tensor([[0.7, -0.2, 0.5], [-0.3, 0.9, 0.4]], dtype=dl.float64)
h, x1 = dl.tensor([0.5, -1.0], dtype=dl.float64), dl.tensor([1.0], dtype=dl.float64)
closed = dl.zeros(2, dtype=dl.float64)
printed = dl.tanh(w_h @ dl.cat([h, x1]) * closed)
before = dl.tanh(w_h @ dl.cat([closed * h, x1]))
print("004-F3, a closed gate 门关上时: the document's candidate 文中 "
      f"{printed.tolist()}, corrected 改正 {[round(v, 4) for v in before.tolist()]}")  # fmt: skip
assert printed.tolist() == [0.0, 0.0]  # ERRATA 004-F3: as printed, a closed gate erases the input too
assert before.abs().min().item() > 0.3


# %%
class Rows(nn.Module):
    """(N, C, T, D) → T rows of C·D numbers → two GRU layers with dropout → the last state → logits."""

    def __init__(self, features: int, outputs: int) -> None:
        super().__init__()
        # ERRATA 004-C1: (N, T, D). 004-C1b: dropout between the layers and before the head.
        # ERRATA 004-F3, 004-F4: the reset acts on the old state alone, in the document's convention for z
        self.recurrent = nn.GRU(
            features, 128, num_layers=2, batch_first=True, dropout=0.5, reset="after", z_keeps="new"
        )
        self.dropout = nn.Dropout(0.5)
        self.head = nn.Linear(128, outputs)

    def forward(self, x: Tensor) -> Tensor:
        rows = x.transpose(1, 2).flatten(2)
        return self.head(self.dropout(self.recurrent(rows)[0][:, -1]))


# %% the document's question: is it this person? 文中的问题：是不是这个人
colour = faces(2, (SIZE, SIZE), color=True)  # ERRATA 004-C1d: data, where the document has none
dl.manual_seed(0)
yes_or_no = Rows(SIZE * 3, 1)
assert sum(p.numel() for p in yes_or_no.parameters()) == 222_849
try:
    yes_or_no.recurrent(dl.tensor(colour.train_x))
except RuntimeError as error:
    print("004-C1 refused 被拒绝:", error)
else:
    raise AssertionError("a GRU must not take a picture with four axes")


def binary(logits: Tensor, labels: Tensor) -> Tensor:
    """ERRATA 004-C1c: right for two classes; the sigmoid is inside the loss."""
    return F.binary_cross_entropy_with_logits(logits.flatten(), labels.float())


fit(yes_or_no, colour.train_x, colour.train_y, 12 if FAST else 20, lr=1e-3, loss=binary)
with nn.evaluating(yes_or_no), dl.no_grad():
    answers = (yes_or_no(dl.tensor(colour.test_x)).flatten().numpy() > 0).astype(np.int64)
print(f"  yes or no 是与否: 222,849 parameters 参数, right 正确 {100 * accuracy(colour.test_y, answers):.0f} %")
assert accuracy(colour.test_y, answers) >= 0.7

# %% the recognizer's question: who is it? 识别的问题：是谁
data = faces(PEOPLE, (SIZE, SIZE))
gru = Rows(SIZE, PEOPLE)  # ERRATA 004-C1a: K logits; "matching" is not the work of a layer (004-C1e)
cnn = nn.Sequential(
    nn.Conv2d(1, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 5), nn.ReLU(), nn.MaxPool2d(2),
    nn.Flatten(), nn.Dropout(0.5), nn.Linear(32 * 13 * 13, PEOPLE),
)  # fmt: skip
results = {}
for name, model, epochs in (("GRU on rows 逐行 GRU", gru, 36), ("CNN", cnn, 20)):
    fit(model, data.train_x, data.train_y, epochs // 3 if FAST else epochs, lr=2e-3, clip=1.0)
    results[name] = measured(name, model, data)
    assert results[name] >= (0.3 if FAST else 0.45)
print("004-T6 rows as a sequence cost accuracy here 逐行读在此的代价: "
      f"{100 * (results['CNN'] - results['GRU on rows 逐行 GRU']):.1f} points 个百分点")  # fmt: skip
