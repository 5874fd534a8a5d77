# /// lesson
# title.zh = "全连接层"
# title.en = "The dense layer"
# aim.zh = "看懂一层 $Y = XW^\\top + b$：每个形状从哪里来，三个梯度为什么长成那样，批量轴为什么碰不得。"
# aim.en = "Understand one layer $Y = XW^\\top + b$: where each shape comes from, why the three gradients look as they do, and why the batch axis must be left alone."
# documents.001 = "§2.2, §3.1.3, §4.1.4, §6.1"
# documents.002 = "§2–3"
# documents.003 = "§3.1.3"
# errata = ["001-T3", "001-T12", "001-T18", "001-T22", "001-C4", "002-T5", "002-T7", "002-F3", "003-T12"]
# ///
# %% [markdown] key="start" lang="zh"
# # 全连接层
#
# 一张脸的照片，摊平了就是一长串数。要给几个人各打一个分，最直接的办法是：每个人备一张表，写明*每个像素算几分*，再把像素和
# 分数相乘、相加，最后补一个起点。这就是**全连接层**：每个输出看每个输入。
#
# $$y_j = \sum_i W_{ji}\,x_i + b_j \qquad\text{即}\qquad y = W x + b$$
#
# $x$ 有几个数，$W$ 就有几列；要几个输出，$W$ 就有几行。第 $j$ 行就是第 $j$ 个输出的那张表，$b_j$ 是它的起点。
#
# %% [markdown] key="start" lang="en" zh="40ce222f"
# # The dense layer
#
# A photograph of a face, laid flat, is a long row of numbers. To give a score to each of a few people, the most direct way is a table
# for each of them that says *how much every pixel counts*; multiply pixels by counts, add up, and finish with a starting value. That
# is the **dense layer**: every output looks at every input.
#
# $$y_j = \sum_i W_{ji}\,x_i + b_j \qquad\text{or}\qquad y = W x + b$$
#
# $W$ has as many columns as $x$ has numbers, and $W$ has as many rows as there are to be outputs. Row $j$ is the table of output $j$,
# and $b_j$ its starting value.
#
# %% tags=["setup"]
import numpy as np

import minidl as dl
import minidl.nn.functional as F
from minidl import nn, optim
from minidl.faces.generated import generated_faces
from minidl.teaching import beside, check, curves, fast, gradcheck, heat, image, knob, picture, show, trace

# %% [markdown] key="batch" lang="zh"
# ## 一次算一批
#
# 照片总是成批地来。把它们一行一行地叠成 $X$，每行一个样本，一次乘法全部算完：
#
# $$Y = X W^\top + b$$
#
# 形状是 $(N, \text{out}) = (N, \text{in}) \cdot (\text{in}, \text{out})$。转置只是因为 $W$ 的每一行是一张表，而 $X$ 的每一行是一个样本。
# 下面两个输入、三个输出，批量的大小 $N$ 可以拖动。
#
# %% [markdown] key="batch" lang="en" zh="f9f7b8e9"
# ## A batch at a time
#
# Photographs come in batches. Stack them into $X$, one sample a row, and a single product does them all:
#
# $$Y = X W^\top + b$$
#
# The shapes are $(N, \text{out}) = (N, \text{in}) \cdot (\text{in}, \text{out})$. The transpose is there only because each row of $W$ is a
# table while each row of $X$ is a sample. Below there are two inputs and three outputs; drag $N$, the size of the batch.
#
# %%
N = knob("N", 1, choices=[1, 2, 3])

samples = [[1.0, 2.0], [-1.0, 0.5], [0.0, 1.0]]
X = dl.tensor(samples[:N], requires_grad=True)
W = dl.tensor([[0.1, -0.6], [1.0, 2.0], [1.2, 0.1]], requires_grad=True)
b = dl.tensor([0.2, -0.5, 0.5], requires_grad=True)
target = dl.tensor([[0.0, 4.0, 2.0]])

with trace("L") as recorded:
    Y = F.linear(X, W, b)
    D = Y - target
    L = (D * D).sum() / 2
    L.backward()

picture(beside(heat(X, "X"), heat(W, "W"), heat(Y, "Y")))

# %% [markdown] key="read" lang="zh"
# 第一个样本是 $x = (1, 2)$。第二行的表说：第一个数按原样算，第二个数算两倍，再减去一半，于是
# $1 \cdot 1 + 2 \cdot 2 - 0.5 = {{Y[0, 1]:g}}$。三个输出是 $y = {{Y[0]:g}}$。
#
# 损失取 $L = \tfrac12\sum (Y - T)^2$，它对 $Y$ 的梯度就是差值 $\bar Y = Y - T = {{D:.1f}}$。这是回程的起点。
#
# %% [markdown] key="read" lang="en" zh="bbcfc7a2"
# The first sample is $x = (1, 2)$. The table in the second row says: count the first number as it is, the second twice, and take half
# away, so $1 \cdot 1 + 2 \cdot 2 - 0.5 = {{Y[0, 1]:g}}$. The three outputs are $y = {{Y[0]:g}}$.
#
# The loss is $L = \tfrac12\sum (Y - T)^2$, whose gradient with respect to $Y$ is just the difference, $\bar Y = Y - T = {{D:.1f}}$. There
# the way back begins.
#
# %% [markdown] key="gradients" lang="zh"
# ## 三个梯度
#
# $W_{ji}$ 出现在哪里？在每个样本的第 $j$ 个输出里，系数是那个样本的 $x_i$。按 L02 的规矩，贡献相加：
#
# $$\begin{aligned} \bar W_{ji} &= \sum_n \bar Y_{nj}\,X_{ni} \\ \bar X_{ni} &= \sum_j \bar Y_{nj}\,W_{ji} \\ \bar b_j &= \sum_n \bar Y_{nj} \end{aligned}$$
#
# 写成矩阵：
#
# $$\bar W = \bar Y^\top X, \qquad \bar X = \bar Y\,W, \qquad \bar b = \sum_n \bar Y_n$$
#
# 不用背。**梯度和它所属的东西形状相同**，而用 $\bar Y$ 和另一个因数拼出这个形状的办法只有一种。
#
# %% [markdown] key="gradients" lang="en" zh="4e365acd"
# ## Three gradients
#
# Where does $W_{ji}$ occur? In output $j$ of every sample, with that sample's $x_i$ as its factor. By the rule of L02, contributions
# add up:
#
# $$\begin{aligned} \bar W_{ji} &= \sum_n \bar Y_{nj}\,X_{ni} \\ \bar X_{ni} &= \sum_j \bar Y_{nj}\,W_{ji} \\ \bar b_j &= \sum_n \bar Y_{nj} \end{aligned}$$
#
# As matrices:
#
# $$\bar W = \bar Y^\top X, \qquad \bar X = \bar Y\,W, \qquad \bar b = \sum_n \bar Y_n$$
#
# There is nothing to memorize. **A gradient has the shape of what it belongs to**, and there is only one way to make that shape of
# $\bar Y$ and the other factor.
#
# %%
show(W.grad, r"\bar W")
show(X.grad, r"\bar X")
show(b.grad, r"\bar b")
gradcheck(F.linear, X, W, b, name="Y", names="X W b")

# %% [markdown] key="axis" lang="zh"
# 把 $N$ 拖大：$\bar X$ 多出几行，每个样本各有一份；$\bar W$ 和 $\bar b$ 的形状不变，只是数字变了，因为所有样本共用一张表，它们的
# 贡献**在批量轴上相加**。所以损失通常取平均：不然批量加倍，步子也跟着加倍。
#
# 批量轴还有一处容易出事：进这一层之前要把图*摊平*，从 $(N, C, H, W)$ 到 $(N, CHW)$。摊的是一个样本之内的轴，$N$ 必须留着。
#
# %% [markdown] key="axis" lang="en" zh="2a1927b1"
# Drag $N$ upwards: $\bar X$ gets more rows, one for each sample; $\bar W$ and $\bar b$ keep their shapes and only their numbers change,
# because all samples share one table and their contributions are **added along the batch axis**. That is why a loss is usually a
# mean: otherwise twice the batch would be twice the step.
#
# There is one more place where the batch axis comes to harm: images have to be *flattened* before this layer, from $(N, C, H, W)$ to
# $(N, CHW)$. The axes of one sample are merged, and $N$ has to stay.
#
# %%
photographs = dl.zeros(8, 32, 14, 14)
right = nn.Flatten()(photographs)
wrong = photographs.flatten()
show(np.array(right.shape), r"(N, CHW)")
show(np.array(wrong.shape), r"(NCHW,)")

# %% [markdown] key="faces" lang="zh"
# ## 一层能认脸吗
#
# 试一试：四个（生成的）人，每人十张照片，缩到 $28 \times 23$，一个全连接层，交叉熵（L03），从零开始，下降几十步。每人七张用来学，三张用来考。
#
# %% [markdown] key="faces" lang="en" zh="3127142a"
# ## Can one layer recognize faces?
#
# Let us try: four (generated) people, ten photographs each, reduced to $28 \times 23$, one dense layer that starts from zeros, cross-entropy
# (L03), and a few dozen steps downhill. Seven photographs of each are for learning, three for the examination.
#
# %%
faces = generated_faces(people=4, per_person=10, size=(56, 46), seed=4, difficulty="easy")
pixels = faces.images.reshape(40, 28, 2, 23, 2).mean((2, 4))
pixels = (pixels - pixels.mean()) / pixels.std()
learns = np.arange(40) % 10 < 7
x_learn = dl.tensor(pixels[learns].reshape(28, -1), dtype=dl.float32)
x_exam = dl.tensor(pixels[~learns].reshape(12, -1), dtype=dl.float32)
y_learn, y_exam = dl.tensor(faces.labels[learns]), faces.labels[~learns]

dl.manual_seed(0)
layer = nn.Linear(28 * 23, 4)
nn.init.zeros_(layer.weight)
optimizer = optim.SGD(layer.parameters(), lr=0.02)
losses = []
for _ in range(40 if fast() else 80):
    optimizer.zero_grad()
    loss = F.cross_entropy(layer(x_learn), y_learn)
    loss.backward()
    optimizer.step()
    losses.append(loss.item())

scores = layer(x_exam)
correct = int((scores.argmax(1).numpy() == y_exam).sum())
parameters = sum(p.numel() for p in layer.parameters())

# %% tags=["figure"]
picture(curves(np.arange(len(losses)), {"L": losses}, x_name="k"))
tables = layer.weight.detach().numpy().reshape(4, 28, 23)
pictures = [image(table, f"W_{j}") for j, table in enumerate(tables)]
picture(beside(*pictures[:2]))
picture(beside(*pictures[2:]))


# %% [markdown] key="tables" lang="zh"
# 十二道考题答对 ${{correct}}$ 道。这一层有 $4 \cdot 28 \cdot 23 + 4 = {{parameters}}$ 个参数。$W$ 的每一行又可以排回一张图：亮处加分，暗处减分。
# 每张图都像是几张脸的差，因为对一个人有利的像素，正是他和别人不同的地方。
#
# 它的短处也在这里：表是按*位置*写的。脸往旁边挪两个像素，每个分数都配错了像素。L06 的卷积从这里接着讲。
#
# %% [markdown] key="tables" lang="en" zh="90518334"
# Of twelve questions ${{correct}}$ were answered right. The layer has $4 \cdot 28 \cdot 23 + 4 = {{parameters}}$ parameters. Each row of $W$
# can be laid out as a picture again: bright pixels raise the score, dark ones lower it. Each looks like a difference of faces, because
# the pixels that speak for one person are those where that person differs from the others.
#
# Its weakness is here as well: the tables are written by *position*. Move the face aside by two pixels, and every count meets the
# wrong one. The convolution of L06 goes on from here.
#
# %% [markdown] key="backward" lang="zh"
# ## 练习 E04.1：三个梯度
#
# 写 `linear_backward(X, W, gY)`，返回 $(\bar X, \bar W, \bar b)$，用 NumPy。
#
# %% [markdown] key="backward" lang="en" zh="1531d5b3"
# ## Exercise E04.1: three gradients
#
# Write `linear_backward(X, W, gY)` with NumPy; it returns $(\bar X, \bar W, \bar b)$.
#
# %% tags=["exercise"]
def linear_backward(X, W, gY): ...


check("E04.1", linear_backward)


# %% [markdown] key="flat" lang="zh"
# ## 练习 E04.2：摊平
#
# 写 `flattened(images)`：把 $(N, C, H, W)$ 变成 $(N, CHW)$，元素的次序不变。
#
# %% [markdown] key="flat" lang="en" zh="a17ad0de"
# ## Exercise E04.2: flatten
#
# Write `flattened(images)`: from $(N, C, H, W)$ to $(N, CHW)$, the elements in the same order.
#
# %% tags=["exercise"]
def flattened(images): ...


check("E04.2", flattened)

# %% [markdown] key="document" lang="zh"
# ## 文章怎么说，应当怎么说
#
# | 行 | 文章 | 应当 |
# |---|---|---|
# | 001-T3 | “每层神经元之间通过权重和偏置连接” | 对；公式就是本课的 $y = Wx + b$。 |
# | 001-T12 | 全连接层“输出人脸特征的向量” | 有三样不同的东西：特征向量、分数、概率。没见过的人靠特征向量来认。 |
# | 001-T18 | “将特征图加载到全连接层中” | 先逐个样本摊平：$(N,C,H,W) \to (N,CHW)$。 |
# | 001-T22 | 全连接层用于“降维” | 也可以升维：$W$ 的行数随你定，本课从二到三。 |
# | 001-C4 | `fc_neuron(pool_output.flatten())` | NumPy 的 `flatten()` 把批量轴也并掉了，上面得到的是 ${{wrong.shape[0]}}$ 个数的一行。用 `nn.Flatten`。 |
# | 002-T5 | “使用全连接层来进行分类” | 对。 |
# | 002-T7 | 特征提取包括“卷积层、池化层、全连接层” | 对。 |
# | 002-F3 | “全连接层的公式”，却没有公式 | $Y = XW^\top + b$，梯度 $\bar X = \bar Y W$，$\bar W = \bar Y^\top X$，$\bar b = \sum_n \bar Y_n$。 |
# | 003-T12 | “输出是类别数量” | 输出是一个*长度*为类别数的向量。 |
#
# %% [markdown] key="document" lang="en" zh="aa3c28bc"
# ## What the documents say, and what is right
#
# | row | document | right |
# |---|---|---|
# | 001-T3 | “每层神经元之间通过权重和偏置连接” (layers are connected by weights and biases) | True; the formula is that of this lesson, $y = Wx + b$. |
# | 001-T12 | the dense layer “输出人脸特征的向量” (gives the vector of facial features) | There are three different things: the embedding, the scores, the probabilities. People never seen before are recognized by the embedding. |
# | 001-T18 | “将特征图加载到全连接层中” (load the feature map into the dense layer) | First flatten, sample by sample: $(N,C,H,W) \to (N,CHW)$. |
# | 001-T22 | dense layers are for “降维” (reducing dimensions) | They may raise them too: the number of rows of $W$ is yours to choose; here two became three. |
# | 001-C4 | `fc_neuron(pool_output.flatten())` | NumPy's `flatten()` merges the batch axis as well; above it made a single row of ${{wrong.shape[0]}}$ numbers. Use `nn.Flatten`. |
# | 002-T5 | “使用全连接层来进行分类” (dense layers classify) | True. |
# | 002-T7 | feature extraction: “卷积层、池化层、全连接层” (convolution, pooling, dense layers) | True. |
# | 002-F3 | “全连接层的公式” (the formula of the dense layer), without a formula | $Y = XW^\top + b$, with the gradients $\bar X = \bar Y W$, $\bar W = \bar Y^\top X$, $\bar b = \sum_n \bar Y_n$. |
# | 003-T12 | “输出是类别数量” (the output is the number of classes) | The output is a vector whose *length* is the number of classes. |
