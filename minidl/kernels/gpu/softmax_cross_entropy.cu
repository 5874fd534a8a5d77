// The loss of a classifier over rows of scores x (N, K) with labels c, and its gradient.
//
//     y[n] = ln Σ − (x[n, c] − m),   Σ = Σ_k e^(x[n, k] − m),   m = max_k x[n, k]
//     gx[n, k] = (e^(x[n, k] − m) / Σ − [k = c]) · gy[n]
//
// A block owns a row. With __half, y and Σ are float. A label that is no class gives nan, and reads nothing.
#include "numbers.cuh"
#include "reduce.cuh"

// Grid of both: x over rows; 128 threads.
template <typename T>
__global__ void softmax_cross_entropy(const T* __restrict__ x, const long long* __restrict__ labels,
                                      wide<T>* __restrict__ y, T* __restrict__ shift, wide<T>* __restrict__ total,
                                      long long rows, int K) {
    __shared__ wide<T> partial[4];
    for (long long row = blockIdx.x; row < rows; row += gridDim.x) {
        const T* scores = x + row * K;
        wide<T> most = wide<T>(scores[0]), sum = 0;
        for (int k = threadIdx.x; k < K; k += blockDim.x) most = larger(most, wide<T>(scores[k]));
        most = block_max(most, partial);
        for (int k = threadIdx.x; k < K; k += blockDim.x) sum += exp(wide<T>(scores[k]) - most);
        sum = block_sum(sum, partial);
        if (threadIdx.x == 0) {
            const long long label = labels[row];
            const bool is_class = 0 <= label && label < K;
            y[row] = is_class ? log(sum) - (wide<T>(scores[label]) - most) : wide<T>(nanf(""));
            shift[row] = T(most);
            total[row] = sum;
        }
    }
}

template <typename T>
__global__ void softmax_cross_entropy_gradient(const T* __restrict__ gy, const T* __restrict__ x,
                                               const long long* __restrict__ labels, const T* __restrict__ shift,
                                               const wide<T>* __restrict__ total, T* __restrict__ gx, long long rows,
                                               int K) {
    for (long long row = blockIdx.x; row < rows; row += gridDim.x) {
        const wide<T> g = wide<T>(gy[row]), most = wide<T>(shift[row]), sum = total[row];
        for (int k = threadIdx.x; k < K; k += blockDim.x) {
            const wide<T> p = exp(wide<T>(x[row * K + k]) - most) / sum;
            gx[row * K + k] = T((p - (k == labels[row] ? wide<T>(1) : wide<T>(0))) * g);
        }
    }
}
