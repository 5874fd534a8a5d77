# /// lesson
# title.zh = "门控循环单元"
# title.en = "The gated recurrent unit"
# aim.zh = "用手算得动的两个数走完 GRU 的一步，看文章 004 的公式关门时丢掉了什么。"
# aim.en = "Walk through one step of a GRU with numbers small enough for paper, and see what the formula of document 004 loses when a gate closes."
# documents.004 = "§2.1, §3.2–3.3, §6.2"
# errata = ["003-T15", "003-B5", "004-T1", "004-T6", "004-T7", "004-T10", "004-T11", "004-T13", "004-T14", "004-T15", "004-T16", "004-T18", "004-F1", "004-F2", "004-F3", "004-F4", "004-F5", "004-C1"]
# ///
# %% [markdown] key="start" lang="zh"
# # 门控循环单元
#
# 读一句话，要记得前面读过什么。循环神经网络把记忆放在一个向量 $h$ 里，每读到一个输入 $x_t$ 就改写一次。可是每次都全部重写，
# 几步之后什么也剩不下。**门控循环单元**（GRU，Cho 等，2014）给记忆装了两道门，让网络自己学会何时写、何时留：
#
# $$\begin{aligned} z_t &= \sigma(W_z\,[h_{t-1}, x_t] + b_z) \\ r_t &= \sigma(W_r\,[h_{t-1}, x_t] + b_r) \\ \tilde h_t &= \tanh(W_h\,[r_t \odot h_{t-1}, x_t] + b_h) \\ h_t &= (1 - z_t) \odot h_{t-1} + z_t \odot \tilde h_t \end{aligned}$$
#
# $[\cdot,\cdot]$ 是把两个向量接成一个，$\odot$ 是逐个元素相乘，$\sigma$ 把任何数压到 $0$ 与 $1$ 之间，像一扇开了几分的门。
#
# - **更新门** $z_t$：记忆的每一格，有几分换成新的。
# - **重置门** $r_t$（文章写作 $u_t$）：算新内容时，旧记忆看几分。
# - **候选状态** $\tilde h_t$：假如要写，写什么。
#
# %% [markdown] key="start" lang="en" zh="01c04145"
# # The gated recurrent unit
#
# To read a sentence one has to remember what came before. A recurrent neural network keeps its memory in a vector $h$ and
# rewrites it at every input $x_t$. But whoever rewrites everything each time has nothing left after a few steps. The **gated
# recurrent unit** (GRU; Cho et al., 2014) gives the memory two gates, and the network learns when to write and when to keep:
#
# $$\begin{aligned} z_t &= \sigma(W_z\,[h_{t-1}, x_t] + b_z) \\ r_t &= \sigma(W_r\,[h_{t-1}, x_t] + b_r) \\ \tilde h_t &= \tanh(W_h\,[r_t \odot h_{t-1}, x_t] + b_h) \\ h_t &= (1 - z_t) \odot h_{t-1} + z_t \odot \tilde h_t \end{aligned}$$
#
# $[\cdot,\cdot]$ joins two vectors into one, $\odot$ multiplies element by element, and $\sigma$ presses any number between $0$ and
# $1$, like a door that is so far open.
#
# - The **update gate** $z_t$: how much of each cell of the memory is replaced.
# - The **reset gate** $r_t$ (the document writes $u_t$): how much of the old memory is looked at when new content is made.
# - The **candidate state** $\tilde h_t$: what would be written, if anything is.
#
# %% tags=["setup"]
import numpy as np

import minidl as dl
from minidl import nn
from minidl.teaching import bars, beside, check, curves, gradcheck, knob, picture, show, trace

# %% [markdown] key="step" lang="zh"
# ## 一步，两个数
#
# 记忆有两格，$h_{t-1} = (0.5, -1)$；输入只有一个数，$x_t = 1$。每个矩阵两行三列：前两列乘记忆，第三列乘输入。在播放器里一步一步
# 走，每一步都能看到代入了数字的公式。
#
# %% [markdown] key="step" lang="en" zh="fb895ecb"
# ## One step, two numbers
#
# The memory has two cells, $h_{t-1} = (0.5, -1)$; the input is a single number, $x_t = 1$. Each matrix has two rows and three
# columns: the first two multiply the memory, the third the input. Walk through it in the player: at every step you see the formula
# with the numbers in it.
#
# %%
b_r = knob("b_r", 0.0, choices=[-10.0, -2.0, 0.0, 2.0, 10.0])
x_t = knob("x_t", 1.0, choices=[-1.0, 0.0, 1.0])

h = dl.tensor([0.5, -1.0], requires_grad=True)
x = dl.tensor([x_t])
W_z = dl.tensor([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]], requires_grad=True)
W_r = dl.tensor([[-1.0, 0.5, 0.2], [0.3, -0.8, 0.1]], requires_grad=True)
W_h = dl.tensor([[0.7, -0.2, 0.5], [-0.3, 0.9, 0.4]], requires_grad=True)

with trace("h_t") as recorded:
    hx = dl.cat([h, x])
    z = dl.sigmoid(W_z @ hx)
    r = dl.sigmoid(W_r @ hx + b_r)
    candidate = dl.tanh(W_h @ dl.cat([r * h, x]))
    h_t = (1 - z) * h + z * candidate
    L = (h_t * h_t).sum() / 2
    L.backward()

picture(bars({"z": z, "r": r, r"\tilde h": candidate, "h_{t-1}": h, "h_t": h_t}, -1.0, 1.0))
show(W_r.grad, r"\partial L/\partial W_r")


# %% [markdown] key="gates" lang="zh"
# 更新门 $z = {{z:.4f}}$：第一格换掉 ${{100 * z[0]:.0f}}\%$，第二格换掉 ${{100 * z[1]:.0f}}\%$。重置门 $r = {{r:.4f}}$：算新内容时，旧记忆的
# 第一格看 ${{100 * r[0]:.0f}}\%$，第二格看 ${{100 * r[1]:.0f}}\%$。候选状态 $\tilde h = {{candidate:.4f}}$ 与旧记忆按 $z$ 调和，得到 $h_t = {{h_t:.4f}}$。
#
# 注意最后一行：$h_t$ 是新旧两个数的*加权平均*。$z$ 是零，旧的原封不动，梯度也原封不动地流回去。这就是门的全部意义。
#
# %% [markdown] key="gates" lang="en" zh="074da970"
# The update gate is $z = {{z:.4f}}$: ${{100 * z[0]:.0f}}\%$ of the first cell is replaced, ${{100 * z[1]:.0f}}\%$ of the second. The reset gate
# is $r = {{r:.4f}}$: for the new content, ${{100 * r[0]:.0f}}\%$ of the old memory's first cell is looked at, ${{100 * r[1]:.0f}}\%$ of the second. The candidate
# $\tilde h = {{candidate:.4f}}$ is mixed with the old memory in the proportion $z$, and the result is $h_t = {{h_t:.4f}}$.
#
# Look at the last line again: $h_t$ is a *weighted mean* of old and new. If $z$ is zero the old passes untouched, and so does
# the gradient on its way back. That is all that a gate is for.
#
# %%
def step(h, x, W_z, W_r, W_h):
    z = dl.sigmoid(W_z @ dl.cat([h, x]))
    r = dl.sigmoid(W_r @ dl.cat([h, x]))
    candidate = dl.tanh(W_h @ dl.cat([r * h, x]))
    return (1 - z) * h + z * candidate


gradcheck(step, h, np.array([1.0]), W_z, W_r, W_h, name="h_t", names="h x W_z W_r W_h")

# %% [markdown] key="three" lang="zh"
# ## 三种写法
#
# 文章 004 的候选状态写成
#
# $$\tilde h_t = \tanh(W_h \cdot [h_{t-1}, x_t] \cdot u_t + b_h)$$
#
# 矩阵乘出来是一个向量，后面的“$\cdot\, u_t$”按点积没有定义；就算当作 $\odot$，门也乘在了*整个*和上，**连输入一起关掉**。
# 正确的写法有两种，区别在于先乘门还是先乘矩阵：
#
# $$\begin{aligned} \text{before:}\quad \tilde h_t &= \tanh(W_x x_t + U\,(r_t \odot h_{t-1})) \\ \text{after:}\quad \tilde h_t &= \tanh(W_x x_t + r_t \odot (U\,h_{t-1})) \end{aligned}$$
#
# 前一种是 Cho 等人的原文，后一种是 cuDNN、PyTorch 与 Keras 的默认，因为 $U\,h_{t-1}$ 可以和别的乘法一起先算好。
# minidl 两种都有：`nn.GRUCell(reset="before")` 与 `nn.GRUCell(reset="after")`。
#
# %% [markdown] key="three" lang="en" zh="ec876c5f"
# ## Three ways to write it
#
# Document 004 has the candidate state as
#
# $$\tilde h_t = \tanh(W_h \cdot [h_{t-1}, x_t] \cdot u_t + b_h)$$
#
# The matrix product is a vector, and for “$\cdot\, u_t$” after it a dot product is not defined; even read as $\odot$, the gate
# multiplies the *whole* sum and **shuts out the input as well**. There are two right ways, which differ in what comes first, gate
# or matrix:
#
# $$\begin{aligned} \text{before:}\quad \tilde h_t &= \tanh(W_x x_t + U\,(r_t \odot h_{t-1})) \\ \text{after:}\quad \tilde h_t &= \tanh(W_x x_t + r_t \odot (U\,h_{t-1})) \end{aligned}$$
#
# The first is the original of Cho et al., the second the default of cuDNN, PyTorch and Keras, because $U\,h_{t-1}$ can then be
# computed ahead, together with the other products. minidl has both: `nn.GRUCell(reset="before")` and
# `nn.GRUCell(reset="after")`.
#
# %%
U, W_x = W_h[:, :2], W_h[:, 2:]
candidates = {
    "before": dl.tanh(W_x @ x + U @ (r * h)),
    "after": dl.tanh(W_x @ x + r * (U @ h)),
    "004": dl.tanh(r * (W_h @ hx)),
}
states = {name: (1 - z) * h + z * each for name, each in candidates.items()}

# %% tags=["figure"]
picture(
    beside(
        bars({rf"\tilde h_{{{name}}}": each for name, each in candidates.items()}, -1.0, 1.0),
        bars({f"h_{{{name}}}": each for name, each in states.items()}, -1.0, 1.0),
    )
)

# %% [markdown] key="closed" lang="zh"
# ## 关上重置门，还剩什么？
#
# 回到上面，把 $b_r$ 拖到 $-10$：$r$ 成了零，旧记忆被挡在外面。新内容这时应当*只由输入决定*。看三组条：before 与 after 一模一样，
# 都是 $\tanh(W_x x_t)$；文章的写法是零，无论读到什么。再换一换 $x_t$，它纹丝不动。下面把 $x_t = -1, 0, 1$ 排在一起：
#
# %% [markdown] key="closed" lang="en" zh="ba4b4956"
# ## With the reset gate shut, what is left?
#
# Go back up and drag $b_r$ to $-10$: $r$ becomes zero, and the old memory is kept out. New content should then depend *on the input
# alone*. Look at the three groups: before and after are the same, $\tanh(W_x x_t)$; the document's form is zero, whatever is read.
# Change $x_t$: it does not stir. Here are $x_t = -1, 0, 1$ side by side:
#
# %%
inputs = [-1.0, 0.0, 1.0]
shut = dl.zeros(2)
survives = [dl.tanh(W_x @ dl.tensor([v]) + U @ (shut * h))[0].item() for v in inputs]
erased = [dl.tanh(shut * (W_h @ dl.cat([h, dl.tensor([v])])))[0].item() for v in inputs]
picture(bars({r"\tilde h_{before}": survives, r"\tilde h_{004}": erased}, -1.0, 1.0, labels=["x=-1", "x=0", "x=1"]))

# %% [markdown] key="memory" lang="zh"
# ## 门怎样记住一件事
#
# 设一个单元的记忆此刻是 $h_0 = 1$，候选状态是 $\tanh(h/2)$，此后一片安静（$x_t = 0$），看记忆 $h_t$ 怎样消退。更新门的偏置 $b_z$ 越负，$z$ 越小，
# 记忆每一步只换掉 $z$ 这么多：
#
# %% [markdown] key="memory" lang="en" zh="47316ca6"
# ## How a gate remembers
#
# Let the memory of one unit be $h_0 = 1$ and its candidate $\tanh(h/2)$, then leave it in silence ($x_t = 0$), and watch the memory $h_t$ fade. The more negative the bias
# $b_z$ of the update gate, the smaller is $z$, and of the memory only a share $z$ is replaced at every step:
#
# %%
b_z = knob("b_z", -3.0, choices=[-6.0, -4.0, -3.0, -2.0, 0.0])


def fading(bias, steps=31):
    h, heights = 1.0, []
    for _ in range(steps):
        heights.append(h)
        z = 1 / (1 + np.exp(-bias))
        h = (1 - z) * h + z * np.tanh(0.5 * h)
    return np.array(heights)


picture(
    curves(
        np.arange(31),
        {"b_z = 0": fading(0.0), f"b_z = {b_z:.0f}": fading(b_z)},
        x_name="t",
        y_name="h_t",
        limits=(0.0, 1.05),
    )
)


# %% [markdown] key="conventions" lang="zh"
# 三十步以后还剩 ${{fading(b_z)[-1]:.4f}}$；$b_z=0$ 时剩 ${{fading(0.0)[-1]:.1e}}$。
#
# ## 当心：$z$ 有两种约定
#
# 文章与 Chung 等人（2014）写 $h_t = (1-z)\odot h_{t-1} + z\odot\tilde h_t$，$z$ 大表示*写*；Cho 等人、PyTorch、Keras 写
# $z\odot h_{t-1} + (1-z)\odot\tilde h_t$，$z$ 大表示*留*。都对，但搬运权重时必须把 $z$ 换成 $1-z$，也就是把 $W_z$ 与 $b_z$ 变号。
# 下面把同样的权重装进 `nn.GRUCell`，前两行应当等于上面的 $h_t$，第三行是先乘矩阵的那一种：
#
# %% [markdown] key="conventions" lang="en" zh="6b195bee"
# After thirty steps ${{fading(b_z)[-1]:.4f}}$ is left; with $b_z=0$ it is ${{fading(0.0)[-1]:.1e}}$.
#
# ## Beware: there are two conventions for $z$
#
# The document and Chung et al. (2014) write $h_t = (1-z)\odot h_{t-1} + z\odot\tilde h_t$, where a large $z$ means *write*; Cho et
# al., PyTorch and Keras write $z\odot h_{t-1} + (1-z)\odot\tilde h_t$, where a large $z$ means *keep*. Both are right, but when weights move
# from one to the other $z$ has to become $1-z$, that is $W_z$ and $b_z$ change their signs. Here the same weights go into
# `nn.GRUCell`: the first two results should be the $h_t$ from above, the third is the form that has the matrix first:
#
# %%
def cell(reset, z_keeps, sign):
    made = nn.GRUCell(1, 2, reset=reset, z_keeps=z_keeps, generator=dl.Generator(0))
    with dl.no_grad():
        made.weight_hh.copy_(dl.cat([W_r[:, :2], sign * W_z[:, :2], W_h[:, :2]]))
        made.weight_ih.copy_(dl.cat([W_r[:, 2:], sign * W_z[:, 2:], W_h[:, 2:]]))
        made.bias_hh.zero_()
        made.bias_ih.copy_(dl.tensor([b_r, b_r, 0.0, 0.0, 0.0, 0.0]))
        return made(x.reshape(1, 1), h.reshape(1, 2))[0]


show(cell("before", "new", 1.0), r"h_{before}")
show(cell("before", "old", -1.0), r"h_{before},\ -W_z")
show(cell("after", "new", 1.0), r"h_{after}")


# %% [markdown] key="exercises" lang="zh"
# ## 练习
#
# E16.1：写 `candidate_state(h, x, r, W_h)`，Cho 等人的候选状态（没有偏置）。
#
# E16.2：写 `new_state(h, candidate, z)`，按文章的约定，$z$ 大表示写。
#
# E16.3：写 `count(D, H)`：输入 $D$ 个数、记忆 $H$ 格的 GRU 有多少个要学的数？三个块，每块一个矩阵和一个偏置向量。
#
# %% [markdown] key="exercises" lang="en" zh="340b0d32"
# ## Exercises
#
# E16.1: write `candidate_state(h, x, r, W_h)`, the candidate state of Cho et al. (without bias).
#
# E16.2: write `new_state(h, candidate, z)` by the document's convention: a large $z$ means write.
#
# E16.3: write `count(D, H)`: how many numbers does a GRU learn that reads $D$ numbers and has a memory of $H$ cells? There are three
# blocks, each with a matrix and a vector of biases.
#
# %% tags=["exercise"]
def candidate_state(h, x, r, W_h): ...


def new_state(h, candidate, z): ...


def count(D, H): ...


check("E16.1", candidate_state)
check("E16.2", new_state)
check("E16.3", count)

# %% [markdown] key="document" lang="zh"
# ## 文章怎么说，应当怎么说
#
# | 行 | 文章 | 应当 |
# |---|---|---|
# | 003-T15 | 循环网络的“状态通过门控机制…控制输入和输出” | 普通的没有门；有门的是 LSTM 和 GRU。 |
# | 003-B5 | Cho 等（2014），arXiv:1406.1078 | 编号对，少了 Bougares 和 Schwenk 两位作者。 |
# | 004-T6 | “能够捕捉人脸图像中的长距离依赖关系” | 照片没有先后，把行当作序列是人为的；值不值得，要和卷积网络一起量（L21）。 |
# | 004-T10 | “使用门机制…来控制信息的流动” | 对：更新门接近零时 $h_t\approx h_{t-1}$，过去原样通过。 |
# | 004-T14 | 重置门用于“候选状态计算” | 文字对，公式见 004-F3。 |
# | 004-T18 | “效果不如LSTM网络” | 各家结果不一（L15）。 |
# | 004-F1 | $z_t=\sigma(W_z\cdot[h_{t-1},x_t]+b_z)$ | 对；$[\cdot,\cdot]$ 是拼接。 |
# | 004-F2 | 重置门记作 $u_t$ | 公式对，字母不好：$u$ 容易读成 update。通常记作 $r_t$。 |
# | 004-F3 | $\tilde h_t = \tanh(W_h\cdot[h_{t-1},x_t]\cdot u_t+b_h)$ | 错：门只乘旧记忆，$\tilde h_t=\tanh(W_h[r_t\odot h_{t-1},x_t]+b_h)$。上面的例子里文章得 ${{states["004"]:.4f}}$，应为 ${{states["before"]:.4f}}$。 |
# | 004-F4 | $h_t=(1-z_t)\odot h_{t-1}+z_t\odot\tilde h_t$ | 对，是两种约定之一。 |
# | 004-T11 | “只有两个门（更新门和忘记门）” | 是更新门和*重置*门；遗忘门是 LSTM 的（L15）。文章 §3.2 自己也写了重置门。 |
# | 004-T13 | 更新门“更新隐藏层的状态” | 它在旧状态与候选状态之间*取平均*。 |
# | 004-T15 | 状态更新“通过计算更新门和重置门” | 只用 $z_t$；重置门在候选状态里已经用过了。 |
# | 004-T16 | 第五步“输出计算” | GRU 的输出*就是* $h_t$，没有另外的公式。 |
# | 004-T7 | GRU“能够减少过拟合的问题” | 没有根据。它比 LSTM 少四分之一的参数（三块对四块），但门不是正则化；文章自己另加了 Dropout。 |
# | 004-T1 | GRU 在人脸识别中“被广泛应用” | 没有根据。GRU 是为机器翻译提出的；人脸系统的主流是卷积网络（L21）。 |
# | 004-F5 | 公式里写 `tanh`，波浪号盖住整个 $h_t$ | 排版：函数名用正体 $\tanh$，波浪号只在字母上，$\tilde h_t$。 |
# | 004-C1 | `GRU(128, input_shape=(64, 64, 3), …)` | GRU 要 $(N, T, D)$，照片多一根轴，于是报错；读成 $64$ 行、每行 $192$ 个数就能运行。 |
#
# 文献：Cho 等，EMNLP 2014，arXiv:1406.1078；Chung 等，arXiv:1412.3555。
#
# %% [markdown] key="document" lang="en" zh="0a8387a6"
# ## What the documents say, and what is right
#
# | row | document | right |
# |---|---|---|
# | 003-T15 | a recurrent network's “状态通过门控机制…控制输入和输出” (gates control input and output) | The plain one has none; LSTM and GRU have. |
# | 003-B5 | Cho et al. (2014), arXiv:1406.1078 | The number is right; the authors Bougares and Schwenk are missing. |
# | 004-T6 | “能够捕捉人脸图像中的长距离依赖关系” (captures long-distance dependencies in faces) | A photograph has no before and after; rows as a sequence are imposed, and whether it pays is measured beside a convolutional network (L21). |
# | 004-T10 | “使用门机制…来控制信息的流动” (gates control the flow of information) | Right: with the update gate near zero $h_t\approx h_{t-1}$, and the past passes as it is. |
# | 004-T14 | the reset gate is for “候选状态计算” (computing the candidate) | Right in words; for the formula see 004-F3. |
# | 004-T18 | “效果不如LSTM网络” (does worse than an LSTM) | Results differ (L15). |
# | 004-F1 | $z_t=\sigma(W_z\cdot[h_{t-1},x_t]+b_z)$ | Right; $[\cdot,\cdot]$ joins two vectors. |
# | 004-F2 | calls the reset gate $u_t$ | The formula is right, the letter is not happy: $u$ reads like update. The usual one is $r_t$. |
# | 004-F3 | $\tilde h_t = \tanh(W_h\cdot[h_{t-1},x_t]\cdot u_t+b_h)$ | Wrong: the gate multiplies the old memory only, $\tilde h_t=\tanh(W_h[r_t\odot h_{t-1},x_t]+b_h)$. In the example above the document gets ${{states["004"]:.4f}}$ instead of ${{states["before"]:.4f}}$. |
# | 004-F4 | $h_t=(1-z_t)\odot h_{t-1}+z_t\odot\tilde h_t$ | Right, one of two conventions. |
# | 004-T11 | “只有两个门（更新门和忘记门）” (only two gates, update and forget) | Update gate and *reset* gate; a forget gate belongs to the LSTM (L15). The document's own §3.2 has the reset gate. |
# | 004-T13 | the update gate “更新隐藏层的状态” (updates the state of the hidden layer) | It takes a *mean* of the old state and the candidate. |
# | 004-T15 | the state is updated “通过计算更新门和重置门” (by computing update gate and reset gate) | By $z_t$ alone; the reset gate has done its work inside the candidate. |
# | 004-T16 | a fifth step, “输出计算” (computing the output) | The output of a GRU *is* $h_t$; there is no other formula. |
# | 004-T7 | a GRU “能够减少过拟合的问题” (can reduce overfitting) | Unsupported. It has a quarter fewer parameters than an LSTM (three blocks instead of four), but gates are no regularizer; the document itself adds Dropout. |
# | 004-T1 | GRUs are “被广泛应用” (widely used) in face recognition | Unsupported. The GRU was made for machine translation; face systems are mostly convolutional (L21). |
# | 004-F5 | writes `tanh`, with the tilde over all of $h_t$ | Typography: the function is upright, $\tanh$, and the tilde on the letter alone, $\tilde h_t$. |
# | 004-C1 | `GRU(128, input_shape=(64, 64, 3), …)` | A GRU takes $(N, T, D)$ and a picture has one axis more, so it raises; read as $64$ rows of $192$ numbers it runs. |
#
# Sources: Cho et al., EMNLP 2014, arXiv:1406.1078; Chung et al., arXiv:1412.3555.
