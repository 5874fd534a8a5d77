# /// lesson
# title.zh = "循环神经网络"
# title.en = "The recurrent network"
# aim.zh = "把同一个单元沿时间用三次，看梯度怎样穿过时间回来、在共用的权重上相加；再让它学会背 abcabc。"
# aim.en = "Use one cell three times along time, see how the gradient comes back through time and adds up on the shared weights; then let it learn abcabc by heart."
# documents.000 = "§3.2"
# documents.001 = "§3.2, §4.2, §6"
# documents.002 = "§2"
# documents.003 = "§3.2"
# errata = ["000-T7", "000-T8", "000-T9", "001-T6", "001-T19", "001-T20", "001-T23", "001-F6", "001-F7", "001-F8", "001-F9", "001-C7", "001-C8", "001-C9", "001-C10", "001-B3", "002-T3", "003-T6", "003-T15", "003-T17"]
# ///
# %% [markdown] key="start" lang="zh"
# # 循环神经网络
#
# abcab 的下一个字母是什么？看一个字母答不出来：b 后面可能是 c，也可能不是。要记得前面读过什么。全连接层和卷积每次都从头看起，没有记忆；
# **循环神经网络**（RNN）有一个状态 $h_t$，每读一个输入就更新一次：
#
# $$\begin{aligned} h_t &= \tanh(W_{hh}\,h_{t-1} + W_{xh}\,x_t + b_h) \\ o_t &= W_{ho}\,h_t + b_o \end{aligned}$$
#
# $x_t$ 是第 $t$ 步的输入，$h_{t-1}$ 是上一步留下的状态，$o_t$ 是这一步给出的分数（L03）。$h_0$ 要事先给定，通常是零。
# 关键在于：**每一步用的是同一组权重**。
#
# %% [markdown] key="start" lang="en" zh="99ea12da"
# # The recurrent network
#
# Which letter follows abcab? One letter does not tell: after b there may be c, or not. One has to remember what was read before. Dense
# layers and convolutions start afresh each time, without a memory; a **recurrent neural network** (RNN) has a state $h_t$ that is
# renewed with each input:
#
# $$\begin{aligned} h_t &= \tanh(W_{hh}\,h_{t-1} + W_{xh}\,x_t + b_h) \\ o_t &= W_{ho}\,h_t + b_o \end{aligned}$$
#
# $x_t$ is the input of step $t$, $h_{t-1}$ the state that the step before left behind, and $o_t$ the scores of this step (L03). $h_0$ has
# to be given, usually as zero. The point is: **every step uses the same weights**.
#
# %% tags=["setup"]
import numpy as np

import minidl as dl
import minidl.nn.functional as F
from minidl import nn, optim
from minidl.teaching import bars, beside, check, curves, fast, gradcheck, heat, knob, picture, show, trace

# %% [markdown] key="steps" lang="zh"
# ## 三步
#
# 状态两格，输入一个数：$x = (1, 0.5, -1)$。最后的损失取 $L = \tfrac12 \lVert h_3 \rVert^2$。播放器里可以按层次播放：一次一步时间，或者一次
# 一个运算。
#
# %% [markdown] key="steps" lang="en" zh="f527b940"
# ## Three steps
#
# The state has two cells and the input is a number: $x = (1, 0.5, -1)$. The loss at the end is $L = \tfrac12 \lVert h_3 \rVert^2$. The player
# can go by levels: a step of time at once, or a single operation.
#
# %%
h00 = knob("h_0", 0.0, choices=[-1.0, 0.0, 1.0])

xs = [1.0, 0.5, -1.0]
W_hh = dl.tensor([[0.5, -0.3], [0.2, 0.4]], requires_grad=True)
W_xh = dl.tensor([[1.0], [-1.0]], requires_grad=True)

with trace("L") as recorded:
    h = dl.tensor([h00, h00])
    states = [h]
    for t, x_t in enumerate(xs, 1):
        with recorded.tape.scope(f"t={t}"):
            x = dl.tensor([x_t])
            h = dl.tanh(W_hh @ h + W_xh @ x)
        states.append(h)
    L = (h * h).sum() / 2
    L.backward()

seen = np.array([s.tolist() for s in states])
picture(curves(np.arange(4), {"h[0]": seen[:, 0], "h[1]": seen[:, 1]}, x_name="t", limits=(-1.1, 1.1)))
show(W_hh.grad, r"\bar W_{hh}")

# %% [markdown] key="unrolled" lang="zh"
# 状态依次是 $h_1 = {{seen[1]:.4f}}$，$h_2 = {{seen[2]:.4f}}$，$h_3 = {{seen[3]:.4f}}$。把循环沿时间**展开**，就是一个三层的网络，
# 只不过三层共用一组权重。回传时从 $h_3$ 走回 $h_2$、$h_1$，这叫**随时间的反向传播**；$W_{hh}$ 用了三次，于是按 L02 的规矩，三份贡献相加：
#
# $$\begin{aligned} \bar a_t &= \bar h_t \odot (1 - h_t^2) \\ \bar W_{hh} &= \sum_t \bar a_t\, h_{t-1}^\top \\ \bar h_{t-1} &\leftarrow \bar h_{t-1} + W_{hh}^\top\, \bar a_t \end{aligned}$$
#
# %% [markdown] key="unrolled" lang="en" zh="80d05427"
# The states are $h_1 = {{seen[1]:.4f}}$, $h_2 = {{seen[2]:.4f}}$, $h_3 = {{seen[3]:.4f}}$. **Unrolled** along time, the loop is a network of
# three layers, except that all three share their weights. The way back leads from $h_3$ to $h_2$ and $h_1$ and is called
# **backpropagation through time**; $W_{hh}$ was used three times, so by the rule of L02 three contributions are added:
#
# $$\begin{aligned} \bar a_t &= \bar h_t \odot (1 - h_t^2) \\ \bar W_{hh} &= \sum_t \bar a_t\, h_{t-1}^\top \\ \bar h_{t-1} &\leftarrow \bar h_{t-1} + W_{hh}^\top\, \bar a_t \end{aligned}$$
#
# %%
bar_h = seen[3].copy()
shares = []
for t in (3, 2, 1):
    bar_a = bar_h * (1 - seen[t] ** 2)
    shares.append(np.outer(bar_a, seen[t - 1]))
    bar_h = W_hh.detach().numpy().T @ bar_a

picture(beside(*[heat(share, f"t={t}") for t, share in zip((3, 2, 1), shares)]))
difference = float(np.abs(sum(shares) - W_hh.grad.numpy()).max())


# %% [markdown] key="shares" lang="zh"
# 这三张就是三步各自的贡献，加起来与引擎算的 $\bar W_{hh}$ 只差 ${{difference:.0e}}$（舍入误差）。离损失越远的一步，贡献通常越小：每往回走一步，梯度都要乘一次
# $W_{hh}^\top$ 和 $1 - h^2$。隔得远的事因此难学，这是 LSTM（L15）和 GRU（L16）的由来。
#
# %% [markdown] key="shares" lang="en" zh="03494aef"
# These are the contributions of the three steps; their sum differs from the engine's $\bar W_{hh}$ by ${{difference:.0e}}$ (rounding). The farther
# a step is from the loss, the smaller its contribution usually is: each step back multiplies the gradient by $W_{hh}^\top$ and by
# $1 - h^2$. That is why what lies far back is hard to learn, and where LSTM (L15) and GRU (L16) come from.
#
# %%
def three_steps(W_hh, W_xh, h):
    for x_t in xs:
        h = dl.tanh(W_hh @ h + W_xh @ dl.tensor([x_t], dtype=dl.float64))
    return h


gradcheck(three_steps, W_hh, W_xh, np.array([0.1, -0.2]), name="h_3", names="W_{hh} W_{xh} h_0")

# %% [markdown] key="letters" lang="zh"
# ## 背一段字母
#
# 文章 001 拿 `['a', 'b', 'c', 'a', 'b', 'c']` 当输入。字母不是数，网络吃不下去：先编号，再变成只有一个 $1$ 的向量（one-hot）。
# 目标是下一个字母，损失是每一步的交叉熵，在时间上平均：
#
# $$L = -\frac{1}{T} \sum_t \log p_{t,\,c_t}$$
#
# 整段读完，回传一次，*更新一次*。
#
# %% [markdown] key="letters" lang="en" zh="19c3da50"
# ## Letters by heart
#
# Document 001 feeds `['a', 'b', 'c', 'a', 'b', 'c']`. Letters are no numbers, and a network cannot take them: number them first, then make
# vectors with a single $1$ (one-hot). The target is the next letter, and the loss the cross-entropy of each step, averaged over time:
#
# $$L = -\frac{1}{T} \sum_t \log p_{t,\,c_t}$$
#
# Read the whole sequence, go back once, *update once*.
#
# %%
text = knob("text", "abcabc", choices=["abcabc", "aabbcc", "abacab"])

codes = dl.tensor(["abc".index(letter) for letter in text])
inputs, targets = F.one_hot(codes[:-1], 3).to(dl.float32).reshape(-1, 1, 3), codes[1:]

dl.manual_seed(1)
rnn, readout = nn.RNN(3, 8), nn.Linear(8, 3)
optimizer = optim.Adam([*rnn.parameters(), *readout.parameters()], lr=0.05)
losses = []
for _ in range(80 if fast() else 150):
    optimizer.zero_grad()
    hidden, _ = rnn(inputs)
    scores = readout(hidden[:, 0])
    loss = F.cross_entropy(scores, targets)
    loss.backward()
    optimizer.step()
    losses.append(loss.item())

guesses = "".join("abc"[k] for k in scores.argmax(1).tolist())
surest = F.softmax(scores, 1).max(1)[0]

# %% tags=["figure"]
picture(curves(np.arange(len(losses)), {"L": losses}, x_name="k", log="y"))
picture(bars({"p": surest}, 0.0, 1.0, labels=list(guesses)))


# %% [markdown] key="learned" lang="zh"
# 读 **{{text[:-1]}}**，它答 **{{guesses}}**，最后的损失是 ${{losses[-1]:.4f}}$；那几根条是它每一步给自己的答案的概率。
# 在菜单里选 `aabbcc` 看看：同一个 a，第一次后面是 a，第二次后面是 b，没有记忆的网络一定会错一个，有记忆的两个都能答对。
#
# %% [markdown] key="learned" lang="en" zh="27b10e8f"
# Reading **{{text[:-1]}}** it answers **{{guesses}}**; the loss at the end is ${{losses[-1]:.4f}}$, and the bars are the
# probabilities it gives to its own answers, step by step. Choose `aabbcc` in the menu: the same a is followed by a the first time and by b
# the second. A network without memory is bound to get one of them wrong; with a memory it can get both right.
#
# %% [markdown] key="write" lang="zh"
# ## 练习 E13.1：前向
#
# 写 `rnn_states(xs, h0, W_xh, W_hh, b)`，NumPy：`xs` 是 $(T, D)$，返回 $(T, H)$ 的全部状态 $h_1, \dots, h_T$。
#
# %% [markdown] key="write" lang="en" zh="939354fa"
# ## Exercise E13.1: forward
#
# Write `rnn_states(xs, h0, W_xh, W_hh, b)` with NumPy: `xs` is $(T, D)$; return all states $h_1, \dots, h_T$ as $(T, H)$.
#
# %% tags=["exercise"]
def rnn_states(xs, h0, W_xh, W_hh, b): ...


check("E13.1", rnn_states)


# %% [markdown] key="through" lang="zh"
# ## 练习 E13.2：穿过时间回来
#
# 状态只有一格：$h_t = \tanh(u\,h_{t-1} + w\,x_t)$，$L = h_T$。写 `through_time(xs, h0, w, u)`，返回 $\partial L/\partial u$。
#
# %% [markdown] key="through" lang="en" zh="39f771b2"
# ## Exercise E13.2: back through time
#
# A state of one cell: $h_t = \tanh(u\,h_{t-1} + w\,x_t)$, $L = h_T$. Write `through_time(xs, h0, w, u)`, which returns
# $\partial L/\partial u$.
#
# %% tags=["exercise"]
def through_time(xs, h0, w, u): ...


check("E13.2", through_time)

# %% [markdown] key="document" lang="zh"
# ## 文章怎么说，应当怎么说
#
# | 行 | 文章 | 应当 |
# |---|---|---|
# | 000-T7 | “能够记忆并利用之前的信息” | 通过 $h_t$；实际上梯度消失限制了它。 |
# | 000-T8 | “循环运算用于将输入数据…展开成一系列的输入-输出对” | 循环是 $(h_{t-1}, x_t) \mapsto h_t$；展开是沿时间复制单元，权重共用。 |
# | 000-T9 | “反向传播则用于…更新参数” | 随时间的反向传播也只算梯度；更新是 `step()`。 |
# | 001-T6 | “递归神经网络（Recurrent Neural Networks，RNN）” | Recurrent 是“循环”；递归的是沿着树算的网络。 |
# | 001-T23 | 循环层和全连接层“分别用于处理序列数据的特征和降维” | 全连接层把状态变成分数，不一定降维：上面是八格变三个分数。 |
# | 001-F6 | $h_{t} = \tanh(W_{hh} h_{t-1} + W_{xh} x_{t} + b_{h})$ | 对；$h_0$ 要给定。 |
# | 001-F7 | $o_{t} = W_{ho} h_{t} + b_{o}$ | 对；它叫分数，不是“状态”。 |
# | 001-F8 | $y_{t} = \text{softmax}(o_{t})$ | 对，作用在整个向量上。 |
# | 001-F9 | 损失又写成两类的公式 | softmax 后面是多类的交叉熵，在时间上平均。 |
# | 001-T19 | 每步“更新循环层的权重和偏置”，“直到整个序列数据被处理完毕” | 整段展开，损失相加，回传一次，更新一次。 |
# | 001-T20 | “隐藏状态和输出状态” | 只有 $h_t$ 是状态。 |
# | 001-C7 | `sequence = ['a', 'b', 'c', 'a', 'b', 'c']` | 字母先变成 one-hot。 |
# | 001-C8 | `rnn_output, state = rnn_cell(sequence)` | 单元一次走一步，状态由循环往下传。 |
# | 001-C9 | `loss = cross_entropy_loss(rnn_output, labels)` | 缺输出层：状态不是分数。 |
# | 001-C10 | `get_gradients(loss, [rnn_cell.trainable_weights])` | `backward()` 与 `step()`；上面的损失降到了 ${{losses[-1]:.4f}}$。 |
# | 001-B3 | Graves (2012)，“Journal of Machine Learning Research” | 是 Springer 的一本书（Studies in Computational Intelligence 385）。 |
# | 002-T3 | “循环神经网络（RNN）和递归神经网络（RNN）” | 两样东西；这里只讲循环的。 |
# | 003-T6 | “通过递归操作学习序列中的长距离依赖关系” | 普通循环网络恰恰学不好长距离：梯度消失或爆炸（L15）。 |
# | 003-T15 | “状态通过门控机制…控制输入和输出” | 普通的没有门；有门的是 LSTM 和 GRU。 |
# | 003-T17 | 损失与 CNN“类似” | 对，只是还要在时间上相加或平均。 |
#
# %% [markdown] key="document" lang="en" zh="bf5d5cb4"
# ## What the documents say, and what is right
#
# | row | document | right |
# |---|---|---|
# | 000-T7 | “能够记忆并利用之前的信息” (remembers and uses what came before) | Through $h_t$; in practice vanishing gradients limit it. |
# | 000-T8 | “循环运算用于将输入数据…展开成一系列的输入-输出对” (the recurrence unrolls the input into input–output pairs) | The recurrence is $(h_{t-1}, x_t) \mapsto h_t$; unrolling copies the cell along time, with shared weights. |
# | 000-T9 | “反向传播则用于…更新参数” (backpropagation updates the parameters) | Backpropagation through time only computes gradients as well; `step()` updates. |
# | 001-T6 | “递归神经网络（Recurrent Neural Networks，RNN）” | Recurrent is 循环; a recursive network computes along a tree. |
# | 001-T23 | recurrent and dense layers, “分别用于处理序列数据的特征和降维” (for features and for reduction) | The dense layer makes scores of states and need not reduce anything: above, eight cells became three scores. |
# | 001-F6 | $h_{t} = \tanh(W_{hh} h_{t-1} + W_{xh} x_{t} + b_{h})$ | Right; $h_0$ has to be given. |
# | 001-F7 | $o_{t} = W_{ho} h_{t} + b_{o}$ | Right; these are scores and not a “state”. |
# | 001-F8 | $y_{t} = \text{softmax}(o_{t})$ | Right, of the whole vector. |
# | 001-F9 | the loss, again for two classes | Behind a softmax stands the cross-entropy of many classes, averaged over time. |
# | 001-T19 | at each step “更新循环层的权重和偏置” (update the weights), “直到整个序列数据被处理完毕” (until the sequence is done) | Unroll all of it, add the losses, go back once, update once. |
# | 001-T20 | “隐藏状态和输出状态” (hidden state and output state) | Only $h_t$ is a state. |
# | 001-C7 | `sequence = ['a', 'b', 'c', 'a', 'b', 'c']` | First make letters one-hot. |
# | 001-C8 | `rnn_output, state = rnn_cell(sequence)` | A cell takes one step; a loop hands the state on. |
# | 001-C9 | `loss = cross_entropy_loss(rnn_output, labels)` | The output layer is missing: a state is no score. |
# | 001-C10 | `get_gradients(loss, [rnn_cell.trainable_weights])` | `backward()` and `step()`; above the loss fell to ${{losses[-1]:.4f}}$. |
# | 001-B3 | Graves (2012), “Journal of Machine Learning Research” | It is a book by Springer (Studies in Computational Intelligence 385). |
# | 002-T3 | “循环神经网络（RNN）和递归神经网络（RNN）” (recurrent and recursive, one abbreviation) | Two different things; this is about the recurrent one. |
# | 003-T6 | “通过递归操作学习序列中的长距离依赖关系” (learns long-distance dependencies) | Long distances are what a plain recurrent network does not learn well: gradients vanish or explode (L15). |
# | 003-T15 | “状态通过门控机制…控制输入和输出” (gates control input and output) | The plain one has no gates; LSTM and GRU have. |
# | 003-T17 | the loss is “类似” (similar) to a CNN's | Right, but also added or averaged over time. |
