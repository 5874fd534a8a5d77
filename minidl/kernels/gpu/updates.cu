// One step of SGD, Adam and AdamW, each number read and written once. With g' = sign·g + decay·p:
//
//     SGD    b ← momentum·b + fresh·g';   p ← p − lr·b,   or with Nesterov p − lr·(g' + momentum·b), or without b p − lr·g'
//     Adam   m ← m + (1 − β₁)(g' − m);   v ← β₂v + (1 − β₂)g'²;   p ← shrink·p − rate·m/(√v/correction + ε)
//
// rate = α/(1 − β₁ᵗ) and correction = √(1 − β₂ᵗ); shrink = 1 − αλ and no decay is AdamW. With amsgrad the largest v so
// far stands in the place of v.
//
// In a captured graph the numbers of a step stand in memory, in the order of the struct: `kept`, else null.

struct Sgd {
    double lr, momentum, fresh, decay, sign, nesterov;
};

struct Adam {
    double rate, correction, beta1, beta2, eps, decay, shrink, sign;
};

__device__ inline Sgd numbers(const double* n, const Sgd& given) { return n ? Sgd{n[0], n[1], n[2], n[3], n[4], n[5]} : given; }

__device__ inline Adam numbers(const double* n, const Adam& given) {
    return n ? Adam{n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7]} : given;
}

// Grid of both: x over numbers. `b` is null without momentum, `largest` without amsgrad.
template <typename T>
__global__ void sgd(T* __restrict__ p, const T* __restrict__ gradient, T* __restrict__ b, Sgd given,
                    const double* __restrict__ kept, long long count) {
    const Sgd s = numbers(kept, given);
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += (long long)gridDim.x * blockDim.x) {
        T g = T(s.sign) * gradient[i] + T(s.decay) * p[i];
        if (b) {
            const T moved = T(s.momentum) * b[i] + T(s.fresh) * g;
            b[i] = moved;
            g = s.nesterov ? g + T(s.momentum) * moved : moved;
        }
        p[i] -= T(s.lr) * g;
    }
}

template <typename T>
__global__ void adam(T* __restrict__ p, const T* __restrict__ gradient, T* __restrict__ m, T* __restrict__ v,
                     T* __restrict__ largest, Adam given, const double* __restrict__ kept, long long count) {
    const Adam s = numbers(kept, given);
    const T new1 = T(1.0 - s.beta1), new2 = T(1.0 - s.beta2);
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += (long long)gridDim.x * blockDim.x) {
        const T g = T(s.sign) * gradient[i] + T(s.decay) * p[i];
        const T mean = m[i] + new1 * (g - m[i]), square = T(s.beta2) * v[i] + new2 * g * g;
        m[i] = mean;
        v[i] = square;
        T most = square;
        if (largest) most = largest[i] > square ? largest[i] : square, largest[i] = most;
        p[i] = T(s.shrink) * p[i] - T(s.rate) * mean / (sqrt(most) / T(s.correction) + T(s.eps));
    }
}
