// Long short-term memory, the gates i, f, g, o in this order: i, f, o = σ(a[t] + W h[t−1]), g = tanh(a[t] + W h[t−1]),
//
//     c[t] = f ⊙ c[t−1] + i ⊙ g        h[t] = o ⊙ tanh c[t]
//
// Backwards, with e = gy[t] + gh and d = gc + e o (1 − tanh² c):
//
//     ga = [d g i(1−i), d c[t−1] f(1−f), d i (1−g²), e tanh(c) o(1−o)],   gh = ga W,   gc = d f
#include "recurrent.cuh"

// Grid of both: x over rows of the batch; a thread for each unit, in whole warps. wt is W transposed, (H, 4H).
template <typename T>
__global__ void lstm_steps(T* __restrict__ a, const T* __restrict__ h0, const T* __restrict__ c0, const T* __restrict__ wt,
                           T* __restrict__ states, T* __restrict__ cells, T* __restrict__ squashed,
                           const int* __restrict__ counts, int steps, int N, int H, int reverse) {
    __shared__ wide<T> h[UNITS];
    const int row = blockIdx.x, j = threadIdx.x;
    const long long own = (long long)row * H + j;
    wide<T> c = j < H ? wide<T>(c0[own]) : wide<T>(0);
    if (j < H) h[j] = wide<T>(h0[own]);
    for (int n = 0; n < steps; n++) {
        const int t = step_at(n, steps, reverse);
        const long long at = ((long long)t * N + row) * H + j, gates = ((long long)t * N + row) * 4 * H + j;
        wide<T> s[4] = {}, thc = 0, out = 0;
        __syncthreads();
        if (j < H) out = h[j];
        if (j < H && row < counts[t]) {
            for (int g = 0; g < 4; g++) s[g] = wide<T>(a[gates + g * H]);
            add_products<4, T>(s, h, wt, H, 4 * H, H, j);
            s[0] = sigmoid(s[0]), s[1] = sigmoid(s[1]), s[2] = tanh(s[2]), s[3] = sigmoid(s[3]);
            c = s[1] * c + s[0] * s[2];
            thc = tanh(c);
            out = s[3] * thc;
        }
        __syncthreads();
        if (j < H) {
            for (int g = 0; g < 4; g++) a[gates + g * H] = T(s[g]);
            states[at] = T(out);
            cells[at] = T(c);
            squashed[at] = T(thc);
            h[j] = wide<T>(T(out));
        }
    }
}

template <typename T>
__global__ void lstm_gradient(const T* __restrict__ gy, const T* __restrict__ gh, const T* __restrict__ gc,
                              const T* __restrict__ c0, const T* __restrict__ gates, const T* __restrict__ cells,
                              const T* __restrict__ squashed, const T* __restrict__ w, T* __restrict__ ga,
                              T* __restrict__ gh0, T* __restrict__ gc0, const int* __restrict__ counts, int steps, int N,
                              int H, int reverse) {
    __shared__ wide<T> sums[4 * UNITS];
    const int row = blockIdx.x, j = threadIdx.x;
    const long long own = (long long)row * H + j;
    wide<T> e = j < H ? wide<T>(gh[own]) : wide<T>(0), d = j < H ? wide<T>(gc[own]) : wide<T>(0);
    for (int n = 0; n < steps; n++) {
        const int t = step_at(n, steps, !reverse), before = n + 1 < steps ? step_at(n + 1, steps, !reverse) : -1;
        const long long at = ((long long)t * N + row) * H + j, first = ((long long)t * N + row) * 4 * H + j;
        const bool takes_part = row < counts[t];
        if (j < H) {
            wide<T> s[4] = {};
            if (takes_part) {
                const wide<T> i = wide<T>(gates[first]), f = wide<T>(gates[first + H]), g = wide<T>(gates[first + 2 * H]);
                const wide<T> o = wide<T>(gates[first + 3 * H]), thc = wide<T>(squashed[at]);
                const wide<T> c = wide<T>(before < 0 ? c0[own] : cells[((long long)before * N + row) * H + j]);
                e += wide<T>(gy[at]);
                d += e * o * (1 - thc * thc);
                s[0] = d * g * i * (1 - i), s[1] = d * c * f * (1 - f), s[2] = d * i * (1 - g * g);
                s[3] = e * thc * o * (1 - o);
                d *= f;
            }
            for (int k = 0; k < 4; k++) sums[k * H + j] = s[k], ga[first + k * H] = T(s[k]);
        }
        __syncthreads();
        if (j < H && takes_part) {
            e = 0;
            add_products<1, T>(&e, sums, w, 4 * H, H, H, j);
        }
        __syncthreads();
    }
    if (j < H) gh0[own] = T(e), gc0[own] = T(d);
}
