// A convolution, or its gradient by the input, as one sum over a grid:
//
//     y[n, g, m, a, b] = Σ over c < C, i < I, j < J of  w[g, m, c, i, j] · x[n, g, c, h0 + a·hs + i·hd, w0 + b·ws + j·wd]
//
// where x is 0 outside its H×W plane. Weight (g, m, c, i, j) stands at g·wg + m·wm + c·wc + (i0 + i·istep)·KW + j0 + j·jstep;
// pixel (a, b) of the result is written to pixel (ya + a·yas, yb + b·ybs) of a Y×X plane. A convolution reads its filters
// as they are; the gradient of a convolution with stride S falls into S·S phases, each a convolution by every S-th tap.
#include "numbers.cuh"

struct Correlation {
    int N, G, M, C, H, W, A, B, I, J;
    int h0, hs, hd, w0, ws, wd;
    int KW, i0, istep, j0, jstep;
    int Y, X, ya, yas, yb, ybs;
    long long wg, wm, wc;
};

// The taps of one step through the reduced axis k = (c·I + i)·J + j, decoded once for a whole block.
template <int BK> struct Taps {
    int row[BK], column[BK];
    long long plane[BK], weight[BK];
};

template <int BK> __device__ inline void decode(Taps<BK>& taps, int t, int k, const Correlation& s) {
    const int j = k % s.J, i = k / s.J % s.I, c = k / (s.I * s.J);
    taps.row[t] = i * s.hd;
    taps.column[t] = j * s.wd;
    taps.plane[t] = (long long)c * s.H * s.W;
    taps.weight[t] = c * s.wc + (long long)(s.i0 + i * s.istep) * s.KW + s.j0 + j * s.jstep;
}

// Pixel p of all images: which image, and where in the plane of the result.
struct Pixel {
    long long image;
    int a, b;
};

__device__ inline Pixel pixel(long long p, const Correlation& s) {
    const int size = s.A * s.B, in_image = int(p % size);
    return {p / size, in_image / s.B, in_image % s.B};
}

// The same, the four pixels of each 2×2 window one after the other.
__device__ inline Pixel window_pixel(long long p, const Correlation& s) {
    const int columns = s.B / 2, size = s.A / 2 * columns, corner = int(p % 4), window = int(p / 4 % size);
    return {p / 4 / size, window / columns * 2 + corner / 2, window % columns * 2 + corner % 2};
}
