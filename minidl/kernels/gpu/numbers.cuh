// The number in which a sum is kept: float for __half, otherwise the type itself.
#include <cuda_fp16.h>

template <typename T> struct Wide { using type = T; };
template <> struct Wide<__half> { using type = float; };
template <typename T> using wide = typename Wide<T>::type;

// NVRTC has no INFINITY.
template <typename V> __device__ inline V infinity() { return V(__int_as_float(0x7f800000)); }
