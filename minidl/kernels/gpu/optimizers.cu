// One step of SGD, Adam and AdamW, each number read and written once. λ weight decay, α rate.
//
//     SGD     g ← ±g + λp;  b ← μb + fresh·g;  g ← g + μb (nesterov) or b;  p ← p − αg
//     Adam    g ← ±g + λp;  m ← m + (1 − β₁)(g − m);  v ← β₂v + (1 − β₂)g²;  p ← p − α/(1 − β₁ᵗ) · m / (√v/√(1 − β₂ᵗ) + ε)
//     AdamW   p ← (1 − αλ)p, then Adam without λ;      amsgrad: √(the largest v so far) in place of √v
//
// t stands in memory of the GPU, so that a captured graph can count on.

struct Sgd {
    double lr, momentum, fresh, weight_decay;
    int nesterov, maximize;
};

struct Adam {
    double lr, beta1, beta2, eps, weight_decay;
    int decoupled, maximize;
};

// Grid of both: x over numbers. `b` is null without momentum.
template <typename T>
__global__ void sgd(T* __restrict__ p, const T* __restrict__ gradient, T* __restrict__ b, Sgd s, long long count) {
    const T lr = T(s.lr), momentum = T(s.momentum), fresh = T(s.fresh), decay = T(s.weight_decay);
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += (long long)gridDim.x * blockDim.x) {
        T g = s.maximize ? -gradient[i] : gradient[i];
        g += decay * p[i];
        if (b) {
            const T kept = momentum * b[i] + fresh * g;
            b[i] = kept;
            g = s.nesterov ? g + momentum * kept : kept;
        }
        p[i] -= lr * g;
    }
}

// `largest` is null without amsgrad.
template <typename T>
__global__ void adam(T* __restrict__ p, const T* __restrict__ gradient, T* __restrict__ m, T* __restrict__ v,
                     T* __restrict__ largest, const long long* __restrict__ t, Adam s, long long count) {
    const double steps = double(*t);
    const T rate = T(s.lr / (1.0 - pow(s.beta1, steps))), correction = T(sqrt(1.0 - pow(s.beta2, steps)));
    const T beta2 = T(s.beta2), new1 = T(1.0 - s.beta1), new2 = T(1.0 - s.beta2), eps = T(s.eps);
    const T decay = T(s.weight_decay), shrink = s.decoupled ? T(1.0 - s.lr * s.weight_decay) : T(1);
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += (long long)gridDim.x * blockDim.x) {
        T g = s.maximize ? -gradient[i] : gradient[i];
        if (!s.decoupled) g += decay * p[i];
        const T mean = m[i] + new1 * (g - m[i]), square = beta2 * v[i] + new2 * g * g;
        T most = square;
        if (largest) most = largest[i] > square ? largest[i] : square, largest[i] = most;
        m[i] = mean;
        v[i] = square;
        p[i] = shrink * p[i] - rate * mean / (sqrt(most) / correction + eps);
    }
}

// n ← n + 1, for numbers that count steps.
template <typename T> __global__ void count_on(T* n) { *n += 1; }
