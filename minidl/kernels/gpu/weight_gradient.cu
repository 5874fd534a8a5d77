// What each weight of a convolution did to its output.
//
//     gw[g, m, k] = Σ_q gy[n, g, m, oh, ow] · x[n, g, c, oh·SH − top + i·DH, ow·SW − left + j·DW]
//
// with k = (c·KH + i)·KW + j, and q = (n·OH + oh)·OW + ow over all pixels of all images. That sum is long and the result
// small, so q is cut into slices: first every block adds up one slice of one 64×64 tile (m, k), then the slices are added
// in order. No two blocks write to one place, and the result is the same every time.
#include "numbers.cuh"
#include "windows.cuh"

// Grid: x over tiles of k, y over tiles of m, z over (group, slice). 256 threads.
template <typename T>
__global__ void __launch_bounds__(256) weight_gradient(const T* __restrict__ x, const T* __restrict__ gy,
                                                       wide<T>* __restrict__ parts, Windows v, int N, int G, int C, int M,
                                                       int slices, long long slice) {
    constexpr int TILE = 64, BQ = 16, EACH = 4;
    __shared__ wide<T> left[BQ][TILE + 4];
    __shared__ wide<T> right[BQ][TILE + 4];
    __shared__ int tap_row[TILE];
    __shared__ int tap_column[TILE];
    __shared__ long long tap_plane[TILE];
    __shared__ int pixel_row[BQ];
    __shared__ int pixel_column[BQ];
    __shared__ long long pixel_image[BQ];
    __shared__ long long pixel_gy[BQ];

    const int t = threadIdx.x, group = blockIdx.z / slices, number = blockIdx.z % slices;
    const int m0 = blockIdx.y * TILE, k0 = blockIdx.x * TILE, K = C * v.KH * v.KW, P = v.OH * v.OW;
    const long long first = number * slice, most = (long long)N * P, last = first + slice < most ? first + slice : most;
    const int down = t / 16, across = t % 16;
    if (t < TILE) {
        const int k = k0 + t;
        tap_row[t] = k / v.KW % v.KH * v.DH - v.top;
        tap_column[t] = k % v.KW * v.DW - v.left;
        tap_plane[t] = (long long)(k / (v.KH * v.KW)) * v.H * v.W;
    }
    wide<T> sums[EACH][EACH] = {};

    for (long long q0 = first; q0 < last; q0 += BQ) {
        if (t < BQ) {
            const long long q = q0 + t, n = q / P;
            const int p = int(q % P);
            pixel_row[t] = p / v.OW * v.SH;
            pixel_column[t] = p % v.OW * v.SW;
            pixel_image[t] = (n * G + group) * C * v.H * v.W;
            pixel_gy[t] = (n * G + group) * M * P + p;
        }
        __syncthreads();
        for (int e = t; e < TILE * BQ; e += 256) {
            const int q = e % BQ, r = e / BQ;
            const bool counts = q0 + q < last;
            left[q][r] = counts && m0 + r < M ? wide<T>(gy[pixel_gy[q] + (long long)(m0 + r) * P]) : wide<T>(0);
            const int h = pixel_row[q] + tap_row[r], w = pixel_column[q] + tap_column[r];
            const bool real = counts && k0 + r < K && inside(h, w, v);
            right[q][r] = real ? wide<T>(x[pixel_image[q] + tap_plane[r] + (long long)h * v.W + w]) : wide<T>(0);
        }
        __syncthreads();
#pragma unroll 4
        for (int q = 0; q < BQ; q++) {
            wide<T> a[EACH], b[EACH];
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
