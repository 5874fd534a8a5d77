// The sum of correlate.cu on tensor cores: arrays of T, factors of F: __half as they are, float rounded to tf32 or bfloat16.
//
// A block of 4 warps computes 64×64 numbers of y, each warp a 32×32 tile as 2×4 products of 16×8, in steps of 16 along k.
#include "correlation.cuh"
#include "mma.cuh"

// Grid: x over tiles of pixels, y over tiles of channels, z over groups. 128 threads; four blocks share a multiprocessor,
// which leaves each thread enough registers.
template <typename T, typename F>
__global__ void __launch_bounds__(128, 4) correlate_tensor_cores(const T* __restrict__ w, const T* __restrict__ x,
                                                                 const T* __restrict__ bias, T* __restrict__ y,
                                                                 Correlation s) {
    constexpr int BK = 16, TILE = 64, PAD = 8, THREADS = 128;
    __shared__ F left[BK][TILE + PAD];
    __shared__ F right[BK][TILE + PAD];
    __shared__ Taps<BK> taps;

    const int t = threadIdx.x, group = blockIdx.z, m0 = blockIdx.y * TILE, K = s.C * s.I * s.J;
    const long long p0 = (long long)blockIdx.x * TILE, pixels = (long long)s.N * s.A * s.B;
    const int column = t % TILE;
    const bool fetches = p0 + column < pixels;
    const Pixel mine = pixel(p0 + column, s);
    const int row0 = s.h0 + mine.a * s.hs, column0 = s.w0 + mine.b * s.ws;
    const T* image = x + (mine.image * s.G + group) * s.C * s.H * s.W;
    const T* weights = w + group * s.wg;
    const int lane = t % 32, down = t / 64 * 32, across = t / 32 % 2 * 32;
    float sums[2][4][4] = {};

    for (int k0 = 0; k0 < K; k0 += BK) {
        if (t < BK) decode(taps, t, k0 + t, s);
        __syncthreads();
        for (int e = t; e < TILE * BK; e += THREADS) {
            const int k = e % BK, m = e / BK;
            left[k][m] = k0 + k < K && m0 + m < s.M ? F(weights[(m0 + m) * s.wm + taps.weight[k]]) : F(0.0f);
        }
        for (int k = t / TILE; k < BK; k += THREADS / TILE) {
            const int h = row0 + taps.row[k], c = column0 + taps.column[k];
            const bool real = fetches && k0 + k < K && 0 <= h && h < s.H && 0 <= c && c < s.W;
            right[k][column] = real ? F(image[taps.plane[k] + (long long)h * s.W + c]) : F(0.0f);
        }
        __syncthreads();
        for (int k = 0; k < BK; k += 8)
            for (int i = 0; i < 2; i++)
                for (int j = 0; j < 4; j++)
                    multiply_tile<F>(sums[i][j], &left[k][0] + down + 16 * i, TILE + PAD, &right[k][0] + across + 8 * j,
                                     TILE + PAD, lane);
    }

#pragma unroll  // sums are registers only where every index is known
    for (int i = 0; i < 2; i++)
#pragma unroll
        for (int j = 0; j < 4; j++)
#pragma unroll
            for (int e = 0; e < 4; e++) {
                const int m = m0 + down + 16 * i + lane / 4 + (e >= 2 ? 8 : 0);
                const long long p = p0 + across + 8 * j + lane % 4 * 2 + e % 2;
                if (m >= s.M || p >= pixels) continue;
                const int channel = group * s.M + m;
                const Pixel to = pixel(p, s);
                const long long plane = to.image * s.G * s.M + channel;
                const float shift = bias ? float(bias[channel]) : 0.0f;
                y[(plane * s.Y + s.ya + to.a * s.yas) * s.X + s.yb + to.b * s.ybs] = T(sums[i][j][e] + shift);
            }
}
