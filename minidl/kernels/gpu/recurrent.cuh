// What the recurrent kernels share. A block carries one row of the batch through all time steps, thread j its j-th unit:
// rows do not meet, so no block waits for another, and the state stays in shared memory. Rows are sorted by length;
// counts[t] says how many of them take part in step t, the others keep their state (see portable/recurrent.py).
#include "numbers.cuh"

constexpr int UNITS = 256;  // the most that a state may have: a thread each

template <typename V> __device__ inline V sigmoid(V x) { return V(1) / (V(1) + exp(-x)); }

// sums[g] += Σ_k v[k] · m[k, g·H + j]: thread j's column of a product with each of G matrices, v in shared memory.
template <int G, typename T>
__device__ inline void add_products(wide<T>* sums, const wide<T>* v, const T* __restrict__ m, int K, int columns, int H, int j) {
#pragma unroll 4
    for (int k = 0; k < K; k++)
        for (int g = 0; g < G; g++) sums[g] += v[k] * wide<T>(m[(long long)k * columns + g * H + j]);
}

// The order of the steps: the n-th is t = n, or from the other end.
__device__ inline int step_at(int n, int steps, int backwards) { return backwards ? steps - 1 - n : n; }
