/* The tables of kernels, and which of them this processor runs: the only file that asks the processor for its
 * instruction sets. The fastest ISA is determined once, by the first call of bpk_isa_selected, which the
 * Python extension makes while it is imported. */
#include "kernels/kernels.h"

#include <stdatomic.h>

typedef struct {
    const char *name;
    int (*runs)(void);
    const bpk_kernels *kernels[BPK_N_DTYPES];
} isa_entry;

static int has_scalar(void) { return 1; }
static int has_generic(void) { return 1; }
#if defined(__aarch64__)
static int has_neon(void) { return 1; } /* as every aarch64 */
#endif

#if BPK_X86
#include <cpuid.h>

enum {
    /* leaf 1, ecx */
    FMA = 1 << 12,
    OSXSAVE = 1 << 27,
    AVX = 1 << 28,
    /* leaf 7, ebx */
    AVX2 = 1 << 5,
    AVX512F = 1 << 16,
    AVX512DQ = 1 << 17,
    AVX512BW = 1 << 30,
    /* XCR0, the registers that the operating system saves: XMM and YMM; and also masks and all of ZMM */
    YMM_STATE = 0x06,
    ZMM_STATE = 0xe6
};
#define AVX512VL (1u << 31)

static unsigned saved_state(void) {
    unsigned low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

static int has(unsigned leaf7_ebx, unsigned state) {
    unsigned a, b, c, d;
    const unsigned leaf1_ecx = FMA | OSXSAVE | AVX;
    if (!__get_cpuid(1, &a, &b, &c, &d) || (c & leaf1_ecx) != leaf1_ecx) return 0;
    if ((saved_state() & state) != state) return 0;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & leaf7_ebx) == leaf7_ebx;
}

static int has_avx2(void) { return has(AVX2, YMM_STATE); }
static int has_avx512(void) { return has(AVX2 | AVX512F | AVX512DQ | AVX512BW | AVX512VL, ZMM_STATE); }
#endif

/* BPK_ISAS is the build's list of the compiled instruction sets, slowest first: X(scalar) X(generic) ... */
#define X(isa) extern const bpk_kernels bpk_kernels_##isa##_f32, bpk_kernels_##isa##_f64;
BPK_ISAS
#undef X

#define X(isa) {#isa, has_##isa, {&bpk_kernels_##isa##_f32, &bpk_kernels_##isa##_f64}},
static const isa_entry isas[] = {BPK_ISAS};
#undef X

static atomic_int selected = -1; /* threads that hold no common lock share it */

int bpk_isa_count(void) { return (int)(sizeof isas / sizeof isas[0]); }

const char *bpk_isa_name(int isa) { return isa >= 0 && isa < bpk_isa_count() ? isas[isa].name : NULL; }

int bpk_isa_vector_bytes(int isa) {
    const bpk_kernels *kernels = isas[isa].kernels[BPK_F32];
    return (int)kernels->vector * (int)kernels->real_size;
}

int bpk_isa_runs(int isa) { return isa >= 0 && isa < bpk_isa_count() && isas[isa].runs(); }

int bpk_isa_selected(void) {
    if (selected < 0) {
        int best = bpk_isa_count() - 1;
        while (!isas[best].runs()) best--;
        int none = -1; /* or another thread has selected one meanwhile */
        atomic_compare_exchange_strong(&selected, &none, best);
    }
    return selected;
}

void bpk_isa_select(int isa) { selected = isa; }

const bpk_kernels *bpk_isa_kernels(int isa, bpk_dtype dtype) { return isas[isa].kernels[dtype]; }
