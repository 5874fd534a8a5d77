# /// lesson
# title.zh = "特征脸与费舍尔脸"
# title.en = "Eigenfaces and Fisherfaces"
# aim.zh = "用八个点看清 PCA 和 LDA 各在找什么方向，再在一堆（生成的）脸上看它们找到的是什么样的图。"
# aim.en = "See with eight points which direction PCA and LDA look for, and then what kind of picture they find in a pile of (generated) faces."
# documents.003 = "§1"
# documents.004 = "§1.1"
# errata = ["003-T2", "004-T2"]
# ///
# %% [markdown] key="start" lang="zh"
# # 特征脸与费舍尔脸
#
# 一张 $112 \times 92$ 的照片是 $10304$ 个数。可是脸和脸差不多：知道了其中几千个，其余的大致也能猜出来。能不能只留下*几个*数，就把一张脸说个
# 大概？三十多年前，人们就是这样认脸的，办法是找**方向**：把每张照片投影到少数几个方向上，只留下投影。
#
# 找什么方向，有两种想法。**PCA**：让所有照片的投影散得最开。**LDA**：让*不同人*的投影离得远，*同一人*的投影挤在一起。
#
# $$\text{PCA:}\ \max_w \frac{w^\top S\, w}{w^\top w} \qquad \text{LDA:}\  \max_w \frac{w^\top S_B\, w}{w^\top S_W\, w}$$
#
# $S$ 是协方差矩阵，$S_B$ 量不同类的平均值散得多开（类间），$S_W$ 量同一类里散得多开（类内）。两者都是从数据里*学*来的线性投影，不是手工设计的特征。
#
# %% [markdown] key="start" lang="en" zh="ae39ccce"
# # Eigenfaces and Fisherfaces
#
# A photograph of $112 \times 92$ is $10304$ numbers. But faces are much alike: whoever knows a few thousand of them can guess the rest. Could
# one keep just *a few* numbers and still say roughly what a face looks like? More than thirty years ago faces were recognized that way,
# by looking for **directions**: project each photograph on a few directions and keep only the projections.
#
# Which directions? There are two ideas. **PCA**: the projections of all photographs should spread as far as possible. **LDA**: projections of
# *different* people should lie far apart, those of the *same* person close together.
#
# $$\text{PCA:}\ \max_w \frac{w^\top S\, w}{w^\top w} \qquad \text{LDA:}\  \max_w \frac{w^\top S_B\, w}{w^\top S_W\, w}$$
#
# $S$ is the covariance matrix, $S_B$ measures how the means of the classes spread (between), $S_W$ how each class spreads around its own
# (within). Both are linear projections *learned* from data and no features made by hand.
#
# %% tags=["setup"]
import numpy as np

import minidl as dl
from minidl.faces.generated import generated_faces
from minidl.ops import eigh
from minidl.teaching import beside, check, curves, gradcheck, image, knob, picture, points, show, trace

# %% [markdown] key="eight" lang="zh"
# ## 八个点
#
# 两类，各四个点，都顺着 $(1, 1)$ 的方向拉长。拖动角度 $\varphi$：它决定两类是从哪个方向错开的（$90°$ 就是横着拉长的方向错开，$0°$ 就是顺着）。
#
# %% [markdown] key="eight" lang="en" zh="6a37d4ef"
# ## Eight points
#
# Two classes of four points each, both stretched along $(1, 1)$. Drag the angle $\varphi$: it says in which direction the classes are set
# apart ($90°$ is across the stretch, $0°$ along it).
#
# %%
phi = knob("phi", 90, choices=[0, 30, 60, 90], symbol=r"\varphi")

along = np.array([1.0, 1.0]) / np.sqrt(2)
across = np.array([-1.0, 1.0]) / np.sqrt(2)
turn = np.radians(phi)
offset = np.cos(turn) * along + np.sin(turn) * across
wobble = np.array([0.1, -0.1, -0.1, 0.1])
stretch = np.outer([-1.5, -0.5, 0.5, 1.5], along) + np.outer(wobble, across)
X = np.concatenate([stretch + 0.55 * offset, stretch - 0.55 * offset])
y = np.array([0, 0, 0, 0, 1, 1, 1, 1])

S = np.cov(X.T)
means = np.array([X[y == k].mean(0) for k in (0, 1)])
S_W = sum((X[y == k] - means[k]).T @ (X[y == k] - means[k]) for k in (0, 1))
values, vectors = eigh(dl.tensor(S))
w_pca = vectors.numpy()[:, 1] * np.sign(vectors.numpy()[:, 1].sum())
w_lda = np.linalg.solve(S_W, means[0] - means[1])
w_lda = w_lda / np.linalg.norm(w_lda)
gap = means[0] - means[1]
apart = {k: abs(gap @ w) / np.sqrt(w @ S_W @ w / 6) for k, w in {"PCA": w_pca, "LDA": w_lda}.items()}

ends = np.array([[-2.0], [2.0]])
directions = {r"w_{\text{PCA}}": ends * w_pca, r"w_{\text{LDA}}": ends * w_lda}
picture(points({"0": X[y == 0], "1": X[y == 1]}, lines=directions))
show(w_pca, r"w_{\text{PCA}}")
show(w_lda, r"w_{\text{LDA}}")

# %% tags=["figure"]
shadows = {"PCA": X @ w_pca, "LDA": X @ w_lda}
picture(
    beside(
        *[
            points({"0": np.stack([s[y == 0], 0 * s[y == 0]], 1), "1": np.stack([s[y == 1], 0 * s[y == 1]], 1)})
            for s in shadows.values()
        ]
    )
)

# %% [markdown] key="read" lang="zh"
# 协方差矩阵的特征值是 ${{values:.4f}}$：大的那个就是沿 PCA 方向散开的方差。最后两幅是八个点的影子：左边投影到 PCA 的方向，右边投影到 LDA 的。
# 以同类散开的标准差为单位，PCA 的影子里两类的平均值相距 ${{apart["PCA"]:.1f}}$，LDA 的影子里相距 ${{apart["LDA"]:.1f}}$。
#
# **PCA 不看标签**：它只管散得开，散开的若是光线而不是人，它也照样留下。LDA 看标签。$\varphi = 0°$ 时两者走到一起。
#
# %% [markdown] key="read" lang="en" zh="ac14783e"
# The eigenvalues of the covariance matrix are ${{values:.4f}}$; the larger is the variance along the direction of PCA. The last two
# pictures are the shadows of the eight points, on the left in the direction of PCA, on the right of LDA. Measured by the standard deviation
# within a class, the means of the classes are ${{apart["PCA"]:.1f}}$ apart in the shadow of PCA and ${{apart["LDA"]:.1f}}$ in that of LDA.
#
# **PCA does not look at labels**: it cares for spread alone, and if what spreads is the light and not the person, it keeps that. LDA looks
# at labels. At $\varphi = 0°$ both meet.
#
# %% [markdown] key="climb" lang="zh"
# ## 用梯度也能找到
#
# 书上用特征值来解。可这两个分数都可导，所以随便从哪个方向出发，沿梯度往上爬也行。在播放器里看一步：
#
# %% [markdown] key="climb" lang="en" zh="8465ec20"
# ## Gradients find it too
#
# Textbooks solve it by eigenvalues. But both fractions can be differentiated, so one may start in any direction and climb along the
# gradient. Watch one step in the player:
#
# %%
covariance = dl.tensor(S, dtype=dl.float32)
w = dl.tensor([1.0, 0.0], requires_grad=True)

with trace("R") as recorded:
    R = (w * (covariance @ w)).sum() / (w * w).sum()
    R.backward()


def rayleigh(w):
    return (w * (dl.tensor(S) @ w)).sum() / (w * w).sum()


gradcheck(rayleigh, np.array([1.0, 0.3]), name="R", names="w")

heights, v = [], dl.tensor([1.0, 0.0], dtype=dl.float64, requires_grad=True)
for _ in range(40):
    height = rayleigh(v)
    (slope,) = dl.autograd.grad(height, [v])
    v = (v + 0.2 * slope).detach().requires_grad_()
    heights.append(height.item())
picture(curves(np.arange(40), {"R": heights}, x_name="k"))

# %% [markdown] key="top" lang="zh"
# 爬到顶是 ${{heights[-1]:.4f}}$，正是较大的特征值 ${{values[1]:.4f}}$。
#
# ## 特征脸
#
# 现在换成脸：八个（生成的）人，每人五张，$28 \times 23$ 个像素。像素有 $644$ 个，协方差矩阵就有 $644 \times 644$ 个数，照片却只有四十张。
# 有个窍门：$X^\top X$ 和 $X X^\top$ 的非零特征值相同，后者只有 $40 \times 40$。小的那个解出 $u$，大的那个就是 $X^\top u$。
#
# %% [markdown] key="top" lang="en" zh="88173cd0"
# The climb ends at ${{heights[-1]:.4f}}$, which is the larger eigenvalue, ${{values[1]:.4f}}$.
#
# ## Eigenfaces
#
# Now faces: eight (generated) people, five photographs of each, $28 \times 23$ pixels. That is $644$ pixels and a covariance matrix of
# $644 \times 644$ numbers, but only forty photographs. There is a trick: $X^\top X$ and $X X^\top$ have the same non-zero eigenvalues, and the
# second is only $40 \times 40$. If the small one has the solution $u$, the large one has $X^\top u$.
#
# %%
q = knob("q", 8, choices=[1, 4, 8, 16, 32])

faces = generated_faces(people=8, per_person=5, size=(56, 46), seed=6, difficulty="easy")
pixels = faces.images.reshape(40, 28, 2, 23, 2).mean((2, 4)).reshape(40, -1)
average = pixels.mean(0)
centred = pixels - average

small_values, small_vectors = np.linalg.eigh(centred @ centred.T)
eigenfaces = centred.T @ small_vectors[:, ::-1]
eigenfaces = eigenfaces[:, :39] / np.linalg.norm(eigenfaces[:, :39], axis=0)
missed = centred.T @ (centred @ eigenfaces) - eigenfaces * small_values[::-1][:39]
trick = float(np.abs(missed).max() / small_values.max())

codes = centred @ eigenfaces[:, :q]
rebuilt = average + codes @ eigenfaces[:, :q].T
kept = float(small_values[::-1][:q].sum() / small_values.sum())

# %% tags=["figure"]
picture(
    beside(
        image(average.reshape(28, 23), r"\mu"),
        *[image(eigenfaces[:, k].reshape(28, 23), f"w_{k + 1}") for k in range(2)],
    )
)
picture(beside(image(pixels[0].reshape(28, 23), "x"), image(rebuilt[0].reshape(28, 23), r"\hat x")))

# %% [markdown] key="eigen" lang="zh"
# 上排是平均脸和头两张**特征脸**：第一张往往是光线，因为光线让像素变得最多。下排是第一张照片和由长度为 $q = {{q}}$ 的编码重建的样子，四十张照片的方差
# 留下了 ${{100 * kept:.0f}}\%$。拖动 $q$。窍门没有骗人：把 $X^\top u$ 代回大的那个，相对误差不到 ${{2 * max(trick, 1e-15):.0e}}$。
#
# ## 费舍尔脸
#
# 八个人，LDA 最多给出七个方向（类数减一）。照片少于像素，$S_W$ 求不了逆，所以先用 PCA 降到二十维，再做 LDA。每人四张用来学，一张用来考，
# 考的办法是找最近的：
#
# %% [markdown] key="eigen" lang="en" zh="22bf1447"
# The upper row shows the mean face and the first two **eigenfaces**; the first is often the light, because light changes pixels most. The
# lower row shows the first photograph and what is rebuilt of it from a code of length $q = {{q}}$; of the variance of the forty photographs ${{100 * kept:.0f}}\%$ is kept. Drag $q$.
# The trick is honest: put into the large one, $X^\top u$ misses by less than ${{2 * max(trick, 1e-15):.0e}}$ of the largest eigenvalue.
#
# ## Fisherfaces
#
# For eight people LDA has seven directions at most (one less than classes). There are fewer photographs than pixels, so $S_W$ cannot be
# inverted; first PCA brings it down to twenty dimensions, then LDA follows. Four photographs of each are for learning and one for the
# examination, which looks for the nearest:
#
# %%
exam = np.arange(40) % 5 == 4
names = faces.labels


def within(codes, names):
    return sum(np.cov(codes[names == k].T, bias=True) * (names == k).sum() for k in np.unique(names))


def between(codes, names):
    middle = codes.mean(0)
    return sum((names == k).sum() * np.outer(d := codes[names == k].mean(0) - middle, d) for k in np.unique(names))


def nearest(learned, asked):
    distances = ((asked[:, None] - learned[None]) ** 2).sum(-1)
    return names[~exam][distances.argmin(1)]


mean = pixels[~exam].mean(0)
_, _, rows = np.linalg.svd(pixels[~exam] - mean, full_matrices=False)
pca_codes = (pixels - mean) @ rows[:20].T
W, B = within(pca_codes[~exam], names[~exam]), between(pca_codes[~exam], names[~exam])
ratios, fisher = np.linalg.eig(np.linalg.solve(W + 0.05 * np.trace(W) / 20 * np.eye(20), B))
best = fisher[:, np.argsort(-ratios.real)[:7]].real
lda_codes = pca_codes @ best

errors = {
    "PCA": int((nearest(pca_codes[~exam], pca_codes[exam]) != names[exam]).sum()),
    "LDA": int((nearest(lda_codes[~exam], lda_codes[exam]) != names[exam]).sum()),
}

# %% tags=["figure"]
picture(
    beside(
        *[
            points({str(k): codes[names == k][:, :2] for k in range(4)})
            for codes in (pca_codes, lda_codes / np.abs(lda_codes).max())
        ]
    )
)


# %% [markdown] key="fisher" lang="zh"
# 四个人在头两个方向上的位置，左边 PCA，右边 LDA：右边同一人的点挤在一起。八道考题，PCA 错 ${{errors["PCA"]}}$ 道，LDA 错 ${{errors["LDA"]}}$ 道。
# （这里的人是生成的，题也少；真实照片上的成绩用 `minidl faces compare` 量。）
#
# %% [markdown] key="fisher" lang="en" zh="efc596ac"
# Four of the people in the first two directions, PCA on the left and LDA on the right, where points of one person huddle together. Of eight
# questions PCA got ${{errors["PCA"]}}$ wrong and LDA ${{errors["LDA"]}}$. (These people are generated and the questions few; `minidl faces compare`
# measures on real photographs.)
#
# %% [markdown] key="first" lang="zh"
# ## 练习 E18.1：第一个主方向
#
# 写 `principal(X)`，NumPy：$X$ 的每行一个样本，返回长度为一的第一个主方向，符号取使各分量之和为正的那个。
#
# %% [markdown] key="first" lang="en" zh="9b35c10b"
# ## Exercise E18.1: the first principal direction
#
# Write `principal(X)` with NumPy: each row of $X$ is a sample; return the first principal direction with length one, with the sign that
# makes its components add up to something positive.
#
# %% tags=["exercise"]
def principal(X): ...


check("E18.1", principal)


# %% [markdown] key="second" lang="zh"
# ## 练习 E18.2：费舍尔的方向
#
# 写 `fisher_direction(X, y)`：两类（$0$ 和 $1$），返回长度为一的 $w \propto S_W^{-1}(m_1 - m_0)$。
#
# %% [markdown] key="second" lang="en" zh="07c4fa41"
# ## Exercise E18.2: Fisher's direction
#
# Write `fisher_direction(X, y)` for two classes ($0$ and $1$); return $w \propto S_W^{-1}(m_1 - m_0)$ with length one.
#
# %% tags=["exercise"]
def fisher_direction(X, y): ...


check("E18.2", fisher_direction)

# %% [markdown] key="document" lang="zh"
# ## 文章怎么说，应当怎么说
#
# | 行 | 文章 | 应当 |
# |---|---|---|
# | 003-T2 | “传统的手工提取特征方法（如PCA、LDA等）” | 它们是从数据里学来的线性投影；手工的是 LBP、HOG、Gabor。 |
# | 004-T2 | “20世纪90年代初…手工设计的特征提取和匹配方法，如PCA、LDA等” | 特征脸 1987–1991（Sirovich、Kirby；Turk、Pentland），费舍尔脸 1997（Belhumeur 等）；都是学来的。 |
#
# %% [markdown] key="document" lang="en" zh="ea43d16e"
# ## What the documents say, and what is right
#
# | row | document | right |
# |---|---|---|
# | 003-T2 | “传统的手工提取特征方法（如PCA、LDA等）” (features made by hand, such as PCA and LDA) | They are linear projections learned from data; made by hand are LBP, HOG, Gabor. |
# | 004-T2 | “20世纪90年代初…手工设计的特征提取和匹配方法，如PCA、LDA等” (early 1990s, designed by hand) | Eigenfaces 1987–1991 (Sirovich, Kirby; Turk, Pentland), Fisherfaces 1997 (Belhumeur et al.); both are learned. |
