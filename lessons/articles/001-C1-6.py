"""Document 001, section 4.1: preprocessing, convolution, pooling, dense layer, loss and optimizer, as one program.

The document's six blocks stop at the first line of each. Here they are one program that reads pictures from files,
learns who they show, and is measured on others.

文档 001 第 4.1 节：预处理、卷积、池化、全连接、损失、优化，连成一个程序。原来的六段代码各自都在开头就出错。
这里从文件读图，学会辨认其中的人，再用另外的图像测量。

Corrects 001-C1 … 001-C6, 001-T13, 001-T16, 001-F1.
"""

# %%
from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from material import FAST

import minidl as dl
import minidl.nn.functional as F
from minidl import nn, optim
from minidl.data import transforms
from minidl.faces.generated import generated_faces
from minidl.faces.images import read_image
from minidl.nn import init

PEOPLE, EACH, SIDE = 4, 10, 64
drawn = generated_faces(people=PEOPLE, per_person=EACH, size=(80, 72), seed=1, difficulty="easy", color=True)
print(f"data 数据: generated faces, {PEOPLE} people, {EACH} pictures each, in colour (read from files)")


# %% 4.1.1 preprocessing 数据预处理
def preprocess(path: Path) -> np.ndarray:
    """One picture: (H, W, 3) uint8 → (3, 64, 64) float32 between 0 and 1."""
    image = read_image(path, color=True)  # ERRATA 001-C1: the line that reads the picture
    image = image.transpose(2, 0, 1)  # ERRATA 001-T13: three planes, one a channel
    image = transforms.Resize((SIDE, SIDE))(image)
    return transforms.ToFloat()(image)  # ERRATA 001-C1a: to [0, 1], and float32


with tempfile.TemporaryDirectory() as folder:
    paths = []
    for k, picture in enumerate(drawn.images):
        path = Path(folder, f"{k:03}.ppm")
        path.write_bytes(b"P6 %d %d 255\n" % (picture.shape[1], picture.shape[0]) + picture.tobytes())
        paths.append(path)
    images = np.stack([preprocess(path) for path in paths])  # ERRATA 001-C1c: (N, C, H, W), the batch axis first
assert images.dtype == np.float32
assert images.shape == (PEOPLE * EACH, 3, SIDE, SIDE)
assert 0 <= images.min() < images.max() <= 1
labels = dl.tensor(drawn.labels)  # ERRATA 001-C5: the labels that were never defined
test = dl.tensor(np.arange(len(images)) % EACH >= 6)
x, y, test_x, test_y = dl.tensor(images)[~test], labels[~test], dl.tensor(images)[test], labels[test]

# %% 4.1.2 convolution 卷积层
conv = nn.Conv2d(3, 32, 3, padding="same")
try:
    conv.load_state_dict({"weight": dl.randn(32, 3, 3), "bias": dl.zeros(32)})
except (ValueError, RuntimeError) as error:
    print("001-C2 refused 被拒绝:", " ".join(str(error).split()))
else:
    raise AssertionError("a kernel (32, 3, 3) must not fit")
assert tuple(conv.weight.shape) == (32, 3, 3, 3)  # ERRATA 001-C2: (out, in, height, width)
init.kaiming_normal_(conv.weight, nonlinearity="relu", generator=dl.Generator(0))
print(f"001-C2a He: std {conv.weight.std().item():.3f}, √(2/27) = {(2 / 27) ** 0.5:.3f}")
assert abs(conv.weight.std().item() - 0.272) < 0.02  # ERRATA 001-C2a: not 1
with dl.no_grad():
    once, again = conv(x[:1]), conv(x[:1])
assert dl.equal(once, again)  # ERRATA 001-C2b: repeating the forward pass neither scans nor learns

# %% 4.1.3 pooling 池化层
pool = nn.MaxPool2d(2)
assert list(pool.parameters()) == []  # ERRATA 001-C3, 001-T16: nothing to set and nothing to learn
print("001-C3 parameters of the pooling 池化层的参数:", list(pool.parameters()))

# %% 4.1.4 dense layers 全连接层
side = SIDE // 2
print(f"001-C4a behind 224×224 there would be 112·112·32·128 = {112 * 112 * 32 * 128:,} weights, "
      f"behind {SIDE}×{SIDE} there are {side * side * 32 * 128:,}")  # fmt: skip
assert 112 * 112 * 32 * 128 == 51_380_224
model = nn.Sequential(
    conv, nn.ReLU(), pool,
    nn.Flatten(),  # ERRATA 001-C4: the batch axis stays
    nn.Linear(32 * side * side, 128, generator=dl.Generator(1)), nn.ReLU(),
    nn.Linear(128, PEOPLE, generator=dl.Generator(2)),  # ERRATA 001-C5: logits, with no ReLU behind them
)  # fmt: skip

# %% 4.1.5 the loss 损失函数
logits = model(x)
categorical = F.cross_entropy(logits, y)
binary = F.binary_cross_entropy(F.softmax(logits, dim=1), F.one_hot(y, PEOPLE).float())
print(f"001-F1 categorical 多类 {categorical.item():.4f}, the document's formula 文中公式 {binary.item():.4f}")
assert abs(categorical.item() - binary.item()) > 0.1  # ERRATA 001-F1: two different losses

# %% 4.1.6 the optimizer 优化算法
optimizer = optim.SGD(model.parameters(), lr=0.01)
losses = []
for _step in range(40 if FAST else 100):  # ERRATA 001-C6: the loss is computed anew in every step
    optimizer.zero_grad()
    loss = F.cross_entropy(model(x), y)
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
steps = [*range(0, len(losses), 20), len(losses) - 1]
print("loss 损失:", ", ".join(f"{step}: {losses[step]:.3f}" for step in steps))
assert losses[-1] < 0.7 * losses[0]

with dl.no_grad():
    right = (model(test_x).argmax(1) == test_y).float().mean().item()
print(f"test accuracy 测试准确率: {100 * right:.1f} % of {len(test_y)} pictures (chance 随机 {100 / PEOPLE:.0f} %)")
assert right >= 0.6
