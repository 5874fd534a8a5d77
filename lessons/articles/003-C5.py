"""Document 003, section 4.4: self-attention over the patches of a face.

The document's weights are a softmax along an axis of length 1, so they are always 1; it has no positions and no
classifier. Here the weights are over patches, positions are added, the mean of the patches is classified.

文档 003 第 4.4 节：对人脸图块做自注意力。原程序在长度为 1 的轴上做 softmax，权重永远是 1；没有位置编码，也没有
分类层。这里的权重对图块归一化，加上位置编码，对图块取平均再分类。

Corrects 003-C5, 003-C5a, 003-C5b, 003-T18 … 003-T22, 003-T26.
"""

# %%
from __future__ import annotations

import numpy as np
from material import FAST, faces, fit, measured

import minidl as dl
import minidl.nn.functional as F
from minidl import nn
from minidl.tensor import Tensor

H, W, PATCH, WIDTH, PEOPLE = 56, 48, 8, 64, 10
data = faces(PEOPLE, (H, W))

# %%
x = dl.randn(4, 8, generator=dl.Generator(0))
printed = F.softmax(nn.Linear(8, 1, generator=dl.Generator(1))(x), dim=-1).flatten()
print("003-C5a the document's weights 文中的权重:", printed.tolist())
assert printed.tolist() == [1.0, 1.0, 1.0, 1.0]  # ERRATA 003-C5a
weights = F.attention_weights(x, x)
print("normalised over positions 对位置归一化:", [round(value, 4) for value in weights[0].tolist()])
assert dl.allclose(weights.sum(-1), dl.ones(4), atol=1e-6)


# %%
class PatchesWithAttention(nn.Module):
    """Patches → positions → self-attention → mean → logits."""

    def __init__(self, people: int, positions: bool = True) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, WIDTH, PATCH, stride=PATCH)  # one token for each 8 × 8 patch
        self.positions = nn.SinusoidalPositions2d(WIDTH, H // PATCH, W // PATCH) if positions else nn.Identity()
        # ERRATA 003-C5: the layer exists; attention, then two dense layers at every token, as Vaswani et al.
        self.block = nn.TransformerEncoderLayer(WIDTH, 4, 128, dropout=0.1, batch_first=True, norm_first=True)
        self.head = nn.Linear(WIDTH, people)  # ERRATA 003-C5b: the classifier

    def tokens(self, x: Tensor) -> Tensor:
        """(N, 1, 56, 48) → (N, 42, 64)."""
        return self.positions(self.patches(x)).flatten(2).transpose(1, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.block(self.tokens(x)).mean(1))


def shuffled(pictures: np.ndarray) -> np.ndarray:
    """The same patches of every picture in another order."""
    N = len(pictures)
    cells = pictures.reshape(N, H // PATCH, PATCH, W // PATCH, PATCH).swapaxes(2, 3).reshape(N, -1, PATCH, PATCH)
    cells = cells[:, np.random.default_rng(0).permutation(cells.shape[1])]
    return np.ascontiguousarray(
        cells.reshape(N, H // PATCH, W // PATCH, PATCH, PATCH).swapaxes(2, 3).reshape(N, 1, H, W)
    )  # fmt: skip


dl.manual_seed(0)
for positions in (False, True):
    model = PatchesWithAttention(PEOPLE, positions).eval()
    with dl.no_grad():
        faces_once, faces_mixed = (model(dl.tensor(part)) for part in (data.test_x, shuffled(data.test_x)))
    moved = (faces_once - faces_mixed).abs().max().item()
    print(f"patches in another order change the logits by 打乱图块后分数的变化: {moved:.1e} "
          f"({'with' if positions else 'without'} positions {'有' if positions else '无'}位置编码)")  # fmt: skip
    assert (moved > 1e-3) is positions  # ERRATA 003-C5b: without positions a face is a bag of patches

# %%
found = 0.0
for positions in (False, True):
    dl.manual_seed(0)
    model = PatchesWithAttention(PEOPLE, positions)
    fit(model, data.train_x, data.train_y, 12 if FAST else 40, lr=2e-3, clip=1.0)
    found = measured("with positions 有位置" if positions else "without 无位置", model, data)
assert found >= (0.4 if FAST else 0.6)
