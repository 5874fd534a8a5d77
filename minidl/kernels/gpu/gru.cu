// Gated recurrent units: r, z = σ(a[t] + W h[t−1] + b), h[t] = n + z ⊙ (h[t−1] − n), and the candidate
//
//     AFTER     n = tanh(a[t] + r ⊙ q),       q = W_n h[t−1] + b_n      (the reset comes after the product)
//     before    n = tanh(a[t] + W_n q + b_n), q = r ⊙ h[t−1]
//
// Backwards, with e = gy[t] + gh: gn = e (1−z)(1−n²), gz = e (h[t−1] − n) z(1−z), and gr r(1−r) with gr = gn q, or
// (gn W_n) h[t−1]. The state before gets e z, what r and z send through W, and (gn r) W_n, or (gn W_n) r.
#include "recurrent.cuh"

// Grid of both: x over rows of the batch; a thread for each unit, in whole warps. wt is W transposed, (H, 3H).
template <typename T, bool AFTER>
__global__ void gru_steps(T* __restrict__ a, const T* __restrict__ h0, const T* __restrict__ wt, const T* __restrict__ b,
                          T* __restrict__ states, T* __restrict__ q, const int* __restrict__ counts, int steps, int N, int H,
                          int reverse) {
    __shared__ wide<T> h[UNITS];
    __shared__ wide<T> gated[UNITS];
    const int row = blockIdx.x, j = threadIdx.x;
    if (j < H) h[j] = wide<T>(h0[(long long)row * H + j]);
    for (int n = 0; n < steps; n++) {
        const int t = step_at(n, steps, reverse);
        const long long at = ((long long)t * N + row) * H + j, gates = ((long long)t * N + row) * 3 * H + j;
        const bool takes_part = row < counts[t];
        wide<T> s[3] = {}, kept = 0, out = 0;
        __syncthreads();
        if (j < H) out = h[j];
        if (j < H && takes_part) {
            for (int g = 0; g < 2; g++) s[g] = wide<T>(a[gates + g * H]) + wide<T>(b[g * H + j]);
            s[2] = wide<T>(b[2 * H + j]);
            add_products<AFTER ? 3 : 2, T>(s, h, wt, H, 3 * H, H, j);
            s[0] = sigmoid(s[0]), s[1] = sigmoid(s[1]);
            kept = AFTER ? s[2] : s[0] * out;
            gated[j] = kept;
        }
        __syncthreads();
        if (j < H && takes_part) {
            if (AFTER) s[2] = s[0] * kept;
            else add_products<1, T>(&s[2], gated, wt + 2 * H, H, 3 * H, H, j);
            s[2] = tanh(wide<T>(a[gates + 2 * H]) + s[2]);
            out = s[2] + s[1] * (out - s[2]);
        }
        if (j < H) {
            for (int g = 0; g < 3; g++) a[gates + g * H] = T(s[g]);
            states[at] = T(out);
            q[at] = T(kept);
            h[j] = wide<T>(T(out));
        }
    }
}

template <typename T, bool AFTER>
__global__ void gru_gradient(const T* __restrict__ gy, const T* __restrict__ gh, const T* __restrict__ h0,
                             const T* __restrict__ gates, const T* __restrict__ states, const T* __restrict__ q,
                             const T* __restrict__ w, T* __restrict__ ga, T* __restrict__ gn, T* __restrict__ gh0,
                             const int* __restrict__ counts, int steps, int N, int H, int reverse) {
    __shared__ wide<T> sums[3 * UNITS];  // what r, z and the product of the candidate get
    const int row = blockIdx.x, j = threadIdx.x;
    const long long own = (long long)row * H + j;
    wide<T> e = j < H ? wide<T>(gh[own]) : wide<T>(0);
    for (int n = 0; n < steps; n++) {
        const int t = step_at(n, steps, !reverse), before = n + 1 < steps ? step_at(n + 1, steps, !reverse) : -1;
        const long long at = ((long long)t * N + row) * H + j, first = ((long long)t * N + row) * 3 * H + j;
        const bool takes_part = row < counts[t];
        wide<T> r = 0, h = 0, straight = 0, candidate = 0;
        if (j < H) {
            sums[j] = sums[H + j] = sums[2 * H + j] = 0;
            if (takes_part) {
                const wide<T> z = wide<T>(gates[first + H]), c = wide<T>(gates[first + 2 * H]);
                r = wide<T>(gates[first]);
                h = wide<T>(before < 0 ? h0[own] : states[((long long)before * N + row) * H + j]);
                e += wide<T>(gy[at]);
                straight = e * z;
                candidate = e * (1 - z) * (1 - c * c);
                sums[H + j] = e * (h - c) * z * (1 - z);
                sums[2 * H + j] = AFTER ? candidate * r : candidate;
                if (AFTER) sums[j] = candidate * wide<T>(q[at]) * r * (1 - r);
            }
            gn[at] = T(candidate);
        }
        __syncthreads();
        if (!AFTER) {
            if (j < H && takes_part) {
                wide<T> through = 0;
                add_products<1, T>(&through, sums + 2 * H, w + 2ll * H * H, H, H, H, j);
                sums[j] = through * h * r * (1 - r);
                straight += through * r;
            }
            __syncthreads();
        }
        if (j < H) {
            for (int k = 0; k < 3; k++) ga[first + k * H] = T(sums[k * H + j]);
            if (takes_part) {
                e = straight;
                add_products<1, T>(&e, sums, w, AFTER ? 3 * H : 2 * H, H, H, j);
            }
        }
        __syncthreads();
    }
    if (j < H) gh0[own] = T(e);
}
