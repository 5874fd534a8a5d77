"""Document 001's letters, for real: a recurrent network that reads text letter by letter and says which comes next.

The document's sequence is 'abcabc' (lessons/articles/001-C7-10.py learns it). Here the text is a file of the reader's
(`python letters.py book.txt`), or else the English sentences of lessons/errata.toml. What it learned is measured on the
last tenth, which it never saw, in bits a letter, beside what counting letters and pairs of letters can do. The tenth
before it decides when to stop.

文档 001 的字母序列，用真正的文字来做：循环网络逐字母读文本，说出下一个字母。文中的序列是 'abcabc'（见 001-C7-10.py）。
这里用读者给的文件，没有时用勘误表里的英文句子。成绩在没见过的最后十分之一上测量，单位是每字母比特数，并与只数字母、
只数相邻两个字母的办法相比较；何时停止由它前面的十分之一决定。
"""

# %%
from __future__ import annotations

import os
import re
import sys
import time
import tomllib
from pathlib import Path

import numpy as np

import minidl as dl
import minidl.nn.functional as F
from minidl import nn, optim
from minidl.optim import EarlyStopping
from minidl.optim.lr_scheduler import WarmupCosine
from minidl.tensor import Tensor

FAST = os.environ.get("MINIDL_FAST") == "1"

# %% the text 文本
given = [Path(argument) for argument in sys.argv[1:2] if argument.endswith(".txt")]
if given:
    text, where = given[0].read_text(encoding="utf-8"), str(given[0])
else:
    errata = tomllib.loads((Path(__file__).resolve().parents[1] / "errata.toml").read_text(encoding="utf-8"))
    text = "\n".join(re.sub(r"\$[^$]*\$|`[^`]*`", "x", row["en"]) for row in errata["erratum"])
    where = "the English sentences of errata.toml, formulas left out 去掉公式"
text = "".join(letter if letter.isascii() else " " for letter in text.lower())
alphabet = sorted(set(text))
ids = np.array([alphabet.index(letter) for letter in text])  # ERRATA 001-C7: letters become numbers
tenth = len(ids) // 10
train, val, test = ids[: -2 * tenth], ids[-2 * tenth : -tenth], ids[-tenth:]
print(f"data 数据: {where}: {len(ids):,} letters, {len(alphabet)} different")


# %% what counting can do 只靠计数
def bits_by_counting(context: int) -> float:
    """Bits a letter when the next one is guessed from how often it followed the last `context` letters."""
    K = len(alphabet)
    counts = np.ones((K,) * (context + 1))  # each possibility once, so that nothing is impossible
    np.add.at(counts, tuple(train[k : len(train) - context + k] for k in range(context + 1)), 1)
    chances = counts / counts.sum(-1, keepdims=True)
    return float(-np.log2(chances[tuple(test[k : len(test) - context + k] for k in range(context + 1))]).mean())


one, two = bits_by_counting(0), bits_by_counting(1)
print(f"bits a letter 每字母比特: uniform 均匀 {np.log2(len(alphabet)):.2f}, letters 数字母 {one:.2f}, "
      f"pairs 数相邻对 {two:.2f}")  # fmt: skip


# %% the network 网络
class Letters(nn.Module):
    """Numbers → vectors → recurrent states → logits of the next letter."""

    def __init__(self, K: int, hidden: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(K, 32)  # a table of rows is what a one-hot row times a matrix gives
        self.recurrent = nn.GRU(32, hidden, batch_first=True)
        self.dropout = nn.Dropout(0.2)
        self.head = nn.Linear(hidden, K)  # ERRATA 001-C9

    def forward(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        states, last = self.recurrent(self.embedding(x), state)
        return self.head(self.dropout(states)), last


def bits(model: Letters, part: np.ndarray) -> float:
    """Bits a letter on a part it did not learn from, read from beginning to end with one state."""
    with nn.evaluating(model), dl.no_grad():
        logits, _ = model(dl.tensor(part[None, :-1]))
        return F.cross_entropy(logits[0], dl.tensor(part[1:])).item() / float(np.log(2))


# %% learning: 64 steps at a time, the state goes on, the gradient does not 截断的随时间反向传播
T, N, epochs = 64, 16, 4 if FAST else 25
rows = train[: (len(train) - 1) // N * N + 1]
x, y = rows[:-1].reshape(N, -1), rows[1:].reshape(N, -1)  # N places of the text are read side by side
dl.manual_seed(0)
model = Letters(len(alphabet), 128)
optimizer = optim.AdamW(model.parameters(), lr=5e-3, weight_decay=0.05)
starts = range(0, x.shape[1] - T + 1, T)
schedule = WarmupCosine(optimizer, len(starts), epochs * len(starts))
stopping, best, began = EarlyStopping(patience=4), model.state_dict(), time.perf_counter()
for epoch in range(epochs):
    model.train()
    state: Tensor | None = None
    for start in starts:
        optimizer.zero_grad()
        logits, state = model(dl.tensor(x[:, start : start + T]), state)
        loss = F.cross_entropy(logits.flatten(0, 1), dl.tensor(y[:, start : start + T]).flatten())
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)  # ERRATA 001-F11
        optimizer.step()  # ERRATA 001-T19: one update for all 64 steps
        schedule.step()
        state = state.detach()
    done = stopping.step(bits(model, val))
    if stopping.improved:
        best = {name: value.clone() for name, value in model.state_dict().items()}
    if epoch % 5 == 4:
        print(
            f"  epoch {epoch + 1}: training 训练 {loss.item() / np.log(2):.2f}, validation 验证 {bits(model, val):.2f} bits"
        )
    if done:
        break
model.load_state_dict(best)
found = bits(model, test)
print(f"GRU: {sum(p.numel() for p in model.parameters()):,} parameters 参数, {time.perf_counter() - began:.1f} s, "
      f"{found:.2f} bits a letter 每字母比特")  # fmt: skip

# %% it writes 续写
generator, letter, said = dl.Generator(0), alphabet.index("t"), "t"
with nn.evaluating(model), dl.no_grad():
    state = None
    for _ in range(60 if FAST else 240):
        logits, state = model(dl.tensor([[letter]]), state)
        letter = dl.multinomial(F.softmax(logits[0, -1] / 0.6, dim=-1), 1, generator=generator).item()
        said += alphabet[letter]
print("it writes 它写道:", " ".join(said.split()))
assert found < one
assert FAST or found < two
