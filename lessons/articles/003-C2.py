"""Document 003, section 4.2: its convolutional network, counted, trained, and beside a small one.

The document calls its model large; nearly all of it is one dense layer. Averaging over positions instead needs less
than one parameter in a hundred.

文档 003 第 4.2 节：把它的卷积网络数清楚、训练起来，并与一个小网络比较。文中称之为大模型，其实几乎全部参数都在
一个全连接层里；改为对位置取平均，只需不到百分之一的参数。

Corrects 003-C1, 003-C2, 003-C3, 003-T4, 003-T27.
"""

# %%
from __future__ import annotations

from material import FAST, faces, fit, measured

import minidl as dl
from minidl import nn

SIZE, PEOPLE = 128, 5
data = faces(PEOPLE, (SIZE, SIZE))
assert data.train_x.shape[1:] == (1, SIZE, SIZE)  # ERRATA 003-C1: the channel axis is there


# %%
def convolutions() -> list[nn.Module]:
    layers: list[nn.Module] = []
    for C, K in ((1, 32), (32, 64), (64, 128)):
        layers += [nn.Conv2d(C, K, 3), nn.ReLU(), nn.MaxPool2d(2)]
    return layers


def build_cnn_model(num_classes: int) -> nn.Sequential:
    """The document's network. ERRATA 003-C2: num_classes is an argument, and the last layer gives logits."""
    dense = [nn.Flatten(), nn.Linear(14 * 14 * 128, 512), nn.ReLU(), nn.Linear(512, num_classes)]
    return nn.Sequential(*convolutions(), *dense)


def build_small_model(num_classes: int) -> nn.Sequential:
    """The same convolutions, averaged over a grid of 3 × 3 places."""
    return nn.Sequential(
        *convolutions(), nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Linear(9 * 128, num_classes)
    )  # fmt: skip


# %%
dl.manual_seed(0)
large, small = build_cnn_model(PEOPLE), build_small_model(PEOPLE)
table = nn.summary(large, dl.zeros(1, 1, SIZE, SIZE))
print(table)
trail = [row.output_shapes[0][-1] for row in table.rows if row.kind in ("Conv2d", "MaxPool2d")]
print("003-C2 side of the maps 特征图的边长: 128 →", " → ".join(map(str, trail)))
assert trail == [126, 63, 61, 30, 28, 14]
(dense,) = [row for row in table.rows if row.parameters == 25088 * 512 + 512]
print(f"003-T4: {100 * table.share(dense):.1f} % of {table.parameters:,} parameters in one layer 都在一层里")
assert table.parameters == 12_940_805
assert f"{100 * table.share(dense):.1f}" == "99.3"

# %%
epochs = 2 if FAST else 10
for name, model, rate in (("the document's 文中的网络", large, 3e-4), ("averaged 取平均", small, 3e-3)):
    fit(model, data.train_x, data.train_y, epochs, lr=rate)  # ERRATA 003-C3: one function for every model
    assert measured(name, model, data) >= (0.4 if FAST else 0.6)
assert sum(p.numel() for p in small.parameters()) * 100 < table.parameters
