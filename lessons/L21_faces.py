# /// lesson
# title.zh = "人脸识别全流程"
# title.en = "Face recognition from end to end"
# aim.zh = "在同一个协议下量六种方法，给陌生人留一个“不认识”，再看遮住半张脸会怎样。"
# aim.en = "Measure six methods under one protocol, keep an answer “unknown” for strangers, and see what half a hidden face does."
# documents.000 = "§2–3"
# documents.001 = "§2.1, §2.3, §4.1"
# documents.002 = "§2, §4–6"
# documents.003 = "§1, §6–7"
# documents.004 = "§1, §3.1, §4.1"
# errata = ["000-T2", "000-T3", "000-T4", "001-T2", "001-T8", "001-T12", "001-T21", "001-C1b", "002-T1", "002-T2", "002-T9", "002-T10", "002-T11", "002-C1a", "002-C1f", "003-T3", "003-T24", "003-T25", "003-T27", "004-T3", "004-T4", "004-T6", "004-T8", "004-T12", "004-T17", "004-C1a"]
# ///
# %% [markdown] key="start" lang="zh"
# # 人脸识别全流程
#
# 五篇文章都说自己的方法好，没有一篇给出数字。这一课把前面的零件装起来，在*同一批人、同一个协议*下量一遍。
#
# 认一张脸有四步：**检测**（照片里哪里有脸）→ **对齐**（转正，按眼睛裁剪）→ **取特征**（一张脸变成一个向量）→ **比较**（两个向量有多像）。
# 这里的脸已经裁好，从第三步讲起。特征向量都缩成长度一，相似度就是内积：
#
# $$s(a, b) = \frac{f(a) \cdot f(b)}{\lVert f(a) \rVert\, \lVert f(b) \rVert}$$
#
# 问题有两种。**1:1 验证**：这两张是同一个人吗？**1:N 辨识**：这是名单里的谁，还是谁也不是？
#
# %% [markdown] key="start" lang="en" zh="ce78a3bd"
# # Face recognition from end to end
#
# Five documents praise their methods, and none gives a figure. This lesson puts the parts together and measures all of them on *the same
# people, under one protocol*.
#
# To recognize a face takes four steps: **detect** (where is a face in the photograph) → **align** (turn it upright, crop by the eyes) →
# **embed** (a face becomes a vector) → **compare** (how alike are two vectors). The faces here are cropped already, so we begin at the
# third. All embeddings are scaled to length one, and similarity is their inner product:
#
# $$s(a, b) = \frac{f(a) \cdot f(b)}{\lVert f(a) \rVert\, \lVert f(b) \rVert}$$
#
# There are two kinds of question. **Verification** (1:1): are these two the same person? **Identification** (1:N): who of the list is
# this, or is it nobody?
#
# %% tags=["setup"]
import numpy as np

import minidl as dl
import minidl.nn.functional as F
from minidl import nn, optim
from minidl.faces.generated import generated_faces
from minidl.ops import arcface_loss
from minidl.teaching import bars, beside, check, curves, fast, gradcheck, image, knob, picture, trace

# %% [markdown] key="people" lang="zh"
# ## 人
#
# 十四个生成的人，每人六张，光线、表情、姿势各不相同。八个是**熟人**：每人四张用来学，两张用来考。六个是**陌生人**：训练从未见过他们。
# 生成的脸不侵犯任何人，也不必下载；它们教的是方法，成绩不代表真人。
#
# %% [markdown] key="people" lang="en" zh="173e297b"
# ## People
#
# Fourteen generated people, six photographs of each, with different light, expression and pose. Eight are **acquaintances**: four
# photographs of each to learn from, two for the examination. Six are **strangers**: training never sees them. Generated faces harm
# nobody and need no download; they teach the method, and the results say nothing of real people.
#
# %%
faces = generated_faces(people=14, per_person=6, size=(56, 48), seed=21, difficulty="normal")
pixels = faces.images.reshape(84, 28, 2, 24, 2).mean((2, 4))
labels, turn = faces.labels, np.arange(84) % 6
learn, exam, strange = (labels < 8) & (turn < 4), (labels < 8) & (turn >= 4), labels >= 8


def standard(x):
    return (x - x.mean((1, 2), keepdims=True)) / (x.std((1, 2), keepdims=True) + 1e-6)


x_learn, y_learn = standard(pixels[learn]), labels[learn]

# %% tags=["figure"]
picture(beside(*[image(pixels[6 * person], str(person)) for person in (0, 1, 2)]))
picture(beside(*[image(pixels[6 + turned], "1") for turned in (1, 3, 5)]))


# %% [markdown] key="networks" lang="zh"
# ## 六种方法
#
# 两种投影（L18）和四个小网络。每个网络都以 $32$ 个数的特征向量结尾，后面接八个分数，只为训练。
#
# %% [markdown] key="networks" lang="en" zh="45580d49"
# ## Six methods
#
# Two projections (L18) and four small networks. Each network ends with an embedding of $32$ numbers, followed by eight scores which only
# serve the training.
#
# %%
class Convolutional(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 8, 3),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(8, 16, 3),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
        )
        self.embed = nn.Linear(16 * 5 * 4, 32)

    def forward(self, x):
        return self.embed(self.features(x.reshape(-1, 1, 28, 24)))


class Rows(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(24, 32, batch_first=True)

    def forward(self, x):
        return self.gru(x)[0].mean(1)


class Patches(nn.Module):
    def __init__(self):
        super().__init__()
        self.into = nn.Linear(7 * 6, 32)
        self.place = nn.Parameter(0.1 * dl.randn(16, 32))
        self.look = nn.MultiheadAttention(32, 4, batch_first=True)
        self.out = nn.Linear(32, 32)

    def forward(self, x):
        cut = x.reshape(-1, 4, 7, 4, 6).permute(0, 1, 3, 2, 4).reshape(-1, 16, 42)
        tokens = self.into(cut) + self.place
        looked = tokens + self.look(tokens, tokens, tokens, need_weights=False)[0]
        return self.out(F.relu(looked)).mean(1)


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def trained(make, margin=False):
    dl.manual_seed(1)
    model, head = make(), nn.Linear(32, 8)
    optimizer = optim.Adam([*model.parameters(), *head.parameters()], lr=0.005)
    x, y = dl.tensor(x_learn, dtype=dl.float32), dl.tensor(y_learn)
    for _ in range(12 if fast() else 40):
        optimizer.zero_grad()
        embedded = model(x)
        loss = (
            arcface_loss(embedded, head.weight, y, scale=16.0, margin=0.2)
            if margin
            else F.cross_entropy(head(embedded), y)
        )
        loss.backward()
        optimizer.step()

    def represent(images):
        with dl.no_grad():
            return unit(model(dl.tensor(standard(images), dtype=dl.float32)).numpy())

    return represent


def projected(directions):
    flat = x_learn.reshape(len(x_learn), -1)
    mean = flat.mean(0)
    _, _, rows = np.linalg.svd(flat - mean, full_matrices=False)
    basis = rows[:20].T
    if directions == "LDA":
        codes = (flat - mean) @ basis
        within = sum(np.cov(codes[y_learn == k].T, bias=True) for k in range(8))
        between = np.cov(np.array([codes[y_learn == k].mean(0) for k in range(8)]).T)
        values, found = np.linalg.eig(np.linalg.solve(within + 0.1 * np.trace(within) / 20 * np.eye(20), between))
        basis = basis @ found[:, np.argsort(-values.real)[:7]].real
    return lambda images: unit((standard(images).reshape(len(images), -1) - mean) @ basis)


methods = {
    "PCA": projected("PCA"),
    "LDA": projected("LDA"),
    "CNN": trained(Convolutional),
    "CNN+ArcFace": trained(Convolutional, margin=True),
    "GRU": trained(Rows),
    "attention": trained(Patches),
}


# %% [markdown] key="measure" lang="zh"
# ## 量
#
# 一个协议，两个数。**辨识错误**：考题里最像的那张学习照片不是本人的比例。**等错误率**（EER）：陌生人两两比较，把阈值移到“把两个人当成一个”
# 和“把一个人当成两个”同样多的地方，那里的错误率。**陌生人是关键**：训练见过的人认得好，不说明什么。
#
# %% [markdown] key="measure" lang="en" zh="abde7f52"
# ## Measure
#
# One protocol, two numbers. **Identification error**: how often the most similar learning photograph is of somebody else. **Equal error
# rate** (EER): compare strangers in pairs, move the threshold to where “took two people for one” and “took one for two” are equally
# frequent, and read the error there. **Strangers are what counts**: recognizing well whom training has seen says little.
#
# %%
def identification_error(represent, images=None):
    asked = represent(pixels[exam] if images is None else images)
    nearest = (asked @ represent(pixels[learn]).T).argmax(1)
    return float((y_learn[nearest] != labels[exam]).mean())


def pairs(represent):
    f, who = represent(pixels[strange]), labels[strange]
    i, j = np.triu_indices(len(who), 1)
    similar = (f @ f.T)[i, j]
    return similar[who[i] == who[j]], similar[who[i] != who[j]]


def equal_error(genuine, impostor):
    cuts = np.sort(np.concatenate([genuine, impostor]))
    miss = (genuine[None] < cuts[:, None]).mean(1)
    false = (impostor[None] >= cuts[:, None]).mean(1)
    best = np.abs(miss - false).argmin()
    return float((miss[best] + false[best]) / 2)


table = {name: (identification_error(f), equal_error(*pairs(f))) for name, f in methods.items()}

# %% tags=["figure"]
names = [rf"\text{{{name}}}" for name in table]
picture(bars({name: 100 * row[0] for name, row in zip(names, table.values())}, 0.0, 60.0, digits=1))
picture(bars({name: 100 * row[1] for name, row in zip(names, table.values())}, 0.0, 60.0, digits=1))

# %% [markdown] key="table" lang="zh"
# 上图是熟人的辨识错误（百分数），下图是陌生人的等错误率。
#
# | | 辨识错误 % | 陌生人 EER % |
# |---|---|---|
# | PCA | ${{100 * table["PCA"][0]:.0f}}$ | ${{100 * table["PCA"][1]:.0f}}$ |
# | LDA | ${{100 * table["LDA"][0]:.0f}}$ | ${{100 * table["LDA"][1]:.0f}}$ |
# | CNN | ${{100 * table["CNN"][0]:.0f}}$ | ${{100 * table["CNN"][1]:.0f}}$ |
# | CNN+ArcFace | ${{100 * table["CNN+ArcFace"][0]:.0f}}$ | ${{100 * table["CNN+ArcFace"][1]:.0f}}$ |
# | GRU | ${{100 * table["GRU"][0]:.0f}}$ | ${{100 * table["GRU"][1]:.0f}}$ |
# | 自注意力 | ${{100 * table["attention"][0]:.0f}}$ | ${{100 * table["attention"][1]:.0f}}$ |
#
# 别急着排名：考题只有 ${{int(exam.sum())}}$ 道，一道就是百分之六；网络只学了几秒。真正的比较是 `minidl faces compare`：真人照片，十个随机划分，
# 平均值和标准差。
#
# %% [markdown] key="table" lang="en" zh="1180fe99"
# The upper picture is the identification error for acquaintances in percent, the lower the equal error rate for strangers.
#
# | | identification error % | EER of strangers % |
# |---|---|---|
# | PCA | ${{100 * table["PCA"][0]:.0f}}$ | ${{100 * table["PCA"][1]:.0f}}$ |
# | LDA | ${{100 * table["LDA"][0]:.0f}}$ | ${{100 * table["LDA"][1]:.0f}}$ |
# | CNN | ${{100 * table["CNN"][0]:.0f}}$ | ${{100 * table["CNN"][1]:.0f}}$ |
# | CNN+ArcFace | ${{100 * table["CNN+ArcFace"][0]:.0f}}$ | ${{100 * table["CNN+ArcFace"][1]:.0f}}$ |
# | GRU | ${{100 * table["GRU"][0]:.0f}}$ | ${{100 * table["GRU"][1]:.0f}}$ |
# | self-attention | ${{100 * table["attention"][0]:.0f}}$ | ${{100 * table["attention"][1]:.0f}}$ |
#
# Do not rank them yet: there are only ${{int(exam.sum())}}$ questions, one of which is six percent, and the networks learned for seconds. The
# real comparison is `minidl faces compare`: photographs of real people, ten random splits, mean and standard deviation.
#
# %% [markdown] key="inside" lang="zh"
# ## 一张脸穿过网络
#
# 取卷积网络，一张脸，一次前向、一次回传，看形状怎样一路缩小。
#
# %% [markdown] key="inside" lang="en" zh="62a3eee4"
# ## One face through the network
#
# Take the convolutional network and one face, forward and back, and watch the shapes shrink on the way.
#
# %%
dl.manual_seed(1)
network, scores_of = Convolutional(), nn.Linear(32, 8)
one = dl.tensor(x_learn[:1], dtype=dl.float32)

with trace("L") as recorded:
    scores = scores_of(network(one))
    L = F.cross_entropy(scores, dl.tensor(y_learn[:1]))
    L.backward()

small = np.random.default_rng(21).standard_normal((2, 28, 24))
slow = Convolutional().to(dl.float64)
gradcheck(
    lambda kernel, bias: F.conv2d(dl.tensor(small[:, None]), kernel, bias)[:, :, ::9, ::9],
    slow.features[0].weight,
    slow.features[0].bias,
    name="y",
    names="w b",
)

# %% [markdown] key="open" lang="zh"
# ## 不认识
#
# 名单之外的人来了怎么办？最近的那个总是有的，所以要有一个**阈值**：相似度不到，就说不认识。拖动它，看两种错误此消彼长。
#
# %% [markdown] key="open" lang="en" zh="be237f97"
# ## Unknown
#
# What if somebody comes who is not on the list? There always is a nearest one, so a **threshold** is needed: below it the answer is
# “unknown”. Drag it and watch the two kinds of error trade places.
#
# %%
threshold = knob("threshold", 0.8, choices=[0.5, 0.7, 0.8, 0.9, 0.97], symbol=r"\theta")

represent = methods["CNN"]
gallery = represent(pixels[learn])
known_best = (represent(pixels[exam]) @ gallery.T).max(1)
known_right = y_learn[(represent(pixels[exam]) @ gallery.T).argmax(1)] == labels[exam]
strange_best = (represent(pixels[strange]) @ gallery.T).max(1)
refused = float(((known_best < threshold) | ~known_right).mean())
admitted = float((strange_best >= threshold).mean())

cuts = np.linspace(0.3, 1.0, 71)
lines = {
    r"\text{FNIR}": [float(((known_best < cut) | ~known_right).mean()) for cut in cuts],
    r"\text{FPIR}": [float((strange_best >= cut).mean()) for cut in cuts],
}
picture(curves(cuts, lines, x_name=r"\theta", limits=(0.0, 1.05), mark=threshold))

# %% [markdown] key="tradeoff" lang="zh"
# 阈值取 ${{threshold:.2f}}$ 时，熟人被拒或认错的占 ${{100 * refused:.0f}}\%$，陌生人被当成熟人的占 ${{100 * admitted:.0f}}\%$；图上前者叫 FNIR，
# 后者叫 FPIR。**没有哪个阈值让两者都是零**：
# 要选的是哪种错更贵。`fr.calibrate(images, labels, far=0.01)` 就是按后一个比例去定阈值。
#
# ## 遮住
#
# 文章 004 说 GRU “能够处理不完整的人脸图像”。量一量：把考卷的下半张涂黑，或者把光调暗，学习照片不变。
#
# %% [markdown] key="tradeoff" lang="en" zh="a07ddeb5"
# At the threshold ${{threshold:.2f}}$, ${{100 * refused:.0f}}\%$ of the acquaintances are refused or misnamed, and ${{100 * admitted:.0f}}\%$ of the
# strangers are taken for one; in the picture these are FNIR and FPIR. **No threshold makes both zero**: the choice is which mistake costs more. `fr.calibrate(images, labels, far=0.01)`
# sets the threshold by the latter.
#
# ## Hide it
#
# Document 004 says that a GRU “能够处理不完整的人脸图像” (can deal with incomplete faces). Measure it: blacken the lower half in the
# examination, or dim the light, and leave the learning photographs as they are.
#
# %%
damaged = {"black": pixels[exam].copy(), "dark": 0.15 * pixels[exam]}
damaged["black"][:, 14:] = 0
damaged["dark"] = np.clip(damaged["dark"] + np.random.default_rng(0).normal(0, 3, damaged["dark"].shape), 0, 255)
hidden = {kind: {name: identification_error(f, x) for name, f in methods.items()} for kind, x in damaged.items()}

# %% tags=["figure"]
picture(beside(*[image(x[0], kind, low=0, high=255) for kind, x in (("x", pixels[exam]), *damaged.items())]))
picture(bars({rf"\text{{{name}}}": 100 * error for name, error in hidden["black"].items()}, 0.0, 100.0, digits=1))


# %% [markdown] key="hidden" lang="zh"
# 下半张涂黑：CNN 错 ${{100 * hidden["black"]["CNN"]:.0f}}\%$，GRU 错 ${{100 * hidden["black"]["GRU"]:.0f}}\%$，而原图上分别是
# ${{100 * table["CNN"][0]:.0f}}\%$ 和 ${{100 * table["GRU"][0]:.0f}}\%$。GRU 并没有什么专门对付遮挡的零件。要不怕遮挡，训练时就得遮给它看。
# 调暗：CNN 错 ${{100 * hidden["dark"]["CNN"]:.0f}}\%$。每张图都先化成均值零、方差一，亮度本身不要紧；要紧的是
# 暗处的噪声，它也一起放大了。
#
# %% [markdown] key="hidden" lang="en" zh="ecfdab48"
# With the lower half black the CNN gets ${{100 * hidden["black"]["CNN"]:.0f}}\%$ wrong and the GRU ${{100 * hidden["black"]["GRU"]:.0f}}\%$, against
# ${{100 * table["CNN"][0]:.0f}}\%$ and ${{100 * table["GRU"][0]:.0f}}\%$ on whole pictures. There is nothing in a GRU that deals with occlusion. Whoever
# wants a network that does must hide things from it in training. In dim light the CNN gets ${{100 * hidden["dark"]["CNN"]:.0f}}\%$ wrong:
# every picture is first brought to mean zero and variance one, so brightness as such does not matter; what matters is the noise in the
# dark, which is amplified as well.
#
# %% [markdown] key="decide" lang="zh"
# ## 练习 E21.1：说出名字，或者不说
#
# 写 `decide(similarities, names, threshold)`：与名单里每张照片的相似度、照片上的人、阈值；返回名字，或者 `None`。等于阈值算认识。
#
# %% [markdown] key="decide" lang="en" zh="40112eae"
# ## Exercise E21.1: name somebody, or nobody
#
# Write `decide(similarities, names, threshold)`: the similarity with each photograph of the list, who is on it, and the threshold; return a
# name or `None`. A similarity equal to the threshold counts as known.
#
# %% tags=["exercise"]
def decide(similarities, names, threshold): ...


check("E21.1", decide)


# %% [markdown] key="calibrate" lang="zh"
# ## 练习 E21.2：定阈值
#
# 写 `threshold_for(impostors, far)`：陌生人的最高相似度各是 `impostors`。相似度*大于*阈值算认识，要求被误认的陌生人的比例不超过 `far`。返回满足要求的
# 最小的阈值，从 `impostors` 里取。
#
# %% [markdown] key="calibrate" lang="en" zh="0308f84d"
# ## Exercise E21.2: set the threshold
#
# Write `threshold_for(impostors, far)`: the best similarities of strangers are `impostors`. Whoever is *above* the threshold counts as known,
# and the share of strangers so mistaken must not exceed `far`. Return the smallest threshold that does it, one of `impostors`.
#
# %% tags=["exercise"]
def threshold_for(impostors, far): ...


check("E21.2", threshold_for)

# %% [markdown] key="document" lang="zh"
# ## 文章怎么说，应当怎么说
#
# | 行 | 文章 | 应当 |
# |---|---|---|
# | 000-T2 | “对人脸识别有着很好的效果” | 对；好到什么程度，要按协议量。 |
# | 000-T3 | “循环神经网络也有着广泛的应用” | 公认的人脸系统都是前馈卷积网络。 |
# | 000-T4 | “常用的…包括卷积神经网络（CNN）和循环神经网络（RNN）” | 对人脸，循环网络不常用；没提到的度量损失和验证协议才是关键。 |
# | 001-T2 | “身份验证、入侵检测…广告推送…病人诊断” | 作为例子可以，还应说到同意、偏差和法律。 |
# | 001-T8 | “卷积神经网络、递归神经网络” | 见 000-T3。 |
# | 001-T12 | “输出人脸特征的向量” | 特征向量、分数、概率是三样东西；认没见过的人靠第一样。 |
# | 001-T21 | 展望：“更高的识别准确率…更好的隐私保护” | 对未来的看法，无须更正；002-T9、003-T24 也是。 |
# | 001-C1b | `cv2.resize(image, (224, 224))` | 先检测、对齐、裁剪，再缩放。 |
# | 002-T1 | “目前人工智能领域最热门的技术之一” | 这是看法；能量的是错误率和代价。 |
# | 002-T2 | “特征提取、特征提取以及特征提取” | 检测 → 对齐 → 取特征 → 比较。 |
# | 002-T10 | “数据不足…数据不均衡…隐私保护” | 对。本课用生成的人脸，正是为了最后一条。 |
# | 002-T11 | “如CIFAR-10、MNIST等” | 这两个里没有人脸。 |
# | 002-C1a | `def extract_features(image):` | 函数是空的；卷积网络自己取特征。 |
# | 002-C1f | `print('Test accuracy:', test_acc)` | 对熟人可以；对陌生人要看 EER，上面 CNN 是 ${{100 * table["CNN"][1]:.0f}}\%$。 |
# | 003-T3 | “如CNN、R-CNN、FCN等” | R-CNN 检测物体，FCN 分割图像。 |
# | 003-T25 | “识别并确定人脸的身份” | 对；分清 1:1 和 1:N。 |
# | 003-T27 | “通过一个具体的人脸识别任务，我们展示了” | 那里没有数据，也没有结果；上面的表两样都有。 |
# | 004-T3 | “2000年代中期…如AlexNet、VGG、ResNet等” | 2012、2014、2015 年，都是 ImageNet 的分类器。 |
# | 004-T4 | “基于GRU网络的…如FaceNet、DeepFace等” | 两者都是卷积网络，没有循环。 |
# | 004-T6 | “能够捕捉人脸图像中的长距离依赖关系” | 行的先后是人为的；上面量了：GRU 错 ${{100 * table["GRU"][0]:.0f}}\%$，CNN 错 ${{100 * table["CNN"][0]:.0f}}\%$。 |
# | 004-T8 | “能够处理不完整的人脸图像” | 量过了：下半张涂黑，错 ${{100 * hidden["black"]["GRU"]:.0f}}\%$。 |
# | 004-T12 | “隐藏层：进行人脸特征提取和匹配” | 一层只取特征；匹配是比较相似度和阈值。 |
# | 004-T17 | “将得到更广泛的应用” | 没有依据；能做的是在同一协议下量。 |
# | 004-C1a | `Dense(1, activation='sigmoid')` | 一个概率，不是特征向量；辨识要多个分数，验证要特征向量。 |
#
# 人脸是敏感的信息。这里没有一张真人的照片；用到真人身上之前，先问过本人。
#
# %% [markdown] key="document" lang="en" zh="160fd67c"
# ## What the documents say, and what is right
#
# | row | document | right |
# |---|---|---|
# | 000-T2 | “对人脸识别有着很好的效果” (works very well for faces) | Right; how well is measured under a protocol. |
# | 000-T3 | “循环神经网络也有着广泛的应用” (recurrent networks are widely used too) | The systems of reference are feed-forward convolutional networks. |
# | 000-T4 | “常用的…包括卷积神经网络（CNN）和循环神经网络（RNN）” (commonly CNN and RNN) | For faces recurrent ones are not common; what counts and is missing are metric losses and a protocol of verification. |
# | 001-T2 | “身份验证、入侵检测…广告推送…病人诊断” (identity checks … advertising … diagnosis) | Fine as examples, with consent, bias and law beside them. |
# | 001-T8 | “卷积神经网络、递归神经网络” (convolutional, recursive networks) | See 000-T3. |
# | 001-T12 | “输出人脸特征的向量” (gives the vector of features) | Embedding, scores and probabilities are three things; people never seen are recognized by the first. |
# | 001-T21 | the outlook: “更高的识别准确率…更好的隐私保护” (higher accuracy … better privacy) | A view of the future, nothing to correct; 002-T9 and 003-T24 likewise. |
# | 001-C1b | `cv2.resize(image, (224, 224))` | First detect, align and crop, then scale. |
# | 002-T1 | “目前人工智能领域最热门的技术之一” (one of the hottest techniques) | An opinion; what can be measured are error rates and costs. |
# | 002-T2 | “特征提取、特征提取以及特征提取” (feature extraction, three times) | Detect → align → embed → compare. |
# | 002-T10 | “数据不足…数据不均衡…隐私保护” (too few data, imbalance, privacy) | Right. It is for the last that the faces of this lesson are generated. |
# | 002-T11 | “如CIFAR-10、MNIST等” (such as CIFAR-10, MNIST) | Neither has faces. |
# | 002-C1a | `def extract_features(image):` | The function is empty; a convolutional network extracts by itself. |
# | 002-C1f | `print('Test accuracy:', test_acc)` | Fine for acquaintances; for strangers look at the EER, for the CNN above ${{100 * table["CNN"][1]:.0f}}\%$. |
# | 003-T3 | “如CNN、R-CNN、FCN等” (such as CNN, R-CNN, FCN) | R-CNN detects objects, FCN segments images. |
# | 003-T25 | “识别并确定人脸的身份” (recognize and determine identity) | Right; keep 1:1 and 1:N apart. |
# | 003-T27 | “通过一个具体的人脸识别任务，我们展示了” (we have shown on a concrete task) | There are neither data nor results there; the table above has both. |
# | 004-T3 | “2000年代中期…如AlexNet、VGG、ResNet等” (mid-2000s, such as AlexNet …) | 2012, 2014, 2015, all classifiers for ImageNet. |
# | 004-T4 | “基于GRU网络的…如FaceNet、DeepFace等” (based on GRUs, such as FaceNet, DeepFace) | Both are convolutional networks without recurrence. |
# | 004-T6 | “能够捕捉人脸图像中的长距离依赖关系” (captures long-distance dependencies in faces) | The order of rows is imposed; measured above: the GRU gets ${{100 * table["GRU"][0]:.0f}}\%$ wrong, the CNN ${{100 * table["CNN"][0]:.0f}}\%$. |
# | 004-T8 | “能够处理不完整的人脸图像” (deals with incomplete faces) | Measured: with the lower half black, ${{100 * hidden["black"]["GRU"]:.0f}}\%$ wrong. |
# | 004-T12 | “隐藏层：进行人脸特征提取和匹配” (the hidden layer extracts and matches) | A layer only embeds; matching compares a similarity with a threshold. |
# | 004-T17 | “将得到更广泛的应用” (will be used more widely) | Without grounds; what can be done is to measure under one protocol. |
# | 004-C1a | `Dense(1, activation='sigmoid')` | One probability and no embedding; identification needs several scores, verification an embedding. |
#
# Faces are sensitive data. There is no photograph of a real person here; before you turn this on somebody, ask.
