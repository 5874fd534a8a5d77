# /// lesson
# title.zh = "卷积"
# title.en = "Convolution"
# aim.zh = "看窗口在图上滑动，用纸笔核对每个数和每个梯度，再让网络自己学会找边缘。"
# aim.en = "Watch a window slide over an image, check every number and every gradient on paper, then let the network learn to find edges by itself."
# documents.000 = "§3.1"
# documents.001 = "§3.1.1, §4.1.2, §6.1.1"
# documents.002 = "§3"
# documents.003 = "§3.1.1"
# errata = ["000-T1", "000-T2", "000-T5", "000-T6", "000-C1b", "001-T5", "001-T7", "001-T10", "001-T13", "001-T14", "001-T15", "001-T16", "001-T22", "001-C1c", "001-C2", "001-C2b", "001-C4a", "001-B7", "002-T5", "002-T7", "002-F1", "003-T5", "003-T8", "003-T9", "003-T10", "003-B4", "004-T3"]
# ///
# %% [markdown] key="start" lang="zh"
# # 卷积
#
# 一张照片有上万个像素。若让每个输出都连着每个像素，一层就有上亿个权重；而且把脸往左挪一格，一切都要重学。
# **卷积**换一个想法：拿一小块权重，在整张图上滑动，*到处用同一块*。这一小块叫**卷积核** $w$；图上被它盖住的那一块叫**窗口**。
# 文章 000 说卷积核是输入“分成小的部分”，其实那是窗口：窗口是照片的一部分，核是学来的权重，两者一样大，却是两回事。
#
# 窗口里的数与核里的数一一相乘，加起来，就是输出的一个数：
#
# $$y_{i,j} = b + \sum_{u,v} w_{u,v}\, x_{i+u,\;j+v}$$
#
# %% [markdown] key="start" lang="en" zh="1a845990"
# # Convolution
#
# A photograph has tens of thousands of pixels. If every output were connected to every pixel, one layer would have a hundred
# million weights; and if the face moved by one pixel, everything would have to be learned again. **Convolution** has another idea:
# take a small block of weights and slide it over the image, *the same block everywhere*. The block is the **kernel** $w$; the part of
# the image under it is the **window**. Document 000 says that the kernel is the input, “分成小的部分” (divided into small parts); but
# that is the window: the window is a part of the photograph, the kernel is learned weights. They are of one size, and two things.
#
# The numbers in the window are multiplied by those in the kernel, one by one, and added up to one number of the output:
#
# $$y_{i,j} = b + \sum_{u,v} w_{u,v}\, x_{i+u,\;j+v}$$
#
# %% tags=["setup"]
import numpy as np

import minidl as dl
import minidl.nn.functional as F
from minidl import optim
from minidl.faces.generated import generated_faces
from minidl.teaching import beside, check, curves, gradcheck, heat, image, knob, picture, show, trace, window

# %%
at = knob("n", 0, choices=[0, 1, 2, 3], symbol="n")

x = dl.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]], requires_grad=True)
w = dl.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
b = dl.tensor([0.0], requires_grad=True)
g = dl.tensor([[1.0, 2.0], [3.0, 4.0]])


with trace("y") as recorded:
    y = F.conv2d(x[None, None], w[None, None], b)
    y.backward(g[None, None])

i, j = divmod(at, 2)
picture(window(x, w, y.reshape(2, 2), (i, j)))

# %% [markdown] key="window" lang="zh"
# 拖动 $n$，窗口走过四个位置。此刻在第 ${{i}}$ 行、第 ${{j}}$ 列：
#
# $$y_{ {{i}},{{j}} } = {{x[i, j]:.0f}}\cdot{{w[0, 0]:.0f}} + {{x[i, j + 1]:.0f}}\cdot{{w[0, 1]:.0f}} + {{x[i + 1, j]:.0f}}\cdot{{w[1, 0]:.0f}} + {{x[i + 1, j + 1]:.0f}}\cdot{{w[1, 1]:.0f}} = {{y[0, 0, i, j]:.0f}}$$
#
# 四个位置用的是同样的四个权重。文章 001 在扫描的步骤里写着“更新卷积核”，然后才“重复扫描”。**不是这样**：整张图（整个批次）
# 扫完，算出损失，反向传播，然后才更新*一次*。若每个窗口都更新，第二个窗口用的就已经是另一个核了（E06.1 会抓住它）。
#
# ## 它其实不是数学家的卷积
#
# 数学里的卷积要先把核转半圈再滑动。深度学习里的“卷积”不转，严格地说叫**互相关**。转不转对学习没有差别，因为核反正是学来的；
# 对*数值*却有差别：
#
# %% [markdown] key="window" lang="en" zh="b42b0a0a"
# Drag $n$ and the window visits its four places. Now it is at row ${{i}}$, column ${{j}}$:
#
# $$y_{ {{i}},{{j}} } = {{x[i, j]:.0f}}\cdot{{w[0, 0]:.0f}} + {{x[i, j + 1]:.0f}}\cdot{{w[0, 1]:.0f}} + {{x[i + 1, j]:.0f}}\cdot{{w[1, 0]:.0f}} + {{x[i + 1, j + 1]:.0f}}\cdot{{w[1, 1]:.0f}} = {{y[0, 0, i, j]:.0f}}$$
#
# All four places use the same four weights. Among the steps of the scan document 001 has “更新卷积核” (update the kernel), and only
# then “重复扫描” (repeat the scan). **Not so**: the whole image (the whole batch) is scanned, then comes the loss, then
# backpropagation, then *one* update. If every window updated the kernel, the second window would see another kernel than the first
# (E06.1 will notice).
#
# ## It is not what mathematicians call convolution
#
# In mathematics the kernel is turned by half a circle before it slides. The “convolution” of deep learning does not turn it, and its
# proper name is **cross-correlation**. For learning it makes no difference, since the kernel is learned anyway; for the *numbers* it
# does:
#
# %%
plain = F.conv2d(x[None, None], w[None, None]).reshape(2, 2)
turned = F.conv2d(x[None, None], dl.flip(w, (0, 1))[None, None]).reshape(2, 2)
picture(beside(heat(plain, "w", digits=0), heat(turned, r"\text{flip}(w)", digits=0)))

# %% [markdown] key="size" lang="zh"
# ## 多大？
#
# 窗口每次走 $S$ 格（**步幅**），图的四周先添 $P$ 圈零（**填充**）。边长 $H$ 的图，边长 $K$ 的核，输出的边长是
#
# $$\left\lfloor \frac{H + 2P - K}{S} \right\rfloor + 1$$
#
# %% [markdown] key="size" lang="en" zh="2fd031c2"
# ## How large?
#
# The window moves by $S$ pixels (the **stride**), after $P$ rings of zeros have been put round the image (the **padding**). With an
# image of side $H$ and a kernel of side $K$ the output has the side
#
# $$\left\lfloor \frac{H + 2P - K}{S} \right\rfloor + 1$$
#
# %%
S = knob("S", 1, 1, 3)
P = knob("P", 0, 0, 2)
big = dl.arange(25.0).reshape(5, 5)
out = F.conv2d(big[None, None], dl.ones(1, 1, 3, 3), stride=S, padding=P)
picture(window(big, dl.ones(3, 3), out.reshape(out.shape[2:]), (0, 0), stride=S, padding=P))

# %% [markdown] key="gradient" lang="zh"
# $H=5$，$K=3$，$S={{S}}$，$P={{P}}$：输出 ${{out.shape[2]}}\times{{out.shape[3]}}$。
#
# ## 梯度也是卷积
#
# 设损失对输出的梯度是 $\bar y$（上面的 `g`）。一个像素 $x_{i,j}$ 进了好几个窗口，每次乘的是核里不同的一格，
# 所以它的梯度要把这些都加起来。写出来一看，又是滑窗：把 $\bar y$ 四周补零，与*转了半圈*的核做互相关。核的梯度更简单：
# 拿 $\bar y$ 当核，在图上滑一遍。
#
# $$\begin{aligned} \bar w &= x \star \bar y \\ \bar x &= \mathrm{pad}(\bar y) \star \mathrm{flip}(w) \\ \bar b &= \sum \bar y \end{aligned}$$
#
# 引擎给出的正是这几张表：
#
# %% [markdown] key="gradient" lang="en" zh="27539ebb"
# $H=5$, $K=3$, $S={{S}}$, $P={{P}}$: the output is ${{out.shape[2]}}\times{{out.shape[3]}}$.
#
# ## The gradient is a convolution, too
#
# Call the gradient of the loss at the output $\bar y$ (`g` above). A pixel $x_{i,j}$ went into several windows and met another cell
# of the kernel in each, so its gradient adds them all up. Write it down, and there is the sliding window again: put zeros round
# $\bar y$ and correlate with the kernel *turned by half a circle*. The gradient of the kernel is simpler still: take $\bar y$ as the
# kernel and slide it over the image.
#
# $$\begin{aligned} \bar w &= x \star \bar y \\ \bar x &= \mathrm{pad}(\bar y) \star \mathrm{flip}(w) \\ \bar b &= \sum \bar y \end{aligned}$$
#
# The engine gives just these tables:
#
# %%
show(x.grad, r"\bar x")
show(w.grad, r"\bar w")
show(b.grad, r"\bar b")

gradcheck(
    lambda x, w, b: F.conv2d(x, w, b, stride=2, padding=1),
    np.arange(50.0).reshape(1, 2, 5, 5) / 10,
    np.arange(54.0).reshape(3, 2, 3, 3) / 10 - 2,
    np.array([0.1, 0.2, 0.3]),
    name=r"w \star x + b,\ S=2,\ P=1",
    names="x w b",
)

# %% [markdown] key="edges" lang="zh"
# $\bar w$ 碰巧等于 $y$，因为这里取的 $\bar y$ 碰巧等于 $w$；换一组数就不同了。梯度检验用的是更一般的情形：两个输入通道，
# 三个核，步幅 $2$，填充 $1$。
#
# ## 看见边缘
#
# 彩色照片有红、绿、蓝三个**通道**，每个通道是一整张 $H\times W$ 的数；卷积核也有三层，乘完一起加。灰度照片只有一个通道。
# 下面是一张画出来的脸（不是真人），与 **Sobel** 核 $\begin{bmatrix}-1&0&1\\-2&0&2\\-1&0&1\end{bmatrix}$ 的结果：左暗右亮处为正，
# 左亮右暗处为负，平坦处为零。
#
# %% [markdown] key="edges" lang="en" zh="4f8b204b"
# $\bar w$ happens to equal $y$, because the $\bar y$ chosen here happens to equal $w$; with other numbers it does not. The gradient
# check takes a more general case: two input channels, three kernels, stride $2$, padding $1$.
#
# ## Seeing edges
#
# A colour photograph has three **channels**, red, green and blue, each a whole plane of $H\times W$ numbers; its kernels have three
# layers as well, and all the products are added together. A grey photograph has one channel. Below is a drawn face (of nobody), and what
# the **Sobel** kernel $\begin{bmatrix}-1&0&1\\-2&0&2\\-1&0&1\end{bmatrix}$ makes of it: positive where it is dark on the left
# and light on the right, negative the other way round, zero where it is flat.
#
# %%
face = dl.tensor(generated_faces(people=1, per_person=1, size=(56, 46), seed=3).images[0] / 255.0, dtype=dl.float32)
sobel = dl.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]])
edges = F.conv2d(face[None, None], sobel[None, None])
picture(beside(image(face, "x"), image(edges[0, 0], r"w \star x")))

# %% [markdown] key="learn" lang="zh"
# ## 核是学来的
#
# 从前的工程师坐下来设计 Sobel。卷积网络不设计，它*学*。给它输入 $x$ 和想要的输出，从全是零的核开始，做梯度下降（L09）：
# 前向、损失、反向、更新一次；再来。
#
# %% [markdown] key="learn" lang="en" zh="6d055e0d"
# ## Kernels are learned
#
# Engineers of old sat down and designed Sobel's kernel. A convolutional network does not design, it *learns*. Give it the input $x$ and
# the output that is wanted, start with a kernel of zeros, and descend the gradient (L09): forward, loss, backward, one update; and
# again.
#
# %%
kernel = dl.zeros(1, 1, 3, 3, requires_grad=True)
optimizer = optim.SGD([kernel], lr=0.05, momentum=0.9)
bright = ((face - face.mean()) / face.std())[None, None]
wanted = F.conv2d(bright, sobel[None, None])
losses = []
for _ in range(300):
    optimizer.zero_grad()
    loss = F.mse_loss(F.conv2d(bright, kernel), wanted)
    loss.backward()
    optimizer.step()
    losses.append(loss.item())

picture(beside(heat(kernel[0, 0], "w"), curves(np.arange(len(losses)), {"L": losses}, x_name="t", log=True)))


# %% [markdown] key="exercises" lang="zh"
# 起初是零，最后与 Sobel 相差最多 ${{(kernel[0, 0] - sobel).abs().max():.0e}}$。没有人告诉它什么是边缘。
#
# ## 练习
#
# E06.1：用循环写 `correlate(x, w)`：$x$ 与 $w$ 是两个二维的 NumPy 数组，不必是方的；步幅 $1$，不填充，没有偏置。
#
# E06.2：写 `side(H, K, S, P)`：输出的边长。
#
# E06.3：写 `input_gradient(g, w)`：$\bar x$，由 $\bar y$ 与 $w$ 得出（步幅 $1$，不填充）。
#
# %% [markdown] key="exercises" lang="en" zh="069c354d"
# It began with zeros, and in the end differs from Sobel by at most ${{(kernel[0, 0] - sobel).abs().max():.0e}}$. Nobody told it what an
# edge is.
#
# ## Exercises
#
# E06.1: with loops, write `correlate(x, w)`: $x$ and $w$ are two NumPy arrays of two axes, not necessarily square; stride $1$, no padding, no bias.
#
# E06.2: write `side(H, K, S, P)`: the side of the output.
#
# E06.3: write `input_gradient(g, w)`: $\bar x$, from $\bar y$ and $w$ (stride $1$, no padding).
#
# %% tags=["exercise"]
def correlate(x, w): ...


def side(H, K, S, P): ...


def input_gradient(g, w): ...


check("E06.1", correlate)
check("E06.2", side)
check("E06.3", input_gradient)

# %% [markdown] key="document" lang="zh"
# ## 文章怎么说，应当怎么说
#
# | 行 | 文章 | 应当 |
# |---|---|---|
# | 000-T1 | “深度学习作为一种新的人工智能技术” | 用反向传播训练的卷积网络出自 1989–1998 年（LeCun 等）；2012 年以来新的是规模。 |
# | 000-T2 | “能够有效地进行特征提取” | 对；好到什么程度，要按协议量（L21）。 |
# | 000-T5 | “将输入数据……分成小的部分（称为卷积核）” | 那是窗口。核是滑动的权重，是学来的。 |
# | 000-T6 | “激活函数则引入了非线性变换” | 对。没有它，两层卷积合起来还是一层卷积。 |
# | 000-C1b | `input_shape = (96, 112, 3)` | Keras 的次序是高、宽、通道，而人脸高大于宽，多半写反了；minidl 的次序是 $(N, C, H, W)$。 |
# | 001-T5 | “通过卷积层、池化层和全连接层来提取和表示图像的特征” | 必不可少的只有卷积：步幅大于一的卷积和全局平均池化就够了（L07）。 |
# | 001-T7 | “颜色特征、形状特征、纹理特征” | 学来的特征没有名字：前面的像边缘和色块，最后的是身份。 |
# | 001-T10 | “卷积核来扫描图像，从而生成特征图” | 对；确切的名字是互相关，核不翻转。 |
# | 001-T13 | “每个像素点对应一个通道” | 每个像素有*三个*通道值；一个通道是一整张平面。 |
# | 001-T14 | 卷积核“是一种权重矩阵” | 一层的核是四维的：输出通道 × 输入通道 × 高 × 宽，另有一个偏置向量。 |
# | 001-T15 | “进行元素乘积运算，并累积到特征图中” | 对：窗口与核逐个相乘、相加，得到一个数。 |
# | 001-T16 | 扫描步骤中“更新卷积核”，再“重复扫描” | 扫描中权重不变；每个批次更新一次。 |
# | 001-T22 | CNN“专门处理图像和时间序列数据” | 凡是排成格子的数据都可以。 |
# | 001-C1c | `image = np.expand_dims(image, axis=0)` | 对，加上了批量轴；minidl 还要把通道移到前面。 |
# | 001-C2 | `np.random.randn(32, 3, 3)` | 形状不符：核是四维的，Keras 要 $(3, 3, 3, 32)$，minidl 要 $(32, 3, 3, 3)$。 |
# | 001-C2b | 注释“重复扫描” | 十次前向得到十个相同的结果：既不是扫描，也没有学习。 |
# | 001-C4a | `np.random.randn(128, 16 * 16 * 32)` | 卷积和一次池化之后是 $112 \cdot 112 \cdot 32$ 个数（L07）。 |
# | 001-B7 | Szegedy 等，“arXiv:1512.03385” | Going Deeper with Convolutions 是 arXiv:1409.4842，CVPR 2015；arXiv:1512.03385 是 ResNet。 |
# | 002-T5 | “使用卷积层来提取图像的特征” | 对；002-T7 也是。 |
# | 002-F1 | “卷积层的公式”，却没有公式 | $y_{n,f,i,j}=b_f+\sum_{c,u,v}w_{f,c,u,v}\,x_{n,c,p,q}$，其中 $p=iS+u-P$，$q=jS+v-P$；输出大小与梯度如上。 |
# | 003-T5 | “卷积层通过卷积操作学习图像的空域特征” | 对。 |
# | 003-T8 | “对每个位置进行元素乘积的求和” | 对（单通道时）；还要对输入通道求和，再加偏置。 |
# | 003-T9 | “使用颜色统计滤波器来提取颜色特征” | 线性的核算不出统计量（直方图）；$1\times1$ 的核只能把通道线性混合。 |
# | 003-T10 | “边缘检测滤波器” | 对，就是上面的 Sobel；在网络里它是学来的。 |
# | 003-B4 | Krizhevsky、Sutskever、Hinton（2012） | 对。 |
# | 004-T3 | “2000年代中期…如AlexNet、VGG、ResNet等” | 2012、2014、2015 年。 |
#
# 文献：Dumoulin、Visin，arXiv:1603.07285；Goodfellow 等，《Deep Learning》（2016），第 9 章。
#
# %% [markdown] key="document" lang="en" zh="d5076f40"
# ## What the documents say, and what is right
#
# | row | document | right |
# |---|---|---|
# | 000-T1 | “深度学习作为一种新的人工智能技术” (deep learning, a new technique) | Convolutional networks trained by backpropagation date from 1989–1998 (LeCun et al.); new since 2012 is the scale. |
# | 000-T2 | “能够有效地进行特征提取” (extracts features effectively) | Right; how well is measured under a protocol (L21). |
# | 000-T5 | “将输入数据……分成小的部分（称为卷积核）” (the input is divided into small parts, called kernels) | Those are windows. The kernel is the weights that slide, and it is learned. |
# | 000-T6 | “激活函数则引入了非线性变换” (activations bring in non-linearity) | Right. Without them two convolutions in a row are one. |
# | 000-C1b | `input_shape = (96, 112, 3)` | Keras means height, width, channels, and a face is taller than wide: most likely transposed. The order in minidl is $(N, C, H, W)$. |
# | 001-T5 | “通过卷积层、池化层和全连接层来提取和表示图像的特征” (features by convolution, pooling and dense layers) | Only the convolution is indispensable: strides and a global mean do the rest (L07). |
# | 001-T7 | “颜色特征、形状特征、纹理特征” (features of colour, shape, texture) | Learned features have no names: the first look like edges and blobs, the last stand for the identity. |
# | 001-T10 | “卷积核来扫描图像，从而生成特征图” (a kernel scans the image and makes a feature map) | Right; the exact name is cross-correlation, the kernel is not flipped. |
# | 001-T13 | “每个像素点对应一个通道” (each pixel corresponds to a channel) | Each pixel has *three* channel values; a channel is a whole plane. |
# | 001-T14 | a kernel “是一种权重矩阵” (is a matrix of weights) | The kernels of a layer have four axes: output channels × input channels × height × width, and there is a vector of biases. |
# | 001-T15 | “进行元素乘积运算，并累积到特征图中” (products of elements, accumulated into the map) | Right: window times kernel, element by element, summed, is one number. |
# | 001-T16 | among the steps of the scan “更新卷积核” (update the kernel), then “重复扫描” (repeat) | During the scan the weights stay; there is one update a batch. |
# | 001-T22 | CNNs are “专门处理图像和时间序列数据” (for images and time series) | For any data that lie on a grid. |
# | 001-C1c | `image = np.expand_dims(image, axis=0)` | Right, it adds the batch axis; for minidl the channels go to the front as well. |
# | 001-C2 | `np.random.randn(32, 3, 3)` | The shape does not fit: kernels have four axes, $(3, 3, 3, 32)$ in Keras, $(32, 3, 3, 3)$ in minidl. |
# | 001-C2b | the comment “重复扫描” (repeat the scan) | Ten passes forward give one result ten times: no scan and no learning. |
# | 001-C4a | `np.random.randn(128, 16 * 16 * 32)` | Behind the convolution and one pooling there are $112 \cdot 112 \cdot 32$ numbers (L07). |
# | 001-B7 | Szegedy et al., “arXiv:1512.03385” | Going Deeper with Convolutions is arXiv:1409.4842, CVPR 2015; arXiv:1512.03385 is ResNet. |
# | 002-T5 | “使用卷积层来提取图像的特征” (convolutions extract the features) | Right, and so is 002-T7. |
# | 002-F1 | “卷积层的公式” (the formula of the convolutional layer), without a formula | $y_{n,f,i,j}=b_f+\sum_{c,u,v}w_{f,c,u,v}\,x_{n,c,p,q}$ with $p=iS+u-P$ and $q=jS+v-P$; size and gradients as above. |
# | 003-T5 | “卷积层通过卷积操作学习图像的空域特征” (convolutions learn spatial features) | Right. |
# | 003-T8 | “对每个位置进行元素乘积的求和” (at each place the products are summed) | Right for one channel; also sum over the input channels and add the bias. |
# | 003-T9 | “使用颜色统计滤波器来提取颜色特征” (colour-statistics filters extract colour features) | A linear kernel cannot compute statistics (a histogram); a $1\times1$ kernel only mixes channels linearly. |
# | 003-T10 | “边缘检测滤波器” (edge filters) | Right, that is Sobel above; in a network it is learned. |
# | 003-B4 | Krizhevsky, Sutskever, Hinton (2012) | Right. |
# | 004-T3 | “2000年代中期…如AlexNet、VGG、ResNet等” (in the mid-2000s) | They are of 2012, 2014 and 2015. |
#
# Sources: Dumoulin, Visin, arXiv:1603.07285; Goodfellow et al., *Deep Learning* (2016), chapter 9.
