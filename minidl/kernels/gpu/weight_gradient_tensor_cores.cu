// The sum of weight_gradient.cuh on tensor cores: arrays of T, factors of F as in correlate_tensor_cores.cu, sums of float.
//
// A block of 4 warps computes a 64×64 tile, each warp 32×32 of it as 2×4 products of 16×8, in steps of 16 pixels.
#include "weight_gradient.cuh"
#include "mma.cuh"

// Grid: x over tiles of k, y over tiles of m, z over (group, slice). 128 threads.
template <typename T, typename F>
__global__ void __launch_bounds__(128) weight_gradient_tensor_cores(const T* __restrict__ x, const T* __restrict__ gy,
                                                                    float* __restrict__ parts, Windows v, int N, int G, int C,
                                                                    int M, int slices, long long slice) {
    constexpr int PAD = 8;
    __shared__ F left[BQ][TILE + PAD];
    __shared__ F right[BQ][TILE + PAD];
    __shared__ Places at;

    const int t = threadIdx.x, group = blockIdx.z / slices, number = blockIdx.z % slices;
    const int m0 = blockIdx.y * TILE, k0 = blockIdx.x * TILE, K = C * v.KH * v.KW;
    const long long first = number * slice, most = (long long)N * v.OH * v.OW, last = min(first + slice, most);
    const int lane = t % 32, down = t / 64 * 32, across = t / 32 % 2 * 32;
    if (t < TILE) decode_weight(at, t, k0 + t, v);
    float sums[2][4][4] = {};

    for (long long q0 = first; q0 < last; q0 += BQ) {
        if (t < BQ) decode_pixel(at, t, q0 + t, group, v, G, C, M);
        __syncthreads();
        fetch(left, right, at, x, gy, int(min(last - q0, (long long)BQ)), m0, M - m0, K - k0, v);
        __syncthreads();
        for (int q = 0; q < BQ; q += 8)
            for (int i = 0; i < 2; i++)
                for (int j = 0; j < 4; j++)
                    multiply_tile<F>(sums[i][j], &left[q][0] + down + 16 * i, TILE + PAD, &right[q][0] + across + 8 * j,
                                     TILE + PAD, lane);
    }

    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 4; j++)
            for (int e = 0; e < 4; e++) {
                const int m = m0 + down + 16 * i + lane / 4 + (e >= 2 ? 8 : 0);
                const int k = k0 + across + 8 * j + lane % 4 * 2 + e % 2;
                if (m < M && k < K) parts[(((long long)number * G + group) * M + m) * K + k] = sums[i][j][e];
            }
}
