// y ← x rounded to bfloat16, the upper half of a float; a tie goes to the even one. Grid: x over numbers.
#include <cuda_bf16.h>

template <typename T> __global__ void to_bfloat16(const T* __restrict__ x, unsigned short* __restrict__ y, long long count) {
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += (long long)gridDim.x * blockDim.x)
        y[i] = __bfloat16_as_ushort(__nv_bfloat16(x[i]));
}
