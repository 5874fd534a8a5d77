// What follows a convolution that is rectified and max-pooled, where correlate.cu has not done it already, and its way back.
//
//     relu_max_pool:            y = max(0, max over the window of z), code = i·KW + j of the first maximum, 255 if y is 0
//     relu_max_pool_gradient:   gz[h, w] = Σ of gy over the windows whose code names (h, w)
//
// Windows lie wholly inside the plane, without padding or dilation. A thread owns a window, or a pixel.
#include "numbers.cuh"
#include "windows.cuh"

// Grid of both: y over planes, x over windows or pixels.
template <typename T>
__global__ void relu_max_pool(const T* __restrict__ z, T* __restrict__ y, unsigned char* __restrict__ codes, Windows v,
                              long long planes) {
    const int p = blockIdx.x * blockDim.x + threadIdx.x;
    if (p >= v.OH * v.OW) return;
    const int first = p / v.OW * v.SH * v.W + p % v.OW * v.SW;
    for (long long plane = blockIdx.y; plane < planes; plane += gridDim.y) {
        const T* window = z + plane * v.H * v.W + first;
        wide<T> best = wide<T>(window[0]);
        int code = 0;
        for (int i = 0; i < v.KH; i++)
            for (int j = 0; j < v.KW; j++) {
                const wide<T> value = wide<T>(window[i * v.W + j]);
                if (value > best || isnan(value)) best = value, code = i * v.KW + j;
            }
        y[plane * v.OH * v.OW + p] = best <= 0 ? T(0.0f) : T(best);
        codes[plane * v.OH * v.OW + p] = best <= 0 ? 255 : code;
    }
}

template <typename T>
__global__ void relu_max_pool_gradient(const T* __restrict__ gy, const unsigned char* __restrict__ codes,
                                       T* __restrict__ gz, Windows v, long long planes) {
    const int p = blockIdx.x * blockDim.x + threadIdx.x;
    if (p >= v.H * v.W) return;
    const int h = p / v.W, w = p % v.W;
    const int top = h < v.KH ? 0 : (h - v.KH) / v.SH + 1, bottom = min(h / v.SH, v.OH - 1);
    const int left = w < v.KW ? 0 : (w - v.KW) / v.SW + 1, right = min(w / v.SW, v.OW - 1);
    for (long long plane = blockIdx.y; plane < planes; plane += gridDim.y) {
        wide<T> sum = 0;
        for (int oh = top; oh <= bottom; oh++)
            for (int ow = left; ow <= right; ow++) {
                const long long at = (plane * v.OH + oh) * v.OW + ow;
                if (codes[at] == (h - oh * v.SH) * v.KW + w - ow * v.SW) sum += wide<T>(gy[at]);
            }
        gz[plane * v.H * v.W + p] = T(sum);
    }
}
