// What a .cu file sees when g++ compiles it: CUDA C++ as far as our kernels use it, on one CPU thread.
// Every CUDA thread of a block is a fiber of its own; runtime.cpp switches between them at barriers and shuffles.
#pragma once
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#define EMULATED 1
#define __global__ static
#define __device__ static
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __restrict__ __restrict
#define warpSize 32

struct uint3 { unsigned x, y, z; };
struct dim3 { unsigned x, y, z; };

extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;

// ── half precision: the cuda_fp16.h of this machine ──
struct __half {
    _Float16 value;
    __half() = default;
    __half(float f) : value(static_cast<_Float16>(f)) {}
    __half(double f) : value(static_cast<_Float16>(f)) {}
    operator float() const { return static_cast<float>(value); }
};

// ── bfloat16, the upper half of a float, rounded to even: the cuda_bf16.h of this machine ──
struct __nv_bfloat16 {
    uint16_t bits;
    __nv_bfloat16() = default;
    __nv_bfloat16(float f) {
        uint32_t all;
        std::memcpy(&all, &f, 4);
        const bool is_nan = (all & 0x7fffffff) > 0x7f800000;
        bits = is_nan ? 0x7fff : static_cast<uint16_t>((all + 0x7fff + (all >> 16 & 1)) >> 16);
    }
    operator float() const {
        const uint32_t all = uint32_t(bits) << 16;
        float f;
        std::memcpy(&f, &all, 4);
        return f;
    }
};
static inline unsigned short __bfloat16_as_ushort(__nv_bfloat16 x) { return x.bits; }

// ── barriers, shuffles, shared memory ──
namespace emulator {
void block_barrier(int line);
// Every lane of the mask brings `size` bytes; returns where those of lane 0, 1, … lie, `stride` bytes apart.
const unsigned char* exchange(unsigned mask, const void* bytes, size_t size, int line);
constexpr size_t stride = 64;
int lane();
void* shared_bytes(size_t size, int line);  // the same for all threads of a block, full of 0xFF at its start

template <typename A> A& shared(int line) { return *static_cast<A*>(shared_bytes(sizeof(A), line)); }

template <typename V> V from_lane(unsigned mask, V v, int source, int line) {
    static_assert(sizeof(V) <= stride, "");
    const unsigned char* all = exchange(mask, &v, sizeof v, line);
    if (source < 0 || source > 31) source = lane();
    V result;
    std::memcpy(&result, all + source * stride, sizeof result);
    return result;
}

// The tensor core instruction of mma.cuh by the layouts that the PTX ISA prints for m16n8k8: lane = 4·group + member.
inline float factor(__half x) { return x; }
inline float factor(__nv_bfloat16 x) { return x; }
inline float factor(float x) {  // tf32: the fraction rounded to 10 bits
    uint32_t bits;
    std::memcpy(&bits, &x, 4);
    bits = (bits + 0x1000) & 0xffffe000;
    std::memcpy(&x, &bits, 4);
    return x;
}

template <typename V> struct Fragments { V a[4], b[2]; };

template <typename V> void multiply_16x8x8(float* d, const V* a, const V* b, int line) {
    Fragments<V> mine;
    std::memcpy(mine.a, a, sizeof mine.a);
    std::memcpy(mine.b, b, sizeof mine.b);
    const unsigned char* all = exchange(0xffffffffu, &mine, sizeof mine, line);
    Fragments<V> of[32];
    for (int l = 0; l < 32; l++) std::memcpy(&of[l], all + l * stride, sizeof mine);
    const int group = lane() / 4, member = lane() % 4;
    for (int e = 0; e < 4; e++) {
        const int row = group + (e >= 2 ? 8 : 0), column = member * 2 + e % 2;
        float sum = d[e];
        for (int k = 0; k < 8; k++) {
            V left, right;
            if constexpr (sizeof(V) == 4) {  // tf32: a0 (g, m), a1 (g+8, m), a2 (g, m+4), a3 (g+8, m+4); b0 (m, g), b1 (m+4, g)
                left = of[(row % 8) * 4 + k % 4].a[(k / 4) * 2 + row / 8];
                right = of[column * 4 + k % 4].b[k / 4];
            } else {  // 16 bits: a0 a1 (g, 2m + 0 1), a2 a3 (g+8, 2m + 0 1); b0 b1 (2m + 0 1, g)
                left = of[(row % 8) * 4 + k / 2].a[(row / 8) * 2 + k % 2];
                right = of[column * 4 + k / 2].b[k % 2];
            }
            sum += factor(left) * factor(right);
        }
        d[e] = sum;
    }
}

// A kernel called with its arguments in memory.
template <auto K> struct Entry;
template <typename... A, void (*K)(A...)> struct Entry<K> {
    template <size_t... I> static void call(void** p, std::index_sequence<I...>) { K(*static_cast<std::decay_t<A>*>(p[I])...); }
    static void run(void** p) { call(p, std::index_sequence_for<A...>{}); }
    static size_t size(int n) {
        const size_t sizes[] = {sizeof(A)...};
        return sizes[n];
    }
};
}  // namespace emulator

#define __syncthreads() emulator::block_barrier(__LINE__)
#define __syncwarp() ((void)emulator::exchange(0xffffffffu, "", 1, __LINE__))
#define __shfl_sync(mask, v, from) emulator::from_lane((mask), (v), (from) & 31, __LINE__)
#define __shfl_xor_sync(mask, v, bits) emulator::from_lane((mask), (v), emulator::lane() ^ (bits), __LINE__)
#define __shfl_down_sync(mask, v, by) emulator::from_lane((mask), (v), emulator::lane() + (int)(by), __LINE__)
#define __shfl_up_sync(mask, v, by) emulator::from_lane((mask), (v), emulator::lane() - (int)(by), __LINE__)

// ── functions of CUDA that C++ lacks ──
static inline unsigned __umulhi(unsigned a, unsigned b) { return static_cast<unsigned>((uint64_t(a) * b) >> 32); }
static inline unsigned __float_as_uint(float f) { unsigned u; std::memcpy(&u, &f, 4); return u; }
static inline float __uint_as_float(unsigned u) { float f; std::memcpy(&f, &u, 4); return f; }
static inline float __int_as_float(int i) { float f; std::memcpy(&f, &i, 4); return f; }
static inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
static inline double rsqrt(double x) { return 1.0 / std::sqrt(x); }
static inline float rsqrt(float x) { return 1.0f / std::sqrt(x); }
template <typename V> static inline V min(V a, V b) { return b < a ? b : a; }
template <typename V> static inline V max(V a, V b) { return a < b ? b : a; }
using std::exp;
using std::log;
using std::sqrt;
using std::tanh;
using std::isnan;
using std::fmax;
using std::expm1;
using std::log1p;
