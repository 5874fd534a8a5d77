# /// lesson
# title.zh = "自注意力与位置编码"
# title.en = "Self-attention and positions"
# aim.zh = "手算三个词的注意力，看清 softmax 沿哪根轴、为什么除以 $\\sqrt{d}$、次序从哪里来。"
# aim.en = "Work out attention for three tokens by hand; see along which axis softmax goes, why one divides by $\\sqrt{d}$, and where order comes from."
# documents.001 = "§6.2"
# documents.003 = "§2.3, §3.3, §4.4, §6, §8"
# documents.004 = "§1.1"
# errata = ["001-B8", "001-B9", "003-T7", "003-T18", "003-T19", "003-T20", "003-T21", "003-T22", "003-T23", "003-T26", "003-C5a", "003-B3", "003-B6", "004-T5"]
# ///
# %% [markdown] key="start" lang="zh"
# # 自注意力与位置编码
#
# 循环网络（L13）要把看过的一切挤进一个状态里，一步一步往后传。**自注意力**换一个办法：每个词直接去看所有的词，自己决定*该看谁*。
#
# 每个词拿出三个向量：**查询** $q$（我要找什么），**键** $k$（我有什么），**值** $v$（我给什么）。查询与每个键做内积，得到分数；
# softmax（L03）把分数变成加起来等于一的权重；再用权重把值平均起来：
#
# $$A = \mathrm{softmax}\!\left(\frac{Q K^\top}{\sqrt{d}}\right), \qquad Y = A\,V$$
#
# $Q$、$K$、$V$ 的每一行是一个词，由输入各乘一个矩阵得来：$Q = X W_Q$，$K = X W_K$，$V = X W_V$。$d$ 是键的长度。
# softmax **沿着每一行**：第 $i$ 行是第 $i$ 个词分给各个词的注意力。
#
# %% [markdown] key="start" lang="en" zh="a0a8ca81"
# # Self-attention and positions
#
# A recurrent network (L13) has to squeeze all that it has seen into one state and hand it on, step by step. **Self-attention** goes
# another way: each token looks at all tokens directly and decides for itself *whom to look at*.
#
# Each token holds up three vectors: a **query** $q$ (what am I looking for), a **key** $k$ (what do I have) and a **value** $v$ (what do I
# give). The inner product of a query with each key is a score; softmax (L03) makes weights of the scores that add up to one; and the
# weights average the values:
#
# $$A = \mathrm{softmax}\!\left(\frac{Q K^\top}{\sqrt{d}}\right), \qquad Y = A\,V$$
#
# Each row of $Q$, $K$ and $V$ is a token; they are made from the input by a matrix each, $Q = X W_Q$, $K = X W_K$, $V = X W_V$. $d$ is the
# length of a key. The softmax goes **along each row**: row $i$ is the attention that token $i$ gives to the others.
#
# %% tags=["setup"]
import numpy as np

import minidl as dl
import minidl.nn.functional as F
from minidl import nn
from minidl.ops import position_encoding
from minidl.teaching import bars, beside, check, curves, gradcheck, heat, knob, picture, show, trace

# %% [markdown] key="three" lang="zh"
# ## 三个词
#
# 键和查询取成一样，$(1,0)$、$(0,1)$、$(1,1)$；值是 $(1,2)$、$(3,4)$、$(5,6)$。$\tau$ 乘在分数上：大了，注意力变尖；零，就人人均等。
#
# %% [markdown] key="three" lang="en" zh="5815058c"
# ## Three tokens
#
# Keys and queries are the same, $(1,0)$, $(0,1)$, $(1,1)$; the values are $(1,2)$, $(3,4)$, $(5,6)$. $\tau$ multiplies the scores: large, and
# attention becomes sharp; zero, and all get the same.
#
# %%
tau = knob("tau", 1.0, choices=[0.0, 0.5, 1.0, 3.0, 10.0], symbol=r"\tau")

Q = dl.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], requires_grad=True)
K = dl.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], requires_grad=True)
V = dl.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], requires_grad=True)

with trace("Y") as recorded:
    S = Q @ K.T
    A = F.softmax(tau * S / 2**0.5, 1)
    Y = A @ V
    L = (Y * Y).sum() / 2
    L.backward()

picture(beside(heat(A, "A"), heat(Y, "Y")))

# %% [markdown] key="read" lang="zh"
# 第一个词的查询是 $(1, 0)$，与三个键的内积是 $1, 0, 1$，于是注意力 ${{A[0]:.4f}}$：第一、第三个词各得一样多。它的输出是
# $A$ 的第一行乘 $V$，也就是三个值的加权平均，${{Y[0]:.4f}}$。**输出是值的平均，不是输入与权重逐个相乘**：那样连形状都不对。
#
# 每一行加起来是 ${{A.sum(1):.0f}}$。拖动 $\tau$ 看两个极端：$\tau = 0$ 时每行都是平均；$\tau$ 很大时每行只剩最大的分数（并列的平分），像 argmax，只是
# 处处可导。
#
# %% [markdown] key="read" lang="en" zh="09f53bd8"
# The query of the first token is $(1, 0)$ and its inner products with the keys are $1, 0, 1$, so its attention is ${{A[0]:.4f}}$: the first
# and third token get equal shares. Its output is the first row of $A$ times $V$, a weighted mean of the three values, ${{Y[0]:.4f}}$. **The
# output is a mean of values, not an element-wise product of input and weights**: not even the shapes would fit.
#
# Each row adds up to ${{A.sum(1):.0f}}$. Drag $\tau$ to both extremes: at $\tau = 0$ each row is a plain mean; with a large $\tau$ only the
# largest score of a row is left (equal ones share), like an argmax, but one that can be differentiated everywhere.
#
# %%
gradcheck(F.scaled_dot_product_attention, Q, K, V, name="Y", names="Q K V")

# %% [markdown] key="axis" lang="zh"
# ## 哪根轴
#
# 文章 003 的注意力是 `Dense(units=1, activation='softmax')`。它给每个位置算*一个*分数，然后在长度为一的轴上做 softmax。一个数除以它自己：
#
# %% [markdown] key="axis" lang="en" zh="3404d1a6"
# ## Which axis
#
# The attention of document 003 is `Dense(units=1, activation='softmax')`. It computes *one* score for each position, and takes a softmax along
# an axis of length one. A number divided by itself:
#
# %%
dl.manual_seed(0)
scores = nn.Linear(2, 1)(V)
document = F.softmax(scores, -1)
over_positions = F.softmax(scores, 0)
picture(bars({r"a_{003}": document, "a": over_positions}, 0.0, 1.0))

# %% [markdown] key="ones" lang="zh"
# 上面三根永远是 ${{document[:, 0]:.0f}}$，无论权重怎么学，梯度也永远是零。沿着*位置*做 softmax，权重才加得起来：${{over_positions[:, 0]:.4f}}$。
#
# ## 为什么除以 $\sqrt{d}$
#
# $q$ 和 $k$ 的每个数若是均值为零、方差为一的随机数，内积是 $d$ 个这样的乘积之和，方差是 $d$。分数一大，softmax 就只看一个，梯度几乎都是零。
# 除以 $\sqrt{d}$ 把标准差拉回一。
#
# %% [markdown] key="ones" lang="en" zh="1ee67e34"
# The upper three are always ${{document[:, 0]:.0f}}$, whatever the weights learn, and their gradient is always zero. Along the *positions* the
# weights add up: ${{over_positions[:, 0]:.4f}}$.
#
# ## Why divide by $\sqrt{d}$
#
# If the numbers in $q$ and $k$ are random with mean zero and variance one, their inner product is a sum of $d$ such products, with variance
# $d$. With large scores softmax looks at one token only, and its gradients are nearly all zero. Dividing by $\sqrt{d}$ brings the standard
# deviation back to one.
#
# %%
rng = np.random.default_rng(17)
widths = [1, 4, 16, 64, 256]
raw = [float((rng.standard_normal((4000, d)) * rng.standard_normal((4000, d))).sum(1).std()) for d in widths]
scaled = [s / d**0.5 for s, d in zip(raw, widths)]
picture(curves(np.array(widths), {r"q \cdot k": raw, r"q \cdot k / \sqrt{d}": scaled}, x_name="d", log="xy"))

# %% [markdown] key="order" lang="zh"
# $d = 4$ 时标准差是 ${{raw[1]:.1f}}$，$d = 64$ 时是 ${{raw[3]:.1f}}$；除过以后是 ${{scaled[1]:.1f}}$ 和 ${{scaled[3]:.1f}}$。
#
# ## 次序从哪里来
#
# 把三个词换个次序：输出跟着换，每个词得到的还是那几个数。**自注意力不知道次序**。“狗咬人”和“人咬狗”对它是一回事。
# 所以要把位置写进输入里：给第 $t$ 个位置一个和词一样宽的向量，加上去。
#
# $$\begin{aligned} PE_{t,\,2i} &= \sin\!\left(\frac{t}{10000^{2i/d}}\right) \\ PE_{t,\,2i+1} &= \cos\!\left(\frac{t}{10000^{2i/d}}\right) \end{aligned}$$
#
# %% [markdown] key="order" lang="en" zh="440ee456"
# At $d = 4$ the standard deviation is ${{raw[1]:.1f}}$, at $d = 64$ it is ${{raw[3]:.1f}}$; divided, ${{scaled[1]:.1f}}$ and ${{scaled[3]:.1f}}$.
#
# ## Where order comes from
#
# Put the three tokens in another order: the outputs follow, and each token gets the same numbers as before. **Self-attention does not know
# the order**. “Dog bites man” and “man bites dog” are the same to it. So positions have to be written into the input: position $t$ has a
# vector as wide as a token, which is added.
#
# $$\begin{aligned} PE_{t,\,2i} &= \sin\!\left(\frac{t}{10000^{2i/d}}\right) \\ PE_{t,\,2i+1} &= \cos\!\left(\frac{t}{10000^{2i/d}}\right) \end{aligned}$$
#
# %%
positions = knob("positions", "without", choices=["without", "with"])

order = [2, 0, 1]
pe = position_encoding(dl.arange(3).to(dl.float32), 2) if positions == "with" else dl.zeros(3, 2)


def attend(tokens):
    tokens = tokens + pe
    return F.scaled_dot_product_attention(tokens, tokens, tokens)


tokens = V.detach()
before = attend(tokens)
after = attend(tokens[order])
moved = (after - before[order]).abs().max().item()

pe_1 = position_encoding(dl.tensor(1.0, dtype=dl.float64), 4)
table = position_encoding(dl.arange(32).to(dl.float32), 16)
show(pe_1, r"PE_1")
picture(heat(table, "PE"))


# %% [markdown] key="permuted" lang="zh"
# 换了次序之后，各个词的输出最多变了 ${{moved:.4f}}$。把菜单拨到 `with` 再看。
#
# 位置 $1$ 的编码（$d = 4$）是 ${{pe_1:.4f}}$。上面那张图一行一个位置：左边几列转得快，分得清邻居；右边几列转得慢，分得清远近。
# 每个位置得到的是*一个向量*；一维或二维说的是位置的编号（照片的小块有两个编号，行和列）。
#
# %% [markdown] key="permuted" lang="en" zh="4091b4a5"
# After the change of order, the outputs of the tokens differ by at most ${{moved:.4f}}$. Turn the menu to `with` and look again.
#
# The code of position $1$ (for $d = 4$) is ${{pe_1:.4f}}$. In the picture each row is a position: the columns on the left turn fast and tell
# neighbours apart, those on the right turn slowly and tell near from far. Each position gets *a vector*; one- or two-dimensional is
# what the index may be (a patch of a photograph has two, row and column).
#
# %% [markdown] key="write" lang="zh"
# ## 练习 E17.1：写出注意力
#
# 写 `attention(Q, K, V)`，NumPy，返回 $Y$。
#
# %% [markdown] key="write" lang="en" zh="af738571"
# ## Exercise E17.1: write attention
#
# Write `attention(Q, K, V)` with NumPy; it returns $Y$.
#
# %% tags=["exercise"]
def attention(Q, K, V): ...


check("E17.1", attention)


# %% [markdown] key="encode" lang="zh"
# ## 练习 E17.2：写出位置编码
#
# 写 `encode(t, d)`：位置 $t$ 的长度为 $d$（偶数）的向量，正弦、余弦交替。
#
# %% [markdown] key="encode" lang="en" zh="3309e1a1"
# ## Exercise E17.2: write the position code
#
# Write `encode(t, d)`: the vector of position $t$, of length $d$ (even), sine and cosine in turn.
#
# %% tags=["exercise"]
def encode(t, d): ...


check("E17.2", encode)

# %% [markdown] key="document" lang="zh"
# ## 文章怎么说，应当怎么说
#
# | 行 | 文章 | 应当 |
# |---|---|---|
# | 001-B8 | Xie 等，“Relation Networks for Multi-Instance Learning” | 查无此文，不宜引用。 |
# | 001-B9 | Vaswani 等，“Attention is All You Need” | 对。 |
# | 003-T7 | “关注输入序列中的不同位置” | 对。 |
# | 003-T18 | “通过软阈值函数（如Softmax函数）计算” | 软阈值是另一个函数，$\mathrm{sign}(x)\max(\lvert x\rvert-\lambda, 0)$；softmax 没有阈值。 |
# | 003-T19 | “通过对指数函数的求和得到” | 每个指数*除以*它们的和。 |
# | 003-T20 | “通过计算注意力权重来实现”，没有公式 | $\mathrm{softmax}(QK^\top/\sqrt{d})\,V$；本课的第一行权重是 ${{A[0]:.4f}}$。 |
# | 003-T21 | “元素乘积的求和” | 是值向量的加权和，矩阵乘积 $AV$。 |
# | 003-T22 | “编码为一维或二维向量的形式” | 每个位置一个 $d$ 维的向量；一维二维说的是编号。 |
# | 003-T23 | “自注意力机制的损失函数” | 一层没有损失，模型才有。 |
# | 003-T26 | 自注意力“主要应用于序列数据处理任务” | ViT 把它用在照片的小块上（Dosovitskiy 等，2021）。 |
# | 003-C5a | `Dense(units=1, activation='softmax')` | 长度为一的轴上的 softmax 恒等于一，见上。 |
# | 003-B3 | Vaswani 等，七位作者 | 少了第八位，Polosukhin。 |
# | 003-B6 | “Show and Tell … (pp. 3431-3440)” | Vinyals、Toshev、Bengio、Erhan，CVPR 2015，第 3156–3164 页。 |
# | 004-T5 | “如ViT、DIN等” | DIN 是广告点击的预测，与人脸无关；人脸的例子是 Face Transformer（Zhong、Deng，2021）。 |
#
# %% [markdown] key="document" lang="en" zh="3c4690d0"
# ## What the documents say, and what is right
#
# | row | document | right |
# |---|---|---|
# | 001-B8 | Xie et al., “Relation Networks for Multi-Instance Learning” | No such work could be found; better not cited. |
# | 001-B9 | Vaswani et al., “Attention is All You Need” | Right. |
# | 003-T7 | “关注输入序列中的不同位置” (attends to different positions) | Right. |
# | 003-T18 | “通过软阈值函数（如Softmax函数）计算” (by a soft threshold such as softmax) | Soft thresholding is another function, $\mathrm{sign}(x)\max(\lvert x\rvert-\lambda, 0)$; softmax has no threshold. |
# | 003-T19 | “通过对指数函数的求和得到” (obtained by summing exponentials) | Each exponential is *divided* by their sum. |
# | 003-T20 | “通过计算注意力权重来实现” (by computing attention weights), without a formula | $\mathrm{softmax}(QK^\top/\sqrt{d})\,V$; the first row of weights here is ${{A[0]:.4f}}$. |
# | 003-T21 | “元素乘积的求和” (sum of element-wise products) | A weighted sum of value vectors, the matrix product $AV$. |
# | 003-T22 | “编码为一维或二维向量的形式” (encoded as one- or two-dimensional vectors) | Each position has a vector of $d$ dimensions; one or two is the number of indices. |
# | 003-T23 | “自注意力机制的损失函数” (the loss of self-attention) | A layer has no loss; the model has. |
# | 003-T26 | self-attention is “主要应用于序列数据处理任务” (mainly for sequences) | ViT uses it on patches of photographs (Dosovitskiy et al., 2021). |
# | 003-C5a | `Dense(units=1, activation='softmax')` | A softmax along an axis of length one is always one, see above. |
# | 003-B3 | Vaswani et al., seven authors | The eighth, Polosukhin, is missing. |
# | 003-B6 | “Show and Tell … (pp. 3431-3440)” | Vinyals, Toshev, Bengio, Erhan, CVPR 2015, pages 3156–3164. |
# | 004-T5 | “如ViT、DIN等” (such as ViT, DIN) | DIN predicts clicks on advertisements; an example with faces is Face Transformer (Zhong, Deng, 2021). |
