// The sum of weight_gradient.cuh, exact: every product and every sum is rounded once.
#include "weight_gradient.cuh"

// Grid: x over tiles of k, y over tiles of m, z over (group, slice). 256 threads.
template <typename T>
__global__ void __launch_bounds__(256) weight_gradient(const T* __restrict__ x, const T* __restrict__ gy,
                                                       T* __restrict__ parts, Windows v, int N, int G, int C, int M,
                                                       int slices, long long slice) {
    constexpr int EACH = 4;
    __shared__ T left[BQ][TILE + 4];
    __shared__ T right[BQ][TILE + 4];
    __shared__ Places at;

    const int t = threadIdx.x, group = blockIdx.z / slices, number = blockIdx.z % slices;
    const int m0 = blockIdx.y * TILE, k0 = blockIdx.x * TILE, K = C * v.KH * v.KW;
    const long long first = number * slice, most = (long long)N * v.OH * v.OW, last = min(first + slice, most);
    const int down = t / 16, across = t % 16;
    if (t < TILE) decode_weight(at, t, k0 + t, v);
    T sums[EACH][EACH] = {};

    for (long long q0 = first; q0 < last; q0 += BQ) {
        if (t < BQ) decode_pixel(at, t, q0 + t, group, v, G, C, M);
        __syncthreads();
        fetch(left, right, at, x, gy, int(min(last - q0, (long long)BQ)), m0, M - m0, K - k0, v);
        __syncthreads();
#pragma unroll 4
        for (int q = 0; q < BQ; q++) {
            T a[EACH], b[EACH];
            for (int i = 0; i < EACH; i++) a[i] = left[q][down * EACH + i], b[i] = right[q][across + i * 16];
            for (int i = 0; i < EACH; i++)
                for (int j = 0; j < EACH; j++) sums[i][j] += a[i] * b[j];
        }
    }

    for (int i = 0; i < EACH; i++)
        for (int j = 0; j < EACH; j++) {
            const int m = m0 + down * EACH + i, k = k0 + across + j * 16;
            if (m < M && k < K) parts[(((long long)number * G + group) * M + m) * K + k] = sums[i][j];
        }
}
