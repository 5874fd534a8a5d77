// The instruction of the tensor cores: a warp adds a 16×8 by 8×8 product to a 16×8 tile, d += a · b.
//
// With lane = 4·g + m, a lane holds of a, b and d (PTX ISA, "Matrix Fragments for mma.m16n8k8"):
//
//     float (tf32)   a: (g, m) (g+8, m) (g, m+4) (g+8, m+4)               b: (m, g) (m+4, g)
//     16 bits        a: (g, 2m) (g, 2m+1) (g+8, 2m) (g+8, 2m+1)           b: (2m, g) (2m+1, g)
//     all            d: (g, 2m) (g, 2m+1) (g+8, 2m) (g+8, 2m+1)
//
// tf32 keeps 10 bits of each factor's fraction and __nv_bfloat16 7; both need compute 8.0, __half needs 7.5. Sums are float.
#include <cuda_bf16.h>

#ifdef EMULATED
#define multiply_16x8x8(d, a, b) emulator::multiply_16x8x8(d, a, b, __LINE__)
#else
__device__ inline unsigned as_tf32(float x) {
    unsigned bits = 0;
#if __CUDA_ARCH__ >= 800
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(x));
#endif
    return bits;
}

__device__ inline unsigned as_pair(__half low, __half high) {
    return (unsigned)__half_as_ushort(high) << 16 | __half_as_ushort(low);
}

__device__ inline void multiply_16x8x8(float* d, const float* a, const float* b) {
#if __CUDA_ARCH__ >= 800
    asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(as_tf32(a[0])), "r"(as_tf32(a[1])), "r"(as_tf32(a[2])), "r"(as_tf32(a[3])), "r"(as_tf32(b[0])),
          "r"(as_tf32(b[1])));
#else
    __trap();  // the launcher's side asks for tf32 only where there is some
#endif
}

__device__ inline void multiply_16x8x8(float* d, const __half* a, const __half* b) {
    asm("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(as_pair(a[0], a[1])), "r"(as_pair(a[2], a[3])), "r"(as_pair(b[0], b[1])));
}

__device__ inline unsigned as_pair(__nv_bfloat16 low, __nv_bfloat16 high) {
    return (unsigned)__bfloat16_as_ushort(high) << 16 | __bfloat16_as_ushort(low);
}

__device__ inline void multiply_16x8x8(float* d, const __nv_bfloat16* a, const __nv_bfloat16* b) {
#if __CUDA_ARCH__ >= 800
    asm("mma.sync.aligned.m16n8k8.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(as_pair(a[0], a[1])), "r"(as_pair(a[2], a[3])), "r"(as_pair(b[0], b[1])));
#else
    __trap();  // as above
#endif
}
#endif

// Which of the 8 steps along k the lane's n-th number of a row of a, or of a column of b, belongs to.
template <typename T> __device__ inline int step_of(int n, int member) { return sizeof(T) == 4 ? member + 4 * n : 2 * member + n; }

// Adds left (8 steps × 16 rows) times right (8 steps × 8 columns) to d; `stride` numbers lie between two steps.
template <typename T>
__device__ inline void multiply_tile(float* d, const T* left, int left_stride, const T* right, int right_stride, int lane) {
    const int g = lane / 4, m = lane % 4;
    T a[4], b[2];
    for (int n = 0; n < 2; n++) {
        const int k = step_of<T>(n, m);
        for (int half = 0; half < 2; half++) a[sizeof(T) == 4 ? 2 * n + half : 2 * half + n] = left[k * left_stride + g + 8 * half];
        b[n] = right[k * right_stride + g];
    }
    multiply_16x8x8(d, a, b);
}
