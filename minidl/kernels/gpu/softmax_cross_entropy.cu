// The loss of a classifier over rows of scores x (N, K) with labels c, and its gradient, in one pass.
//
//     loss[n] = ln Σ_k e^(x[n, k] − m) − (x[n, c] − m),  m = max_k x[n, k]          gx[n, k] = softmax(x[n])_k − [k = c]
//
// A block owns a row. With __half, sums and the loss before rounding are float.
#include "numbers.cuh"
#include "reduce.cuh"

// Grid: x over rows; 128 threads. `losses` are wide, so that their mean is made before rounding.
template <typename T>
__global__ void softmax_cross_entropy(const T* __restrict__ x, const long long* __restrict__ labels,
                                      wide<T>* __restrict__ losses, T* __restrict__ gx, long long rows, int K) {
    __shared__ wide<T> partial[4];
    for (long long row = blockIdx.x; row < rows; row += gridDim.x) {
        const T* scores = x + row * K;
        wide<T> most = wide<T>(scores[0]), sum = 0;
        for (int k = threadIdx.x; k < K; k += blockDim.x) most = larger(most, wide<T>(scores[k]));
        most = block_max(most, partial);
        for (int k = threadIdx.x; k < K; k += blockDim.x) sum += exp(wide<T>(scores[k]) - most);
        sum = block_sum(sum, partial);
        const long long label = labels[row];
        for (int k = threadIdx.x; k < K; k += blockDim.x)
            gx[row * K + k] = T(exp(wide<T>(scores[k]) - most) / sum - (k == label ? wide<T>(1) : wide<T>(0)));
        if (threadIdx.x == 0) losses[row] = log(sum) - (wide<T>(scores[label]) - most);
    }
}
