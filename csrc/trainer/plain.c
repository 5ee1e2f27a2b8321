/* The kernels other than products, on the caller's plain arrays. */
#include <math.h>

#include "platform/fp_mode.h"
#include "platform/memory.h"
#include "trainer/products.h"

void bpk_activate_with_slope(const bpk_kernels *kernels, bpk_activation activation, ptrdiff_t m, ptrdiff_t n,
                             void *a, ptrdiff_t lda, void *slope, ptrdiff_t lds) {
    fp_mode mode = fp_enter();
    kernels->activate_with_slope(activation, m, n, a, lda, slope, lds);
    fp_leave(mode);
}

enum { SOFTMAX_ROWS = 64 }; /* rows per call of the kernel */

/* p (m, n) = the softmax of a (m, n): the derivative of the cross-entropy, softmax - t, with targets t of
 * zero. All rows have the same targets, zeros (n). */
static void softmax(const bpk_kernels *kernels, ptrdiff_t m, ptrdiff_t n, const void *a, const void *zeros,
                    void *p) {
    const bpk_loss_settings settings = {
        .loss = BPK_CROSS_ENTROPY, .loss_factor = 1, .slope_factor = 1, .cap = INFINITY};
    double scale[SOFTMAX_ROWS], row_loss[SOFTMAX_ROWS], row_accuracy[SOFTMAX_ROWS];
    const void *targets[SOFTMAX_ROWS];
    for (ptrdiff_t i = 0; i < SOFTMAX_ROWS && i < m; i++) scale[i] = 1, targets[i] = zeros;
    bpk_loss_args args = {.settings = &settings,
                          .n = n,
                          .lda = n,
                          .targets = targets,
                          .scale = scale,
                          .ldd = n,
                          .row_loss = row_loss,
                          .row_accuracy = row_accuracy};
    for (ptrdiff_t i = 0; i < m; i += args.m) {
        args.m = smaller(m - i, SOFTMAX_ROWS);
        args.a = element(kernels, a, i * n);
        args.delta = element(kernels, p, i * n);
        kernels->loss(&args);
    }
}

bpk_status bpk_probabilities(const bpk_kernels *kernels, bpk_loss loss, ptrdiff_t m, ptrdiff_t n,
                             const void *a, void *p) {
    void *zeros = NULL;
    if (m == 0 || n == 0) return BPK_OK;
    if (loss == BPK_CROSS_ENTROPY && !(zeros = allocate(n, kernels->real_size))) return BPK_NO_MEMORY;
    fp_mode mode = fp_enter();
    if (loss == BPK_CROSS_ENTROPY) {
        softmax(kernels, m, n, a, zeros, p);
    } else {
        memcpy(p, a, (size_t)(m * n) * kernels->real_size);
        kernels->activate(BPK_SIGMOID, m, n, p, n);
    }
    fp_leave(mode);
    release(zeros);
    return BPK_OK;
}

int bpk_all_finite(const bpk_kernels *kernels, ptrdiff_t n, const void *x) {
    fp_mode mode = fp_enter(); /* a comparison with a denormal raises a flag, which must not stay */
    int finite = kernels->all_finite(n, x);
    fp_leave(mode);
    return finite;
}
