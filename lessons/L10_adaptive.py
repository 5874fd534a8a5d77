# /// lesson
# title.zh = "自适应学习率与训练循环"
# title.en = "Adaptive rates and the training loop"
# aim.zh = "自己写出 Adam，看清文章 001 的“自适应学习率”为什么既不自适应，又会发散。"
# aim.en = "Write Adam yourself, and see why the “adaptive learning rate” of document 001 neither adapts nor converges."
# documents.001 = "§3.1.5, §3.2.3, §6.1–2"
# documents.002 = "§3"
# documents.003 = "§4.2"
# errata = ["001-F5", "001-F5a", "001-F5b", "001-F13", "001-B4", "001-B5", "001-B10", "002-T8", "002-F5", "003-C3"]
# ///
# %% [markdown] key="start" lang="zh"
# # 自适应学习率与训练循环
#
# L09 的窄谷有个毛病：最陡的方向规定步子，最缓的方向决定时间。既然每个参数弯的程度不同，为什么不给每个参数*各自*的步子？
# 文章 001 说它有这样的东西，并且给出一个公式：
#
# $$\alpha = \frac{1}{\sqrt{1 + \epsilon \cdot \text{iter}}}$$
#
# 先照它做，看看会怎样。
#
# %% [markdown] key="start" lang="en" zh="487c046b"
# # Adaptive rates and the training loop
#
# The narrow valley of L09 has an unpleasant side: the steepest direction dictates the step, the gentlest the time. As parameters bend
# differently, why not give *each* its own step? Document 001 says that it has such a thing, and gives a formula:
#
# $$\alpha = \frac{1}{\sqrt{1 + \epsilon \cdot \text{iter}}}$$
#
# Let us first do as it says, and see.
#
# %% tags=["setup"]
import numpy as np

import minidl as dl
import minidl.nn.functional as F
from minidl import nn, optim
from minidl.faces.generated import generated_faces
from minidl.optim.lr_scheduler import InverseSqrtLR
from minidl.teaching import bars, check, contour, curves, fast, gradcheck, knob, picture, show, trace

# %%
epsilon = knob("epsilon", 0.01, choices=[1e-08, 0.01, 1.0], symbol=r"\epsilon")


def valley(a, b):
    return (100 * a * a + b * b) / 2


def descend(make, steps, schedule=None):
    theta = dl.tensor([1.0, 1.0], dtype=dl.float64, requires_grad=True)
    optimizer = make([theta])
    scheduler = schedule(optimizer) if schedule else None
    path = [theta.tolist()]
    for _ in range(steps):
        optimizer.zero_grad()
        valley(theta[0], theta[1]).backward()
        optimizer.step()
        if scheduler:
            scheduler.step()
        path.append(theta.tolist())
    return np.array(path)


iterations = np.arange(0, 201)
rates = 1 / np.sqrt(1 + epsilon * iterations)
document = descend(lambda p: optim.SGD(p, lr=1.0), 8, lambda o: InverseSqrtLR(o, epsilon))

picture(curves(iterations, {r"\alpha": rates}, x_name=r"\text{iter}", limits=(0.0, 1.05)))
picture(curves(np.arange(9), {"L": valley(document[:, 0], document[:, 1])}, x_name="k", log="y"))

# %% [markdown] key="decay" lang="zh"
# 上图是学习率，下图是窄谷里的损失：八步之内，从 $50.5$ 涨到 ${{valley(*document[-1]):.1e}}$。
#
# 这个公式有三处不对。它对*所有*参数是同一个数，与梯度毫无关系，所以不是自适应，而是**衰减**。它从 $1$ 开始，无论问题是什么；窄谷容许的
# 步子不到 $0.02$。文章说 $\epsilon$ “是一个小值”：可是 $\epsilon$ 在这里是衰减的快慢，取小了就等于不衰减。此刻
# $\epsilon = {{epsilon:g}}$，一百步之后 $\alpha = {{rates[100]:.4f}}$；无论怎么拖，它都发散。
#
# %% [markdown] key="decay" lang="en" zh="d125d000"
# Above is the rate, below the loss in the narrow valley: within eight steps it has grown from $50.5$ to ${{valley(*document[-1]):.1e}}$.
#
# Three things are wrong with the formula. It is one number for *all* parameters and knows nothing of the gradients, so it is not
# adaptive but a **decay**. It starts at $1$, whatever the problem; the valley allows less than $0.02$. And the document says that
# $\epsilon$ “是一个小值” (is a small value): but here $\epsilon$ is the speed of the decay, and a small one means no decay at all. Now
# $\epsilon = {{epsilon:g}}$, and after a hundred steps $\alpha = {{rates[100]:.4f}}$; wherever you drag it, the walk diverges.
#
# %% [markdown] key="history" lang="zh"
# ## 看梯度的历史
#
# 真正的自适应看的是*每个参数自己*的梯度有多大。**AdaGrad** 把平方累积起来，除以它的根：
#
# $$G \leftarrow G + g^2, \qquad \theta \leftarrow \theta - \alpha\,\frac{g}{\sqrt{G} + \epsilon}$$
#
# 陡的方向 $G$ 大，步子自动变小。可 $G$ 只增不减，走久了就停下来。**RMSProp** 改用 L09 的指数平均，旧的会忘掉。**Adam** 再加上动量：
#
# $$\begin{aligned} m &\leftarrow \beta_1 m + (1-\beta_1)\,g \\ v &\leftarrow \beta_2 v + (1-\beta_2)\,g^2 \\ \hat m &= m/(1-\beta_1^t) \\ \hat v &= v/(1-\beta_2^t) \\ \theta &\leftarrow \theta - \alpha\,\frac{\hat m}{\sqrt{\hat v} + \epsilon} \end{aligned}$$
#
# 这里的 $\epsilon$ 才是“一个小值”：只防除以零。
#
# %% [markdown] key="history" lang="en" zh="ee231622"
# ## Look at the history of gradients
#
# To adapt means to look at how large the gradients of *each parameter* are. **AdaGrad** adds up their squares and divides by the root:
#
# $$G \leftarrow G + g^2, \qquad \theta \leftarrow \theta - \alpha\,\frac{g}{\sqrt{G} + \epsilon}$$
#
# In a steep direction $G$ is large and the step shrinks by itself. But $G$ only grows, and after a while it comes to a halt. **RMSProp**
# takes the exponential average of L09 instead, which forgets. **Adam** adds momentum:
#
# $$\begin{aligned} m &\leftarrow \beta_1 m + (1-\beta_1)\,g \\ v &\leftarrow \beta_2 v + (1-\beta_2)\,g^2 \\ \hat m &= m/(1-\beta_1^t) \\ \hat v &= v/(1-\beta_2^t) \\ \theta &\leftarrow \theta - \alpha\,\frac{\hat m}{\sqrt{\hat v} + \epsilon} \end{aligned}$$
#
# Here $\epsilon$ is indeed “a small value”: it only prevents a division by zero.
#
# %% [markdown] key="first" lang="zh"
# ## Adam 的第一步
#
# 两个参数，梯度差一百倍：$g = (0.1, -10)$。在播放器里看更新那一步的 $m$ 和 $v$。
#
# %% [markdown] key="first" lang="en" zh="878b9dfc"
# ## Adam's first step
#
# Two parameters, whose gradients differ by a factor of a hundred: $g = (0.1, -10)$. Watch $m$ and $v$ in the player's update.
#
# %%
theta = dl.tensor([0.0, 0.0], requires_grad=True)
slopes = dl.tensor([0.1, -10.0])
optimizer = optim.Adam([theta], lr=0.001)

with trace("L") as recorded:
    L = (slopes * theta).sum()
    L.backward()
    optimizer.step()

first = theta.detach().clone()
show(first, r"\theta")
picture(bars({"g": slopes, r"1000\,\Delta\theta": first * 1000}))

# %% [markdown] key="sign" lang="zh"
# 梯度差一百倍，步子一样长：都是 $\alpha = 0.001$，只有符号不同。第一步时 $\hat m = g$，$\hat v = g^2$，相除只剩符号。**Adam 的步长由
# $\alpha$ 决定，与梯度的大小几乎无关**：这就是它好调的原因。
#
# 那两个分母 $1-\beta^t$ 是干什么的？$m$ 和 $v$ 从零开始，头几步的平均偏小：$m_1 = 0.1\,g$，$v_1 = 0.001\,g^2$。不修正的话，第一步是
# $0.1/\sqrt{0.001} \approx 3.16$ 倍的 $\alpha$。
#
# %% [markdown] key="sign" lang="en" zh="013776ce"
# The gradients differ by a hundred, the steps are equally long: both are $\alpha = 0.001$, with opposite signs. At the first step
# $\hat m = g$ and $\hat v = g^2$, and only the sign is left of their ratio. **Adam's step is set by $\alpha$ and hardly by the size of the
# gradient**: that is why it is easy to tune.
#
# What are the two denominators $1-\beta^t$ for? $m$ and $v$ start from zero, so the first averages are too small: $m_1 = 0.1\,g$,
# $v_1 = 0.001\,g^2$. Uncorrected, the first step would be $0.1/\sqrt{0.001} \approx 3.16$ times $\alpha$.
#
# %% [markdown] key="race" lang="zh"
# ## 四个人下谷
#
# %% [markdown] key="race" lang="en" zh="e3c539fd"
# ## Four walk into the valley
#
# %%
walkers = {
    "SGD": descend(lambda p: optim.SGD(p, lr=0.01), 100),
    "AdaGrad": descend(lambda p: optim.Adagrad(p, lr=0.1), 100),
    "RMSProp": descend(lambda p: optim.RMSprop(p, lr=0.02), 100),
    "Adam": descend(lambda p: optim.Adam(p, lr=0.1), 100),
}
frame = (-0.3, 1.1), (-0.3, 1.1)
picture(
    contour(valley, *frame, {rf"\text{{{name}}}": p for name, p in walkers.items()}, x_name="a", y_name="b", log=True)
)
lines = {rf"\text{{{name}}}": np.maximum(valley(p[:, 0], p[:, 1]), 1e-08) for name, p in walkers.items()}
picture(curves(np.arange(101), lines, x_name="k", log="y"))
gradcheck(valley, 1.0, 1.0, name="L", names="a b")

# %% [markdown] key="diagonal" lang="zh"
# 没有自适应的先横着冲到谷底，再慢慢往下挪；自适应的三个沿对角线走：两个方向步子一样长，弯得再不同也不怕。
#
# 别把它当万灵药。自适应看的是*梯度的历史*，不是模型的表现；非凸的损失没有人能保证全局最小，Adam 甚至在某些凸问题上也会失败
# （Reddi、Kale、Kumar，2018；`Adam(amsgrad=True)` 是他们的修正）。
#
# %% [markdown] key="diagonal" lang="en" zh="ed34ede0"
# The one that does not adapt first rushes across to the floor and then creeps along it; the three that do walk along the diagonal:
# equal steps in both directions, however differently they bend.
#
# It is no cure for everything. What is looked at is the *history of gradients* and not how well the model does; for a loss that is not
# convex nobody can promise a global minimum, and Adam fails even on some convex problems (Reddi, Kale, Kumar, 2018; `Adam(amsgrad=True)`
# is their repair).
#
# %% [markdown] key="loop" lang="zh"
# ## 训练循环
#
# 把前面几课放在一起：数据分成学习和验证两份，一批一批地走；每批清零、前向、回传、更新；每过一遍，在验证的那一份上看一次。
# 分数、损失和更新属于*训练*；*分类*只是前向一次，取最大的分数。
#
# %% [markdown] key="loop" lang="en" zh="d97663ac"
# ## The training loop
#
# Put the last lessons together: the data are split into a part to learn from and one to validate; walk through batches; for each, clear,
# forward, back, update; after each pass, look at the validation part once. Loss and update belong to *training*; to *classify* is one
# forward pass and the largest score.
#
# %%
faces = generated_faces(people=6, per_person=10, size=(56, 46), seed=5, difficulty="easy")
pixels = faces.images.reshape(60, 14, 4, 23, 2).mean((2, 4)).reshape(60, -1)
pixels = (pixels - pixels.mean()) / pixels.std()
held_out = np.arange(60) % 10 >= 7
x_train, y_train = dl.tensor(pixels[~held_out], dtype=dl.float32), dl.tensor(faces.labels[~held_out])
x_valid, y_valid = dl.tensor(pixels[held_out], dtype=dl.float32), dl.tensor(faces.labels[held_out])


def train(make, epochs, seed=0):
    dl.manual_seed(seed)
    rng = np.random.default_rng(seed)
    model = nn.Sequential(nn.Linear(14 * 23, 32), nn.ReLU(), nn.Linear(32, 6))
    optimizer = make(model.parameters())
    history = []
    for _ in range(epochs):
        for batch in np.array_split(rng.permutation(len(y_train)), 3):
            optimizer.zero_grad()
            F.cross_entropy(model(x_train[batch]), y_train[batch]).backward()
            optimizer.step()
        with dl.no_grad():
            history.append(F.cross_entropy(model(x_valid), y_valid).item())
    error = int((model(x_valid).argmax(1).numpy() != y_valid.numpy()).sum())
    return history, error


epochs = 12 if fast() else 25
with_sgd, sgd_errors = train(lambda p: optim.SGD(p, lr=0.05), epochs)
with_adam, adam_errors = train(lambda p: optim.Adam(p, lr=0.005), epochs)
picture(curves(np.arange(epochs), {r"\text{SGD}": with_sgd, r"\text{Adam}": with_adam}, x_name=r"\text{epoch}"))


# %% [markdown] key="result" lang="zh"
# 纵轴是*验证*部分的损失。六个人，验证照片 ${{len(y_valid)}}$ 张：SGD 认错 ${{sgd_errors}}$ 张，Adam 认错 ${{adam_errors}}$ 张。谁更快取决于
# 学习率；随机种子、验证集和从未见过的人，一样都不能少，文章 003 的 `fit` 三样都没有。
#
# %% [markdown] key="result" lang="en" zh="b3a639f8"
# Upwards is the loss on the *validation* part. Six people and ${{len(y_valid)}}$ validation photographs: SGD gets ${{sgd_errors}}$ wrong, Adam
# ${{adam_errors}}$. Which is faster depends on the rates; a seed, a validation part and people never seen are all needed, and the `fit` of
# document 003 has none of the three.
#
# %% [markdown] key="adam" lang="zh"
# ## 练习 E10.1：写出 Adam
#
# 写 `adam_step(theta, m, v, t, g, alpha, beta1, beta2, eps)`，$t$ 从 $1$ 数起；返回新的 $(\theta, m, v)$。
#
# %% [markdown] key="adam" lang="en" zh="955fc354"
# ## Exercise E10.1: write Adam
#
# Write `adam_step(theta, m, v, t, g, alpha, beta1, beta2, eps)`, with $t$ counted from $1$; it returns the new $(\theta, m, v)$.
#
# %% tags=["exercise"]
def adam_step(theta, m, v, t, g, alpha, beta1, beta2, eps): ...


check("E10.1", adam_step)


# %% [markdown] key="adagrad" lang="zh"
# ## 练习 E10.2：写出 AdaGrad
#
# 写 `adagrad_step(theta, G, g, alpha, eps)`，返回新的 $(\theta, G)$。
#
# %% [markdown] key="adagrad" lang="en" zh="6ff20e69"
# ## Exercise E10.2: write AdaGrad
#
# Write `adagrad_step(theta, G, g, alpha, eps)`; it returns the new $(\theta, G)$.
#
# %% tags=["exercise"]
def adagrad_step(theta, G, g, alpha, eps): ...


check("E10.2", adagrad_step)

# %% [markdown] key="document" lang="zh"
# ## 文章怎么说，应当怎么说
#
# | 行 | 文章 | 应当 |
# |---|---|---|
# | 001-F5 | “自适应学习率”：$\alpha = \frac{1}{\sqrt{1 + \epsilon \cdot \text{iter}}}$ | 这是衰减，对所有参数相同，而且从 $1$ 开始：上面八步就发散。 |
# | 001-F5a | “$\epsilon$ 是一个小值” | 在 Adam 里是；在这个公式里它是衰减的快慢，小了就不衰减。 |
# | 001-F5b | “根据模型的表现动态调整学习率，以便更快地收敛到全局最小值” | 看的是梯度的历史；非凸时没有这样的保证。 |
# | 001-F13 | 3.2.3 节又写了一遍 | 同 001-F5。 |
# | 001-B4 | Kingma、Ba，Adam | 对；发表于 ICLR 2015。 |
# | 001-B5 | “Reddi, V., Sra, S., & Schraudolph, N. T. (2018)” | 应为 Reddi、Kale、Kumar，《On the Convergence of Adam and Beyond》，ICLR 2018，arXiv:1904.09237。 |
# | 001-B10 | Chollet，“Keras: Wrapping TensorFlow for Fun and Profit” | 查无此书；引 Chollet 等，Keras，2015。 |
# | 002-T8 | “分类…主要包括损失函数、优化算法等操作” | 那是训练；分类是一次前向和最大的分数。 |
# | 002-F5 | “优化算法的公式”，却没有公式 | 见上面的 AdaGrad 和 Adam。 |
# | 003-C3 | `model.fit(train_images, train_labels, …)`，三遍 | 写一个函数；分出验证集，定种子，在没见过的人身上量。 |
#
# %% [markdown] key="document" lang="en" zh="faf259d6"
# ## What the documents say, and what is right
#
# | row | document | right |
# |---|---|---|
# | 001-F5 | an “adaptive” rate: $\alpha = \frac{1}{\sqrt{1 + \epsilon \cdot \text{iter}}}$ | It is a decay, the same for all parameters, and starts at $1$: above it diverged within eight steps. |
# | 001-F5a | “$\epsilon$ 是一个小值” (is a small value) | In Adam it is; in this formula it is the speed of the decay, and a small one is none. |
# | 001-F5b | “根据模型的表现动态调整学习率，以便更快地收敛到全局最小值” (adjusts to the model's performance, to reach the global minimum faster) | It looks at the history of gradients; without convexity there is no such promise. |
# | 001-F13 | once more in section 3.2.3 | As 001-F5. |
# | 001-B4 | Kingma, Ba, Adam | Right; published at ICLR 2015. |
# | 001-B5 | “Reddi, V., Sra, S., & Schraudolph, N. T. (2018)” | It should be Reddi, Kale, Kumar, *On the Convergence of Adam and Beyond*, ICLR 2018, arXiv:1904.09237. |
# | 001-B10 | Chollet, “Keras: Wrapping TensorFlow for Fun and Profit” | No such work could be found; cite Chollet et al., Keras, 2015. |
# | 002-T8 | “分类…主要包括损失函数、优化算法等操作” (classification consists of loss and optimizer) | That is training; to classify is one forward pass and the largest score. |
# | 002-F5 | “优化算法的公式” (the formula of the optimizer), without a formula | See AdaGrad and Adam above. |
# | 003-C3 | `model.fit(train_images, train_labels, …)`, three times | Write one function; keep a validation part, fix the seed, measure on people never seen. |
