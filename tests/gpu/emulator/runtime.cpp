// The machine under the emulator: fibers, barriers, warps, shared memory with guard zones, arrays between guard pages.
#include "cuda_on_cpu.h"

#include <csetjmp>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <sys/mman.h>
#include <unistd.h>
#include <vector>

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace {

enum State { READY, AT_BARRIER, IN_WARP, DONE };

struct Fiber {
    void* stack_pointer;
    char* stack;
    uint3 index;
    int number;
    State state;
    int line;
    unsigned mask;
    int exchanges;
};

constexpr size_t STACK = 64 << 10, SHARED_LIMIT = 48 << 10, ZONE = 64;

std::vector<Fiber> fibers;
Fiber* current;
void* scheduler_stack;
void (*kernel)(void**);
void** kernel_arguments;
bool with_fibers;
char message[512];
sigjmp_buf fault;

// ── fibers ──
#if defined(__x86_64__)
extern "C" void emulator_switch(void** save, void* load);
asm(R"(
.text
.globl emulator_switch
emulator_switch:
    push %rbp
    push %rbx
    push %r12
    push %r13
    push %r14
    push %r15
    mov %rsp, (%rdi)
    mov %rsi, %rsp
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbx
    pop %rbp
    ret
)");
constexpr int SAVED_WORDS = 6;
#else
#error "the fiber switch of the CUDA emulator is written for x86-64"
#endif

void to_scheduler() {
    Fiber* f = current;
    emulator_switch(&f->stack_pointer, scheduler_stack);
}

[[gnu::noinline]] void fiber_body() {
    kernel(kernel_arguments);
    current->state = DONE;
    for (;;) to_scheduler();
}

void prepare(Fiber& f) {
    if (!f.stack) f.stack = static_cast<char*>(aligned_alloc(64, STACK));
    void** top = reinterpret_cast<void**>(f.stack + STACK - 64);
    *--top = nullptr;
    *--top = reinterpret_cast<void*>(fiber_body);
    for (int i = 0; i < SAVED_WORDS; i++) *--top = nullptr;
    f.stack_pointer = top;
    f.state = READY;
    f.exchanges = 0;
}

[[noreturn]] void fail(const char* format, int a = 0, int b = 0, int c = 0, int d = 0) {
    char what[300];
    snprintf(what, sizeof what, format, a, b, c, d);
    snprintf(message, sizeof message, "block (%u, %u, %u): %s", blockIdx.x, blockIdx.y, blockIdx.z, what);
    siglongjmp(fault, 1);
}

// ── shared memory: an arena, every array between guard zones ──
struct Shared { int line; size_t size; size_t offset; };
std::vector<Shared> arrays;
alignas(64) unsigned char arena[SHARED_LIMIT * 2];
size_t arena_used, shared_total;

void reset_shared() {
    arrays.clear();
    arena_used = shared_total = 0;
    memset(arena, 0xFF, sizeof arena);
}

void check_shared() {
    for (const Shared& s : arrays) {
        const unsigned char* begin = arena + s.offset;
        for (size_t i = 0; i < ZONE; i++)
            if (begin[-1 - (long)i] != 0xFF || begin[s.size + i] != 0xFF)
                fail("a write past the shared array declared in line %d", s.line);
    }
}

// ── shuffles ──
unsigned char lanes[32][2][32][emulator::stride];

unsigned existing_lanes(int warp) {
    const int left = (int)fibers.size() - warp * 32;
    return left >= 32 ? 0xffffffffu : (1u << left) - 1;
}

// Lets the lanes go on whose whole mask has arrived; false where none could.
bool release(int warp) {
    const int first = warp * 32, last = min<int>(first + 32, fibers.size());
    for (int i = first; i < last; i++) {
        if (fibers[i].state != IN_WARP) continue;
        const unsigned wanted = fibers[i].mask & existing_lanes(warp);
        bool all = true;
        for (int j = first; j < last; j++) {
            if (!(wanted >> (j - first) & 1)) continue;
            all = all && fibers[j].state == IN_WARP && fibers[j].mask == fibers[i].mask;
            if (fibers[j].state == IN_WARP && fibers[j].line != fibers[i].line)
                fail("lanes of a warp meet at different shuffles, lines %d and %d", fibers[i].line, fibers[j].line);
        }
        if (!all) continue;
        for (int j = first; j < last; j++)
            if (wanted >> (j - first) & 1) fibers[j].state = READY;
        return true;
    }
    return false;
}

// Each warp runs as far as it can before the next one moves: what warps share without a barrier is then seen.
void run_warps(const std::vector<int>& order) {
    std::vector<std::vector<int>> warps;
    std::vector<int> place((fibers.size() + 31) / 32, -1);
    for (int i : order) {
        if (place[i / 32] < 0) {
            place[i / 32] = warps.size();
            warps.emplace_back();
        }
        warps[place[i / 32]].push_back(i);
    }
    for (const std::vector<int>& lanes_in_order : warps) {
        do {
            for (int i : lanes_in_order) {
                Fiber& f = fibers[i];
                if (f.state != READY) continue;
                current = &f;
                threadIdx = f.index;
                emulator_switch(&scheduler_stack, f.stack_pointer);
            }
        } while (release(lanes_in_order[0] / 32));
    }
}

// ── a block ──
void shuffle(std::vector<int>& order, unsigned seed) {
    uint64_t r = seed * 6364136223846793005ull + 1442695040888963407ull;
    for (int i = (int)order.size() - 1; i > 0; i--) {
        r = r * 6364136223846793005ull + 1442695040888963407ull;
        std::swap(order[i], order[(r >> 33) % (i + 1)]);
    }
}

// 0: forward, 1: backward, above: shuffled by that seed
std::vector<int> ordered(size_t count, unsigned order) {
    std::vector<int> numbers(count);
    for (size_t i = 0; i < count; i++) numbers[i] = order == 1 ? count - 1 - i : i;
    if (order > 1) shuffle(numbers, order);
    return numbers;
}

void run_block(const std::vector<int>& order) {
    reset_shared();
    if (!with_fibers) {
        for (int i : order) {
            current = &fibers[i];
            threadIdx = current->index;
            kernel(kernel_arguments);
        }
        return;
    }
    for (Fiber& f : fibers) prepare(f);
    for (;;) {
        run_warps(order);
        size_t done = 0, waiting = 0;
        int line = 0, other = 0;
        for (Fiber& f : fibers) {
            done += f.state == DONE;
            if (f.state != AT_BARRIER) continue;
            waiting++;
            if (line && f.line != line) other = f.line;
            else line = f.line;
        }
        check_shared();
        if (done == fibers.size()) return;
        if (other) fail("threads wait at different barriers, lines %d and %d", line, other);
        if (waiting != fibers.size())
            fail("divergent barrier: %d of %d threads finished, %d wait at line %d", done, fibers.size(), waiting, line);
        for (Fiber& f : fibers) f.state = READY;
    }
}

// ── faults: what the guard pages and the traps of the compiler raise ──
void on_fault(int signal, siginfo_t* info, void*) {
    const char* what = signal == SIGILL ? "an index outside its array, an integer overflow or a division by zero"
                                        : "a read or write outside the arrays (or a write to a const one)";
    snprintf(message, sizeof message, "block (%u, %u, %u), thread (%u, %u, %u): %s", blockIdx.x, blockIdx.y, blockIdx.z,
             threadIdx.x, threadIdx.y, threadIdx.z, what);
    siglongjmp(fault, 1);
}

const int SIGNALS[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE};
struct sigaction before[4];
char signal_stack[64 << 10];
stack_t stack_before;

void watch() {
    stack_t alternative{};
    alternative.ss_sp = signal_stack;
    alternative.ss_size = sizeof signal_stack;
    sigaltstack(&alternative, &stack_before);
    struct sigaction action{};
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
    for (int i = 0; i < 4; i++) sigaction(SIGNALS[i], &action, &before[i]);
}

void unwatch() {
    for (int i = 0; i < 4; i++) sigaction(SIGNALS[i], &before[i], nullptr);
    sigaltstack(&stack_before, nullptr);
}

}  // namespace

namespace emulator {

int lane() { return current->number % 32; }

void block_barrier(int line) {
    current->state = AT_BARRIER;
    current->line = line;
    to_scheduler();
}

const unsigned char* exchange(unsigned mask, const void* bytes, size_t size, int line) {
    Fiber* f = current;
    const int warp = f->number / 32;
    auto& slot = lanes[warp][f->exchanges++ % 2];  // two in turn: a lane may be one exchange ahead of the others
    if (!(mask >> lane() & 1)) fail("lane %d is not in the mask of its own shuffle, line %d", lane(), line);
    memcpy(slot[lane()], bytes, size);
    f->state = IN_WARP;
    f->mask = mask;
    f->line = line;
    to_scheduler();
    return slot[0];
}

void* shared_bytes(size_t size, int line) {
    for (const Shared& s : arrays)
        if (s.line == line && s.size == size) return arena + s.offset;
    const size_t offset = (arena_used + ZONE + 63) / 64 * 64;
    shared_total += size;
    if (shared_total > SHARED_LIMIT) fail("%d bytes of shared memory, more than the %d of a block", shared_total, SHARED_LIMIT);
    arena_used = offset + size + ZONE;
    if (arena_used > sizeof arena) fail("too many shared arrays for the emulator");
    arrays.push_back({line, size, offset});
    return arena + offset;
}

}  // namespace emulator

// ── what Python calls ──
extern "C" {

// Memory of `size` bytes that ends at a megabyte nobody may touch, 0xFF in front of it back to another such megabyte.
constexpr size_t FENCE = 1 << 20;

static size_t page_bytes(size_t size) {
    const size_t page = sysconf(_SC_PAGESIZE);
    return ((size + page - 1) / page + (size == 0)) * page;
}

static char* first_page(void* data, size_t size) { return static_cast<char*>(data) + (size + 15) / 16 * 16 - page_bytes(size); }

void* guarded_new(size_t size, int fill) {
    const size_t inner = page_bytes(size);
    void* base = mmap(nullptr, inner + 2 * FENCE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED) return nullptr;
    char* begin = static_cast<char*>(base) + FENCE;
    mprotect(begin, inner, PROT_READ | PROT_WRITE);
    memset(begin, fill, inner);
    return begin + inner - (size + 15) / 16 * 16;
}

void guarded_read_only(void* data, size_t size) { mprotect(first_page(data, size), page_bytes(size), PROT_READ); }

// Whether nothing beside the array was written.
int guarded_intact(void* data, size_t size, int fill) {
    const char *begin = first_page(data, size), *end = begin + page_bytes(size);
    for (const char* p = begin; p < data; p++)
        if (static_cast<unsigned char>(*p) != fill) return 0;
    for (const char* p = static_cast<char*>(data) + size; p < end; p++)
        if (static_cast<unsigned char>(*p) != fill) return 0;
    return 1;
}

void guarded_free(void* data, size_t size) { munmap(first_page(data, size) - FENCE, page_bytes(size) + 2 * FENCE); }

// Runs a grid; returns nullptr, or what went wrong.
const char* emulator_launch(void (*entry)(void**), void** arguments, const unsigned* grid, const unsigned* block,
                            int fibers_wanted, unsigned thread_order, unsigned block_order) {
    const size_t count = (size_t)block[0] * block[1] * block[2];
    if (count == 0 || count > 1024) return "a block has 1 to 1024 threads";
    kernel = entry;
    kernel_arguments = arguments;
    gridDim = {grid[0], grid[1], grid[2]};
    blockDim = {block[0], block[1], block[2]};
    with_fibers = fibers_wanted;
    for (size_t i = count; i < fibers.size(); i++) free(fibers[i].stack);
    const size_t had = fibers.size();
    fibers.resize(count);
    for (size_t i = 0; i < count; i++) {
        if (i >= had) fibers[i].stack = nullptr;
        fibers[i].number = i;
        fibers[i].index = {unsigned(i % block[0]), unsigned(i / block[0] % block[1]), unsigned(i / block[0] / block[1])};
    }
    const size_t blocks = (size_t)grid[0] * grid[1] * grid[2];
    std::vector<int> block_numbers = ordered(blocks, block_order);
    message[0] = 0;
    watch();
    if (sigsetjmp(fault, 1) == 0) {
        for (int b : block_numbers) {
            blockIdx = {unsigned(b % grid[0]), unsigned(b / grid[0] % grid[1]), unsigned(b / grid[0] / grid[1])};
            run_block(ordered(count, thread_order > 1 ? thread_order + b : thread_order));
        }
    }
    unwatch();
    return message[0] ? message : nullptr;
}
}
