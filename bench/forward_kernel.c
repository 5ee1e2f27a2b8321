/* Measures the forward product, called from C by one thread, in per cent of the FMA peak. The two are
 * measured in turns.
 *
 *     cmake -S . -B build/bench -DBPKERN_BENCH=ON -DBPKERN_PYTHON=OFF
 *     cmake --build build/bench --target forward_kernel
 *     build/bench/forward_kernel
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/clock.h"
#include "platform/memory.h"
#include "trainer/products.h"

enum { ROUNDS = 15 };

/* The FMA peak of each vector ISA in float32 (peak.c). BPK_VECTOR_ISAS lists the compiled ones as X(name). */
#define X(isa) double bpk_peak_##isa##_f32(void);
BPK_VECTOR_ISAS
#undef X
#define X(isa) {#isa, bpk_peak_##isa##_f32},
static const struct {
    const char *isa;
    double (*peak)(void);
} isa_peaks[] = {BPK_VECTOR_ISAS{NULL, NULL}}; /* the last: some builds have no vectors */
#undef X

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values) {
    qsort(values, ROUNDS, sizeof *values, ascending);
    return values[ROUNDS / 2];
}

static float *matrix(ptrdiff_t elements) {
    float *p = allocate_unset(elements, sizeof *p);
    if (!p) exit(1);
    for (ptrdiff_t i = 0; i < elements; i++) p[i] = (float)rand() / (float)RAND_MAX - 0.5f;
    return p;
}

/* a (m, out) = relu(x (m, in) w (in, out) + b (out)), all in blocks, as in the trainer. */
static void measure(const bpk_kernels *kernels, double (*peak)(void), ptrdiff_t m, ptrdiff_t in,
                    ptrdiff_t out) {
    ptrdiff_t width = padded(kernels, out);
    float *x = matrix(m * padded(kernels, in)), *w = matrix(in * width), *b = matrix(width),
          *a = matrix(m * width);
    const bpk_left left = {.at = x, .rows = m};
    double flops = 2.0 * (double)m * (double)in * (double)out, peaks[ROUNDS], rates[ROUNDS];
    int repeats = flops < 1e8 ? (int)(1e8 / flops) : 1;
    for (int round = 0; round < ROUNDS; round++) {
        peaks[round] = peak();
        double began = now();
        for (int i = 0; i < repeats; i++)
            forward_product(kernels, (member){.count = 1}, m, in, width, &left, w, b, BPK_RELU, a, m, 0);
        rates[round] = flops * repeats / (now() - began);
    }
    double rate = median(rates), peak_rate = median(peaks);
    printf("  %4td x %4td x %4td %8.1f GFLOP/s %5.1f %% of %.1f\n", m, in, out, rate / 1e9,
           100 * rate / peak_rate, peak_rate / 1e9);
    release(x), release(w), release(b), release(a);
}

int main(void) {
    static const ptrdiff_t shapes[][3] = {{512, 4096, 4096}, {256, 2048, 2048}, {64, 784, 256}, {64, 64, 64}};
    for (int isa = 0; isa < bpk_isa_count(); isa++) {
        const char *name = bpk_isa_name(isa);
        double (*peak)(void) = NULL;
        for (size_t i = 0; i < sizeof isa_peaks / sizeof isa_peaks[0]; i++)
            if (isa_peaks[i].isa && !strcmp(name, isa_peaks[i].isa)) peak = isa_peaks[i].peak;
        if (!peak || !bpk_isa_runs(isa)) continue;
        printf("%s, float32\n", name);
        for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
            measure(bpk_isa_kernels(isa, BPK_F32), peak, shapes[i][0], shapes[i][1], shapes[i][2]);
    }
    return 0;
}
