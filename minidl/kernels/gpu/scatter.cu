// Rows added to the rows of a table that their labels name: y[k[i]] += x[i], where labels repeat.
//
//     y[j] = Σ over the i with k[i] = j of x[i],  in the order of i
//
// The rows come sorted by label: row order[s] for s = starts[j] … starts[j + 1] − 1 belongs to the j-th label there is.
// A thread owns one number of y, so no two add to the same place.
#include "numbers.cuh"

// Grid: y over the labels that occur, x over the columns.
template <typename T>
__global__ void add_runs(const T* __restrict__ x, const long long* __restrict__ order, const long long* __restrict__ labels,
                         const long long* __restrict__ starts, T* __restrict__ y, long long runs, long long rows,
                         int columns) {
    const int c = blockIdx.x * blockDim.x + threadIdx.x;
    if (c >= columns) return;
    for (long long run = blockIdx.y; run < runs; run += gridDim.y) {
        const long long first = starts[run], last = run + 1 < runs ? starts[run + 1] : rows;
        const long long to = labels[order[first]] * columns + c;
        wide<T> sum = wide<T>(y[to]);
        for (long long s = first; s < last; s++) sum += wide<T>(x[order[s] * columns + c]);
        y[to] = T(sum);
    }
}
