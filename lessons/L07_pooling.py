# /// lesson
# title.zh = "池化"
# title.en = "Pooling"
# aim.zh = "算出最大池化与平均池化，知道梯度往哪里走，并确信池化没有任何东西可学。"
# aim.en = "Compute max and mean pooling, know where the gradient goes, and be certain that pooling has nothing to learn."
# documents.000 = "§3.1"
# documents.001 = "§2.2, §3.1.1–2, §4.1.3–4"
# documents.002 = "§3"
# documents.003 = "§2.1, §3.1.2"
# errata = ["000-T6", "001-T5", "001-T11", "001-T16", "001-T17", "001-C3", "001-C4a", "002-T7", "002-F2", "003-T5", "003-T11"]
# ///
# %% [markdown] key="start" lang="zh"
# # 池化
#
# 卷积（L06）在照片上找到了一只眼睛。它在第几行第几列，精确到像素，认人的时候并不要紧；“左上方大约这里有一只眼睛”就够了。
# 于是把特征图切成小格，每格只留一个数：
#
# $$y_{ij} = \max_{u,v \in R_{ij}} x_{uv} \quad\text{或}\quad y_{ij} = \frac{1}{k^2} \sum_{u,v \in R_{ij}} x_{uv}$$
#
# $R_{ij}$ 是第 $(i,j)$ 个窗口，$k$ 是它的边长。前一种叫**最大池化**：这一格里*有没有*；后一种叫**平均池化**：这一格里*有多少*。
#
# %% [markdown] key="start" lang="en" zh="b8719275"
# # Pooling
#
# A convolution (L06) has found an eye in the photograph. In which row and column, exact to the pixel, does not matter for recognizing
# somebody; “there is an eye somewhere up on the left” will do. So the feature map is cut into small cells, and each keeps one number:
#
# $$y_{ij} = \max_{u,v \in R_{ij}} x_{uv} \quad\text{or}\quad y_{ij} = \frac{1}{k^2} \sum_{u,v \in R_{ij}} x_{uv}$$
#
# $R_{ij}$ is window $(i,j)$ and $k$ its side. The first is **max pooling**: is there any in this cell? The second is **mean pooling**:
# how much of it is there?
#
# %% tags=["setup"]
import numpy as np

import minidl as dl
import minidl.nn.functional as F
from minidl import nn
from minidl.faces.generated import generated_faces
from minidl.teaching import beside, check, curves, gradcheck, heat, image, knob, picture, show, trace

# %% [markdown] key="run" lang="zh"
# ## 四格
#
# 四行四列，窗口二乘二，步幅也是二，窗口互不重叠。
#
# %% [markdown] key="run" lang="en" zh="ed9a668d"
# ## Four cells
#
# Four rows, four columns, windows of two by two, and a stride of two as well, so that windows do not overlap.
#
# %%
kind = knob("kind", "max", choices=["max", "mean"])

X = [[1.0, 3.0, 2.0, 4.0], [5.0, 6.0, 1.0, 0.0], [7.0, 2.0, 9.0, 8.0], [1.0, 0.0, 3.0, 4.0]]
x = dl.tensor(X, requires_grad=True)
weight = dl.tensor([[1.0, 2.0], [3.0, 4.0]])

with trace("L") as recorded:
    planes = x.reshape(1, 1, 4, 4)
    y = F.max_pool2d(planes, 2) if kind == "max" else F.avg_pool2d(planes, 2)
    L = (weight * y).sum()
    L.backward()

picture(beside(heat(x, "x"), heat(y[0, 0], "y"), heat(x.grad, r"\bar x")))

# %% [markdown] key="read" lang="zh"
# 左上角的窗口里是 $1, 3, 5, 6$，得到 ${{y[0, 0, 0, 0]:g}}$；四个窗口合起来是 $y = {{y[0, 0]:g}}$。
#
# 右边那张是梯度。上游的梯度是 $\bar y = [[1, 2], [3, 4]]$。最大池化像一道道闸门：每个窗口里只有最大的那个数影响了结果，梯度**全部**给它，
# 其余是零。平均池化不偏心：每个数分到 $1/k^2$。两种情形下，梯度的总和都不变。
#
# %% [markdown] key="read" lang="en" zh="0a799131"
# The window in the upper left corner holds $1, 3, 5, 6$ and gives ${{y[0, 0, 0, 0]:g}}$; the four windows together give
# $y = {{y[0, 0]:g}}$.
#
# On the right is the gradient. What comes from behind is $\bar y = [[1, 2], [3, 4]]$. Max pooling works like a set of gates: only the
# largest number of a window influenced the result, so it receives **all** of the gradient and the others nothing. Mean pooling has
# no favourites: each number gets $1/k^2$. In both cases the gradients add up to as much as before.
#
# %%
both = {
    "max": F.max_pool2d(dl.tensor(X).reshape(1, 1, 4, 4), 2),
    "mean": F.avg_pool2d(dl.tensor(X).reshape(1, 1, 4, 4), 2),
}
show(both["max"][0, 0], r"y_{\max}")
show(both["mean"][0, 0], r"y_{\text{mean}}")

gradcheck(lambda x: F.avg_pool2d(x, 2), dl.tensor(X).reshape(1, 1, 4, 4), name=r"\text{mean}", names="x")
shuffled = np.random.default_rng(7).permutation(np.arange(25.0)).reshape(1, 1, 5, 5)
gradcheck(lambda x: F.max_pool2d(x, 3, 1, 1), shuffled, name=r"\max", names="x")

# %% [markdown] key="tie" lang="zh"
# ## 平手
#
# 两个数一样大，梯度给谁？取最大值的函数在这里有一道折痕，没有唯一的导数。约定是给窗口里*先遇到*的那个（PyTorch 也是）；差分则各给一半，
# 所以这里的检查*应当*不通过：
#
# %% [markdown] key="tie" lang="en" zh="94ebe0f9"
# ## A tie
#
# Two numbers are equal: which one gets the gradient? A maximum has a crease here and no unique derivative. By convention it is the one
# *met first* in the window (as in PyTorch); differences give half to each, so the check *ought* to fail here:
#
# %%
tied = dl.tensor([[2.0, 2.0], [1.0, 0.0]], requires_grad=True)
F.max_pool2d(tied.reshape(1, 1, 2, 2), 2).sum().backward()
show(tied.grad, r"\bar x")
gradcheck(lambda x: F.max_pool2d(x, 2), tied.detach().reshape(1, 1, 2, 2), name=r"\max", names="x", expected=False)

# %% [markdown] key="learn" lang="zh"
# ## 有什么可学的
#
# 没有。窗口和步幅是设定，不是权重：
#
# %% [markdown] key="learn" lang="en" zh="43d6fbf6"
# ## What is there to learn
#
# Nothing. Window and stride are settings and no weights:
#
# %%
pool = nn.MaxPool2d(2)
convolution = nn.Conv2d(1, 1, 2, stride=2)
counts = [sum(p.numel() for p in layer.parameters()) for layer in (pool, convolution)]
show(np.array(counts), "n")

# %% [markdown] key="count" lang="zh"
# 左边是池化的参数个数，${{counts[0]}}$；右边是步幅为二、窗口二乘二的卷积，${{counts[1]}}$（四个权重，一个偏置）。它同样把图缩小一半，但*怎样*缩是
# 学来的；许多网络就用它代替池化。所以池化不是非有不可，全连接层也一样。
#
# %% [markdown] key="count" lang="en" zh="3dad96da"
# On the left the number of parameters of pooling, ${{counts[0]}}$; on the right that of a convolution with stride two and windows of two by
# two, ${{counts[1]}}$ (four weights and a bias). It halves the image as well, but *how* is learned; many networks use it instead. So pooling
# is not indispensable, and neither are dense layers.
#
# %% [markdown] key="shift" lang="zh"
# ## 为什么要池化：挪一挪
#
# 取一张（生成的）脸，算出它的边缘，再把脸往右挪几个像素重算。池化之后的特征变化小一些：比一比两条曲线的高低。
#
# %% [markdown] key="shift" lang="en" zh="28756ef4"
# ## Why pool: a shift
#
# Take a (generated) face, find its edges, and again after moving the face to the right by a few pixels. Behind pooling the features
# change less: compare the two curves.
#
# %%
face = generated_faces(people=1, per_person=1, size=(64, 64), seed=8).images[0] / 255.0
sobel = np.array([[1.0, 0.0, -1.0], [2.0, 0.0, -2.0], [1.0, 0.0, -1.0]])


def edges(pixels):
    return F.relu(F.conv2d(dl.tensor(pixels[None, None]), dl.tensor(sobel[None, None])))


def change(a, b):
    return float(((a - b) ** 2).sum() / (a * a).sum())


crop = face[8:56, 8:48]
shifts = [0, 1, 2, 3, 4]
plain, pooled = [], []
for shift in shifts:
    moved = face[8:56, 8 - shift : 48 - shift]
    plain.append(change(edges(crop), edges(moved)))
    pooled.append(change(F.max_pool2d(edges(crop), 4), F.max_pool2d(edges(moved), 4)))

# %% tags=["figure"]
picture(beside(image(edges(crop)[0, 0], "x"), image(F.max_pool2d(edges(crop), 4)[0, 0], "y")))
picture(curves(np.array(shifts), {"x": plain, "y": pooled}, x_name=r"\Delta", limits=(0.0, 2.0)))


# %% [markdown] key="stable" lang="zh"
# 挪一个像素，原来的特征变了 ${{100 * plain[1]:.0f}}\%$，池化后的变了 ${{100 * pooled[1]:.0f}}\%$；尺寸也从
# ${{edges(crop).shape[2]}} \times {{edges(crop).shape[3]}}$ 缩到 ${{F.max_pool2d(edges(crop), 4).shape[2]}} \times {{F.max_pool2d(edges(crop), 4).shape[3]}}$，后面的计算少了十几倍。
# **池化用位置的精度换来稳定和速度。**
#
# 不池化会怎样？文章 001 把 $224 \times 224$ 的图只池化了一次就接全连接层：$112 \cdot 112 \cdot 32 = {{112 * 112 * 32}}$ 个数，接
# $128$ 个输出要 ${{112 * 112 * 32 * 128}}$ 个权重。
#
# %% [markdown] key="stable" lang="en" zh="1250ffab"
# A shift by one pixel changes the original features by ${{100 * plain[1]:.0f}}\%$, the pooled ones by ${{100 * pooled[1]:.0f}}\%$; and the
# size goes from ${{edges(crop).shape[2]}} \times {{edges(crop).shape[3]}}$ to
# ${{F.max_pool2d(edges(crop), 4).shape[2]}} \times {{F.max_pool2d(edges(crop), 4).shape[3]}}$, so whatever follows has more than ten times less to do.
# **Pooling trades exactness of place for stability and speed.**
#
# And without? Document 001 pools an image of $224 \times 224$ only once before the dense layer: $112 \cdot 112 \cdot 32 = {{112 * 112 * 32}}$
# numbers, which for $128$ outputs take ${{112 * 112 * 32 * 128}}$ weights.
#
# %% [markdown] key="back" lang="zh"
# ## 练习 E07.1：最大池化的回程
#
# 写 `max_pool_backward(x, gy)`，NumPy，窗口二乘二，步幅二：$x$ 是 $(2m, 2n)$，$\bar y$ 是 $(m, n)$，返回 $\bar x$。平手时给先遇到的
# （先行后列）。
#
# %% [markdown] key="back" lang="en" zh="e463f334"
# ## Exercise E07.1: max pooling, backwards
#
# Write `max_pool_backward(x, gy)` with NumPy, for windows of two by two and stride two: $x$ is $(2m, 2n)$, $\bar y$ is $(m, n)$, and
# $\bar x$ is returned. A tie goes to the one met first (row by row).
#
# %% tags=["exercise"]
def max_pool_backward(x, gy): ...


check("E07.1", max_pool_backward)


# %% [markdown] key="size" lang="zh"
# ## 练习 E07.2：多大
#
# 写 `pooled_size(n, k, stride)`：边长为 $n$ 的图，窗口 $k$，没有填充，装不下的窗口不要，池化后边长是多少？
#
# %% [markdown] key="size" lang="en" zh="4a3467b4"
# ## Exercise E07.2: how large
#
# Write `pooled_size(n, k, stride)`: an image of side $n$, windows of $k$, no padding, windows that do not fit are left out; what is the
# side after pooling?
#
# %% tags=["exercise"]
def pooled_size(n, k, stride): ...


check("E07.2", pooled_size)

# %% [markdown] key="document" lang="zh"
# ## 文章怎么说，应当怎么说
#
# | 行 | 文章 | 应当 |
# |---|---|---|
# | 000-T6 | “池化则有助于降低计算复杂度” | 对。 |
# | 001-T5 | “通过卷积层、池化层和全连接层来提取和表示图像的特征” | 池化和全连接都可以不要：步幅大于一的卷积、全局平均池化就够了。 |
# | 001-T11 | “通过平均池化或最大池化来减少特征图的尺寸” | 对；回程时最大的得全部，平均的各得 $1/k^2$。 |
# | 001-T16 | 扫描时更新，“直到整个图像数据被扫描完毕” | 池化没有可更新的；卷积也只在批次之后更新一次。 |
# | 001-T17 | “将其替换为平均值或最大值” | 对。 |
# | 001-C3 | `pool_kernel.set_weights([(2, 2), (2, 2)])` | 池化没有权重，参数个数是 ${{counts[0]}}$；要换窗口就换一层。 |
# | 001-C4a | `np.random.randn(128, 16 * 16 * 32)` | 池化一次之后是 $112 \cdot 112 \cdot 32$ 个数，不是 $16 \cdot 16 \cdot 32$。 |
# | 002-T7 | 特征提取包括“卷积层、池化层、全连接层” | 对。 |
# | 002-F2 | “池化层的公式”，却没有公式 | 就是本课开头的两个。 |
# | 003-T5 | “池化层通过下采样操作降低特征图的分辨率” | 对。 |
# | 003-T11 | “在每个卷积核对应的区域中选择最大值” | 在*池化自己*的窗口里，逐个通道。 |
#
# %% [markdown] key="document" lang="en" zh="5f975046"
# ## What the documents say, and what is right
#
# | row | document | right |
# |---|---|---|
# | 000-T6 | “池化则有助于降低计算复杂度” (pooling helps to reduce the cost) | Right. |
# | 001-T5 | “通过卷积层、池化层和全连接层来提取和表示图像的特征” (features by convolution, pooling and dense layers) | Pooling and dense layers can be left out: convolutions with strides and global mean pooling are enough. |
# | 001-T11 | “通过平均池化或最大池化来减少特征图的尺寸” (mean or max pooling reduces the map) | Right; backwards the largest gets all, or each gets $1/k^2$. |
# | 001-T16 | update while scanning, “直到整个图像数据被扫描完毕” (until the whole image is scanned) | Pooling has nothing to update, and a convolution is updated once after a batch. |
# | 001-T17 | “将其替换为平均值或最大值” (replaced by the mean or the maximum) | Right. |
# | 001-C3 | `pool_kernel.set_weights([(2, 2), (2, 2)])` | Pooling has no weights, the number of its parameters is ${{counts[0]}}$; for another window make another layer. |
# | 001-C4a | `np.random.randn(128, 16 * 16 * 32)` | After one pooling there are $112 \cdot 112 \cdot 32$ numbers and not $16 \cdot 16 \cdot 32$. |
# | 002-T7 | feature extraction: “卷积层、池化层、全连接层” (convolution, pooling, dense layers) | Right. |
# | 002-F2 | “池化层的公式” (the formula of pooling), without a formula | The two at the head of this lesson. |
# | 003-T5 | “池化层通过下采样操作降低特征图的分辨率” (pooling lowers the resolution) | Right. |
# | 003-T11 | “在每个卷积核对应的区域中选择最大值” (the maximum in the region of each kernel) | In the windows of the *pooling itself*, channel by channel. |
