# /// lesson
# title.zh = "从数到计算图"
# title.en = "Numbers become a graph"
# aim.zh = "看一个式子怎样变成一张图；亲手求一次导数，再和图上的数字核对。"
# aim.en = "See an expression become a graph; take one derivative by hand and compare it with the number in the graph."
# documents.001 = "§2.2"
# errata = ["001-T3", "001-T4", "001-B11", "001-B12", "002-T4", "003-T1"]
# ///
# %% [markdown] key="start" lang="zh"
# # 从数到计算图
#
# 一张照片是一堆数，一个神经网络是一个很长的式子。文章 001 说，网络由“权重和偏置连接”而成，训练时由反向传播
# “优化”它们。可是，一个*式子*怎么会知道自己该往哪边改？
#
# 这一课取一个短得不能再短、却什么都不缺的式子：一个输入 $x$，一个权重 $w$，一个偏置 $b$，一个目标 $1$。
#
# $$y = w\,x + b, \qquad L = (y - 1)^2$$
#
# $y$ 是网络的回答，$L$ 是**损失**：回答离目标有多远，取平方。$L$ 越小越好，等于零时回答正好是 $1$。
#
# %% [markdown] key="start" lang="en" zh="43e61319"
# # Numbers become a graph
#
# A photograph is a pile of numbers, and a neural network is a long expression. Document 001 says that networks are
# “connected by weights and biases” (in its words: “权重和偏置连接”) and that backpropagation “optimizes” them in training.
# But how can an *expression* know which way it ought to change?
#
# This lesson takes an expression that could not be shorter and yet lacks nothing: an input $x$, a weight $w$, a bias $b$,
# and the target $1$.
#
# $$y = w\,x + b, \qquad L = (y - 1)^2$$
#
# $y$ is the network's answer, and $L$ is the **loss**: how far the answer is from the target, squared. The smaller $L$, the
# better; at zero the answer is exactly $1$.
#
# %% tags=["setup"]
import numpy as np

import minidl as dl
from minidl.player import record
from minidl.teaching import check, curves, gradcheck, graph, knob, picture, show, trace
from minidl.teaching.exercises import exercise

# %% [markdown] key="run" lang="zh"
# ## 算一遍，同时记下来
#
# 下面的 Python 就是这个式子。引擎一边算，一边记：每个结果从哪些数、经过哪种运算得来。
#
# %% [markdown] key="run" lang="en" zh="9b5accd4"
# ## Compute it, and take notes
#
# The Python below is that expression. While it computes, the engine takes notes: from which numbers, by which operation,
# each result came.
#
# %%
w0 = knob("w", -2.0, -4.0, 4.0, step=2.0)
b0 = knob("b", 1.0, -2.0, 2.0, step=1.0)

x = dl.tensor(3.0)
w = dl.tensor(w0, requires_grad=True)
b = dl.tensor(b0, requires_grad=True)

with trace("L") as recorded:
    y = w * x + b
    L = (y - 1) ** 2
    L.backward()

picture(graph(recorded))

# %% [markdown] key="read" lang="zh"
# 从左往右读这张图，就是从数到损失：$w\,x = {{(w * x):.0f}}$，加上 $b$ 得到 $y = {{y:.0f}}$，离目标差 ${{(y - 1):.0f}}$，平方是
# $L = {{L:.0f}}$。粗框是可以学习的数：只有 $w$ 和 $b$。$x$ 是数据，我们不去改照片。
#
# 在播放器里按 → 一步一步走。走到底以后方向会反过来：`L.backward()` 从 $L$ 出发，沿同样的箭头往回，问每个数同一个问题：
# *你若大一点点，$L$ 会变多少？* 这个比值叫**梯度**，写作 $\partial L/\partial w$。
#
# %% [markdown] key="read" lang="en" zh="3416e783"
# Read from left to right, the graph leads from the numbers to the loss: $w\,x = {{(w * x):.0f}}$, plus $b$ makes $y = {{y:.0f}}$,
# which misses the target by ${{(y - 1):.0f}}$, and squared that is $L = {{L:.0f}}$. Thick boxes are the numbers that may be
# learned: only $w$ and $b$. $x$ is data; nobody edits the photograph.
#
# In the player, press → and go step by step. At the end the direction turns: `L.backward()` starts at $L$ and follows the
# same arrows back, asking every number the same question: *if you were a little larger, by how much would $L$ change?* That
# ratio is the **gradient**, written $\partial L/\partial w$.
#
# %%
show(w.grad, r"\partial L/\partial w")
show(b.grad, r"\partial L/\partial b")


# %% [markdown] key="hand" lang="zh"
# ## 用手核对
#
# 不相信机器的人可以自己量：把 $w$ 往右挪一点点 $\varepsilon$，再往左挪一点点，看 $L$ 差多少。
#
# $$\frac{\partial L}{\partial w} \approx \frac{L(w+\varepsilon) - L(w-\varepsilon)}{2\,\varepsilon}$$
#
# 这叫**中心差分**。它不知道任何求导公式，所以是一位好证人。
#
# %% [markdown] key="hand" lang="en" zh="9686d8b4"
# ## Check it by hand
#
# Whoever distrusts machines can measure: push $w$ to the right by a little $\varepsilon$, then to the left, and see by how
# much $L$ differs.
#
# $$\frac{\partial L}{\partial w} \approx \frac{L(w+\varepsilon) - L(w-\varepsilon)}{2\,\varepsilon}$$
#
# This is the **central difference**. It knows no rule of differentiation, which makes it a good witness.
#
# %%
def loss(w):
    return (w * 3.0 + b0 - 1) ** 2


epsilon = 0.001
measured = (loss(w0 + epsilon) - loss(w0 - epsilon)) / (2 * epsilon)
show(measured, r"(L(w+\varepsilon)-L(w-\varepsilon))/2\varepsilon")

ws = np.linspace(-4.0, 4.0, 81)
tangent = loss(w0) + w.grad.item() * (ws - w0)
picture(curves(ws, {"L(w)": loss(ws), r"L + g\,\Delta w": tangent}, x_name="w", limits=(-20.0, 180.0), mark=w0))

# %% [markdown] key="slope" lang="zh"
# 实线是 $L$ 随 $w$ 的变化，虚线是斜率为 $g = {{w.grad:.0f}}$ 的直线：它在 $w = {{w0:.0f}}$ 处刚好贴着曲线。梯度就是这条切线的斜率。
# 斜率为负，说明 $w$ 大一点，损失就小一点；为正，就该往小里改；为零，就到了谷底。**梯度告诉我们往哪边改**，开头的问题
# 有了答案。动一动 $w$，看切线怎样翻身。
#
# %% [markdown] key="slope" lang="en" zh="729a17a7"
# The solid line is $L$ as $w$ changes; the dashed one is a straight line of slope $g = {{w.grad:.0f}}$, which just touches the
# curve at $w = {{w0:.0f}}$. The gradient is the slope of this tangent. A negative slope says that with a larger $w$ the loss
# would be smaller; a positive one, that it should become smaller; zero, that this is the bottom of the valley. **The gradient
# tells which way to change**, and the first question is answered. Move $w$ and watch the tangent turn over.
#
# %%
gradcheck(lambda w, b: (w * 3.0 + b - 1) ** 2, w0, b0, name="(3w+b-1)^2", names="w b")

# %% [markdown] key="build" lang="zh"
# ## 练习 E01.1：照图写式子
#
# 下面这张图是另一个式子画的。写出 `build`，让它记录出*同一张图*：同样的运算，同样的箭头。
# 数值相等还不够，因为反向传播走的是图，不是数值。
#
# %% [markdown] key="build" lang="en" zh="88e9841a"
# ## Exercise E01.1: write the expression of a picture
#
# The graph below was drawn by another expression. Write `build` so that it records *the same graph*: the same operations,
# the same arrows. An equal value is not enough, because backpropagation walks the graph and not the value.
#
# %% tags=["figure"]
with record() as tape:
    exercise("E01.1").solution(dl.tensor(3.0), dl.tensor(-2.0, requires_grad=True), dl.tensor(1.0, requires_grad=True))
picture(graph(tape.trace()))


# %% tags=["exercise"]
def build(x, w, b): ...


check("E01.1", build)


# %% [markdown] key="derive" lang="zh"
# ## 练习 E01.2：用链式法则写导数
#
# 把 $L = (w\,x + b - 1)^2$ 对 $w$ 的导数写成一个普通的 Python 公式，不用引擎，也不用差分。先问：里面那层 $y$ 随 $w$ 变多少？
# 外面那层 $L$ 随 $y$ 变多少？两个比值相乘。在 $x=3, w=-2, b=1$ 处，答案应当是 ${{exercise("E01.2").solution(3, -2, 1)}}$。
#
# %% [markdown] key="derive" lang="en" zh="cc016bf4"
# ## Exercise E01.2: the derivative by the chain rule
#
# Write the derivative of $L = (w\,x + b - 1)^2$ with respect to $w$ as a plain Python formula, without the engine and without
# differences. Ask first: how much does the inner $y$ change with $w$? And the outer $L$ with $y$? Multiply the two ratios. At
# $x=3, w=-2, b=1$ the answer should be ${{exercise("E01.2").solution(3, -2, 1)}}$.
#
# %% tags=["exercise"]
def derivative(x, w, b): ...


check("E01.2", derivative)

# %% [markdown] key="document" lang="zh"
# ## 文章怎么说，应当怎么说
#
# | 行 | 文章 | 应当 |
# |---|---|---|
# | 001-T3 | “每层神经元之间通过权重和偏置连接” | 对，但没有公式。一层是 $y=\varphi(Wx+b)$；本课的 $w\,x+b$ 是它最小的样子（`Linear`）。 |
# | 001-T4 | “训练过程是通过反向传播算法来优化神经网络的权重和偏置的” | 反向传播只*算出*梯度；*改*权重的是优化器。在上面的程序里，`backward()` 之后 $w$ 还是 ${{w:.0f}}$，一点没动。 |
# | 001-B11 | Abadi 等（2016），TensorFlow | 题目和编号对，作者名单不对：Abadi、Agarwal、Barham、Brevdo、Chen 等。 |
# | 001-B12 | “Paszke, A., Devroye, L., Chintala, S., & Brunel, P. (2017)” | 应为 Paszke、Gross、Massa 等，NeurIPS 2019，arXiv:1912.01703。 |
# | 002-T4 | “深度学习是一种基于神经网络的机器学习方法” | 对：一层一层的式子，由梯度来学。 |
# | 003-T1 | “通过多层神经网络对数据进行抽取和表示” | 对。 |
#
# 下一步：L03 讲损失为什么这样取；反向传播怎样走过任意的图，是 L02 的内容。
#
# %% [markdown] key="document" lang="en" zh="623a52d7"
# ## What the documents say, and what is right
#
# | row | document | right |
# |---|---|---|
# | 001-T3 | “每层神经元之间通过权重和偏置连接” (neurons of each layer are connected by weights and biases) | True, but there is no formula. A layer is $y=\varphi(Wx+b)$; the $w\,x+b$ of this lesson is the smallest one (`Linear`). |
# | 001-T4 | “训练过程是通过反向传播算法来优化神经网络的权重和偏置的” (training optimizes the weights by backpropagation) | Backpropagation only *computes* gradients; the optimizer *changes* weights. In the program above, after `backward()`, $w$ is still ${{w:.0f}}$: it has not moved. |
# | 001-B11 | Abadi et al. (2016), TensorFlow | Title and number are right, the authors are not: Abadi, Agarwal, Barham, Brevdo, Chen and others. |
# | 001-B12 | “Paszke, A., Devroye, L., Chintala, S., & Brunel, P. (2017)” | It should be Paszke, Gross, Massa and others, NeurIPS 2019, arXiv:1912.01703. |
# | 002-T4 | “深度学习是一种基于神经网络的机器学习方法” (a machine-learning method built on neural networks) | True: layer upon layer of expressions, learned by gradients. |
# | 003-T1 | “通过多层神经网络对数据进行抽取和表示” (many layers extract and represent data) | True. |
#
# Next: L03 tells why a loss is chosen the way it is; how backpropagation walks through any graph is the subject of L02.
