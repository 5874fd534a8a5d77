// Windows laid out as columns, and back.
//
//     im2col:  cols[n, (c·KH + i)·KW + j, oh·OW + ow] = x[n, c, h, w],   0 outside the plane
//     col2im:  x[n, c, h, w] = Σ of all cols[n, (c·KH + i)·KW + j, oh·OW + ow] that were read from (h, w)
//
// with h = oh·SH − top + i·DH and w = ow·SW − left + j·DW. A thread of im2col writes one number. A thread of col2im
// owns one pixel and adds up what belongs to it, always in the same order: no two threads add to the same place.
#include "numbers.cuh"
#include "windows.cuh"

// Grid: y over the rows (n, c, i, j) of the columns, x over the windows.
template <typename T>
__global__ void im2col(const T* __restrict__ x, T* __restrict__ cols, Windows v, long long rows) {
    const int p = blockIdx.x * blockDim.x + threadIdx.x;
    if (p >= v.OH * v.OW) return;
    const int oh = p / v.OW, ow = p % v.OW;
    for (long long row = blockIdx.y; row < rows; row += gridDim.y) {
        const int tap = row % (v.KH * v.KW), i = tap / v.KW, j = tap % v.KW;
        const long long plane = row / (v.KH * v.KW);
        const int h = oh * v.SH - v.top + i * v.DH, w = ow * v.SW - v.left + j * v.DW;
        cols[row * v.OH * v.OW + p] = inside(h, w, v) ? x[(plane * v.H + h) * v.W + w] : T(0.0f);
    }
}

// Grid: y over the planes (n, c), x over the pixels.
template <typename T>
__global__ void col2im(const T* __restrict__ cols, T* __restrict__ x, Windows v, long long planes) {
    const int p = blockIdx.x * blockDim.x + threadIdx.x;
    if (p >= v.H * v.W) return;
    const int h = p / v.W, w = p % v.W;
    for (long long plane = blockIdx.y; plane < planes; plane += gridDim.y) {
        wide<T> sum = 0;
        for (int i = 0; i < v.KH; i++) {
            const int a = h + v.top - i * v.DH, oh = a / v.SH;
            if (a < 0 || a % v.SH || oh >= v.OH) continue;
            for (int j = 0; j < v.KW; j++) {
                const int b = w + v.left - j * v.DW, ow = b / v.SW;
                if (b < 0 || b % v.SW || ow >= v.OW) continue;
                sum += wide<T>(cols[(((plane * v.KH + i) * v.KW + j) * v.OH + oh) * v.OW + ow]);
            }
        }
        x[plane * v.H * v.W + p] = T(sum);
    }
}
