// A long sum is cut into slices that blocks add up side by side; this adds the slices, in order.
//
//     y[i] = Σ_s parts[s, i]
#include "numbers.cuh"

template <typename T>
__global__ void add_slices(const wide<T>* __restrict__ parts, T* __restrict__ y, int slices, long long count) {
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += (long long)gridDim.x * blockDim.x) {
        wide<T> sum = 0;
        for (int s = 0; s < slices; s++) sum += parts[s * count + i];
        y[i] = T(sum);
    }
}
