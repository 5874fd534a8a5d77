// The number in which a sum is kept: float for __half, otherwise the type itself.
#include <cuda_fp16.h>

template <typename T> struct Wide { using type = T; };
template <> struct Wide<__half> { using type = float; };
template <typename T> using wide = typename Wide<T>::type;
