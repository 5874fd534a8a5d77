// Max and average over windows, and the ways back. Windows as in windows.cuh, on planes (n, c).
//
//     max_pool:   y[oh, ow] = max over the window of x[h, w], where[oh, ow] = h·W + w of the first that is as large
//     avg_pool:   y[oh, ow] = Σ over the window of x[h, w] / divisor[oh, ow]
//
// Forwards a thread owns a window. Backwards it owns a pixel and looks for what belongs to it, in a fixed order: nothing
// is added by two threads at once.
#include "numbers.cuh"
#include "windows.cuh"

// Grid of all: y over planes, x over the windows (forwards) or pixels (backwards) of a plane.
template <typename T>
__global__ void max_pool(const T* __restrict__ x, T* __restrict__ y, long long* __restrict__ where, Windows v,
                         long long planes) {
    const int p = blockIdx.x * blockDim.x + threadIdx.x;
    if (p >= v.OH * v.OW) return;
    const int h0 = p / v.OW * v.SH - v.top, w0 = p % v.OW * v.SW - v.left;
    for (long long plane = blockIdx.y; plane < planes; plane += gridDim.y) {
        const T* pixels = x + plane * v.H * v.W;
        wide<T> best = 0;
        int winner = -1;
        for (int i = 0; i < v.KH; i++)
            for (int j = 0; j < v.KW; j++) {
                const int h = h0 + i * v.DH, w = w0 + j * v.DW;
                if (!inside(h, w, v)) continue;
                const wide<T> value = wide<T>(pixels[h * v.W + w]);
                if (winner < 0 || value > best || isnan(value)) best = value, winner = h * v.W + w;
            }
        y[plane * v.OH * v.OW + p] = T(best);
        where[plane * v.OH * v.OW + p] = winner;
    }
}

// gx[pixel] = Σ of all gy[window] whose where[window] is the pixel. A block owns a plane: it reads the windows in
// stretches of blockDim, and thread t adds up what goes to the pixels t, t + blockDim, …, window by window.
template <typename T>
__global__ void scatter_windows(const T* __restrict__ gy, const long long* __restrict__ where, wide<T>* __restrict__ gx,
                                int windows, int pixels, long long planes) {
    constexpr int STRETCH = 256;
    __shared__ wide<T> amount[STRETCH];
    __shared__ int to[STRETCH];
    const int t = threadIdx.x;
    for (long long plane = blockIdx.x; plane < planes; plane += gridDim.x) {
        wide<T>* mine = gx + plane * pixels;
        for (int p = t; p < pixels; p += STRETCH) mine[p] = 0;
        for (int first = 0; first < windows; first += STRETCH) {
            const int count = windows - first < STRETCH ? windows - first : STRETCH;
            __syncthreads();
            if (t < count) {
                amount[t] = wide<T>(gy[plane * windows + first + t]);
                to[t] = int(where[plane * windows + first + t]);
            }
            __syncthreads();
            for (int i = 0; i < count; i++)
                if (to[i] % STRETCH == t && to[i] < pixels) mine[to[i]] += amount[i];
        }
        __syncthreads();
    }
}

template <typename T>
__global__ void avg_pool(const T* __restrict__ x, const wide<T>* __restrict__ divisors, T* __restrict__ y, Windows v,
                         long long planes) {
    const int p = blockIdx.x * blockDim.x + threadIdx.x;
    if (p >= v.OH * v.OW) return;
    const int h0 = p / v.OW * v.SH - v.top, w0 = p % v.OW * v.SW - v.left;
    for (long long plane = blockIdx.y; plane < planes; plane += gridDim.y) {
        wide<T> sum = 0;
        for (int i = 0; i < v.KH; i++)
            for (int j = 0; j < v.KW; j++)
                if (inside(h0 + i, w0 + j, v)) sum += wide<T>(x[(plane * v.H + h0 + i) * v.W + w0 + j]);
        y[plane * v.OH * v.OW + p] = T(sum / divisors[p]);
    }
}

template <typename T>
__global__ void avg_pool_gradient(const T* __restrict__ gy, const wide<T>* __restrict__ divisors, T* __restrict__ gx,
                                  Windows v, long long planes) {
    const int p = blockIdx.x * blockDim.x + threadIdx.x;
    if (p >= v.H * v.W) return;
    const int h = p / v.W, w = p % v.W;
    for (long long plane = blockIdx.y; plane < planes; plane += gridDim.y) {
        wide<T> sum = 0;
        for (int i = 0; i < v.KH; i++) {
            const int a = h + v.top - i, oh = a / v.SH;
            if (a < 0 || a % v.SH || oh >= v.OH) continue;
            for (int j = 0; j < v.KW; j++) {
                const int b = w + v.left - j, ow = b / v.SW;
                if (b < 0 || b % v.SW || ow >= v.OW) continue;
                const int window = oh * v.OW + ow;
                sum += wide<T>(gy[plane * v.OH * v.OW + window]) / divisors[window];
            }
        }
        gx[plane * v.H * v.W + p] = T(sum);
    }
}
