# /// lesson
# title.zh = "损失函数"
# title.en = "Losses"
# aim.zh = "把“错得有多厉害”变成一个可以求导的数，并看清文章 001 的公式用错在哪里。"
# aim.en = "Turn “how wrong?” into one number that can be differentiated, and see where the formula of document 001 goes astray."
# documents.001 = "§3.1.4, §3.2.1–2"
# documents.002 = "§3"
# documents.003 = "§3.1.4"
# errata = ["001-T12", "001-T24", "001-F1", "001-F1a", "001-F1b", "001-F2", "001-F8", "001-F9", "001-F10", "001-C5", "002-T8", "002-F4", "002-C1d", "003-T13", "003-T19", "003-T23", "004-C1c"]
# ///
# %% [markdown] key="start" lang="zh"
# # 损失函数
#
# 网络看了一张照片，给三个人各打了一个分：$o = (2, 1, 0)$。照片上其实是第 $0$ 个人。它答得好不好？
# 要训练，就得把“好不好”变成**一个数**，而且这个数要随着分数平滑地变，这样才有斜率可走（L01）。
#
# 分数叫 **logits**，可正可负，加起来也不等于什么。先把它们变成概率：
#
# $$p_k = \mathrm{softmax}(o)_k = \frac{e^{o_k}}{\sum_j e^{o_j}}$$
#
# 指数把任何数变成正数，除以总和使它们加起来等于 $1$。两个分数相差 $1$，概率之比就是 $e$。
#
# %% [markdown] key="start" lang="en" zh="b8de02c2"
# # Losses
#
# A network has looked at a photograph and given a score to each of three people: $o = (2, 1, 0)$. The photograph shows
# person $0$. Was that a good answer? For training, “good” has to become **one number**, and that number must change smoothly
# with the scores, so that there is a slope to walk on (L01).
#
# The scores are called **logits**: positive or negative, and they add up to nothing in particular. First they become
# probabilities:
#
# $$p_k = \mathrm{softmax}(o)_k = \frac{e^{o_k}}{\sum_j e^{o_j}}$$
#
# The exponential makes any number positive, and dividing by the sum makes them add up to $1$. Where two scores
# differ by $1$, the ratio of their probabilities is $e$.
#
# %% tags=["setup"]
import numpy as np

import minidl as dl
import minidl.nn.functional as F
from minidl.teaching import bars, check, curves, gradcheck, knob, picture, show, trace

# %%
o0 = knob("o_0", 2.0, -2.0, 4.0, step=1.0)
c = knob("c", 0, choices=[0, 1, 2])

o = dl.tensor([o0, 1.0, 0.0], requires_grad=True)

with trace("L") as recorded:
    e = dl.exp(o)
    p = e / e.sum()
    L = -dl.log(p[c])
    L.backward()

picture(bars({"p": p}, 0.0, 1.0))
show(L, "L")
show(o.grad, r"\partial L/\partial o")

# %% [markdown] key="entropy" lang="zh"
# 第 $c = {{c}}$ 个人得到的概率是 $p_c = {{p[c]:.4f}}$。**交叉熵**只看这一个数，取它的负对数：
#
# $$L = -\log p_c = {{L:.4f}}$$
#
# 概率是 $1$ 时损失为 $0$；概率减半，损失就加上 $\log 2$；概率趋于零，损失没有上限：*越是自信地答错，罚得越重*。
#
# 再看梯度 ${{o.grad:.4f}}$。它就是 $p$，只在正确答案那里减去 $1$：
#
# $$\frac{\partial L}{\partial o_k} = p_k - [k = c]$$
#
# 这大概是深度学习里最好看的一个导数：*你给的概率，减去该给的概率*。拖动 $o_0$，看三根条怎样此消彼长；换一换 $c$，看哪个
# 梯度变成负的。（负梯度的意思是：这个分数应当升高。）
#
# %% [markdown] key="entropy" lang="en" zh="02aa12d6"
# Person $c = {{c}}$ was given the probability $p_c = {{p[c]:.4f}}$. **Cross-entropy** looks at this one number and takes its
# negative logarithm:
#
# $$L = -\log p_c = {{L:.4f}}$$
#
# At probability $1$ the loss is $0$; half the probability adds $\log 2$ to it; towards probability zero it has no limit:
# *the surer a wrong answer, the harder the punishment*.
#
# Now the gradient, ${{o.grad:.4f}}$. It is $p$ itself, less $1$ at the right answer:
#
# $$\frac{\partial L}{\partial o_k} = p_k - [k = c]$$
#
# This may be the prettiest derivative of deep learning: *the probability you gave, less the one you should have given*. Drag
# $o_0$ and watch the bars grow at each other's expense; change $c$ and see which gradient turns negative. (A negative gradient
# says: this score ought to rise.)
#
# %%
gradcheck(lambda o: F.cross_entropy(o, dl.tensor([c])), o.detach().reshape(1, 3), name=r"-\log p_c", names="o")

# %% [markdown] key="temperature" lang="zh"
# ## 温度
#
# 把分数先除以一个**温度** $T$，再做 softmax。低温时最高分几乎独得全部概率，高温时大家趋于平均；名次从不改变。
#
# %% [markdown] key="temperature" lang="en" zh="2ef73b18"
# ## Temperature
#
# Divide the scores by a **temperature** $T$ before the softmax. When it is cold, the highest score takes nearly all of the
# probability; when it is hot, all become alike; the order never changes.
#
# %%
T = knob("T", 1.0, choices=[0.25, 0.5, 1.0, 2.0, 5.0])
warm = dl.softmax(dl.tensor([2.0, 1.0, 0.0]) / T, dim=0)
picture(bars({"p": warm}, 0.0, 1.0))

# %% [markdown] key="binary" lang="zh"
# ## 文章的公式是给“两类”用的
#
# 文章 001 在 §3.1.4 给出的交叉熵是
#
# $$L = -\frac{1}{N} \sum_{i=1}^{N} \left[ y_{i} \log \hat{y}_{i} + (1 - y_{i}) \log (1 - \hat{y}_{i}) \right]$$
#
# 这是**二元**交叉熵：只有“是”与“不是”两种答案时才对，那里 $\hat y = \sigma(o) = 1/(1+e^{-o})$ 是答“是”的概率。
# 要在 $K$ 个人里认出一个，则该用 $-\log p_c$。两者差多少？取 $p = (0.7, 0.2, 0.1)$，答案是第 $0$ 个：
#
# %% [markdown] key="binary" lang="en" zh="72cdb2b0"
# ## The document's formula is for two classes
#
# The cross-entropy that document 001 gives in §3.1.4 is
#
# $$L = -\frac{1}{N} \sum_{i=1}^{N} \left[ y_{i} \log \hat{y}_{i} + (1 - y_{i}) \log (1 - \hat{y}_{i}) \right]$$
#
# This is **binary** cross-entropy: right where there are two answers, yes and no, and $\hat y = \sigma(o) = 1/(1+e^{-o})$ is
# the probability of yes. To tell $K$ people apart, $-\log p_c$ is the one to use. How far apart are the two? Take
# $p = (0.7, 0.2, 0.1)$, where the answer is number $0$:
#
# %%
p3 = np.array([0.7, 0.2, 0.1])
one_hot = np.array([1.0, 0.0, 0.0])
categorical = -np.log(p3[0])
article = -(one_hot * np.log(p3) + (1 - one_hot) * np.log(1 - p3))
show(categorical, r"-\log p_c", digits=6)
show(article.mean(), r"\text{001},\ \text{mean}", digits=6)
show(article.sum(), r"\text{001},\ \text{sum}", digits=6)

# %% [markdown] key="infinite" lang="zh"
# 三个不同的数，也就是三种不同的训练。文章还说 $\hat y_i$ 是“预测标签”。标签只有 $0$ 和 $1$；若真把标签代进去，答错一次就要算
# $\log 0 = -\infty$，损失成了无穷大，也没有斜率可走。$\hat y$ 必须是**概率**。
#
# ## 一千分怎么办
#
# 计算机里的数有上限：float32 的 $e^{89}$ 就已经是无穷大，$\infty/\infty$ 不是数。办法是先减去最大的分数；
# 分子分母同除以一个数，概率不变：
#
# $$\log \sum_j e^{o_j} = m + \log \sum_j e^{o_j - m}, \quad m = \max_j o_j$$
#
# %% [markdown] key="infinite" lang="en" zh="f33a2133"
# Three different numbers, and so three different trainings. The document also calls $\hat y_i$ the “预测标签”, the predicted
# *label*. A label is $0$ or $1$; put labels in, and one wrong answer asks for $\log 0 = -\infty$: the loss is infinite and has
# no slope to walk on. $\hat y$ has to be a **probability**.
#
# ## A score of a thousand
#
# Numbers in a computer have an end: in float32 $e^{89}$ is already infinite, and $\infty/\infty$ is not a number. The way out
# is to subtract the largest score first; dividing above and below by the same number leaves the probabilities as they are:
#
# $$\log \sum_j e^{o_j} = m + \log \sum_j e^{o_j - m}, \quad m = \max_j o_j$$
#
# %%
large = dl.tensor([1000.0, 1001.0], dtype=dl.float64)
with np.errstate(over="ignore"):
    naive = np.log(np.exp(large.numpy()).sum())
show(naive, r"\log \sum e^o")
show(dl.logsumexp(large, dim=0), r"m + \log \sum e^{o-m}", digits=6)

# %% [markdown] key="accuracy" lang="zh"
# ## 损失不是准确率
#
# 文章两次说交叉熵“衡量模型的准确率”。下面六个样本，只动一个偏置 $b$：实线是损失 $L$，虚线是答错的比例 $1-A$。
#
# %% [markdown] key="accuracy" lang="en" zh="f1510f43"
# ## A loss is not an accuracy
#
# Twice the document says that cross-entropy measures accuracy (“衡量模型的准确率”). Below are six samples, and only one bias
# $b$ moves: the solid line is the loss $L$, the dashed one the share of wrong answers $1-A$.
#
# %%
places = np.array([-1.6, -0.7, -0.1, 0.4, 0.9, 1.7])
answers = np.array([0.0, 0.0, 1.0, 0.0, 1.0, 1.0])


def binary(score, answer):
    return F.binary_cross_entropy_with_logits(dl.tensor(score), dl.tensor(answer)).item()


bs = np.linspace(-4.0, 4.0, 161)
losses = np.array([binary((2 * places + b).tolist(), answers.tolist()) for b in bs])
errors = np.array([((2 * places + b > 0) != (answers > 0)).mean() for b in bs])
picture(curves(bs, {"L": losses, "1 - A": errors}, x_name="b", limits=(0.0, 2.0)))

# %% [markdown] key="stairs" lang="zh"
# 准确率是楼梯：几乎处处是平的，斜率为零，梯度下降在上面一步也走不动。损失是坡：处处有方向。我们*关心*准确率，
# 却用损失*训练*；损失是它可以求导的替身。
#
# ## 回归：均方误差
#
# 要预测的是一个量而不是一类时，用差的平方。$y=(1,0,2)$，$\hat y=(0.5, 0.5, 1)$：
#
# $$L = \frac1N\sum_i (\hat y_i - y_i)^2, \qquad \frac{\partial L}{\partial \hat y_i} = \frac{2}{N}(\hat y_i - y_i)$$
#
# %% [markdown] key="stairs" lang="en" zh="283ab6bd"
# Accuracy is a staircase: flat nearly everywhere, of slope zero, and gradient descent cannot take one step on it. The loss is a
# hillside: it has a direction everywhere. We *care* about accuracy and *train* with a loss, which is its differentiable
# stand-in.
#
# ## Regression: mean squared error
#
# Where a quantity is predicted and not a class, the difference is squared. With $y=(1,0,2)$ and $\hat y=(0.5, 0.5, 1)$:
#
# $$L = \frac1N\sum_i (\hat y_i - y_i)^2, \qquad \frac{\partial L}{\partial \hat y_i} = \frac{2}{N}(\hat y_i - y_i)$$
#
# %%
truth = dl.tensor([1.0, 0.0, 2.0])
guess = dl.tensor([0.5, 0.5, 1.0], requires_grad=True)
mse = F.mse_loss(guess, truth)
mse.backward()
show(mse, "L")
show(guess.grad, r"\partial L/\partial \hat y")
gradcheck(lambda guess: ((guess - truth) ** 2).mean(), guess, name=r"\frac1N\sum(\hat y-y)^2", names=r"\hat{y}")
gradcheck(lambda o: -dl.log(dl.sigmoid(o)), [0.8], name=r"-\log \sigma(o)", names="o")


# %% [markdown] key="stable" lang="zh"
# ## 练习 E03.1：不会溢出的交叉熵
#
# 写 `cross_entropy(o, c)`：$o$ 是 logits（一维张量），$c$ 是正确答案的编号，返回 $-\log\mathrm{softmax}(o)_c$。分数到了 $1000$
# 也要给出有限的数。
#
# ## 练习 E03.2：最好看的导数
#
# 写 `gradient(o, c)`：返回 $\partial L/\partial o$，只用 softmax，不用 `backward()`。
#
# %% [markdown] key="stable" lang="en" zh="0f261b2c"
# ## Exercise E03.1: a cross-entropy that does not overflow
#
# Write `cross_entropy(o, c)`: $o$ are logits (a tensor of one axis), $c$ is the number of the right answer, and the result is
# $-\log\mathrm{softmax}(o)_c$. It should be finite for scores of $1000$ as well.
#
# ## Exercise E03.2: the prettiest derivative
#
# Write `gradient(o, c)`: the result is $\partial L/\partial o$, made with softmax only, without `backward()`.
#
# %% tags=["exercise"]
def cross_entropy(o, c): ...


def gradient(o, c): ...


check("E03.1", cross_entropy)
check("E03.2", gradient)

# %% [markdown] key="document" lang="zh"
# ## 文章怎么说，应当怎么说
#
# | 行 | 文章 | 应当 |
# |---|---|---|
# | 001-T12 | 输出层“输出人脸特征的向量” | 特征向量、分数（logits）、概率是三样东西；损失吃的是分数。 |
# | 001-F1 | §3.1.4 以 $-[y\log\hat y+(1-y)\log(1-\hat y)]$ 为 CNN 的“交叉熵损失” | 那是二元交叉熵。$K$ 类用 $-\log p_c$：上面的例子里是 ${{categorical:.4f}}$，文章的公式给出 ${{article.mean():.4f}}$ 或 ${{article.sum():.4f}}$。 |
# | 001-F1a | “$\hat{y}_{i}$ 是预测标签” | 是预测*概率*。代入标签，答错时就是 $-\log 0$。 |
# | 001-F1b | “可以用来衡量模型的准确率” | 它衡量正确答案得到的概率；准确率是楼梯，没有斜率。001-T24 同此。 |
# | 001-F2 | “L2损失……衡量模型的均方误差” | 公式对，它*就是*均方误差；“L2 损失”也常指不除以 $N$ 的和，读论文时要看清。 |
# | 001-F8 | “$\text{softmax}$ 是激活函数” | 它作用于整个向量，不是逐个元素：一个分数变了，所有概率都变。 |
# | 001-F9 | §3.2.2 循环网络的损失又写成两类的公式 | 与 001-F8 矛盾：softmax 后面是 $-\log p_{t,\,c_t}$，再对时间取平均（L13）。 |
# | 001-F10 | §3.2.2 的均方误差 | 用于回归时对。 |
# | 001-C5 | `cross_entropy_loss.set_weights([0.0, 0.0])` | 损失没有权重；而且送进去的分数先过了 ReLU，永远不会是负的。 |
# | 002-T8 | “分类…主要包括损失函数、优化算法等操作” | 那是训练；分类只要最大的分数，$\arg\max_k o_k$。 |
# | 002-F4 | “损失函数的公式”，却没有公式 | 就是本课的几个；权重只有加上正则项才出现在损失里。 |
# | 002-C1d | `loss='categorical_crossentropy'` | 标签是整数，这个损失要 one-hot，于是报错；`F.cross_entropy` 直接收整数和分数。 |
# | 003-T13 | “预测概率与真实概率之间的差异” | 差不多：$H(p,q)=H(p)+\mathrm{KL}(p\Vert q)$，真实分布是 one-hot 时 $H(p)=0$。 |
# | 003-T19 | softmax“通过对指数函数的求和得到” | 是每个指数*除以*总和。 |
# | 003-T23 | “自注意力机制的损失函数” | 一层没有损失，模型才有。 |
# | 004-C1c | `loss='binary_crossentropy'` | 标签是 $0$ 和 $1$ 时对；要认出许多人里的一个，用多类的。 |
#
# 文献：Goodfellow、Bengio、Courville，《Deep Learning》（2016），第 6.2.2 节。
#
# %% [markdown] key="document" lang="en" zh="68b6f31d"
# ## What the documents say, and what is right
#
# | row | document | right |
# |---|---|---|
# | 001-T12 | the output layer “输出人脸特征的向量” (gives the vector of features) | Embedding, scores (logits) and probabilities are three things; a loss is fed with scores. |
# | 001-F1 | §3.1.4 gives $-[y\log\hat y+(1-y)\log(1-\hat y)]$ as the cross-entropy (“交叉熵损失”) of a CNN | That is binary cross-entropy. For $K$ classes it is $-\log p_c$: in the example above ${{categorical:.4f}}$, where the document's formula gives ${{article.mean():.4f}}$ or ${{article.sum():.4f}}$. |
# | 001-F1a | “$\hat{y}_{i}$ 是预测标签” (is the predicted label) | It is the predicted *probability*. With labels, a wrong answer is $-\log 0$. |
# | 001-F1b | “可以用来衡量模型的准确率” (measures accuracy) | It measures the probability given to the right answer; accuracy is a staircase without a slope. So too 001-T24. |
# | 001-F2 | “L2损失……衡量模型的均方误差” (L2 loss measures the mean squared error) | The formula is right, and it *is* the mean squared error; “L2 loss” often means the sum without dividing by $N$, so look closely when you read a paper. |
# | 001-F8 | “$\text{softmax}$ 是激活函数” (is an activation function) | It acts on a whole vector and not on each element: when one score changes, all the probabilities do. |
# | 001-F9 | §3.2.2, the loss of the recurrent network, again for two classes | It contradicts 001-F8: behind a softmax stands $-\log p_{t,\,c_t}$, averaged over time (L13). |
# | 001-F10 | the mean squared error of §3.2.2 | Right for regression. |
# | 001-C5 | `cross_entropy_loss.set_weights([0.0, 0.0])` | A loss has no weights; and the scores it is given went through a ReLU, so none is ever negative. |
# | 002-T8 | “分类…主要包括损失函数、优化算法等操作” (classification consists of loss and optimizer) | That is training; to classify takes only the largest score, $\arg\max_k o_k$. |
# | 002-F4 | “损失函数的公式” (the formula of the loss), without a formula | Those of this lesson; weights enter a loss only with a regularizer. |
# | 002-C1d | `loss='categorical_crossentropy'` | The labels are integers and this loss wants them one-hot, so it raises; `F.cross_entropy` takes integers and scores as they are. |
# | 003-T13 | “预测概率与真实概率之间的差异” (the difference of predicted and true probability) | Nearly: $H(p,q)=H(p)+\mathrm{KL}(p\Vert q)$, and where the truth is one-hot $H(p)=0$. |
# | 003-T19 | softmax is had “通过对指数函数的求和得到” (by summing exponentials) | By *dividing* each exponential by their sum. |
# | 003-T23 | “自注意力机制的损失函数” (the loss of self-attention) | A layer has no loss; the model has. |
# | 004-C1c | `loss='binary_crossentropy'` | Right for labels $0$ and $1$; to tell many people apart take the one for many classes. |
#
# Source: Goodfellow, Bengio, Courville, *Deep Learning* (2016), section 6.2.2.
