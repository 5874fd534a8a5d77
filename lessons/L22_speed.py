# /// lesson
# title.zh = "让它更快"
# title.en = "Make it fast"
# aim.zh = "数出一次卷积要多少次乘加，看清时间花在哪里，并亲手走完让它快起来的三步：重排、寄存器、更少的乘法。"
# aim.en = "Count the multiply-adds of a convolution, see where the time goes, and take the three steps that make it fast: rearranging, registers, fewer multiplications."
# documents.001 = "§3.1"
# documents.002 = "§5"
# documents.003 = "§5"
# errata = ["001-T11", "002-T9", "003-T24"]
# ///
# %% [markdown] key="start" lang="zh"
# # 让它更快
#
# 文章 001 说池化能“减少计算量”。计算量怎么数？数出来以后，时间就由它决定吗？同一个公式，得出同样的数，有的写法比另一种快上千倍：
# 快的那一种少做了什么？
#
# 再看一次卷积（L06），$C$ 个输入通道，$O$ 个卷积核：
#
# $$y_{o,i,j} = \sum_{c,u,v} w_{o,c,u,v}\, x_{c,\,i+u,\,j+v}$$
#
# 求和里的每一项是一次乘法和一次加法，合称一次**乘加**。每个输出要 $C K^2$ 次，输出有 $O H' W'$ 个，于是一幅图要
#
# $$M = O\,H'\,W' \cdot C\,K^2$$
#
# 次。反向传播时 $\bar x$ 与 $\bar w$ 各要同样多，所以训练一步大约是 $3M$。
#
# %% [markdown] key="start" lang="en" zh="fb1b4b59"
# # Make it fast
#
# Document 001 says that pooling can “减少计算量” (reduce the amount of computation). How is it counted? And once it is counted, does it
# decide about the time? One formula, the same numbers as a result, and one way to write it is a thousand times faster than another: what
# does the fast one leave out?
#
# Here is the convolution (L06) again, with $C$ input channels and $O$ kernels:
#
# $$y_{o,i,j} = \sum_{c,u,v} w_{o,c,u,v}\, x_{c,\,i+u,\,j+v}$$
#
# Each term of the sum is a multiplication and an addition, together a **multiply-add**. Every output takes $C K^2$ of them, there are
# $O H' W'$ outputs, and so an image takes
#
# $$M = O\,H'\,W' \cdot C\,K^2$$
#
# of them. On the way back $\bar x$ and $\bar w$ take as many each, so a training step is about $3M$.
#
# %% tags=["setup"]
from time import perf_counter

import numpy as np
from numpy.lib.stride_tricks import as_strided

import minidl as dl
import minidl.nn.functional as F
from minidl.faces.generated import generated_faces
from minidl.kernels import kernels_for
from minidl.teaching import beside, check, curves, fast, gradcheck, heat, image, knob, picture, show, trace

# %%
H = knob("H", 4, choices=[2, 4, 6, 8])

C, O, K = 8, 8, 3
multiply_adds = O * H * H * C * K * K


def has_kernels():
    with dl.use_kernels("auto"):
        return kernels_for(np.zeros(1)).__name__.endswith(".cpu")


rooms = ["reference", "numpy"]
if not fast() and has_kernels():
    rooms.append("auto")


def operands(side):
    rng = np.random.default_rng(side)
    shapes = (1, C, side, side), (O, C, K, K), (1, O, side, side)
    return [rng.standard_normal(shape, dtype=np.float32) for shape in shapes]


def both_ways(room, images, kernels, gradient):
    x, w = dl.tensor(images, requires_grad=True), dl.tensor(kernels, requires_grad=True)
    with dl.use_kernels(room):
        y = F.conv2d(x, w, padding=1)
        y.backward(dl.tensor(gradient))
    return [found.detach().numpy() for found in (y, x.grad, w.grad)]


results = {room: both_ways(room, *operands(H)) for room in rooms}
apart = [
    [float(np.abs(a - b).max() / np.abs(b).max()) for a, b in zip(results[room], results["reference"])]
    for room in rooms[1:]
]
show(np.array(apart), r"\Delta")


# %% [markdown] key="rooms" lang="zh"
# 这里 $C=O={{C}}$，$K={{K}}$，四周填充一圈，所以输出也是 ${{H}}\times{{H}}$（乘零的也算）：
#
# $$M = {{O}}\cdot{{H}}^2\cdot{{C}}\cdot{{K}}^2 = {{multiply_adds}}$$
#
# minidl 里同一个公式有几间屋子，用 `use_kernels` 挑选：`"reference"` 是照公式写的 Python 循环；`"numpy"` 把它化成一次矩阵乘法；
# `"auto"` 是编译成机器码的内核（没有装 Numba 的机器上，或者快速运行时，它不在场，下面的图就少一条线，其余不变）。
# $\Delta$ 的每一行是后面的一间与 `"reference"` 的差，三列是 $y$、$\bar x$、$\bar w$，都除以其中最大的数。最大的差是
# ${{np.max(apart):.0e}}$：单精度有七位数字，加法的次序不同，末位就可能不同。**同样的公式，同样的数，同样的梯度。**
#
# 时间却不同。下面是在*运行这一课的机器*上量的，只算前向，取最快的一次；网页上是制作网页的机器，想看自己的，就运行这一课。
#
# %% [markdown] key="rooms" lang="en" zh="b72435d7"
# Here $C=O={{C}}$ and $K={{K}}$, with one ring of padding, so the output is ${{H}}\times{{H}}$ as well (products with a zero count):
#
# $$M = {{O}}\cdot{{H}}^2\cdot{{C}}\cdot{{K}}^2 = {{multiply_adds}}$$
#
# In minidl one formula lives in several rooms, and `use_kernels` picks one: `"reference"` is the formula as Python loops; `"numpy"` makes
# it one matrix product; `"auto"` has kernels that are compiled to machine code (where Numba is not installed, or in a quick run, it is
# absent, and the picture below has a line less; the rest stays). Each row of $\Delta$ is the difference of a later room from
# `"reference"`, its three columns are $y$, $\bar x$ and $\bar w$, divided by the largest number of each. The largest difference is
# ${{np.max(apart):.0e}}$: single precision has seven digits, and when additions come in another order the last may be another.
# **The same formula, the same numbers, the same gradients.**
#
# Not the same time. Below it was measured on *the machine that runs this lesson*, forward only, the fastest of several runs; on a page
# that is the machine which made the page, and to see your own, run the lesson.
#
# %%
def seconds(task, patience=0.02):
    task()
    spent, quickest = 0.0, np.inf
    while spent < patience:
        started = perf_counter()
        task()
        taken = perf_counter() - started
        quickest, spent = min(quickest, taken), spent + taken
    return quickest


def measured(room, side):
    if side > longest[room]:
        return np.nan
    x, w, _ = (dl.tensor(operand) for operand in operands(side))
    with dl.use_kernels(room):
        return seconds(lambda: F.conv2d(x, w, padding=1))


sides = [2, 4, 8, 16, 32] if fast() else [2, 4, 8, 16, 32, 64, 128]
longest = {"reference": 4 if fast() else 8, "numpy": sides[-1], "auto": sides[-1]}
times = {room: [measured(room, side) for side in sides] for room in rooms}

# %% tags=["figure"]
names = {"reference": r"\text{reference}", "numpy": r"\text{numpy}", "auto": r"\text{auto}"}
picture(curves(np.array(sides), {names[room]: times[room] for room in rooms}, x_name="H", y_name="s", log="xy", mark=H))

# %%
per_loop = times["reference"][1] / (O * 4 * 4 * C * K * K)
per_best = times[rooms[-1]][-1] / (O * sides[-1] ** 2 * C * K * K)
ratio = per_loop / per_best

# %% [markdown] key="where" lang="zh"
# 两根轴都是对数的：横轴是边长 $H$，竖轴是秒，竖线是上面选的 $H$。循环那条线早早就停了，因为等不起。图小的时候，后面的线几乎是平的：
# 那是调用本身的花费，与 $M$ 无关。图大了，时间才与 $M$ 成正比，$H$ 加倍，时间乘四。
#
# 那时一次乘加要多久？循环：{{per_loop * 1e9:.0f}} 纳秒；最快的那间：{{per_best * 1e9:.2g}} 纳秒，快 ${{ratio:.0e}}$ 倍。乘法本身一样多。
# 循环的时间花在*乘法以外*：解释器为每个数查名字、查类型、造一个对象。所以第一步，是把循环交给不必为每个数费这番功夫的代码。
#
# ## 重排：卷积是一次矩阵乘法
#
# 矩阵乘法早就有人写得飞快。于是把每个窗口拉直，写成一列；卷积核也拉直，写成一行。这叫 **im2col**。用 L06 的数看一遍：
#
# %% [markdown] key="where" lang="en" zh="e4993ad8"
# Both axes are logarithmic: the side $H$ across, seconds upwards, and the vertical line is the $H$ chosen above. The line of the loops
# stops early, because nobody wants to wait. For small images the other lines are nearly flat: that is what a call costs, whatever $M$ is.
# Only for large ones does time follow $M$: twice the $H$, four times the time.
#
# What does one multiply-add take then? In loops {{per_loop * 1e9:.0f}} nanoseconds, in the fastest room {{per_best * 1e9:.2g}}
# nanoseconds, ${{ratio:.0e}}$ times less. The multiplications are the same. The time of the loops goes *elsewhere*: for every number the
# interpreter looks up names, checks types, makes an object. So the first step is to hand the loops to code that does not go to this
# trouble for each number.
#
# ## Rearranging: a convolution is a matrix product
#
# Fast matrix products were written long ago. So straighten every window and write it as a column; straighten the kernel and write it as
# a row. This is called **im2col**. Here it is with the numbers of L06:
#
# %%
x = dl.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]], requires_grad=True)
w = dl.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
g = dl.tensor([[[1.0, 2.0, 3.0, 4.0]]])

with trace("y") as recorded:
    columns = F.unfold(x[None, None], 2)
    unfolded = w.reshape(1, 4) @ columns
    unfolded.backward(g)

seen = F.fold(dl.ones(1, 4, 4), (3, 3), 2)
picture(
    beside(heat(x, "x", digits=0), heat(columns[0], r"\text{im2col}(x)", digits=0), heat(seen[0, 0], "n", digits=0))
)

# %% [markdown] key="strides" lang="zh"
# 第二个矩阵每列是一个窗口，四列是四个位置；卷积核 $(1,2,3,4)$ 乘上去，得 {{unfolded.reshape(4):.0f}}，正是 L06 的结果。代价看得见：
# 九个数抄成了十六个，因为同一个像素在几个窗口里。第三个，$n$，数出每个像素进了几个窗口。回程时这些份的梯度要加到一起（col2im），
# 播放器里 $\bar x$ 就是这样来的。$3\times3$ 的核要抄九遍，图大了，抄写就是主要的花费。
#
# ### 不抄也行
#
# 数组在内存里是一条线。**步距**说：沿一根轴走一格，在这条线上要走多少字节。窗口里往下一格，与窗口自己往下一格，走的是同样远的路，
# 所以不必抄：给同一块内存另一组步距，它就*是*所有的窗口。
#
# %% [markdown] key="strides" lang="en" zh="7d261a08"
# Each column of the second matrix is a window, and its four columns are the four places; multiplied by the kernel $(1,2,3,4)$ it
# gives {{unfolded.reshape(4):.0f}}, the result of L06. What it costs is plain to see: nine numbers were copied to sixteen, because one
# pixel is in several windows. The third, $n$, counts the windows of each pixel. On the way back all these shares of the gradient have
# to be added up (col2im), and this is how $\bar x$ comes about in the player. A kernel of $3\times3$ means nine copies, and with a large
# image copying is most of the work.
#
# ### Without copying
#
# In memory an array is one long line. Its **strides** tell how many bytes further along that line one step along an axis is. One step down
# within a window is as far as one step down of the window itself, so nothing needs to be copied: give the same memory other strides, and
# it *is* all the windows.
#
# %%
pixels = np.arange(1.0, 10.0).reshape(3, 3)
down, right = pixels.strides
windows = as_strided(pixels, shape=(2, 2, 2, 2), strides=(down, right, down, right))
show(windows.reshape(4, 4), r"\text{im2col}(x)", digits=0)

# %% [markdown] key="registers" lang="zh"
# 前两根轴走在窗口里，后两根轴移动窗口；一个数占 {{pixels.itemsize}} 字节，所以步距是 {{windows.strides}}。`windows` 有
# {{windows.size}} 个数，内存里仍然只有 {{pixels.size}} 个。当心：`as_strided` 不检查边界，步距写错了，读到的是别人的内存；
# 所以练习 E22.1 只要步距本身。上面的 `reshape` 还是抄了一份，因为现成的矩阵乘法要整齐的矩阵。我们自己的内核连这一份也不抄，它直接按
# 步距去取（`minidl/kernels/cpu/planes.py`）；从七重循环到那里的每一步有多快，`benchmarks/ONE_CONVOLUTION.md` 逐步量过，
# 用 `python -m benchmarks.one_convolution` 可以在自己的机器上重做。
#
# ## 一次算一排数
#
# 现在看一次乘加本身。处理器有**向量寄存器**，一个能并排放下许多个数；一条指令就对其中每一个做同样的运算。下面的旋钮选处理器：$R=32$
# 个寄存器、每个 $16$ 个数（AVX-512），或 $R=16$ 个、每个 $8$ 个数（AVX2）。
#
# 怎样写这样的程序，又让人读得懂？minidl 的做法在 `minidl/kernels/cpu/vectors.py`：你写的是一个*数*的公式，
#
# %% [markdown] key="registers" lang="en" zh="f8729847"
# The first two axes walk within a window, the last two move the window; a number has {{pixels.itemsize}} bytes, so the strides are
# {{windows.strides}}. `windows` has {{windows.size}} numbers, and memory still holds {{pixels.size}}. Beware: `as_strided` checks no
# bounds, and with wrong strides it reads memory of somebody else; so exercise E22.1 asks for the strides alone. The `reshape` above did
# copy, because a matrix product off the shelf wants a tidy matrix. Our own kernels do without that copy, too, and fetch by strides
# (`minidl/kernels/cpu/planes.py`); how fast each step is on the way there from seven loops stands in `benchmarks/ONE_CONVOLUTION.md`,
# and `python -m benchmarks.one_convolution` measures it again on your machine.
#
# ## A row of numbers at once
#
# Now look at the multiply-add itself. A processor has **vector registers** that hold many numbers side by side; one instruction does the
# same to each of them. The knob below chooses a processor: $R=32$ registers of $16$ numbers (AVX-512), or $R=16$ of $8$ numbers (AVX2).
#
# How does one write such programs so that they can be read? The way of minidl is in `minidl/kernels/cpu/vectors.py`: what you write is a
# formula of *numbers*,
#
# %%
R = knob("R", 32, choices=[16, 32])
LANES = R // 2


def descend(w, g, s):
    return multiply_add(s, select(g > 1.0, 1.0, g), w)


# %% [markdown] key="language" lang="zh"
# （一步梯度下降，$s=-\alpha$，大于 $1$ 的梯度按 $1$ 算），并且只用几个词：`+`、`>`、`multiply_add`、`select` 之类。公式里没有循环，
# 也不说 $w$ 是什么。给它 NumPy 数组，它就算数组。给它 `Vector`，它*不算*：每个运算符写下一条指令。
#
# %% [markdown] key="language" lang="en" zh="d9302cf9"
# (a step of gradient descent, with $s=-\alpha$, where gradients above $1$ count as $1$), and only with a few words: `+`, `>`,
# `multiply_add`, `select` and the like. There is no loop in the formula, and it does not say what $w$ is. Give it NumPy arrays, and it
# computes arrays. Give it a `Vector`, and it does *not* compute: every operator writes down an instruction.
#
# %%
class Program:
    def __init__(self):
        self.before, self.round, self.constants = [], [], {}

    def write(self, lines, instruction):
        register = f"v{len(self.before) + len(self.round)}"
        lines.append(f"{register} = {instruction}")
        return Vector(self, register)

    def splat(self, number):
        if number not in self.constants:
            self.constants[number] = self.write(self.before, f"splat {number}")
        return self.constants[number]


class Vector:
    def __init__(self, program, register):
        self.program, self.register = program, register

    def emit(self, word, *others):
        operands = [x if isinstance(x, Vector) else self.program.splat(x) for x in (self, *others)]
        return self.program.write(self.program.round, f"{word} {', '.join(x.register for x in operands)}")

    def __gt__(self, other):
        return self.emit("greater", other)


def multiply_add(a, b, c):
    return a.emit("fma", b, c) if isinstance(a, Vector) else a * b + c


def select(condition, yes, no):
    return condition.emit("select", yes, no) if isinstance(condition, Vector) else np.where(condition, yes, no)


program = Program()
w_register, g_register = (program.write(program.round, f"load {name}") for name in ("w", "g"))
result = descend(w_register, g_register, program.splat("s"))
program.round.append(f"store {result.register}")
show("\n".join(program.before))
show("\n".join(program.round))

# %% [markdown] key="words" lang="zh"
# 这就是整个编译器的想法；真的那个只是写下 LLVM 的指令而不是文字，再套上循环。上面一块在循环之前做一次，下面一块每轮做一次，
# 一轮管 $R/2={{LANES}}$ 个数：
#
# | 词 | 意思 |
# |---|---|
# | `load`、`store` | 从内存读、往内存写相邻的 {{LANES}} 个数 |
# | `splat` | 把一个数铺满寄存器的每一格 |
# | `fma` | 每一格 $a\cdot b+c$，只舍入一次：一条指令，一次乘加 |
# | `greater`、`select` | 比较每一格；成立的格取前一个，不成立的取后一个。没有“如果”：两边都算好了，再挑 |
#
# $n$ 个数不一定是 {{LANES}} 的倍数。最后一轮带一个**掩码**：只有亮着的格才读和写，数组外面的内存不碰。取 $n=21$：
#
# %% [markdown] key="words" lang="en" zh="190c6d74"
# That is the whole idea of the compiler; the real one writes down instructions of LLVM instead of text, and puts the loop round them. The
# upper block is done once before the loop, the lower one in every round, and a round takes $R/2={{LANES}}$ numbers:
#
# | word | meaning |
# |---|---|
# | `load`, `store` | read or write {{LANES}} neighbouring numbers of memory |
# | `splat` | spread one number over all cells of a register |
# | `fma` | $a\cdot b+c$ in every cell, rounded once: one instruction, one multiply-add |
# | `greater`, `select` | compare in every cell; where it holds take the first, elsewhere the second. There is no “if”: both are computed, then picked |
#
# $n$ need not be a multiple of {{LANES}}. The last round has a **mask**: only cells that are lit are read and written, and memory outside
# of the array is left alone. With $n=21$:
#
# %%
n = 21
rounds = -(-n // LANES)
lit = np.where(np.arange(rounds * LANES) < n, "■", "□").reshape(rounds, LANES)
show("\n".join(" ".join(cells) for cells in lit))


def in_rounds(formula, w, g, s):
    result = np.full(n, np.nan)
    for start in range(0, n, LANES):
        stop = min(start + LANES, n)
        result[start:stop] = formula(w[start:stop], g[start:stop], s)
    return result


parameters, gradients = np.random.default_rng(1).standard_normal((2, n))
differing = int((in_rounds(descend, parameters, gradients, -0.1) != descend(parameters, gradients, -0.1)).sum())

# %% [markdown] key="tile" lang="zh"
# {{rounds}} 轮，每轮 {{len(program.round)}} 条指令，共 {{rounds * len(program.round)}} 条；一个数一个数地做要 {{n * len(program.round)}} 条。
# 分轮做与一次做完，结果不同的数有 {{differing}} 个。minidl 的优化器、归一化、循环单元都是这样写的；`NUMBA_DISABLE_JIT=1` 时，同一个公式就在
# NumPy 数组上运行，可以用调试器一步一步看。
#
# ## 和要留在寄存器里
#
# 卷积的内层是 $c \leftarrow c + a\,b$。若每次都把和读出来、加一次、再写回去，读写就比乘加还多，乘法单元多半在等。办法是：拿一小块输出，
# $r$ 行、$v$ 个向量宽，把这 $r\,v$ 个寄存器的和一直*留着*，走完所有的 $k$，最后写一次。这叫**寄存器块**：
#
# %% [markdown] key="tile" lang="en" zh="683086d3"
# {{rounds}} rounds of {{len(program.round)}} instructions make {{rounds * len(program.round)}}; number by number there would be
# {{n * len(program.round)}}. Of the numbers computed in rounds {{differing}} differ from those computed at once. Optimizers,
# normalizations and recurrent cells of minidl are written like this; under `NUMBA_DISABLE_JIT=1` the same formula runs on NumPy arrays, and a debugger can step through it.
#
# ## Sums stay in registers
#
# The innermost part of a convolution is $c \leftarrow c + a\,b$. If every time the sum is read, added to and written back, there is more
# reading and writing than multiplying, and the multipliers mostly wait. The remedy: take a small block of the output, $r$ rows and $v$
# vectors wide, and *keep* its $r\,v$ registers of sums through all of $k$; write them once at the end. This is a **register tile**:
#
# %%
rows, vectors = {16: (4, 3), 32: (8, 3)}[R]


def tile(A, B):
    sums = np.zeros((rows, vectors, LANES))
    loads = fmas = 0
    for k in range(A.shape[1]):
        values = B[k].reshape(vectors, LANES)
        loads += vectors
        for r in range(rows):
            number = A[r, k]
            loads += 1
            for v in range(vectors):
                sums[r, v] += number * values[v]
                fmas += 1
    return sums.reshape(rows, -1), loads, fmas


rng = np.random.default_rng(2)
A, B = rng.standard_normal((rows, C * K * K)), rng.standard_normal((C * K * K, vectors * LANES))
block, loads, fmas = tile(A, B)
error = np.abs(block - A @ B).max()

# %% [markdown] key="shape" lang="zh"
# $A$ 的行是卷积核，$B$ 的列是窗口（im2col 的列）。对每个 $k$，读 $v$ 个向量和 $r$ 个数（每个用 `splat` 铺开），做 $r\,v$ 次 `fma`。这里
# $r={{rows}}$，$v={{vectors}}$：读 {{loads}} 次，乘加 {{fmas}} 次，每次乘加只读
#
# $$\frac{r+v}{r\,v} = {{(rows + vectors) / (rows * vectors):.3f}}$$
#
# 次，与 `A @ B` 最多相差 ${{error:.0e}}$。块越大越省，但是寄存器只有 $R={{R}}$ 个。要同时放下 $r\,v$ 个和、$v$ 个读来的向量、一个铺开的数。
# 下面的表里，行是 $r$，列是 $v$，格子里是每读一次能做几次乘加；放不下的写 $0$：
#
# %% [markdown] key="shape" lang="en" zh="5d7321bf"
# The rows of $A$ are the kernels, the columns of $B$ are the windows (those of im2col). For every $k$ it loads $v$ vectors and $r$ numbers
# (each spread by `splat`), and does $r\,v$ times `fma`. Here $r={{rows}}$ and $v={{vectors}}$: {{loads}} loads, {{fmas}} multiply-adds, and
# each multiply-add takes only
#
# $$\frac{r+v}{r\,v} = {{(rows + vectors) / (rows * vectors):.3f}}$$
#
# loads; from `A @ B` it differs by at most ${{error:.0e}}$. The larger the tile, the better, but there are only $R={{R}}$ registers. They have to
# hold $r\,v$ sums, $v$ loaded vectors and one number that was spread. In the table below rows are $r$, columns are $v$, and the cells tell
# how many multiply-adds a load is good for; $0$ where it does not fit:
#
# %% tags=["figure"]
r, v = np.ogrid[1:11, 1:7]
intensity = np.where(r * v + v + 1 <= R, r * v / (r + v), 0.0)
picture(heat(intensity, rows=[f"{i}" for i in range(1, 11)], columns=[f"{i}" for i in range(1, 7)]))
best = tuple(int(i) + 1 for i in np.unravel_index(intensity.argmax(), intensity.shape))

# %% [markdown] key="winograd" lang="zh"
# 这样数，最好的形状是 $(r,v)=$ {{best}}；我们的内核用 {{(rows, vectors)}}（`minidl/kernels/cpu/tiles.py`、`products.py`）。处理器一拍里能读的
# 次数与能乘加的次数大致相当，所以只要每读一次能乘加一次以上，读数就不再拖后腿。这时别的事更要紧：$r$ 要整除常见的通道数；和要够多，因为一次 `fma` 要过几拍才有结果，而下一次加到
# 同一个和上的要等它；这里有 ${{rows * vectors}}$ 个和轮流用。剩下的由测量决定。
#
# ## 更少的乘法
#
# 到此为止，乘法一次没少，少的是别的。可 $M$ 也不是铁定的。取一维、三个数的卷积核，算*两个*相邻的输出：
#
# $$\begin{aligned} y_0 &= d_0 g_0 + d_1 g_1 + d_2 g_2 \\ y_1 &= d_1 g_0 + d_2 g_1 + d_3 g_2 \end{aligned}$$
#
# 六次乘法。Winograd 用四次，这个做法叫 $F(2,3)$：
#
# $$\begin{aligned} m_0 &= (d_0 - d_2)\,g_0 \\ m_1 &= (d_1 + d_2)\,\tfrac{1}{2}(g_0 + g_1 + g_2) \\ m_2 &= (d_2 - d_1)\,\tfrac{1}{2}(g_0 - g_1 + g_2) \\ m_3 &= (d_1 - d_3)\,g_2 \\ y_0 &= m_0 + m_1 + m_2 \\ y_1 &= m_1 - m_2 - m_3 \end{aligned}$$
#
# 乘开就能验证。写成矩阵，三处各一个，里面只有 $0$、$\pm1$ 和 $\tfrac12$，所以只是加减：
#
# $$y = A^\top\bigl[(G\,g) \odot (B^\top d)\bigr]$$
#
# %% [markdown] key="winograd" lang="en" zh="eb371948"
# Counted like this the best shape is $(r,v)=$ {{best}}; our kernels take {{(rows, vectors)}} (`minidl/kernels/cpu/tiles.py`, `products.py`). In one
# beat a processor can load about as often as it can multiply and add, so once a load is good for more than one multiply-add, loading is
# no longer what holds things up. Then other things matter more: $r$ should divide
# the usual numbers of channels; and there have to be sums enough, because a `fma` takes a few beats to its result, and the next one that adds
# to the same sum waits for it; here ${{rows * vectors}}$ sums take turns. Measuring decides the rest.
#
# ## Fewer multiplications
#
# So far not one multiplication was saved, only other things. But $M$ is not cast in iron either. Take one dimension, a kernel of three
# numbers, and *two* outputs side by side:
#
# $$\begin{aligned} y_0 &= d_0 g_0 + d_1 g_1 + d_2 g_2 \\ y_1 &= d_1 g_0 + d_2 g_1 + d_3 g_2 \end{aligned}$$
#
# Six multiplications. Winograd has four, in what is called $F(2,3)$:
#
# $$\begin{aligned} m_0 &= (d_0 - d_2)\,g_0 \\ m_1 &= (d_1 + d_2)\,\tfrac{1}{2}(g_0 + g_1 + g_2) \\ m_2 &= (d_2 - d_1)\,\tfrac{1}{2}(g_0 - g_1 + g_2) \\ m_3 &= (d_1 - d_3)\,g_2 \\ y_0 &= m_0 + m_1 + m_2 \\ y_1 &= m_1 - m_2 - m_3 \end{aligned}$$
#
# Multiply out and it is verified. As matrices there is one at each of three places, with nothing in them but $0$, $\pm1$ and $\tfrac12$,
# which is adding and subtracting only:
#
# $$y = A^\top\bigl[(G\,g) \odot (B^\top d)\bigr]$$
#
# %%
B_T = dl.tensor(np.array([[1.0, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]]))
G = dl.tensor(np.array([[1.0, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]]))
A_T = dl.tensor(np.array([[1.0, 1, 1, 0], [0, 1, -1, -1]]))

d = dl.tensor(np.array([2.0, 1, 4, 3]), requires_grad=True)
g = dl.tensor(np.array([1.0, 2, 3]), requires_grad=True)

with trace("y") as recorded:
    u = G @ g
    t = B_T @ d
    m = u * t
    y = A_T @ m
    y.backward(dl.ones(2, dtype=dl.float64))

plain = [float((d[i : i + 3] * g).sum()) for i in range(2)]
show(y, "y")
show(np.array(plain), r"d \star g")
show(g.grad, r"\bar g")


# %% [markdown] key="square" lang="zh"
# 四次乘法：$m=$ {{m:.0f}}；$y=$ {{y:.0f}}，与照定义算的一样。$\bar g$ 也一样：每个权重收到的是它遇到的像素之和，
# $d_0+d_1$、$d_1+d_2$、$d_2+d_3$。反向传播不用另写：三次矩阵乘法和一次逐个相乘，梯度早就有了（L04）。
#
# 二维时行与列各做一遍，$2\times2$ 个输出，看 $4\times4$ 个像素：
#
# $$Y = A^\top\bigl[(G\,g\,G^\top) \odot (B^\top d\,B)\bigr]A$$
#
# 中间是 $4\cdot4=16$ 次乘法，照定义要 $4\cdot9=36$ 次。梯度检验：
#
# %% [markdown] key="square" lang="en" zh="c80c41bf"
# Four multiplications: $m=$ {{m:.0f}}, and $y=$ {{y:.0f}}, as by the definition. So is $\bar g$: each weight receives the sum of the pixels that
# it met, $d_0+d_1$, $d_1+d_2$, $d_2+d_3$. Backpropagation need not be written: three matrix products and one product number by number
# have had their gradients for long (L04).
#
# In two dimensions rows and columns each go through it, and $2\times2$ outputs see $4\times4$ pixels:
#
# $$Y = A^\top\bigl[(G\,g\,G^\top) \odot (B^\top d\,B)\bigr]A$$
#
# In the middle there are $4\cdot4=16$ multiplications, by the definition $4\cdot9=36$. The gradient check:
#
# %%
def winograd(d, g):
    u = G @ g @ G.T
    t = B_T @ d @ B_T.T
    m = u * t
    return A_T @ m @ A_T.T


patch = dl.tensor(np.random.default_rng(3).standard_normal((4, 4)), requires_grad=True)
taps = dl.tensor(np.random.default_rng(4).standard_normal((3, 3)), requires_grad=True)

with trace("Y") as recorded:
    for name, matrix in (("G", G), ("B_T", B_T), ("A_T", A_T)):
        recorded.tape.name(name, matrix)
    Y = winograd(patch, taps)
    Y.backward(dl.ones(2, 2, dtype=dl.float64))
    gradcheck(winograd, patch, taps, name="Y", names="d g")

# %% [markdown] key="face" lang="zh"
# 一整幅图就是许多这样的小块，彼此错开两格。下面是画出来的脸（不是真人），用 Sobel 核（L06）：先是原图，再是由十六次乘法的小块拼成的结果。
#
# %% [markdown] key="face" lang="en" zh="b63a3432"
# A whole image is many such tiles, two pixels apart. Below is a drawn face (of nobody) and the Sobel kernel (L06): first the image, then
# what tiles of sixteen multiplications make of it.
#
# %%
face = dl.tensor(generated_faces(people=1, per_person=1, size=(58, 48), seed=3).images[0] / 255.0)
sobel = dl.tensor(np.array([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]]))
down, right = (face.shape[0] - 2) // 2, (face.shape[1] - 2) // 2

patches = F.unfold(face[None, None], 4, stride=2)[0].T.reshape(down, right, 4, 4)
edges = winograd(patches, sobel).permute(0, 2, 1, 3).reshape(2 * down, 2 * right)
off = (edges - F.conv2d(face[None, None], sobel[None, None])[0, 0]).abs().max()
picture(beside(image(face, "x"), image(edges, r"x \star w")))

# %% [markdown] key="price" lang="zh"
# 与 `F.conv2d` 最多相差 ${{off:.0e}}$：在实数里完全相等，舍入不同。
#
# 天下没有白来的便宜：乘法少了，加法多了。变换一个图块要 $32$ 次加减，每个输入通道一次，所有的卷积核共用；变换结果要 $24$ 次，
# 每个卷积核一次，所有的输入通道共用。$C$ 进 $C$ 出时，运算次数（一次乘加、一次加减都算一次）与照定义之比是
#
# $$q = \frac{16\,C^2 + 32\,C + 24\,C}{36\,C^2}$$
#
# %% [markdown] key="price" lang="en" zh="226f6917"
# From `F.conv2d` it differs by at most ${{off:.0e}}$: equal in real numbers, rounded differently.
#
# Nothing is free: there are fewer multiplications and more additions. Transforming a patch takes $32$ of them, once for every input
# channel, shared by all kernels; transforming the result takes $24$, once for every kernel, shared by all input channels. With $C$
# channels in and $C$ out the number of operations (a multiply-add counts as one, an addition too), divided by that of the definition, is
#
# $$q = \frac{16\,C^2 + 32\,C + 24\,C}{36\,C^2}$$
#
# %%
channels = np.arange(1.0, 65.0)


def saved(channels):
    return (16 * channels**2 + 32 * channels + 24 * channels) / (36 * channels**2)


# %% tags=["figure"]
lines = {"q": saved(channels), "16/36": np.full(64, 16 / 36), "1": np.ones(64)}
picture(curves(channels, lines, x_name="C", limits=(0.0, 2.1)))


# %% [markdown] key="exercises" lang="zh"
# 只有一个通道时，$q={{saved(1):.0f}}$，反而多；通道越多，越接近 $16/36$，运算最多可以少到原来的 ${{36 / 16:.2f}}$ 分之一。minidl 在处理器上对步幅为一、通道够多的
# $3\times3$ 卷积用的正是它（`minidl/kernels/cpu/winograd.py`）：变换是上面那种公式，一次 {{LANES}} 个图块；十六个位置各是一次矩阵乘法，
# 就用上面的寄存器块。图块还可以更大，乘法更少，但矩阵里的数也更大，舍入误差跟着放大，所以没有用。
#
# ## 练习
#
# E22.1：写 `window_strides(x, S)`：$x$ 是 NumPy 数组 $(C, H, W)$，窗口每次走 $S$ 格；返回形状为 $(C, K, K, H', W')$ 的视图的五个步距。
#
# E22.2：写 `best_tile(registers)`：有这么多寄存器时，每次乘加读得最少的形状 `(rows, vectors)`。
#
# E22.3：写 `transformed(g)`：$g$ 是 $3\times3$ 的 NumPy 数组，返回 $4\times4$ 的 $G\,g\,G^\top$。
#
# %% [markdown] key="exercises" lang="en" zh="74e7caad"
# With a single channel $q={{saved(1):.0f}}$, which is more; the more channels, the nearer to $16/36$, up to ${{36 / 16:.2f}}$ times fewer operations.
# On processors minidl uses just this for $3\times3$ convolutions of stride one with channels enough (`minidl/kernels/cpu/winograd.py`): the transforms
# are formulas of the kind above, {{LANES}} patches at a time; each of the sixteen places is a matrix product, in the register tiles from
# above. Patches could be larger and save more multiplications, but the numbers in the matrices grow and rounding errors with them, so they are
# not used.
#
# ## Exercises
#
# E22.1: write `window_strides(x, S)`: $x$ is a NumPy array $(C, H, W)$, and windows are $S$ pixels apart; return the five strides of the
# view of shape $(C, K, K, H', W')$.
#
# E22.2: write `best_tile(registers)`: with so many registers, the shape `(rows, vectors)` that loads least for each multiply-add.
#
# E22.3: write `transformed(g)`: $g$ is a NumPy array of $3\times3$; return $G\,g\,G^\top$, which is $4\times4$.
#
# %% tags=["exercise"]
def window_strides(x, S): ...


def best_tile(registers): ...


def transformed(g): ...


check("E22.1", window_strides)
check("E22.2", best_tile)
check("E22.3", transformed)


# %%
def cost(side, channels_in, channels_out):
    return channels_out * side**2 * channels_in * 9


before, after = cost(64, 8, 16), cost(32, 8, 16)

# %% [markdown] key="document" lang="zh"
# ## 文章怎么说，应当怎么说
#
# | 行 | 文章 | 应当 |
# |---|---|---|
# | 001-T11 | “池化层可以减少计算量，同时保留特征图的主要信息” | 对，而且可以数：$8$ 个通道变 $16$ 个的 $3\times3$ 卷积，在 $64\times64$ 上要 ${{before}}$ 次乘加，二乘二池化之后只要 ${{after}}$ 次，四分之一。减少的是*后面*各层的；池化自己只有比较。 |
# | 002-T9 | “更低的计算成本” | 对未来的看法。这一课的三步不改变任何结果，成本已经低了；可见“计算成本”不只由公式决定，也由写法决定。 |
# | 003-T24 | “更高的模型效率” | 对未来的看法，也要先说清按什么算：乘加的次数、时间，还是每次乘加的能耗。三者不成正比，上面第一幅图就是证据。 |
#
# 文献：Winograd，《Arithmetic complexity of computations》（1980）；Lavin、Gray，CVPR 2016，arXiv:1509.09308；
# Chellapilla、Puri、Simard（2006），im2col；Goto、van de Geijn，ACM TOMS（2008），寄存器块。
#
# %% [markdown] key="document" lang="en" zh="660c840c"
# ## What the documents say, and what is right
#
# | row | document | right |
# |---|---|---|
# | 001-T11 | “池化层可以减少计算量，同时保留特征图的主要信息” (pooling reduces computation and keeps the main information) | Right, and it can be counted: a $3\times3$ convolution from $8$ channels to $16$ takes ${{before}}$ multiply-adds on $64\times64$, and after pooling by two only ${{after}}$, a quarter. What is saved is in the layers *behind* it; pooling itself only compares. |
# | 002-T9 | “更低的计算成本” (lower computing cost) | A view of the future. The three steps of this lesson change no result, and the cost is lower already: it is not decided by the formula alone, but also by how it is written. |
# | 003-T24 | “更高的模型效率” (more efficient models) | A view of the future, too, and first one has to say what is counted: multiply-adds, time, or energy for each of them. They are not proportional, for which the first picture above is evidence. |
#
# Sources: Winograd, *Arithmetic complexity of computations* (1980); Lavin and Gray, CVPR 2016, arXiv:1509.09308; Chellapilla, Puri and
# Simard (2006), im2col; Goto and van de Geijn, ACM TOMS (2008), register tiles.
