// Batch normalization over each channel of x (N, C, pixels), M = N·pixels numbers a channel.
//
//     mean = Σ x / M        var = Σ (x − mean)² / M        inv_std = 1/√(var + ε)        y = (x − mean)·inv_std·w + b
//     gb = Σ gy             gw = Σ gy·x̂                    gx = w·inv_std·(gy − gb/M − x̂·gw/M),   x̂ = (x − mean)·inv_std
//
// A sum over a channel is made by several blocks, each of one stretch of it, and then by one warp over the stretches:
// always in the same order. Sums are double: the mean of a million numbers in float has only five digits.
#include "numbers.cuh"
#include "reduce.cuh"

// Number i of channel c, for i from 0 to N·pixels − 1.
__device__ inline long long place(long long i, int c, int C, int pixels) { return (i / pixels * C + c) * pixels + i % pixels; }

// Grid of the partial sums: x over stretches, y over channels; 256 threads.
template <typename T>
__global__ void channel_sums(const T* __restrict__ x, double* __restrict__ parts, int C, int pixels, long long M,
                             long long stretch) {
    __shared__ double partial[8];
    for (int c = blockIdx.y; c < C; c += gridDim.y) {
        const long long first = blockIdx.x * stretch, last = first + stretch < M ? first + stretch : M;
        double sum = 0;
        for (long long i = first + threadIdx.x; i < last; i += blockDim.x) sum += double(wide<T>(x[place(i, c, C, pixels)]));
        sum = block_sum(sum, partial);
        if (threadIdx.x == 0) parts[c * (long long)gridDim.x + blockIdx.x] = sum;
    }
}

template <typename T>
__global__ void channel_squares(const T* __restrict__ x, const double* __restrict__ mean, double* __restrict__ parts, int C,
                                int pixels, long long M, long long stretch) {
    __shared__ double partial[8];
    for (int c = blockIdx.y; c < C; c += gridDim.y) {
        const long long first = blockIdx.x * stretch, last = first + stretch < M ? first + stretch : M;
        const double middle = mean[c];
        double sum = 0;
        for (long long i = first + threadIdx.x; i < last; i += blockDim.x) {
            const double d = double(wide<T>(x[place(i, c, C, pixels)])) - middle;
            sum += d * d;
        }
        sum = block_sum(sum, partial);
        if (threadIdx.x == 0) parts[c * (long long)gridDim.x + blockIdx.x] = sum;
    }
}

// Both sums of the gradient: parts (2, C, stretches) of gy and of gy·x̂.
template <typename T>
__global__ void channel_gradients(const T* __restrict__ gy, const T* __restrict__ x, const T* __restrict__ mean,
                                  const T* __restrict__ inv_std, double* __restrict__ parts, int C, int pixels, long long M,
                                  long long stretch) {
    __shared__ double partial[8];
    for (int c = blockIdx.y; c < C; c += gridDim.y) {
        const long long first = blockIdx.x * stretch, last = first + stretch < M ? first + stretch : M;
        const double middle = double(wide<T>(mean[c])), scale = double(wide<T>(inv_std[c]));
        double plain = 0, weighted = 0;
        for (long long i = first + threadIdx.x; i < last; i += blockDim.x) {
            const long long at = place(i, c, C, pixels);
            const double g = double(wide<T>(gy[at]));
            plain += g;
            weighted += g * (double(wide<T>(x[at])) - middle) * scale;
        }
        plain = block_sum(plain, partial);
        weighted = block_sum(weighted, partial);
        const long long at = c * (long long)gridDim.x + blockIdx.x;
        if (threadIdx.x == 0) parts[at] = plain, parts[(long long)C * gridDim.x + at] = weighted;
    }
}

// totals[r] = Σ_s parts[r, s] · factor, and the same rounded to T. Grid: x over rows; 32 threads.
template <typename T>
__global__ void add_stretches(const double* __restrict__ parts, double* __restrict__ totals, T* __restrict__ rounded,
                              int stretches, double factor) {
    const long long row = blockIdx.x;
    double sum = 0;
    for (int s = threadIdx.x; s < stretches; s += 32) sum += parts[row * stretches + s];
    sum = warp_sum(sum) * factor;
    if (threadIdx.x == 0) totals[row] = sum, rounded[row] = T(sum);
}

// y, and inv_std. Grid: x over numbers of a channel, y over channels.
template <typename T>
__global__ void normalize(const T* __restrict__ x, const T* __restrict__ w, const T* __restrict__ b,
                          const T* __restrict__ mean, const T* __restrict__ var, T* __restrict__ y, T* __restrict__ inv_std,
                          int C, int pixels, long long M, double eps) {
    for (int c = blockIdx.y; c < C; c += gridDim.y) {
        const T rounded = T(1.0 / sqrt(double(wide<T>(var[c])) + eps));
        if (blockIdx.x == 0 && threadIdx.x == 0) inv_std[c] = rounded;
        const wide<T> middle = wide<T>(mean[c]), scale = wide<T>(rounded) * (w ? wide<T>(w[c]) : wide<T>(1));
        const wide<T> shift = b ? wide<T>(b[c]) : wide<T>(0);
        const long long step = (long long)gridDim.x * blockDim.x;
        for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < M; i += step) {
            const long long at = place(i, c, C, pixels);
            y[at] = T((wide<T>(x[at]) - middle) * scale + shift);
        }
    }
}

template <typename T>
__global__ void normalize_gradient(const T* __restrict__ gy, const T* __restrict__ x, const T* __restrict__ w,
                                   const T* __restrict__ mean, const T* __restrict__ inv_std,
                                   const double* __restrict__ totals, T* __restrict__ gx, int C, int pixels, long long M) {
    for (int c = blockIdx.y; c < C; c += gridDim.y) {
        const double size = double(M);
        const wide<T> plain = wide<T>(totals[c] / size), weighted = wide<T>(totals[C + c] / size);
        const wide<T> middle = wide<T>(mean[c]), narrow = wide<T>(inv_std[c]);
        const wide<T> scale = narrow * (w ? wide<T>(w[c]) : wide<T>(1));
        const long long step = (long long)gridDim.x * blockDim.x;
        for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < M; i += step) {
            const long long at = place(i, c, C, pixels);
            gx[at] = T(scale * (wide<T>(gy[at]) - plain - (wide<T>(x[at]) - middle) * narrow * weighted));
        }
    }
}
