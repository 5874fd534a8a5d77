# /// lesson
# title.zh = "梯度下降与动量"
# title.en = "Gradient descent and momentum"
# aim.zh = "知道步子该迈多大、动量为什么有用，并能把文章 001 的动量和 PyTorch 的动量互相换算。"
# aim.en = "Know how large a step may be, why momentum helps, and how to convert the momentum of document 001 into PyTorch's and back."
# documents.001 = "§2.2, §3.1.1, §3.1.5, §3.2.3, §4.1.6, §6.1"
# documents.002 = "§3"
# errata = ["000-T9", "001-T4", "001-T16", "001-T25", "001-F3", "001-F4", "001-F4a", "001-F11", "001-F12", "001-C6", "002-F5"]
# ///
# %% [markdown] key="start" lang="zh"
# # 梯度下降与动量
#
# 反向传播（L02）告诉我们每个权重该往哪边改。改多少，它没有说。步子太小，走到天黑；步子太大，一步跨过山谷，落在对面更高的地方。
# 最简单的规则是**梯度下降**：
#
# $$\theta \;\leftarrow\; \theta - \alpha\,\nabla_\theta L$$
#
# $\theta$ 是全部参数，$\nabla_\theta L$ 是它们的梯度，$\alpha$ 是**学习率**：每一步的大小。梯度若是只用一小批样本算的，就叫**随机**
# 梯度下降（SGD）。这一课只有一个问题：$\alpha$ 取多大？
#
# %% [markdown] key="start" lang="en" zh="d310dfe9"
# # Gradient descent and momentum
#
# Backpropagation (L02) tells which way each weight ought to change. It does not tell by how much. With steps too small it takes all
# day; with steps too large one strides across the valley and lands higher up on the other side. The simplest rule is **gradient
# descent**:
#
# $$\theta \;\leftarrow\; \theta - \alpha\,\nabla_\theta L$$
#
# $\theta$ are all the parameters, $\nabla_\theta L$ their gradients, and $\alpha$ is the **learning rate**: the size of a step. If the
# gradient was computed from a small batch of samples, one speaks of **stochastic** gradient descent (SGD). This lesson has one
# question: how large may $\alpha$ be?
#
# %% tags=["setup"]
import numpy as np

import minidl as dl
from minidl import nn, optim
from minidl.teaching import check, contour, curves, gradcheck, knob, picture, show, trace

# %% [markdown] key="valley" lang="zh"
# ## 一条窄谷
#
# 取一个只有两个参数的损失，在 $a$ 的方向上陡，在 $b$ 的方向上缓：
#
# $$L(a, b) = \tfrac12\,(100\,a^2 + b^2)$$
#
# 谷底在 $(0, 0)$，从 $(1, 1)$ 出发。真实的损失在谷底附近都是这个样子：有的方向弯得厉害，有的方向几乎是平的。拖动 $\alpha$ 和
# $\beta$（动量，下面就讲；零就是没有），看六十步走成什么样。
#
# %% [markdown] key="valley" lang="en" zh="fb5e3858"
# ## A narrow valley
#
# Take a loss with only two parameters, steep along $a$ and gentle along $b$:
#
# $$L(a, b) = \tfrac12\,(100\,a^2 + b^2)$$
#
# The bottom is at $(0, 0)$, the start at $(1, 1)$. Near its bottom every real loss looks like this: some directions bend sharply, some
# are almost level. Drag $\alpha$ and $\beta$ (momentum, which comes below; zero means none) and see what becomes of sixty steps.
#
# %%
alpha = knob("alpha", 0.01, choices=[0.002, 0.01, 0.019, 0.021], symbol=r"\alpha")
beta = knob("beta", 0.0, choices=[0.0, 0.5, 0.9], symbol=r"\beta")


def valley(a, b):
    return (100 * a * a + b * b) / 2


def descend(make, steps):
    theta = dl.tensor([1.0, 1.0], dtype=dl.float64, requires_grad=True)
    optimizer = make([theta])
    path = [theta.tolist()]
    for _ in range(steps):
        optimizer.zero_grad()
        valley(theta[0], theta[1]).backward()
        optimizer.step()
        path.append(theta.tolist())
    return np.array(path)


path = descend(lambda p: optim.SGD(p, lr=alpha, momentum=beta), 60)
final = valley(*path[-1])

picture(contour(valley, (-1.1, 1.1), (-0.4, 1.1), {r"\theta": path}, x_name="a", y_name="b", log=True))
picture(curves(np.arange(61), {"L": valley(path[:, 0], path[:, 1])}, x_name="k", log="y"))

# %% [markdown] key="bound" lang="zh"
# 六十步之后 $L = {{final:.3g}}$（出发时是 $50.5$）。没有动量时，每一步把 $a$ 乘上 $1 - 100\,\alpha$，把 $b$ 乘上 $1 - \alpha$：
#
# $$a_{k+1} = (1 - 100\,\alpha)\,a_k, \qquad b_{k+1} = (1 - \alpha)\,b_k$$
#
# 要缩小，因数的绝对值须小于一：$0 < \alpha < 2/100$。曲率 $\lambda$ 越大，容许的步子越小，$\alpha < 2/\lambda_{\max}$。取 $\beta = 0$，把
# $\alpha$ 拖到边界的两侧，一边收敛，一边发散。可是在这个界限之内，$b$ 的方向一步最多走百分之二：**最陡的方向规定步子，最缓的方向
# 决定时间**。
#
# 有了动量，界限放宽到 $\alpha < 2\,(1+\beta)/\lambda_{\max}$：取 $\alpha = 0.021$，再把 $\beta$ 拖大，它又收敛了。
#
# %% [markdown] key="bound" lang="en" zh="fa421c11"
# After sixty steps $L = {{final:.3g}}$ (at the start it was $50.5$). Without momentum each step multiplies $a$ by $1 - 100\,\alpha$ and $b$ by
# $1 - \alpha$:
#
# $$a_{k+1} = (1 - 100\,\alpha)\,a_k, \qquad b_{k+1} = (1 - \alpha)\,b_k$$
#
# To shrink, the factor has to be below one in size: $0 < \alpha < 2/100$. The larger the curvature $\lambda$, the smaller the step that is
# allowed, $\alpha < 2/\lambda_{\max}$. With $\beta = 0$, drag $\alpha$ to either side of the limit: on one it converges, on the other it does
# not. But within the limit, $b$ moves by two parts in a hundred a step at most: **the steepest direction dictates the step, the gentlest
# one the time**.
#
# With momentum the limit is wider, $\alpha < 2\,(1+\beta)/\lambda_{\max}$: take $\alpha = 0.021$, make $\beta$ larger, and it converges again.
#
# %%
gradcheck(valley, 1.0, 1.0, name="L", names="a b")

# %% [markdown] key="momentum" lang="zh"
# ## 动量
#
# 在窄谷里，$a$ 的梯度来回变号，$b$ 的梯度总朝着一个方向。把最近的梯度*平均*起来，来回的互相抵消，一贯的留下：
#
# $$v \leftarrow \beta v + (1 - \beta)\,g, \qquad \theta \leftarrow \theta - \alpha\,v$$
#
# 这是文章 001 的写法，$v$ 是梯度的**指数平均**。更早的写法（Polyak，1964）不平均，而是累加，像一个滚动的**重球**：
#
# $$v \leftarrow \beta v + g, \qquad \theta \leftarrow \theta - \alpha\,v$$
#
# PyTorch 和 minidl 的 `SGD(momentum=β)` 是后一种。喂给两者三个等于一的梯度：
#
# %% [markdown] key="momentum" lang="en" zh="31adca6f"
# ## Momentum
#
# In the narrow valley the gradient of $a$ keeps changing sign while that of $b$ always points the same way. *Average* the recent
# gradients: what goes to and fro cancels, what is steady remains:
#
# $$v \leftarrow \beta v + (1 - \beta)\,g, \qquad \theta \leftarrow \theta - \alpha\,v$$
#
# This is how document 001 writes it; $v$ is an **exponential average** of the gradients. The older form (Polyak, 1964) does not average
# but accumulates, like a **heavy ball** that rolls:
#
# $$v \leftarrow \beta v + g, \qquad \theta \leftarrow \theta - \alpha\,v$$
#
# `SGD(momentum=β)` in PyTorch and in minidl is the second. Feed both with three gradients of one:
#
# %%
average, heavy = [0.0], [0.0]
for _ in range(3):
    average.append(0.9 * average[-1] + 0.1 * 1.0)
    heavy.append(0.9 * heavy[-1] + 1.0)

show(np.array(average[1:]), r"v_{\text{average}}")
show(np.array(heavy[1:]), r"v_{\text{heavy}}")


# %% [markdown] key="same" lang="zh"
# 重球的每个数都恰好是平均的 $1/(1-\beta)$ 倍，即十倍。所以只要学习率反过来缩小，
#
# $$\alpha_{\text{heavy}} = (1 - \beta)\,\alpha_{\text{average}}$$
#
# 两者走的是*同一条路*：下面的 `averaged` 照抄文章的公式，`matched` 用 PyTorch 的写法和十分之一的学习率。不缩小，重球的每一步就大了十倍。让三个球各走两百步：
#
# %% [markdown] key="same" lang="en" zh="2aa82898"
# Every number of the heavy ball is exactly $1/(1-\beta)$ times the average, that is ten times. So if the learning rate is made smaller
# in turn,
#
# $$\alpha_{\text{heavy}} = (1 - \beta)\,\alpha_{\text{average}}$$
#
# both walk *the same path*: `averaged` below is the formula of the document as it stands, `matched` is PyTorch's with a tenth of the rate.
# Otherwise each step of the heavy ball is ten times as large. Let three balls walk two hundred steps:
#
# %%
def averaged(alpha, beta, steps):
    theta, v = np.array([1.0, 1.0]), np.zeros(2)
    path = [theta]
    for _ in range(steps):
        g = np.array([100.0, 1.0]) * theta
        v = beta * v + (1 - beta) * g
        theta = theta - alpha * v
        path.append(theta)
    return np.array(path)


document = averaged(0.01, 0.9, 200)
matched = descend(lambda p: optim.SGD(p, lr=0.001, momentum=0.9), 200)
unmatched = descend(lambda p: optim.SGD(p, lr=0.01, momentum=0.9), 200)
damped = descend(lambda p: optim.SGD(p, lr=0.01, momentum=0.9, dampening=0.9), 200)
plain = descend(lambda p: optim.SGD(p, lr=0.01), 200)

show(document[-1], r"\theta_{\text{average}}", digits=6)
show(matched[-1], r"\theta_{\text{heavy},\,\alpha/10}", digits=6)
show(unmatched[-1], r"\theta_{\text{heavy}}", digits=6)

ks = np.arange(201)
lines = {"SGD": plain, r"\beta": document, r"\beta,\,\text{heavy}": unmatched}
picture(curves(ks, {name: valley(p[:, 0], p[:, 1]) for name, p in lines.items()}, x_name="k", log="y"))

# %% [markdown] key="dampening" lang="zh"
# 前两行逐位相同。图中（对数轴）同是 $\alpha = 0.01$：没有动量的，文章的，重球的。
#
# PyTorch 有个参数叫 `dampening`，看上去正是文章的 $(1-\beta)$。差一点：它的第一步*不打折*，$v_1 = g$ 而不是 $(1-\beta)\,g$。一步之后
# $a$ 在 ${{damped[1, 0]:.2f}}$，文章的在 ${{document[1, 0]:.2f}}$。要得到文章的动量，用 `SGD(lr=(1-β)*α, momentum=β)`，一步不差。
#
# %% [markdown] key="dampening" lang="en" zh="caa3ceee"
# The first two rows agree digit by digit. The picture (a logarithmic axis) has $\alpha = 0.01$ for all: no momentum, the document's, the
# heavy ball.
#
# PyTorch has an option called `dampening` that looks like the document's $(1-\beta)$. Not quite: its first step is *not* damped,
# $v_1 = g$ and not $(1-\beta)\,g$. After one step $a$ is at ${{damped[1, 0]:.2f}}$, the document's at ${{document[1, 0]:.2f}}$. For the
# document's momentum use `SGD(lr=(1-β)*α, momentum=β)`, which is exact from the first step on.
#
# %% [markdown] key="step" lang="zh"
# ## 一步的全过程
#
# 一次训练是三个动作：清零梯度，算损失并回传，更新。在播放器里看两步：更新那一格写着参数、梯度、$v$ 的前后。回传之后参数没有动，
# 动它的是 `step()`。
# 播放器的公式沿用 PyTorch 的字母：$v$ 写作 $b$，$\beta$ 写作 $\mu$；多出来的 $\tau$ 就是 `dampening`，这里是零。
#
# %% [markdown] key="step" lang="en" zh="f23aa25b"
# ## One step in full
#
# Training is three actions: clear the gradients, compute the loss and walk back, update. Watch two steps in the player: the update
# shows the parameter, its gradient and $v$, before and after. Walking back does not move the parameter; `step()` does.
# The formulas of the player keep PyTorch's letters: $v$ is written $b$ and $\beta$ is written $\mu$; the extra $\tau$ is `dampening`, zero here.
#
# %%
theta = dl.tensor([1.0, 1.0], requires_grad=True)
optimizer = optim.SGD([theta], lr=0.001, momentum=0.9)
scale = dl.tensor([100.0, 1.0])

with trace("L") as recorded:
    for _ in range(2):
        optimizer.zero_grad()
        L = (scale * theta * theta).sum() / 2
        L.backward()
        optimizer.step()

show(theta, r"\theta")

# %% [markdown] key="clip" lang="zh"
# ## 断崖
#
# 循环网络（L13）的损失常有断崖：梯度一下大了几千倍，一步就飞走。**裁剪**只改长度，不改方向：
#
# $$g \;\leftarrow\; g\,\min\!\left(1, \frac{c}{\lVert g \rVert}\right)$$
#
# %% [markdown] key="clip" lang="en" zh="1f319359"
# ## Cliffs
#
# The loss of a recurrent network (L13) often has cliffs: the gradient is suddenly thousands of times as large, and one step throws
# everything away. **Clipping** changes its length and not its direction:
#
# $$g \;\leftarrow\; g\,\min\!\left(1, \frac{c}{\lVert g \rVert}\right)$$
#
# %%
theta.grad = dl.tensor([3000.0, 4000.0])
before = nn.utils.clip_grad_norm_([theta], 1.0)
show(before, "|g|")
show(theta.grad, "g")


# %% [markdown] key="relation" lang="zh"
# ## 练习 E09.1：换算
#
# 有人给出文章形式的 $\alpha$ 和 $\beta$。写 `heavy_rate(alpha, beta)`：重球形式应该用多大的学习率，才走同一条路？
#
# %% [markdown] key="relation" lang="en" zh="d8dddd0b"
# ## Exercise E09.1: convert
#
# Somebody gives $\alpha$ and $\beta$ in the document's form. Write `heavy_rate(alpha, beta)`: which learning rate makes the heavy ball
# walk the same path?
#
# %% tags=["exercise"]
def heavy_rate(alpha, beta): ...


check("E09.1", heavy_rate)


# %% [markdown] key="write" lang="zh"
# ## 练习 E09.2：走一步
#
# 写 `momentum_step(theta, v, g, alpha, beta)`，文章的形式，返回新的 $(\theta, v)$。
#
# %% [markdown] key="write" lang="en" zh="944ce031"
# ## Exercise E09.2: take a step
#
# Write `momentum_step(theta, v, g, alpha, beta)` in the document's form; it returns the new $(\theta, v)$.
#
# %% tags=["exercise"]
def momentum_step(theta, v, g, alpha, beta): ...


check("E09.2", momentum_step)

# %% [markdown] key="document" lang="zh"
# ## 文章怎么说，应当怎么说
#
# | 行 | 文章 | 应当 |
# |---|---|---|
# | 000-T9 | “反向传播则用于…更新参数” | 同 001-T4：回传给出梯度，更新是优化器的事。 |
# | 001-T4 | “通过反向传播算法来优化” | 回传只给梯度，`step()` 才更新。 |
# | 001-T16 | 扫描时“更新卷积核的权重和偏置” | 前向、损失、回传、*一次*更新；每个批次一次。 |
# | 001-T25 | “在损失函数下降方向进行更新” | 步子够小才对；在二次函数上是 $\alpha < 2/\lambda_{\max}$。 |
# | 001-F3 | $\theta = \theta - \alpha \nabla_{\theta} L$ | 对（作为赋值）。 |
# | 001-F4 | $v = \beta v + (1 - \beta) \nabla_{\theta} L$ | 对，是指数平均；重球的 $\alpha$ 要乘 $1-\beta$ 才与它相同。 |
# | 001-F4a | “通过计算累积梯度来加速” | 这里是平均，不是累积：三步之后 ${{average[3]:.3f}}$，累积的是 ${{heavy[3]:.2f}}$。 |
# | 001-F11 | 循环网络也用 $\theta - \alpha \nabla_{\theta} L$ | 对；再加上梯度裁剪。 |
# | 001-F12 | 只有 $v$ 的式子 | 缺更新的那一行，$\theta \leftarrow \theta - \alpha v$。 |
# | 001-C6 | `get_gradients(loss, …)` | 没有这个方法；每一步都要重算损失：`zero_grad()`、`backward()`、`step()`。 |
# | 002-F5 | “优化算法的公式”，却没有公式 | $\theta \leftarrow \theta - \alpha \nabla_\theta L$。 |
#
# 文献：Polyak（1964）；Pascanu 等（2013），梯度裁剪；Goh，《Why Momentum Really Works》，Distill（2017）。
#
# %% [markdown] key="document" lang="en" zh="cc9c0f8a"
# ## What the documents say, and what is right
#
# | row | document | right |
# |---|---|---|
# | 000-T9 | “反向传播则用于…更新参数” (backpropagation updates the parameters) | As 001-T4: walking back gives gradients, updating is the optimizer's work. |
# | 001-T4 | “通过反向传播算法来优化” (optimize by backpropagation) | Walking back only gives gradients, `step()` updates. |
# | 001-T16 | during the scan “更新卷积核的权重和偏置” (update the kernel) | Forward, loss, back, *one* update; once a batch. |
# | 001-T25 | “在损失函数下降方向进行更新” (update in the direction of descent) | True if the step is small enough; on a quadratic, $\alpha < 2/\lambda_{\max}$. |
# | 001-F3 | $\theta = \theta - \alpha \nabla_{\theta} L$ | Right, as an assignment. |
# | 001-F4 | $v = \beta v + (1 - \beta) \nabla_{\theta} L$ | Right, an exponential average; the heavy ball equals it if $\alpha$ is multiplied by $1-\beta$. |
# | 001-F4a | “通过计算累积梯度来加速” (accelerates by accumulating gradients) | Here it is an average and no accumulation: ${{average[3]:.3f}}$ after three steps, accumulated it is ${{heavy[3]:.2f}}$. |
# | 001-F11 | recurrent networks use $\theta - \alpha \nabla_{\theta} L$ as well | Right; clip the gradient too. |
# | 001-F12 | only the formula of $v$ | The update is missing, $\theta \leftarrow \theta - \alpha v$. |
# | 001-C6 | `get_gradients(loss, …)` | There is no such method, and the loss has to be computed anew in every step: `zero_grad()`, `backward()`, `step()`. |
# | 002-F5 | “优化算法的公式” (the formula of the optimizer), without a formula | $\theta \leftarrow \theta - \alpha \nabla_\theta L$. |
#
# Sources: Polyak (1964); Pascanu et al. (2013) on clipping; Goh, *Why Momentum Really Works*, Distill (2017).
