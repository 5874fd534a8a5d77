// Philox 4x32-10: four random 32-bit words for every counter and key, by ten rounds of multiplication.
//
// A counter-based generator has no state: word i of a stream is a function of i, so that any number of threads, in
// blocks of any size, draws the same stream.
//
// Source: Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
struct Words {
    unsigned w[4];
};

__device__ inline Words philox(unsigned long long counter_low, unsigned long long counter_high, unsigned long long key) {
    unsigned c0 = unsigned(counter_low), c1 = unsigned(counter_low >> 32);
    unsigned c2 = unsigned(counter_high), c3 = unsigned(counter_high >> 32);
    unsigned k0 = unsigned(key), k1 = unsigned(key >> 32);
    for (int round = 0; round < 10; round++) {
        const unsigned low0 = 0xD2511F53u * c0, high0 = __umulhi(0xD2511F53u, c0);
        const unsigned low1 = 0xCD9E8D57u * c2, high1 = __umulhi(0xCD9E8D57u, c2);
        c0 = high1 ^ c1 ^ k0;
        c1 = low1;
        c2 = high0 ^ c3 ^ k1;
        c3 = low0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return {{c0, c1, c2, c3}};
}

// A word as a number of [0, 1), by its upper 24 bits: exact in float.
__device__ inline float as_fraction(unsigned word) { return float(word >> 8) * (1.0f / 16777216.0f); }
