"""Document 001, section 4.2: a recurrent network that learns the next letter of 'abcabc'.

The document hands an array of strings to a cell, without a state and without an output layer. Here letters become
one-hot rows, the cell walks along the sequence, one loss is taken over time and one update made for each pass.

文档 001 第 4.2 节：学习 'abcabc' 下一个字母的循环网络。原程序把字符串数组交给单元，没有状态，也没有输出层。
这里把字母变成独热向量，单元沿序列前进，损失对时间取平均，每遍只更新一次。

Corrects 001-C7 … 001-C10, 001-F6 … 001-F9, 001-T19.
"""

# %%
from __future__ import annotations

from material import FAST

import minidl as dl
import minidl.nn.functional as F
from minidl import autograd, nn, optim

# %% 4.2.1 the sequence 序列
text = "abcabc"
letters = sorted(set(text))
ids = dl.tensor([letters.index(letter) for letter in text])  # ERRATA 001-C7: numbers, not strings
x = F.one_hot(ids[:-1], len(letters)).float()  # (T, D): what is read
target = ids[1:]  # (T,): the letter that follows each
print(f"data 数据: {text!r} → {ids.tolist()}, x {tuple(x.shape)}")
assert tuple(x.shape) == (5, 3)

# %% 4.2.2 the recurrence 循环层
HIDDEN = 32
cell = nn.RNNCell(len(letters), HIDDEN, generator=dl.Generator(0))  # ERRATA 001-C8: tanh, as formula 001-F6 says
head = nn.Linear(HIDDEN, len(letters), generator=dl.Generator(1))  # ERRATA 001-C9: states become logits


def states() -> dl.Tensor:
    """ERRATA 001-C8: one step at a time, and the state is handed on: h_t = tanh(W_xh x_t + W_hh h_{t−1} + b)."""
    h = dl.zeros(HIDDEN)  # 001-F6: h_0 must be given
    found = []
    for x_t in x:
        h = cell(x_t, h)
        found.append(h)
    return dl.stack(found)


shapes = {name: tuple(p.shape) for name, p in cell.named_parameters()}
print("weights 权重:", shapes)  # ERRATA 001-C8: a matrix for x, a matrix for h, and biases
assert shapes["weight_ih"] == (32, 3)
assert shapes["weight_hh"] == (32, 32)

layer = nn.RNN(len(letters), HIDDEN)  # the same recurrence as one layer, with the cell's weights
layer.load_state_dict({f"{name}_l0": p for name, p in cell.state_dict().items()})
assert dl.allclose(layer(x)[0], states(), atol=1e-6)


# %% 4.2.3 the loss 损失函数
def loss_over_time() -> dl.Tensor:
    """ERRATA 001-F9, 001-C9: categorical cross-entropy of logits, averaged over the steps."""
    return F.cross_entropy(head(states()), target)


probabilities = F.softmax(head(states()), dim=-1)
assert dl.allclose(probabilities.sum(-1), dl.ones(5), atol=1e-6)  # 001-F8
first = loss_over_time().item()
print(f"loss before learning 学习前的损失: {first:.4f} (ln 3 = 1.0986)")

# the gradient through five steps of one shared matrix, against differences
small = nn.RNNCell(3, 2, dtype=dl.float64, generator=dl.Generator(2))
x64 = x.to(dtype=dl.float64)


def unrolled(w: dl.Tensor) -> dl.Tensor:
    h = dl.zeros(2, dtype=dl.float64)
    for x_t in x64:
        h = dl.tanh(F.linear(x_t, small.weight_ih.detach()) + F.linear(h, w))
    return h


assert autograd.gradcheck(unrolled, [small.weight_hh.detach().clone().requires_grad_()])
print("gradient through time agrees with differences 随时间反向传播与差分一致")

# %% 4.2.4 learning 优化
parameters = [*cell.parameters(), *head.parameters()]
optimizer = optim.SGD(parameters, lr=0.2, momentum=0.9)
losses = []
for _step in range(100):
    optimizer.zero_grad()
    loss = loss_over_time()
    loss.backward()  # ERRATA 001-T19, 001-C10: once, through all steps
    nn.utils.clip_grad_norm_(parameters, 1.0)  # ERRATA 001-F11
    optimizer.step()
    losses.append(loss.item())
print("loss 损失:", ", ".join(f"{step}: {losses[step]:.4f}" for step in (0, 10, 25, 50, 99)))
assert losses[-1] < 0.01

with dl.no_grad():
    h, letter, said = dl.zeros(HIDDEN), "a", "a"
    for _ in range(11 if FAST else 29):
        h = cell(F.one_hot(dl.tensor(letters.index(letter)), len(letters)).float(), h)
        letter = letters[head(h).argmax().item()]
        said += letter
print("it continues 'a' as 续写:", said)
assert said == ("abc" * 10)[: len(said)]
