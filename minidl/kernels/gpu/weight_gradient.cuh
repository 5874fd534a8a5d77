// What each weight of a convolution did to its output.
//
//     gw[g, m, k] = Σ_q gy[n, g, m, oh, ow] · x[n, g, c, oh·SH − top + i·DH, ow·SW − left + j·DW]
//
// with k = (c·KH + i)·KW + j, and q = (n·OH + oh)·OW + ow over all pixels of all images. That sum is long and the result
// small, so q is cut into slices: first every block adds up one slice of one 64×64 tile (m, k), then the slices are added
// in order. No two blocks write to one place, and the result is the same every time.
#include "numbers.cuh"
#include "windows.cuh"

constexpr int TILE = 64, BQ = 16;  // weights along m and along k in a block, pixels in a step

// Where a tile of weights and a step of pixels lie, decoded once for a whole block.
struct Places {
    int tap_row[TILE], tap_column[TILE];
    long long tap_plane[TILE];
    int pixel_row[BQ], pixel_column[BQ];
    long long pixel_image[BQ], pixel_gy[BQ];
};

__device__ inline void decode_weight(Places& at, int t, int k, const Windows& v) {
    at.tap_row[t] = k / v.KW % v.KH * v.DH - v.top;
    at.tap_column[t] = k % v.KW * v.DW - v.left;
    at.tap_plane[t] = (long long)(k / (v.KH * v.KW)) * v.H * v.W;
}

__device__ inline void decode_pixel(Places& at, int t, long long q, int group, const Windows& v, int G, int C, int M) {
    const int P = v.OH * v.OW, p = int(q % P);
    const long long n = q / P;
    at.pixel_row[t] = p / v.OW * v.SH;
    at.pixel_column[t] = p % v.OW * v.SW;
    at.pixel_image[t] = (n * G + group) * C * v.H * v.W;
    at.pixel_gy[t] = (n * G + group) * M * P + p;
}

// Fetches a step: left[q][m] of gy and right[q][k] of x, rounded to F; `m` and `k` count from the tile's corner.
template <typename F, typename T, int PITCH>
__device__ inline void fetch(F (*left)[PITCH], F (*right)[PITCH], const Places& at, const T* x, const T* gy, int pixels, int m0,
                             int rows, int columns, const Windows& v) {
    for (int e = threadIdx.x; e < TILE * BQ; e += blockDim.x) {
        const int q = e % BQ, r = e / BQ;
        const long long plane = (long long)(m0 + r) * (v.OH * v.OW);
        left[q][r] = q < pixels && r < rows ? F(gy[at.pixel_gy[q] + plane]) : F(0.0f);
        const int h = at.pixel_row[q] + at.tap_row[r], w = at.pixel_column[q] + at.tap_column[r];
        const bool real = q < pixels && r < columns && inside(h, w, v);
        right[q][r] = real ? F(x[at.pixel_image[q] + at.tap_plane[r] + (long long)h * v.W + w]) : F(0.0f);
    }
}
