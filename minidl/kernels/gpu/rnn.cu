// The plain recurrent network: h[t] = tanh(a[t] + W h[t−1]), or max(·, 0).
//
//     backwards:  ga[t] = (gy[t] + gh) ⊙ (1 − h[t]²), or where h[t] > 0;   gh = ga[t] W
#include "recurrent.cuh"

// Grid of both: x over rows of the batch; a thread for each unit, in whole warps. wt is W transposed.
template <typename T>
__global__ void rnn_steps(T* __restrict__ a, const T* __restrict__ h0, const T* __restrict__ wt, const int* __restrict__ counts,
                          int steps, int N, int H, int reverse, int relu) {
    __shared__ wide<T> h[UNITS];
    const int row = blockIdx.x, j = threadIdx.x;
    if (j < H) h[j] = wide<T>(h0[(long long)row * H + j]);
    for (int n = 0; n < steps; n++) {
        const int t = step_at(n, steps, reverse);
        const long long at = ((long long)t * N + row) * H + j;
        const bool takes_part = row < counts[t];
        wide<T> sum = 0;
        __syncthreads();
        if (j < H && takes_part) {
            sum = wide<T>(a[at]);
            add_products<1, T>(&sum, h, wt, H, H, H, j);
            sum = relu ? (sum > 0 || isnan(sum) ? sum : wide<T>(0)) : tanh(sum);
        } else if (j < H) {
            sum = h[j];
        }
        __syncthreads();
        if (j < H) a[at] = T(sum), h[j] = wide<T>(T(sum));
    }
}

template <typename T>
__global__ void rnn_gradient(const T* __restrict__ gy, const T* __restrict__ gh, const T* __restrict__ states,
                             const T* __restrict__ w, T* __restrict__ ga, T* __restrict__ gh0, const int* __restrict__ counts,
                             int steps, int N, int H, int reverse, int relu) {
    __shared__ wide<T> g[UNITS];
    const int row = blockIdx.x, j = threadIdx.x;
    wide<T> e = j < H ? wide<T>(gh[(long long)row * H + j]) : wide<T>(0);
    for (int n = 0; n < steps; n++) {
        const int t = step_at(n, steps, !reverse);
        const long long at = ((long long)t * N + row) * H + j;
        const bool takes_part = row < counts[t];
        if (j < H) {
            const wide<T> h = wide<T>(states[at]), slope = relu ? (h > 0 ? wide<T>(1) : wide<T>(0)) : 1 - h * h;
            g[j] = takes_part ? (e + wide<T>(gy[at])) * slope : wide<T>(0);
            ga[at] = T(g[j]);
        }
        __syncthreads();
        if (j < H && takes_part) {
            e = 0;
            add_products<1, T>(&e, g, w, H, H, H, j);
        }
        __syncthreads();
    }
    if (j < H) gh0[(long long)row * H + j] = T(e);
}
