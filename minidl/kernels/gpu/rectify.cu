// y = x ≤ 0 ? 0 : x, and gx = y ≤ 0 ? 0 : gy. A nan stays: it is not ≤ 0.
#include "numbers.cuh"

template <typename T> __global__ void relu(const T* __restrict__ x, T* __restrict__ y, long long count) {
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += (long long)gridDim.x * blockDim.x)
        y[i] = wide<T>(x[i]) <= 0 ? T(0.0f) : x[i];
}

template <typename T>
__global__ void relu_gradient(const T* __restrict__ gy, const T* __restrict__ y, T* __restrict__ gx, long long count) {
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += (long long)gridDim.x * blockDim.x)
        gx[i] = wide<T>(y[i]) <= 0 ? T(0.0f) : gy[i];
}
