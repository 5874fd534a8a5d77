// What dropout multiplies by: 0 with probability p, otherwise 1/(1 − p); number i is decided by word i of a stream.
//
//     mask[i] = u_i < p ? 0 : 1/(1 − p),   u_i = word i mod 4 of philox(i div 4, replay, key)
//
// `replay` counts how often a captured graph has run (it is null outside of one), so that each run draws anew.
#include "numbers.cuh"
#include "philox.cuh"

// Grid: x over groups of four numbers.
template <typename T>
__global__ void dropout_mask(T* __restrict__ mask, const unsigned long long* __restrict__ replay, unsigned long long key,
                             float p, double kept, long long count) {
    const unsigned long long high = replay ? *replay : 0;
    const long long step = (long long)gridDim.x * blockDim.x;
    for (long long four = (long long)blockIdx.x * blockDim.x + threadIdx.x; four * 4 < count; four += step) {
        const Words words = philox(four, high, key);
        for (int i = 0; i < 4; i++)
            if (four * 4 + i < count) mask[four * 4 + i] = as_fraction(words.w[i]) < p ? T(0.0f) : T(kept);
    }
}

// The words themselves, for whoever wants to check the generator: counters (n, 2), words (n, 4).
template <typename T>
__global__ void philox_words(const T* __restrict__ counters, unsigned* __restrict__ words, T key, int count) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    const Words four = philox(counters[2 * i], counters[2 * i + 1], key);
    for (int j = 0; j < 4; j++) words[4 * i + j] = four.w[j];
}
