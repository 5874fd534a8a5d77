# /// lesson
# title.zh = "长短时记忆"
# title.en = "Long short-term memory"
# aim.zh = "走完 LSTM 的一步，看记忆怎样只靠相乘和相加往前传，并让它把一个比特带过三十步。"
# aim.en = "Walk through one step of an LSTM, see how its memory is passed on by a product and a sum alone, and let it carry a bit across thirty steps."
# documents.000 = "§3.2–3"
# documents.001 = "§3.2"
# documents.003 = "§2.2, §3.2, §4.3"
# documents.004 = "§6"
# errata = ["000-T7", "000-T11", "001-T20", "003-T6", "003-T15", "003-T16", "003-C4", "004-T18"]
# ///
# %% [markdown] key="start" lang="zh"
# # 长短时记忆
#
# 普通循环网络（L13）的状态每一步都要乘一次矩阵、过一次 $\tanh$。往回传的梯度也是：乘三十次零点九，只剩 ${{0.9**30:.3f}}$；乘三十次一点一，
# 就成了 ${{1.1**30:.0f}}$。三十步以前的事，几乎学不到。
#
# **LSTM**（Hochreiter、Schmidhuber，1997；遗忘门是 Gers 等人 2000 年加上的）另开一条路：一个记忆 $c_t$，从一步到下一步只做*相乘和相加*，不过矩阵：
#
# $$c_t = f_t \odot c_{t-1} + i_t \odot g_t, \qquad h_t = o_t \odot \tanh(c_t)$$
#
# 三道门都由当前的输入和上一步的状态算出，$\sigma$ 把它们压在 $0$ 与 $1$ 之间：
#
# $$\begin{aligned} i_t &= \sigma(W_i\,[h_{t-1}, x_t] + b_i) \\ f_t &= \sigma(W_f\,[h_{t-1}, x_t] + b_f) \\ o_t &= \sigma(W_o\,[h_{t-1}, x_t] + b_o) \\ g_t &= \tanh(W_g\,[h_{t-1}, x_t] + b_g) \end{aligned}$$
#
# - **遗忘门** $f_t$：旧记忆留几分。
# - **输入门** $i_t$：新内容 $g_t$ 写几分。
# - **输出门** $o_t$：记忆给外面看几分。
#
# %% [markdown] key="start" lang="en" zh="58d75cd7"
# # Long short-term memory
#
# The state of a plain recurrent network (L13) is multiplied by a matrix and squeezed by a $\tanh$ at every step. So is the gradient on
# its way back: thirty times nine tenths leaves ${{0.9**30:.3f}}$, thirty times eleven tenths makes ${{1.1**30:.0f}}$. What happened
# thirty steps ago can hardly be learned.
#
# The **LSTM** (Hochreiter, Schmidhuber, 1997; the forget gate is of Gers et al., 2000) opens another road: a memory $c_t$ that goes from step to step by *a product and a sum*,
# without a matrix:
#
# $$c_t = f_t \odot c_{t-1} + i_t \odot g_t, \qquad h_t = o_t \odot \tanh(c_t)$$
#
# Three gates are computed from the input and the state before; $\sigma$ keeps them between $0$ and $1$:
#
# $$\begin{aligned} i_t &= \sigma(W_i\,[h_{t-1}, x_t] + b_i) \\ f_t &= \sigma(W_f\,[h_{t-1}, x_t] + b_f) \\ o_t &= \sigma(W_o\,[h_{t-1}, x_t] + b_o) \\ g_t &= \tanh(W_g\,[h_{t-1}, x_t] + b_g) \end{aligned}$$
#
# - The **forget gate** $f_t$: how much of the old memory stays.
# - The **input gate** $i_t$: how much of the new content $g_t$ is written.
# - The **output gate** $o_t$: how much of the memory is shown outside.
#
# %% tags=["setup"]
import numpy as np

import minidl as dl
import minidl.nn.functional as F
from minidl import nn, optim
from minidl.player import record
from minidl.teaching import bars, check, curves, fast, gradcheck, knob, picture, show, trace

# %% [markdown] key="one" lang="zh"
# ## 一个单元，一步
#
# 一格记忆，$c_{t-1} = 0.8$。四个括号里的和设为 $(0.7,\, 1.05 + b,\, 0.6,\, -0.25)$，$b$ 是遗忘门的偏置，拖动它。
#
# %% [markdown] key="one" lang="en" zh="6b2074d1"
# ## One cell, one step
#
# A memory of one number, $c_{t-1} = 0.8$. The four sums in the brackets are $(0.7,\, 1.05 + b,\, 0.6,\, -0.25)$, with $b$ the bias of the
# forget gate; drag it.
#
# %%
bias = knob("b", 0.0, choices=[-4.0, -1.0, 0.0, 1.0, 4.0])

c = dl.tensor(0.8, requires_grad=True)
a_i = dl.tensor(0.7, requires_grad=True)
a_f = dl.tensor(1.05 + bias, requires_grad=True)
a_o = dl.tensor(0.6, requires_grad=True)
a_g = dl.tensor(-0.25, requires_grad=True)

with trace("h_t") as recorded:
    i = dl.sigmoid(a_i)
    f = dl.sigmoid(a_f)
    o = dl.sigmoid(a_o)
    g = dl.tanh(a_g)
    c_t = f * c + i * g
    h_t = o * dl.tanh(c_t)
    h_t.backward()

picture(bars({"i": i, "f": f, "o": o, "g": g, "c_{t-1}": c, "c_t": c_t, "h_t": h_t}, -1.0, 1.0))
show(c.grad, r"\partial h_t/\partial c_{t-1}")


# %% [markdown] key="read" lang="zh"
# 遗忘门开到 $f = {{f:.4f}}$，旧记忆 $0.8$ 留下 ${{(f * c):.4f}}$；输入门 $i = {{i:.4f}}$ 写进 $g = {{g:.4f}}$ 的一部分；合起来
# $c_t = {{c_t:.4f}}$。输出门 $o = {{o:.4f}}$，外面看到 $h_t = {{h_t:.4f}}$。
#
# 梯度往回走时，$\partial c_t/\partial c_{t-1} = f_t$：没有矩阵，没有 $\tanh$，只有一道门。**门开着，梯度就原样通过。** 所以遗忘门的偏置
# 常从 $1$ 起步：先学会记，再学会忘。
#
# %% [markdown] key="read" lang="en" zh="e28d99b2"
# The forget gate is open by $f = {{f:.4f}}$, so ${{(f * c):.4f}}$ is left of the old memory $0.8$; the input gate $i = {{i:.4f}}$ writes a
# part of $g = {{g:.4f}}$; together that is $c_t = {{c_t:.4f}}$. With the output gate at $o = {{o:.4f}}$ the outside sees
# $h_t = {{h_t:.4f}}$.
#
# On the way back $\partial c_t/\partial c_{t-1} = f_t$: no matrix, no $\tanh$, only a gate. **While the gate is open, the gradient passes
# as it is.** That is why the bias of the forget gate often starts at $1$: first learn to remember, then to forget.
#
# %%
def cell(c, h, x, W, b):
    a = W @ dl.cat([h, x]) + b
    i, f, g, o = dl.sigmoid(a[:2]), dl.sigmoid(a[2:4]), dl.tanh(a[4:6]), dl.sigmoid(a[6:])
    c = f * c + i * g
    return dl.cat([o * dl.tanh(c), c])


rng = np.random.default_rng(15)
gradcheck(
    cell,
    rng.standard_normal(2),
    rng.standard_normal(2),
    rng.standard_normal(1),
    rng.standard_normal((8, 3)),
    np.zeros(8),
    name="(h_t, c_t)",
    names="c_{t-1} h_{t-1} x_t W b",
)

# %% [markdown] key="far" lang="zh"
# ## 三十步以后
#
# 从最后一步往回看：第 $k$ 步以前的输入还有多少梯度？同样大小的三个网络，权重随机，LSTM 的遗忘门偏置取 $0$ 和 $3$。
#
# %% [markdown] key="far" lang="en" zh="d2190c04"
# ## Thirty steps later
#
# Look back from the last step: how much gradient is left for the input of $k$ steps ago? Three networks of one size with random
# weights; for the LSTM the forget gate has the bias $0$ or $3$.
#
# %%
T, H = 30, 16


def reach(kind, forget=0.0):
    dl.manual_seed(3)
    net = kind(4, H)
    if forget:
        net.bias_ih_l0.array[H : 2 * H] = forget
    x = dl.randn(T, 1, 4, requires_grad=True)
    net(x)[0][-1].sum().backward()
    norms = np.linalg.norm(x.grad.numpy()[::-1, 0], axis=1)
    return norms / norms[0]


plain_reach, closed_reach, open_reach = reach(nn.RNN), reach(nn.LSTM), reach(nn.LSTM, 3.0)
far = {r"\text{RNN}": plain_reach, r"\text{LSTM},\,0": closed_reach, r"\text{LSTM},\,3": open_reach}
picture(curves(np.arange(T), far, x_name="k", log="y"))

# %% [markdown] key="reach" lang="zh"
# 纵轴是对数。三十步以前，普通网络的梯度只剩 ${{plain_reach[-1]:.0e}}$；遗忘门半掩的 LSTM 剩 ${{closed_reach[-1]:.0e}}$，一样太小；
# 门开着的，是最后一步的 ${{open_reach[-1]:.2f}}$ 倍。不是 LSTM 四个字母有什么魔力，是门。
#
# %% [markdown] key="reach" lang="en" zh="b4ad393b"
# The axis upwards is logarithmic. Thirty steps back the plain network has ${{plain_reach[-1]:.0e}}$ of its gradient left, and an LSTM with
# a half-closed forget gate has ${{closed_reach[-1]:.0e}}$, which is too little as well; with open gates it is
# ${{open_reach[-1]:.2f}}$ times that of the last step. There is no magic in four letters; it is the gate.
#
# %% [markdown] key="bit" lang="zh"
# ## 带着一个比特走
#
# 第一个输入是 $+1$ 或 $-1$，后面全是噪声，最后问：第一个是什么？
#
# %% [markdown] key="bit" lang="en" zh="f138f467"
# ## Carry a bit
#
# The first input is $+1$ or $-1$, then comes noise, and at the end the question is: what was the first?
#
# %%
steps = 12 if fast() else 30


def remember(kind, updates, forget=0.0):
    dl.manual_seed(0)
    noise = np.random.default_rng(0)
    net, readout = kind(1, 8), nn.Linear(8, 1)
    if forget:
        net.bias_ih_l0.array[8:16] = forget
    optimizer = optim.Adam([*net.parameters(), *readout.parameters()], lr=0.02)
    losses = []
    for _ in range(updates):
        bits = noise.integers(0, 2, 32)
        x = noise.normal(0.0, 0.3, (steps, 32, 1))
        x[0, :, 0] = 2 * bits - 1
        answer = readout(net(dl.tensor(x, dtype=dl.float32))[0][-1])[:, 0]
        loss = F.binary_cross_entropy_with_logits(answer, dl.tensor(bits, dtype=dl.float32))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


updates = 40 if fast() else 100
plain, gated = remember(nn.RNN, updates), remember(nn.LSTM, updates, 3.0)
picture(curves(np.arange(updates), {r"\text{RNN}": plain, r"\text{LSTM}": gated}, x_name="k", limits=(0.0, 1.0)))

# %% [markdown] key="carried" lang="zh"
# 瞎猜的损失是 $\log 2 = {{np.log(2):.3f}}$。${{steps}}$ 步的距离，${{updates}}$ 次更新之后：普通网络 ${{plain[-1]:.3f}}$，LSTM ${{gated[-1]:.3f}}$。
#
# 最后看一眼它记录了哪些运算。文章 000 说 LSTM 是卷积神经网络“作为循环神经网络的一部分”形成的：
#
# %% [markdown] key="carried" lang="en" zh="2d04fc3d"
# Guessing has the loss $\log 2 = {{np.log(2):.3f}}$. Over a distance of ${{steps}}$ steps and after ${{updates}}$ updates the plain network has
# ${{plain[-1]:.3f}}$, the LSTM ${{gated[-1]:.3f}}$.
#
# Last, a look at the operations it records. Document 000 says that an LSTM comes from a convolutional network “作为循环神经网络的一部分” (as a
# part of a recurrent one):
#
# %%
with record(inside=True) as tape:
    nn.LSTM(1, 2)(dl.randn(2, 1, 1))
operations = sorted({node["op"] for node in tape.trace().nodes if node["inputs"]})
convolutions = [name for name in operations if "conv" in name.lower()]
show(len(convolutions), "n")


# %% [markdown] key="none" lang="zh"
# 卷积的个数：${{len(convolutions)}}$。那句话说的是 ConvLSTM（Shi 等，2015），或者卷积网络后面接一个 LSTM。
#
# %% [markdown] key="none" lang="en" zh="5ddf2e0e"
# The number of convolutions: ${{len(convolutions)}}$. What the sentence describes is a ConvLSTM (Shi et al., 2015), or a convolutional
# network with an LSTM behind it.
#
# %% [markdown] key="write" lang="zh"
# ## 练习 E15.1：一步
#
# 写 `lstm_step(a, c)`，NumPy：`a` 是四段首尾相接的和，次序 $i, f, g, o$（PyTorch 的次序），每段和 `c` 一样长。返回 $(h_t, c_t)$。
#
# %% [markdown] key="write" lang="en" zh="e5391962"
# ## Exercise E15.1: one step
#
# Write `lstm_step(a, c)` with NumPy: `a` holds the four sums end to end in the order $i, f, g, o$ (PyTorch's), each as long as `c`.
# Return $(h_t, c_t)$.
#
# %% tags=["exercise"]
def lstm_step(a, c): ...


check("E15.1", lstm_step)


# %% [markdown] key="kept" lang="zh"
# ## 练习 E15.2：还剩几分
#
# 遗忘门的偏置是 $b$，别的输入都是零，输入门关着。写 `kept(b, T)`：$T$ 步之后，记忆还剩原来的几分之几？
#
# %% [markdown] key="kept" lang="en" zh="66948775"
# ## Exercise E15.2: how much is left
#
# The bias of the forget gate is $b$, everything else that enters is zero, the input gate is closed. Write `kept(b, T)`: which fraction
# of the memory is left after $T$ steps?
#
# %% tags=["exercise"]
def kept(b, T): ...


check("E15.2", kept)

# %% [markdown] key="document" lang="zh"
# ## 文章怎么说，应当怎么说
#
# | 行 | 文章 | 应当 |
# |---|---|---|
# | 000-T7 | “能够记忆并利用之前的信息” | 普通的网络在原理上能，实际上梯度消失，三十步就剩 ${{plain_reach[-1]:.0e}}$。 |
# | 000-T11 | “卷积神经网络也可以作为循环神经网络的一部分，形成…长短时记忆网络” | LSTM 里没有卷积：上面数过了，${{len(convolutions)}}$ 个。 |
# | 001-T20 | “隐藏状态和输出状态” | LSTM 的状态是 $h_t$ 和 $c_t$。 |
# | 003-T6 | “通过递归操作学习序列中的长距离依赖关系” | 普通循环网络恰恰学不到长距离；所以才有门。 |
# | 003-T15 | “状态通过门控机制（如门控递归单元，GRU）控制输入和输出” | 门是 LSTM 和 GRU 才有的。 |
# | 003-T16 | “忘记门（Forget Gate）、输入门（Input Gate）和输出门（Output Gate）” | 对 LSTM 正确，公式见上；GRU 是更新门和重置门。 |
# | 003-C4 | `LSTM(128, activation='tanh', input_shape=input_shape, …)` | 能运行：把照片的每一行当作一步。参数 `sequence_length` 没有用到。 |
# | 004-T18 | GRU“效果不如LSTM” | 各家结果不一：Chung 等（2014）相当，Jozefowicz 等（2015）因任务而异。 |
#
# %% [markdown] key="document" lang="en" zh="22244918"
# ## What the documents say, and what is right
#
# | row | document | right |
# |---|---|---|
# | 000-T7 | “能够记忆并利用之前的信息” (remembers and uses what came before) | The plain network can in principle; in practice its gradient vanishes, after thirty steps ${{plain_reach[-1]:.0e}}$ is left. |
# | 000-T11 | “卷积神经网络也可以作为循环神经网络的一部分，形成…长短时记忆网络” (a CNN as part of an RNN makes an LSTM) | There is no convolution in an LSTM: counted above, ${{len(convolutions)}}$. |
# | 001-T20 | “隐藏状态和输出状态” (hidden state and output state) | The states of an LSTM are $h_t$ and $c_t$. |
# | 003-T6 | “通过递归操作学习序列中的长距离依赖关系” (learns long-distance dependencies) | Long distances are just what a plain recurrent network does not learn; hence the gates. |
# | 003-T15 | “状态通过门控机制（如门控递归单元，GRU）控制输入和输出” (gates control input and output) | Gates are what LSTM and GRU have. |
# | 003-T16 | “忘记门（Forget Gate）、输入门（Input Gate）和输出门（Output Gate）” | Right for an LSTM, with the formulas above; a GRU has an update and a reset gate. |
# | 003-C4 | `LSTM(128, activation='tanh', input_shape=input_shape, …)` | It runs, taking each row of the photograph for a step. The argument `sequence_length` is not used. |
# | 004-T18 | a GRU “效果不如LSTM” (does worse than an LSTM) | Results differ: comparable in Chung et al. (2014), depending on the task in Jozefowicz et al. (2015). |
