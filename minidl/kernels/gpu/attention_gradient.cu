// The gradient of attention, tile by tile, from λ (see attention.cu). With ḡ the gradient of o and D_i = Σ ḡ_i o_i:
//
//     p = e^(s q·k − λ)        s̄ = p (ḡ·v − D)        v̄_j = Σ_i p_ij ḡ_i        q̄_i = s Σ_j s̄_ij k_j        k̄_j = s Σ_i s̄_ij q_i
//
// One kernel owns queries and goes through the keys, another owns keys and goes through the queries; both compute p anew.
// No two blocks add to the same place.
#include "attention.cuh"

// D[row] = Σ ḡ o. Grid: x over rows.
template <typename T>
__global__ void along(const T* __restrict__ g, const T* __restrict__ o, wide<T>* __restrict__ sums, long long rows, int D) {
    for (long long row = (long long)blockIdx.x * blockDim.x + threadIdx.x; row < rows; row += (long long)gridDim.x * blockDim.x) {
        wide<T> sum = 0;
        for (int c = 0; c < D; c++) sum += wide<T>(g[row * D + c]) * wide<T>(o[row * D + c]);
        sums[row] = sum;
    }
}

// p and s̄ of a tile, into shared memory.
template <typename T, int TILE, int WIDTH>
__device__ inline void weights(wide<T> (&p)[TILE][TILE + 1], wide<T> (&slope)[TILE][TILE + 1],
                               const wide<T> (&queries)[TILE][WIDTH + 1], const wide<T> (&keys)[TILE][WIDTH + 1],
                               const wide<T> (&values)[TILE][WIDTH + 1], const wide<T> (&gs)[TILE][WIDTH + 1], int query,
                               int key, const Attention& a, const bool* allowed, const T* bias,
                               const wide<T>* __restrict__ log_sum, const wide<T>* __restrict__ sums) {
    const int down = threadIdx.x / COLUMNS, across = threadIdx.x % COLUMNS;
    wide<T> s[TILE / ROWS][TILE / COLUMNS];
    scores<T, TILE, WIDTH>(s, queries, keys, query, key, a, allowed, bias);
    for (int u = 0; u < TILE / ROWS; u++) {
        const int i = down + ROWS * u;
        const bool exists = query + i < a.L;
        const wide<T> lambda = exists ? log_sum[query + i] : infinity<wide<T>>(), mean = exists ? sums[query + i] : wide<T>(0);
        for (int w = 0; w < TILE / COLUMNS; w++) {
            const int j = across + COLUMNS * w;
            wide<T> product = 0;
            for (int c = 0; c < a.D; c++) product += gs[i][c] * values[j][c];
            const wide<T> weight = exp(s[u][w] - lambda);
            p[i][j] = weight;
            slope[i][j] = weight * (product - mean);
        }
    }
}

// Grid: x over tiles of queries, y over batch elements; 128 threads.
template <typename T, int WIDTH>
__global__ void __launch_bounds__(128)
    attend_query_gradient(const T* __restrict__ q, const T* __restrict__ k, const T* __restrict__ v, const T* __restrict__ g,
                          const bool* __restrict__ allowed, const long long* __restrict__ allowed_at,
                          const T* __restrict__ bias, const long long* __restrict__ bias_at,
                          const wide<T>* __restrict__ log_sum, const wide<T>* __restrict__ sums, T* __restrict__ gq,
                          Attention a, long long batch) {
    constexpr int TILE = tile_of<T, WIDTH>;
    __shared__ wide<T> queries[TILE][WIDTH + 1];
    __shared__ wide<T> keys[TILE][WIDTH + 1];
    __shared__ wide<T> values[TILE][WIDTH + 1];
    __shared__ wide<T> gs[TILE][WIDTH + 1];
    __shared__ wide<T> p[TILE][TILE + 1];
    __shared__ wide<T> slope[TILE][TILE + 1];
    const int query = blockIdx.x * TILE;
    for (long long n = blockIdx.y; n < batch; n += gridDim.y) {
        wide<T> acc[TILE / ROWS][WIDTH / COLUMNS] = {};
        __syncthreads();
        fetch<T, TILE, WIDTH>(queries, q + n * a.L * a.E, query, a.L, a.E);
        fetch<T, TILE, WIDTH>(gs, g + n * a.L * a.D, query, a.L, a.D);
        for (int key = 0; key < a.S && !(a.causal && key >= query + TILE); key += TILE) {
            __syncthreads();
            fetch<T, TILE, WIDTH>(keys, k + n * a.S * a.E, key, a.S, a.E);
            fetch<T, TILE, WIDTH>(values, v + n * a.S * a.D, key, a.S, a.D);
            __syncthreads();
            weights<T, TILE, WIDTH>(p, slope, queries, keys, values, gs, query, key, a,
                                    allowed ? allowed + allowed_at[n] : nullptr, bias ? bias + bias_at[n] : nullptr,
                                    log_sum + n * a.L, sums + n * a.L);
            __syncthreads();
            add_product<wide<T>, TILE, WIDTH>(acc, slope, keys);
        }
        store<T, TILE, WIDTH>(gq + n * a.L * a.E, acc, query, a.L, a.E, wide<T>(a.scale));
    }
}

// Grid: x over tiles of keys, y over batch elements; 128 threads.
template <typename T, int WIDTH>
__global__ void __launch_bounds__(128)
    attend_key_gradient(const T* __restrict__ q, const T* __restrict__ k, const T* __restrict__ v, const T* __restrict__ g,
                        const bool* __restrict__ allowed, const long long* __restrict__ allowed_at,
                        const T* __restrict__ bias, const long long* __restrict__ bias_at,
                        const wide<T>* __restrict__ log_sum, const wide<T>* __restrict__ sums, T* __restrict__ gk,
                        T* __restrict__ gv, Attention a, long long batch) {
    constexpr int TILE = tile_of<T, WIDTH>;
    __shared__ wide<T> queries[TILE][WIDTH + 1];
    __shared__ wide<T> keys[TILE][WIDTH + 1];
    __shared__ wide<T> values[TILE][WIDTH + 1];
    __shared__ wide<T> gs[TILE][WIDTH + 1];
    __shared__ wide<T> p[TILE][TILE + 1];
    __shared__ wide<T> slope[TILE][TILE + 1];
    const int key = blockIdx.x * TILE;
    for (long long n = blockIdx.y; n < batch; n += gridDim.y) {
        wide<T> key_sums[TILE / ROWS][WIDTH / COLUMNS] = {}, value_sums[TILE / ROWS][WIDTH / COLUMNS] = {};
        __syncthreads();
        fetch<T, TILE, WIDTH>(keys, k + n * a.S * a.E, key, a.S, a.E);
        fetch<T, TILE, WIDTH>(values, v + n * a.S * a.D, key, a.S, a.D);
        for (int query = a.causal ? key : 0; query < a.L; query += TILE) {
            __syncthreads();
            fetch<T, TILE, WIDTH>(queries, q + n * a.L * a.E, query, a.L, a.E);
            fetch<T, TILE, WIDTH>(gs, g + n * a.L * a.D, query, a.L, a.D);
            __syncthreads();
            weights<T, TILE, WIDTH>(p, slope, queries, keys, values, gs, query, key, a,
                                    allowed ? allowed + allowed_at[n] : nullptr, bias ? bias + bias_at[n] : nullptr,
                                    log_sum + n * a.L, sums + n * a.L);
            __syncthreads();
            add_transposed<wide<T>, TILE, WIDTH>(key_sums, slope, queries);
            add_transposed<wide<T>, TILE, WIDTH>(value_sums, p, gs);
        }
        store<T, TILE, WIDTH>(gk + n * a.S * a.E, key_sums, key, a.S, a.E, wide<T>(a.scale));
        store<T, TILE, WIDTH>(gv + n * a.S * a.D, value_sums, key, a.S, a.D, wide<T>(1));
    }
}
