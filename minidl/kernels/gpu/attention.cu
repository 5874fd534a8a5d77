// Attention by tiles, without ever holding the matrix of weights: o = softmax(s Q Kᵀ + bias) V.
//
// A block owns TILE queries and goes through the keys. Of each query it keeps the largest score m so far, the sum l of
// the exponentials and the weighted sum of the values; a larger score fades what was summed by e^(m − m'). At the end
// o = acc / l, and λ = m + ln l is enough for the gradient. A query that sees no key gets o = 0 and λ = ∞.
//
// Source: Milakov and Gimelshein, arXiv:1805.02867 (running softmax); Dao, arXiv:2307.08691 (tiles).
#include "attention.cuh"

// Grid: x over tiles of queries, y over batch elements; 128 threads. WIDTH: at least E and D.
template <typename T, int WIDTH>
__global__ void __launch_bounds__(128) attend(const T* __restrict__ q, const T* __restrict__ k, const T* __restrict__ v,
                                              const bool* __restrict__ allowed, const long long* __restrict__ allowed_at,
                                              const T* __restrict__ bias, const long long* __restrict__ bias_at,
                                              T* __restrict__ o, wide<T>* __restrict__ log_sum, Attention a, long long batch) {
    constexpr int TILE = tile_of<T, WIDTH>;
    __shared__ wide<T> queries[TILE][WIDTH + 1];
    __shared__ wide<T> keys[TILE][WIDTH + 1];
    __shared__ wide<T> values[TILE][WIDTH + 1];
    __shared__ wide<T> p[TILE][TILE + 1];
    __shared__ wide<T> most[TILE];
    __shared__ wide<T> sum[TILE];
    __shared__ wide<T> fade[TILE];
    const int t = threadIdx.x, down = t / COLUMNS, across = t % COLUMNS, query = blockIdx.x * TILE;
    for (long long n = blockIdx.y; n < batch; n += gridDim.y) {
        const bool* mine = allowed ? allowed + allowed_at[n] : nullptr;
        const T* shift_mine = bias ? bias + bias_at[n] : nullptr;
        wide<T> acc[TILE / ROWS][WIDTH / COLUMNS] = {};
        __syncthreads();
        fetch<T, TILE, WIDTH>(queries, q + n * a.L * a.E, query, a.L, a.E);
        if (t < TILE) most[t] = -infinity<wide<T>>(), sum[t] = 0;
        for (int key = 0; key < a.S && !(a.causal && key >= query + TILE); key += TILE) {
            __syncthreads();
            fetch<T, TILE, WIDTH>(keys, k + n * a.S * a.E, key, a.S, a.E);
            fetch<T, TILE, WIDTH>(values, v + n * a.S * a.D, key, a.S, a.D);
            __syncthreads();
            wide<T> s[TILE / ROWS][TILE / COLUMNS];
            scores<T, TILE, WIDTH>(s, queries, keys, query, key, a, mine, shift_mine);
            for (int u = 0; u < TILE / ROWS; u++)
                for (int w = 0; w < TILE / COLUMNS; w++) p[down + ROWS * u][across + COLUMNS * w] = s[u][w];
            __syncthreads();
            if (t < TILE) {
                wide<T> largest = most[t], total = 0;
                for (int j = 0; j < TILE; j++) largest = larger(largest, p[t][j]);
                const wide<T> shift = largest == -infinity<wide<T>>() ? wide<T>(0) : largest;
                for (int j = 0; j < TILE; j++) total += p[t][j] = exp(p[t][j] - shift);
                fade[t] = exp(most[t] - shift);
                sum[t] = sum[t] * fade[t] + total;
                most[t] = largest;
            }
            __syncthreads();
            for (int u = 0; u < TILE / ROWS; u++)
                for (int c = 0; c < WIDTH / COLUMNS; c++) acc[u][c] *= fade[down + ROWS * u];
            add_product<wide<T>, TILE, WIDTH>(acc, p, values);
        }
        __syncthreads();
        for (int u = 0; u < TILE / ROWS; u++) {
            const wide<T> total = sum[down + ROWS * u];
            for (int c = 0; c < WIDTH / COLUMNS; c++) acc[u][c] = total == 0 ? wide<T>(0) : acc[u][c] / total;
        }
        store<T, TILE, WIDTH>(o + n * a.L * a.D, acc, query, a.L, a.D, wide<T>(1));
        if (t < TILE && query + t < a.L)
            log_sum[n * a.L + query + t] = sum[t] == 0 ? infinity<wide<T>>() : most[t] + log(sum[t]);
    }
}
