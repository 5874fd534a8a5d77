// Each row of x (M, L) brought to mean 0 and variance 1, then scaled and shifted.
//
//     y = (x − μ)·r·w + b,   r = 1/√(Σ(x − μ)²/L + ε)
//     gx = r·(g − Σg/L − x̂·Σ(g·x̂)/L),   g = w·gy,   x̂ = (x − μ)·r,        gw = Σ gy·x̂,   gb = Σ gy over the rows
//
// A block owns a row. For gw and gb a thread owns a column of a slice of the rows; the slices are added in order.
#include "numbers.cuh"
#include "reduce.cuh"

// Grid: x over rows; 128 threads. w and b may be null, for 1 and 0.
template <typename T>
__global__ void layer_norm(const T* __restrict__ x, const T* __restrict__ w, const T* __restrict__ b, T* __restrict__ y,
                           T* __restrict__ mean, T* __restrict__ inv_std, long long rows, int L, double eps) {
    __shared__ wide<T> partial[4];
    for (long long row = blockIdx.x; row < rows; row += gridDim.x) {
        const T* from = x + row * L;
        wide<T> sum = 0, squares = 0;
        for (int i = threadIdx.x; i < L; i += blockDim.x) sum += wide<T>(from[i]);
        const wide<T> middle = block_sum(sum, partial) / wide<T>(L);
        for (int i = threadIdx.x; i < L; i += blockDim.x) {
            const wide<T> d = wide<T>(from[i]) - middle;
            squares += d * d;
        }
        const wide<T> r = wide<T>(1) / sqrt(block_sum(squares, partial) / wide<T>(L) + wide<T>(eps));
        for (int i = threadIdx.x; i < L; i += blockDim.x) {
            const wide<T> normal = (wide<T>(from[i]) - middle) * r;
            y[row * L + i] = T(normal * (w ? wide<T>(w[i]) : wide<T>(1)) + (b ? wide<T>(b[i]) : wide<T>(0)));
        }
        if (threadIdx.x == 0) mean[row] = T(middle), inv_std[row] = T(r);
    }
}

template <typename T>
__global__ void layer_norm_gradient(const T* __restrict__ gy, const T* __restrict__ x, const T* __restrict__ w,
                                    const T* __restrict__ mean, const T* __restrict__ inv_std, T* __restrict__ gx,
                                    long long rows, int L) {
    __shared__ wide<T> partial[4];
    for (long long row = blockIdx.x; row < rows; row += gridDim.x) {
        const wide<T> middle = wide<T>(mean[row]), r = wide<T>(inv_std[row]);
        wide<T> plain = 0, weighted = 0;
        for (int i = threadIdx.x; i < L; i += blockDim.x) {
            const wide<T> g = wide<T>(gy[row * L + i]) * (w ? wide<T>(w[i]) : wide<T>(1));
            plain += g;
            weighted += g * (wide<T>(x[row * L + i]) - middle) * r;
        }
        plain = block_sum(plain, partial) / wide<T>(L);
        weighted = block_sum(weighted, partial) / wide<T>(L);
        for (int i = threadIdx.x; i < L; i += blockDim.x) {
            const wide<T> g = wide<T>(gy[row * L + i]) * (w ? wide<T>(w[i]) : wide<T>(1));
            gx[row * L + i] = T(r * (g - plain - (wide<T>(x[row * L + i]) - middle) * r * weighted));
        }
    }
}

// parts (2, slices, L): of gy·x̂, then of gy. Grid: x over columns, y over slices of the rows.
template <typename T>
__global__ void column_sums(const T* __restrict__ gy, const T* __restrict__ x, const T* __restrict__ mean,
                            const T* __restrict__ inv_std, wide<T>* __restrict__ parts, long long rows, int L,
                            long long slice) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= L) return;
    const long long first = blockIdx.y * slice, last = first + slice < rows ? first + slice : rows;
    wide<T> weighted = 0, plain = 0;
    for (long long row = first; row < last; row++) {
        const wide<T> g = wide<T>(gy[row * L + i]);
        weighted += g * (wide<T>(x[row * L + i]) - wide<T>(mean[row])) * wide<T>(inv_std[row]);
        plain += g;
    }
    parts[(long long)blockIdx.y * L + i] = weighted;
    parts[((long long)gridDim.y + blockIdx.y) * L + i] = plain;
}
