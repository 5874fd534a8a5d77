// Convolution as a product of matrices that are never written down ("implicit GEMM").
//
//     y[m, p] = Σ_k w[m, k] · x[k, p]      m: output channel, p: pixel of all images, k: input channel and tap
//
// A block computes BM×BN numbers of y. It walks along k in steps of BK: fetches BM×BK weights and BK×BN pixels into
// shared memory, gathering x where it lies, and each thread multiplies a TM×TN tile of them in registers. Every product
// and every sum is rounded once; __half, and float with rounded factors, has correlate_tensor_cores.cu.
//
// With POOLED, the result is max(0, max over 2×2 windows): each thread holds whole windows, so that only the maximum
// and its place leave the registers, winner 0…3 or 255 where the maximum is not above 0.
#include "correlation.cuh"

// Grid: x over tiles of pixels, y over tiles of channels, z over groups. 256 threads.
template <typename T, int BM, int BN, bool POOLED>
__global__ void __launch_bounds__(256) correlate(const T* __restrict__ w, const T* __restrict__ x,
                                                 const T* __restrict__ bias, T* __restrict__ y,
                                                 unsigned char* __restrict__ winners, Correlation s) {
    constexpr int BK = 16, TM = BM * BN > 4096 ? 8 : 4, TN = TM, ACROSS = BN / TN;
    static_assert(BM * BN == 256 * TM * TN && 256 % BN == 0, "256 threads share the tile");
    __shared__ T left[BK][BM + 4];
    __shared__ T right[BK][BN];
    __shared__ Taps<BK> taps;

    const int t = threadIdx.x, group = blockIdx.z, m0 = blockIdx.y * BM, K = s.C * s.I * s.J;
    const long long p0 = (long long)blockIdx.x * BN;
    const long long pixels = POOLED ? (long long)s.N * (s.A / 2) * (s.B / 2) * 4 : (long long)s.N * s.A * s.B;
    const int column = t % BN;  // of the pixel that this thread fetches
    const bool fetches = p0 + column < pixels;
    const Pixel mine = POOLED ? window_pixel(p0 + column, s) : pixel(p0 + column, s);
    const int row0 = s.h0 + mine.a * s.hs, column0 = s.w0 + mine.b * s.ws;
    const T* image = x + (mine.image * s.G + group) * s.C * s.H * s.W;
    const T* weights = w + group * s.wg;
    const int down = t / ACROSS, across = t % ACROSS;
    T sums[TM][TN] = {};

    for (int k0 = 0; k0 < K; k0 += BK) {
        if (t < BK) decode(taps, t, k0 + t, s);
        __syncthreads();
        for (int e = t; e < BM * BK; e += 256) {
            const int k = e % BK, m = e / BK;
            const bool real = k0 + k < K && m0 + m < s.M;
            left[k][m] = real ? weights[(m0 + m) * s.wm + taps.weight[k]] : T(0);
        }
        for (int k = t / BN; k < BK; k += 256 / BN) {
            const int h = row0 + taps.row[k], c = column0 + taps.column[k];
            const bool real = fetches && k0 + k < K && 0 <= h && h < s.H && 0 <= c && c < s.W;
            right[k][column] = real ? image[taps.plane[k] + (long long)h * s.W + c] : T(0);
        }
        __syncthreads();
#pragma unroll (TM == 8 ? 2 : 4)
        for (int k = 0; k < BK; k++) {
            T a[TM], b[TN];
            for (int i = 0; i < TM; i++) a[i] = left[k][down * TM + i];
            for (int j = 0; j < TN; j++) b[j] = right[k][POOLED ? across * TN + j : across + j * ACROSS];
            for (int i = 0; i < TM; i++)
                for (int j = 0; j < TN; j++) sums[i][j] += a[i] * b[j];
        }
    }

    for (int i = 0; i < TM; i++) {
        const int m = m0 + down * TM + i;
        if (m >= s.M) break;
        const int channel = group * s.M + m;
        const T shift = bias ? bias[channel] : T(0);
        if (POOLED) {
            for (int j = 0; j < TN; j += 4) {
                const long long p = p0 + across * TN + j;
                if (p >= pixels) break;
                int winner = 0;
                T best = sums[i][j] + shift;
                for (int corner = 1; corner < 4; corner++) {
                    const T value = sums[i][j + corner] + shift;
                    if (value > best || isnan(value)) best = value, winner = corner;
                }
                const Pixel to = window_pixel(p, s);
                const long long plane = to.image * s.G * s.M + channel;
                const long long at = (plane * (s.A / 2) + to.a / 2) * (s.B / 2) + to.b / 2;
                y[at] = best <= 0 ? T(0) : best;
                winners[at] = best <= 0 ? 255 : winner;
            }
        } else {
            for (int j = 0; j < TN; j++) {
                const long long p = p0 + across + j * ACROSS;
                if (p >= pixels) break;
                const Pixel to = pixel(p, s);
                const long long plane = to.image * s.G * s.M + channel;
                y[(plane * s.Y + s.ya + to.a * s.yas) * s.X + s.yb + to.b * s.ybs] = sums[i][j] + shift;
            }
        }
    }
}
