// Sums and maxima over a block, the same for all of its threads and in the same order every time.

template <typename V> __device__ inline V warp_sum(V v) {
    for (int by = 16; by; by /= 2) v += __shfl_xor_sync(0xffffffffu, v, by);
    return v;
}

template <typename V> __device__ inline V larger(V a, V b) { return b > a || isnan(b) ? b : a; }  // a nan wins

template <typename V> __device__ inline V warp_max(V v) {
    for (int by = 16; by; by /= 2) v = larger(v, __shfl_xor_sync(0xffffffffu, v, by));
    return v;
}

// `partial` is shared, one number a warp; blocks are whole warps. All threads must call, and may use `partial` afterwards.
template <typename V> __device__ inline V block_sum(V v, V* partial) {
    const int t = threadIdx.x, warps = blockDim.x / 32;
    v = warp_sum(v);
    __syncthreads();
    if (t % 32 == 0) partial[t / 32] = v;
    __syncthreads();
    V sum = partial[0];
    for (int w = 1; w < warps; w++) sum += partial[w];
    return sum;
}

template <typename V> __device__ inline V block_max(V v, V* partial) {
    const int t = threadIdx.x, warps = blockDim.x / 32;
    v = warp_max(v);
    __syncthreads();
    if (t % 32 == 0) partial[t / 32] = v;
    __syncthreads();
    V most = partial[0];
    for (int w = 1; w < warps; w++) most = larger(most, partial[w]);
    return most;
}
