// The numbers of each row brought to mean 0 and variance 1, what layer, group and instance norm begin with.
//
//     y = (x − μ)·r,   r = 1/√(Σ(x − μ)²/M + ε)          gx = r·(gy − Σgy/M − y·Σ(gy·y)/M)
//
// A block owns a row.
#include "numbers.cuh"
#include "reduce.cuh"

// Grid of both: x over rows; 128 threads.
template <typename T>
__global__ void standardize(const T* __restrict__ x, T* __restrict__ y, T* __restrict__ inv_std, long long rows, int M,
                            double eps) {
    __shared__ wide<T> partial[4];
    for (long long row = blockIdx.x; row < rows; row += gridDim.x) {
        const T* from = x + row * M;
        wide<T> sum = 0, squares = 0;
        for (int i = threadIdx.x; i < M; i += blockDim.x) sum += wide<T>(from[i]);
        const wide<T> mean = block_sum(sum, partial) / wide<T>(M);
        for (int i = threadIdx.x; i < M; i += blockDim.x) {
            const wide<T> d = wide<T>(from[i]) - mean;
            squares += d * d;
        }
        const wide<T> r = wide<T>(1) / sqrt(block_sum(squares, partial) / wide<T>(M) + wide<T>(eps));
        for (int i = threadIdx.x; i < M; i += blockDim.x) y[row * M + i] = T((wide<T>(from[i]) - mean) * r);
        if (threadIdx.x == 0) inv_std[row] = T(r);
    }
}

template <typename T>
__global__ void standardize_gradient(const T* __restrict__ gy, const T* __restrict__ y, const T* __restrict__ inv_std,
                                     T* __restrict__ gx, long long rows, int M) {
    __shared__ wide<T> partial[4];
    for (long long row = blockIdx.x; row < rows; row += gridDim.x) {
        wide<T> plain = 0, weighted = 0;
        for (int i = threadIdx.x; i < M; i += blockDim.x) {
            const wide<T> g = wide<T>(gy[row * M + i]);
            plain += g;
            weighted += g * wide<T>(y[row * M + i]);
        }
        plain = block_sum(plain, partial) / wide<T>(M);
        weighted = block_sum(weighted, partial) / wide<T>(M);
        const wide<T> r = wide<T>(inv_std[row]);
        for (int i = threadIdx.x; i < M; i += blockDim.x)
            gx[row * M + i] = T(r * (wide<T>(gy[row * M + i]) - plain - wide<T>(y[row * M + i]) * weighted));
    }
}
