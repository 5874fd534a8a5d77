# /// lesson
# title.zh = "反向传播"
# title.en = "Backpropagation"
# aim.zh = "自己写出反向传播的三条规则和那一趟回程，看清忘记相加、走错次序会得出什么数。"
# aim.en = "Write the three rules and the walk of backpropagation yourself, and see which numbers come out when one forgets to add or takes the wrong order."
# documents.000 = "§1, §3.2"
# documents.001 = "§2.2, §6.2"
# documents.002 = "§2"
# errata = ["000-T1", "000-T9", "001-T1", "001-T4", "001-B1", "001-B2", "001-B6", "002-T4", "003-B1", "003-B2"]
# ///
# %% [markdown] key="start" lang="zh"
# # 反向传播
#
# 在 L01 里，我们对一个权重求了导数。真正的网络有上百万个权重，而且同一个数常常被用好几次。一个一个地求，要算到什么时候？
# 不用：从损失往回走*一趟*，所有的导数就都有了。这一课就是那一趟。
#
# 记 $\bar a = \partial L/\partial a$，读作“$a$ 的梯度”：$a$ 大一点点，$L$ 变多少。往回走的时候，在每个运算那里只做一件事：
# 把结果的梯度乘上*局部导数*，**加**到每个输入的梯度上。
#
# $$\bar a \;\leftarrow\; \bar a + \bar y\,\frac{\partial y}{\partial a}$$
#
# 这里 $y$ 是运算的结果，$a$ 是它的一个输入。链式法则全在这一行里；而“加”这个字，正是最容易忘的。
#
# %% [markdown] key="start" lang="en" zh="6633718d"
# # Backpropagation
#
# In L01 we took the derivative for one weight. A real network has millions of them, and the same number is often used several
# times. How long would that take, one by one? It does not have to: *one* walk back from the loss gives all the derivatives. This
# lesson is that walk.
#
# Write $\bar a = \partial L/\partial a$ and read “the gradient of $a$”: if $a$ were a little larger, how much would $L$ change. On
# the way back only one thing happens at each operation: the gradient of its result, times the *local derivative*, is **added** to
# the gradient of each input.
#
# $$\bar a \;\leftarrow\; \bar a + \bar y\,\frac{\partial y}{\partial a}$$
#
# Here $y$ is the result of the operation and $a$ one of its inputs. The whole chain rule is in this line; and “added” is the word
# that is forgotten most easily.
#
# %% tags=["setup"]
import numpy as np

import minidl as dl
from minidl.player import record
from minidl.teaching import bars, check, curves, gradcheck, graph, knob, picture, show, trace

# %% [markdown] key="wave" lang="zh"
# ## 一趟回程
#
# 还是 L01 的式子，只是这次也问 $x$ 的梯度。先走到 $L$，再按 `b` 跳到回程，一步一步看：每一步的“上游 × 局部 = 贡献”。
#
# %% [markdown] key="wave" lang="en" zh="9b04a70f"
# ## One walk back
#
# The expression of L01 again, but this time the gradient of $x$ is asked for as well. Go to $L$, press `b` to jump to the way back,
# and watch at each step: upstream × local = contribution.
#
# %%
w0 = knob("w", -2.0, -4.0, 4.0, step=2.0)

x = dl.tensor(3.0, requires_grad=True)
w = dl.tensor(w0, requires_grad=True)
b = dl.tensor(1.0, requires_grad=True)

with trace("L") as recorded:
    y = w * x + b
    L = (y - 1) ** 2
    L.backward()

picture(bars({r"\bar w": w.grad, r"\bar x": x.grad, r"\bar b": b.grad}))

# %% [markdown] key="local" lang="zh"
# 从右往左：$L$ 对自己的梯度是 $1$。平方的局部导数是 $2\,(y-1)$，所以 $\bar y = {{2 * (y - 1):.0f}}$。加法的局部导数是 $1$：它把
# $\bar y$ 原样交给两边，$\bar b = {{b.grad:.0f}}$。乘法把梯度乘上*另一个*因数：$\bar w = \bar y\,x = {{w.grad:.0f}}$，
# $\bar x = \bar y\,w = {{x.grad:.0f}}$。
#
# 没有哪一步需要知道整个式子。每个运算只认得自己的局部导数，这就是为什么同一个引擎能对任何网络求导。
#
# %% [markdown] key="local" lang="en" zh="372d1354"
# From right to left: the gradient of $L$ with respect to itself is $1$. The local derivative of the square is $2\,(y-1)$, so
# $\bar y = {{2 * (y - 1):.0f}}$. That of a sum is $1$: it hands $\bar y$ to both sides as it is, $\bar b = {{b.grad:.0f}}$. A product
# multiplies the gradient by the *other* factor: $\bar w = \bar y\,x = {{w.grad:.0f}}$, $\bar x = \bar y\,w = {{x.grad:.0f}}$.
#
# No step needs to know the whole expression. Each operation knows its own local derivatives and nothing else, and that is why one
# engine can differentiate any network.
#
# %% [markdown] key="reuse" lang="zh"
# ## 用了两次的数
#
# $x^2 + x$ 里 $x$ 用了几次？乘法用两次，加法用一次，一共三个箭头从 $x$ 出发，所以有三份贡献要加在一起。
#
# %% [markdown] key="reuse" lang="en" zh="5e2e432a"
# ## A number that is used twice
#
# How often is $x$ used in $x^2 + x$? Twice by the product and once by the sum: three arrows leave $x$, so three contributions have to
# be added up.
#
# %%
x0 = knob("x", 3.0, -3.0, 3.0, step=1.5)
t = dl.tensor(x0, requires_grad=True)

with trace("s") as reused:
    p = t * t
    s = p + t
    s.backward()

show(t.grad, r"\bar x")
picture(graph(reused))

# %% [markdown] key="sum" lang="zh"
# 公式说导数是 $2x+1 = {{2 * x0 + 1:g}}$，引擎算得 ${{t.grad:g}}$。**到了岔路口，梯度要相加**：$x$ 通过几条路影响 $L$，就有几份贡献。
#
# %% [markdown] key="sum" lang="en" zh="3eec7d6d"
# The formula says that the derivative is $2x+1 = {{2 * x0 + 1:g}}$, and the engine found ${{t.grad:g}}$. **Where paths meet, gradients
# are added**: $x$ influences $L$ in several ways, and each of them contributes.
#
# %% [markdown] key="own" lang="zh"
# ## 自己写一个
#
# 引擎记下的，不过是一张表：每个结果从哪些数来，局部导数各是多少。有了这张表，回程只要几行。这里的式子是 $a = x\,x$，
# $y = a\,a + a\,x$。
#
# %% [markdown] key="own" lang="en" zh="7d04a7fc"
# ## Write one yourself
#
# What the engine writes down is no more than a table: from which numbers each result came, and what the local derivatives are. With
# that table the walk is a few lines. The expression here is $a = x\,x$, $y = a\,a + a\,x$.
#
# %%
habit = knob("habit", "+=", choices=["+=", "=", "too early"])
v = 2.0
a = v * v
table = [
    ("a", [("x", v), ("x", v)]),
    ("c", [("a", a), ("a", a)]),
    ("d", [("a", v), ("x", a)]),
    ("y", [("c", 1.0), ("d", 1.0)]),
]


def walk(table, order, add=True):
    bar = {"y": 1.0}
    for k in order:
        result, inputs = table[k]
        for name, local in inputs:
            contribution = bar.get(result, 0.0) * local
            bar[name] = bar.get(name, 0.0) + contribution if add else contribution
    return bar["x"]


walks = {
    "+=": walk(table, [3, 2, 1, 0]),
    "=": walk(table, [3, 2, 1, 0], add=False),
    "too early": walk(table, [3, 2, 0, 1]),
}
found = walks[habit]
picture(bars({r"\bar x": found}, 0.0, 50.0))

# %% [markdown] key="habits" lang="zh"
# 正确的答案是 $4x^3 + 3x^2 = {{4 * v**3 + 3 * v**2:g}}$；按现在选的走法，得到的是 ${{found:g}}$。
#
# - `+=`：每份贡献都加上，得 ${{walks["+="]:g}}$。
# - `=`：后来的贡献盖掉先前的，只剩最后一份，得 ${{walks["="]:g}}$。
# - `too early`：在 $a$ 还没有收齐贡献的时候就从它那里出发，得 ${{walks["too early"]:g}}$；后到的那份再也没有机会往前走。
#
# 所以次序也有规矩：一个结果要等所有用过它的运算都交来贡献，才轮到自己。把建图的次序倒过来，就总能满足；minidl 数的是每个结果
# 还欠几份贡献（`autograd.walk`）。
#
# %% [markdown] key="habits" lang="en" zh="2a4c3fe2"
# The right answer is $4x^3 + 3x^2 = {{4 * v**3 + 3 * v**2:g}}$; walking in the way chosen now gives ${{found:g}}$.
#
# - `+=`: every contribution is added, which makes ${{walks["+="]:g}}$.
# - `=`: a later contribution overwrites an earlier one; only the last is left, ${{walks["="]:g}}$.
# - `too early`: starting from $a$ before all of its contributions have arrived gives ${{walks["too early"]:g}}$; what arrives later
#   never gets any further.
#
# So there is a rule for the order too: a result has to wait until every operation that used it has handed in its contribution. The
# order in which the graph was built, reversed, always satisfies it; minidl counts how many contributions each result still waits for
# (`autograd.walk`).
#
# %%
gradcheck(lambda x: x * x * x * x + x * x * x, v, name="x^4+x^3", names="x")
gradcheck(lambda x, w, b: (w * x + b - 1) ** 2, 3.0, -2.0, 1.0, name="L", names="x w b")

# %% [markdown] key="cost" lang="zh"
# ## 为什么要往回走
#
# 也可以像 L01 那样，每个权重挪一点、再算一遍：$n$ 个权重要算 $2n$ 遍。往回走一趟要多少？数一数就知道：用一层一层的小网络，记下前向
# 有多少个运算、回程有多少步。
#
# %% [markdown] key="cost" lang="en" zh="8b555ed7"
# ## Why walk backwards
#
# One could also do as in L01, move each weight a little and compute again: for $n$ weights, $2n$ times. How much is one walk back?
# Counting tells: with small networks of more and more layers, note how many operations the way there has and how many steps the way
# back.
#
# %%
depths = [1, 2, 4, 8, 16, 32]
weights, forward, backward = [], [], []
for depth in depths:
    layers = [dl.tensor(np.full((4, 4), 0.1), requires_grad=True) for _ in range(depth)]
    with record() as tape:
        value = dl.tensor(np.ones(4))
        for layer in layers:
            value = dl.tanh(layer @ value)
        value.sum().backward()
    recording = tape.trace()
    weights.append(16 * depth)
    forward.append(len([n for n in recording.nodes if n["inputs"]]))
    backward.append(len([event for event in recording.events if event["kind"] == "grad"]))

differences = [2 * n * f for n, f in zip(weights, forward)]
steps = {"F": forward, "B": backward, "2nF": differences}

# %% tags=["figure"]
picture(curves(weights, steps, x_name="n", log="y"))


# %% [markdown] key="factor" lang="zh"
# 横轴是权重的个数 $n$，纵轴（对数）是运算的个数：$F$ 前向，$B$ 回程，$2nF$ 用差分。最深的网络有 ${{weights[-1]}}$ 个权重，前向 ${{forward[-1]}}$ 个运算，回程
# ${{backward[-1]}}$ 步；用差分要 ${{differences[-1]}}$ 个。回程大约和前向一样长，*不必为每个权重走一遍*：这就是神经网络能够训练的原因。
# 代价是记忆：前向的中间结果要留到回程用完。
#
# %% [markdown] key="factor" lang="en" zh="edc0e928"
# Across, the number of weights $n$; upwards (logarithmic), the number of operations: $F$ there, $B$ back, $2nF$ by differences. The deepest network has ${{weights[-1]}}$ weights,
# the way there ${{forward[-1]}}$ operations, the way back ${{backward[-1]}}$ steps; differences would take ${{differences[-1]}}$. The way
# back is about as long as the way there, *not once for each weight*: that is why neural networks can be trained. The price is
# memory: intermediate results stay until the way back has used them.
#
# %% [markdown] key="rules" lang="zh"
# ## 练习 E02.1：三条规则
#
# 写 `rule(op, a, b, gy)`：`op` 是 `"add"`、`"mul"` 或 `"pow"`（$a^b$，$b$ 是常数），`gy` 是结果的梯度 $\bar y$。加法和乘法返回
# $(\bar a, \bar b)$，乘方只返回 $(\bar a,)$。
#
# %% [markdown] key="rules" lang="en" zh="f5ebce70"
# ## Exercise E02.1: three rules
#
# Write `rule(op, a, b, gy)`: `op` is `"add"`, `"mul"` or `"pow"` ($a^b$ with a constant $b$), and `gy` is the gradient $\bar y$ of the
# result. Sum and product return $(\bar a, \bar b)$, the power only $(\bar a,)$.
#
# %% tags=["exercise"]
def rule(op, a, b, gy): ...


check("E02.1", rule)


# %% [markdown] key="walking" lang="zh"
# ## 练习 E02.2：那一趟回程
#
# 写 `backward(table)`：表的每一行是 `(result, inputs)`，`inputs` 是一串 `(name, local)`，按算出来的先后排列，最后一行是 $L$。
# 返回一个字典：每个名字的梯度，包括最后的结果自己。
#
# %% [markdown] key="walking" lang="en" zh="9ffcb250"
# ## Exercise E02.2: the walk
#
# Write `backward(table)`: each row of the table is `(result, inputs)`, with `inputs` a list of `(name, local)`, in the order in which
# they were computed; the last row is $L$. Return a dictionary: the gradient of every name, the last result included.
#
# %% tags=["exercise"]
def backward(table): ...


check("E02.2", backward)

# %% [markdown] key="document" lang="zh"
# ## 文章怎么说，应当怎么说
#
# | 行 | 文章 | 应当 |
# |---|---|---|
# | 000-T1 | “深度学习作为一种新的人工智能技术” | 用反向传播训练的卷积网络出自 1989–1998 年；新的是规模。 |
# | 000-T9 | “反向传播则用于…更新参数” | 反向传播只算梯度；更新是优化器的事，`backward()` 与 `step()` 是两步。 |
# | 001-T1 | “基于人脑结构和工作原理” | 只是受神经元启发。上面那一趟回程不是大脑的模型。 |
# | 001-T4 | “通过反向传播算法来优化神经网络的权重和偏置” | 同 000-T9：$w$ 在 `backward()` 之后还是 ${{w:.0f}}$。 |
# | 001-B1 | LeCun、Bengio、Hinton（2015），Nature 521 | 对；003-B1 是同一篇。 |
# | 001-B2 | Goodfellow、Bengio、Courville（2016） | 对；003-B2 是同一篇。 |
# | 001-B6 | Bengio (2009)，“Journal of Machine Learning Research, 10, 2231-2288” | 出处应为 Foundations and Trends in Machine Learning 2(1):1–127。 |
# | 002-T4 | “深度学习是一种基于神经网络的机器学习方法” | 对：多层网络，由梯度学习。 |
#
# 读下去：Rumelhart、Hinton 与 Williams（1986），《Learning representations by back-propagating errors》。梯度怎样用来改权重，是 L09。
#
# %% [markdown] key="document" lang="en" zh="57228200"
# ## What the documents say, and what is right
#
# | row | document | right |
# |---|---|---|
# | 000-T1 | “深度学习作为一种新的人工智能技术” (deep learning, a new technique) | Convolutional networks trained by backpropagation date from 1989–1998; what is new is the scale. |
# | 000-T9 | “反向传播则用于…更新参数” (backpropagation updates the parameters) | Backpropagation only computes gradients; updating is the optimizer's work, `backward()` and `step()` are two steps. |
# | 001-T1 | “基于人脑结构和工作原理” (based on the structure and workings of the brain) | Inspired by neurons, no more. The walk above is not a model of the brain. |
# | 001-T4 | “通过反向传播算法来优化神经网络的权重和偏置” (optimize weights and biases by backpropagation) | As 000-T9: after `backward()`, $w$ is still ${{w:.0f}}$. |
# | 001-B1 | LeCun, Bengio, Hinton (2015), Nature 521 | Right; 003-B1 is the same. |
# | 001-B2 | Goodfellow, Bengio, Courville (2016) | Right; 003-B2 is the same. |
# | 001-B6 | Bengio (2009), “Journal of Machine Learning Research, 10, 2231-2288” | The venue is Foundations and Trends in Machine Learning 2(1):1–127. |
# | 002-T4 | “深度学习是一种基于神经网络的机器学习方法” (a machine-learning method built on neural networks) | True: networks of many layers, learned by gradients. |
#
# Further: Rumelhart, Hinton and Williams (1986), *Learning representations by back-propagating errors*. How gradients are used to
# change weights is L09.
