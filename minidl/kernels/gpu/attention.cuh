// What the attention kernels share: a tile is TILE queries against TILE keys, and 8×16 threads work on it, each on every
// eighth row and every sixteenth column. Numbers of a row lie one apart, rows an odd number apart: no two threads of a
// warp meet in a bank of shared memory.
#include "numbers.cuh"
#include "reduce.cuh"

struct Attention {
    int L, S, E, D, causal, allowed_row, allowed_column, bias_row, bias_column;
    double scale;
};

constexpr int ROWS = 8, COLUMNS = 16;
template <typename T, int WIDTH> constexpr int tile_of = sizeof(wide<T>) == 4 && WIDTH <= 64 ? 32 : 16;

// Rows first … first + TILE − 1 of x (count, width), 0 beyond.
template <typename T, int TILE, int WIDTH>
__device__ inline void fetch(wide<T> (&tile)[TILE][WIDTH + 1], const T* __restrict__ x, int first, int count, int width) {
    for (int e = threadIdx.x; e < TILE * WIDTH; e += blockDim.x) {
        const int i = e / WIDTH, c = e % WIDTH;
        tile[i][c] = first + i < count && c < width ? wide<T>(x[(long long)(first + i) * width + c]) : wide<T>(0);
    }
}

// The scores s·q·k + bias, −∞ where query i of the tile may not look at key j.
template <typename T, int TILE, int WIDTH>
__device__ inline void scores(wide<T> (&s)[TILE / ROWS][TILE / COLUMNS], const wide<T> (&q)[TILE][WIDTH + 1],
                              const wide<T> (&k)[TILE][WIDTH + 1], int query, int key, const Attention& a,
                              const bool* __restrict__ allowed, const T* __restrict__ bias) {
    const int down = threadIdx.x / COLUMNS, across = threadIdx.x % COLUMNS;
    for (int u = 0; u < TILE / ROWS; u++)
        for (int w = 0; w < TILE / COLUMNS; w++) s[u][w] = 0;
    for (int e = 0; e < a.E; e++)
        for (int u = 0; u < TILE / ROWS; u++)
            for (int w = 0; w < TILE / COLUMNS; w++) s[u][w] += q[down + ROWS * u][e] * k[across + COLUMNS * w][e];
    for (int u = 0; u < TILE / ROWS; u++)
        for (int w = 0; w < TILE / COLUMNS; w++) {
            const int i = query + down + ROWS * u, j = key + across + COLUMNS * w;
            bool sees = i < a.L && j < a.S && !(a.causal && j > i);
            if (sees && allowed) sees = allowed[(long long)i * a.allowed_row + (long long)j * a.allowed_column];
            s[u][w] *= wide<T>(a.scale);
            if (sees && bias) s[u][w] += wide<T>(bias[(long long)i * a.bias_row + (long long)j * a.bias_column]);
            if (!sees) s[u][w] = -infinity<wide<T>>();
        }
}

// sums[i, c] += Σ_j p[i, j] · x[j, c].
template <typename V, int TILE, int WIDTH>
__device__ inline void add_product(V (&sums)[TILE / ROWS][WIDTH / COLUMNS], const V (&p)[TILE][TILE + 1],
                                   const V (&x)[TILE][WIDTH + 1]) {
    const int down = threadIdx.x / COLUMNS, across = threadIdx.x % COLUMNS;
    for (int j = 0; j < TILE; j++)
        for (int u = 0; u < TILE / ROWS; u++)
            for (int c = 0; c < WIDTH / COLUMNS; c++) sums[u][c] += p[down + ROWS * u][j] * x[j][across + COLUMNS * c];
}

// sums[j, c] += Σ_i p[i, j] · x[i, c].
template <typename V, int TILE, int WIDTH>
__device__ inline void add_transposed(V (&sums)[TILE / ROWS][WIDTH / COLUMNS], const V (&p)[TILE][TILE + 1],
                                      const V (&x)[TILE][WIDTH + 1]) {
    const int down = threadIdx.x / COLUMNS, across = threadIdx.x % COLUMNS;
    for (int i = 0; i < TILE; i++)
        for (int u = 0; u < TILE / ROWS; u++)
            for (int c = 0; c < WIDTH / COLUMNS; c++) sums[u][c] += p[i][down + ROWS * u] * x[i][across + COLUMNS * c];
}

// Writes the rows that there are.
template <typename T, int TILE, int WIDTH>
__device__ inline void store(T* __restrict__ x, const wide<T> (&sums)[TILE / ROWS][WIDTH / COLUMNS], int first, int count,
                             int width, wide<T> factor) {
    const int down = threadIdx.x / COLUMNS, across = threadIdx.x % COLUMNS;
    for (int u = 0; u < TILE / ROWS; u++)
        for (int c = 0; c < WIDTH / COLUMNS; c++) {
            const int i = first + down + ROWS * u, column = across + COLUMNS * c;
            if (i < count && column < width) x[(long long)i * width + column] = T(sums[u][c] * factor);
        }
}
