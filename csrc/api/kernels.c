/* The kernels on the caller's matrices. */
#include "api/api.h"

#include <math.h>

#include "platform/fp_mode.h"

bpkern_status api_check_matrix(ptrdiff_t m, ptrdiff_t n, const void *x, ptrdiff_t ld) {
    if (m < 0 || n < 0 || ld < 0 || (m > 1 && ld < n) || ld > PTRDIFF_MAX / (ptrdiff_t)sizeof(double))
        return BPKERN_BAD_SIZE;
    return m > 0 && n > 0 && !x ? BPKERN_NULL_POINTER : BPKERN_OK;
}

/* The first argument that is not BPKERN_OK. */
#define FIRST_ERROR(...)                                         \
    first_error((const bpkern_status[]){__VA_ARGS__, BPKERN_OK}, \
                sizeof((const bpkern_status[]){__VA_ARGS__}) / sizeof(bpkern_status))

static bpkern_status first_error(const bpkern_status *statuses, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (statuses[i] != BPKERN_OK) return statuses[i];
    return BPKERN_OK;
}

static bpkern_status check_names(bpkern_dtype dtype, int activation) {
    return api_is_dtype((int)dtype) && api_is_activation(activation) ? BPKERN_OK : BPKERN_BAD_NAME;
}

static bpkern_status check_threads(int threads) {
    return api_are_threads(threads) ? BPKERN_OK : BPKERN_BAD_SIZE;
}

/* `threads`, or if that is 0 as many as a product (n, in) by (in, out) is worth. */
static int product_threads(const bpk_kernels *kernels, int threads, ptrdiff_t n, ptrdiff_t in, ptrdiff_t out,
                           double bytes) {
    if (threads > 0) return threads;
    const double rows = (double)n, inputs = (double)in, outputs = (double)out;
    if (bpk_product_threads(kernels, rows, inputs, outputs, bytes, 2) == 1) return 1;
    return bpk_product_threads(kernels, rows, inputs, outputs, bytes, api_processors());
}

bpkern_status bpkern_linear_forward(bpkern_dtype dtype, int threads, ptrdiff_t n, ptrdiff_t in, ptrdiff_t out,
                                    const void *x, ptrdiff_t ldx, const void *w, ptrdiff_t ldw, const void *b,
                                    bpkern_activation activation, void *a, ptrdiff_t lda) {
    bpkern_status bad = FIRST_ERROR(check_names(dtype, (int)activation), check_threads(threads),
                                    api_check_matrix(n, in, x, ldx), api_check_matrix(out, in, w, ldw),
                                    api_check_matrix(1, out, b, out), api_check_matrix(n, out, a, lda));
    if (bad) return bad;
    const bpk_kernels *kernels = api_kernels(dtype);
    fp_mode mode = fp_enter();
    threads = product_threads(kernels, threads, n, in, out, 4);
    bpk_status status = bpk_linear_forward(kernels, threads, n, in, out, x, ldx, w, ldw, b,
                                           api_activations[activation], a, lda);
    fp_leave(mode);
    return api_status(status);
}

bpkern_status bpkern_delta_backward(bpkern_dtype dtype, int threads, ptrdiff_t n, ptrdiff_t in, ptrdiff_t out,
                                    const void *delta_next, ptrdiff_t ldn, const void *w_next, ptrdiff_t ldw,
                                    const void *a, ptrdiff_t lda, bpkern_activation activation, void *delta,
                                    ptrdiff_t ldd) {
    bpkern_status bad =
        FIRST_ERROR(check_names(dtype, (int)activation), check_threads(threads),
                    api_check_matrix(n, out, delta_next, ldn), api_check_matrix(out, in, w_next, ldw),
                    api_check_matrix(n, in, a, lda), api_check_matrix(n, in, delta, ldd));
    if (bad) return bad;
    const bpk_kernels *kernels = api_kernels(dtype);
    fp_mode mode = fp_enter();
    threads = product_threads(kernels, threads, n, in, out, 4);
    bpk_status status = bpk_delta_backward(kernels, threads, n, in, out, delta_next, ldn, w_next, ldw, a, lda,
                                           api_activations[activation], delta, ldd);
    fp_leave(mode);
    return api_status(status);
}

static bpkern_status check_sgd(double lr, double momentum, int nesterov, double weight_decay) {
    fp_mode mode = fp_enter(); /* comparing NaN or a denormal raises a flag */
    int good = isfinite(lr) && isfinite(weight_decay) && momentum >= 0 && momentum <= 1;
    good = good && !(nesterov && momentum == 0);
    fp_leave(mode);
    return good ? BPKERN_OK : BPKERN_BAD_VALUE;
}

static int has_momentum(double momentum) {
    fp_mode mode = fp_enter();
    int has = momentum != 0;
    fp_leave(mode);
    return has;
}

bpkern_status bpkern_sgd_update(bpkern_dtype dtype, int threads, ptrdiff_t n, ptrdiff_t in, ptrdiff_t out,
                                void *w, ptrdiff_t ldw, void *b, const void *delta, ptrdiff_t ldd,
                                const void *x, ptrdiff_t ldx, void *vw, ptrdiff_t ldvw, void *vb, double lr,
                                double momentum, int nesterov, double weight_decay) {
    bpkern_status bad = FIRST_ERROR(check_names(dtype, BPKERN_IDENTITY), check_threads(threads),
                                    api_check_matrix(out, in, w, ldw), api_check_matrix(1, out, b, out),
                                    api_check_matrix(n, out, delta, ldd), api_check_matrix(n, in, x, ldx),
                                    check_sgd(lr, momentum, nesterov, weight_decay));
    const int moves = has_momentum(momentum);
    if (!bad && moves)
        bad = FIRST_ERROR(api_check_matrix(out, in, vw, ldvw), api_check_matrix(1, out, vb, out));
    if (bad) return bad;
    const bpk_kernels *kernels = api_kernels(dtype);
    const bpk_optimizer sgd = {.rule = BPK_SGD,
                               .lr = lr,
                               .momentum = momentum,
                               .nesterov = nesterov != 0,
                               .weight_decay = weight_decay};
    fp_mode mode = fp_enter();
    threads = product_threads(kernels, threads, n, in, out, moves ? 16 : 8);
    bpk_status status = bpk_sgd_update(kernels, threads, n, in, out, w, ldw, b, delta, ldd, x, ldx,
                                       moves ? vw : NULL, ldvw, moves ? vb : NULL, &sgd);
    fp_leave(mode);
    return api_status(status);
}

bpkern_status bpkern_activate(bpkern_dtype dtype, bpkern_activation activation, ptrdiff_t m, ptrdiff_t n,
                              void *a, ptrdiff_t lda) {
    bpkern_status bad = FIRST_ERROR(check_names(dtype, (int)activation), api_check_matrix(m, n, a, lda));
    if (bad) return bad;
    fp_mode mode = fp_enter();
    api_kernels(dtype)->activate(api_activations[activation], m, n, a, lda);
    fp_leave(mode);
    return BPKERN_OK;
}

bpkern_status bpkern_activate_with_slope(bpkern_dtype dtype, bpkern_activation activation, ptrdiff_t m,
                                         ptrdiff_t n, void *a, ptrdiff_t lda, void *slope, ptrdiff_t lds) {
    bpkern_status bad = FIRST_ERROR(check_names(dtype, (int)activation), api_check_matrix(m, n, a, lda),
                                    api_check_matrix(m, n, slope, lds));
    if (bad) return bad;
    bpk_activate_with_slope(api_kernels(dtype), api_activations[activation], m, n, a, lda, slope, lds);
    return BPKERN_OK;
}

bpkern_status bpkern_apply_derivative(bpkern_dtype dtype, bpkern_activation activation, ptrdiff_t m,
                                      ptrdiff_t n, const void *a, ptrdiff_t lda, void *delta, ptrdiff_t ldd) {
    bpkern_status bad = FIRST_ERROR(check_names(dtype, (int)activation), api_check_matrix(m, n, a, lda),
                                    api_check_matrix(m, n, delta, ldd));
    if (bad) return bad;
    fp_mode mode = fp_enter();
    api_kernels(dtype)->apply_derivative(api_activations[activation], m, n, a, lda, delta, ldd);
    fp_leave(mode);
    return BPKERN_OK;
}

bpkern_status bpkern_probabilities(bpkern_dtype dtype, bpkern_loss loss, ptrdiff_t m, ptrdiff_t n,
                                   const void *a, void *p) {
    if (loss != BPKERN_CROSS_ENTROPY && loss != BPKERN_BINARY_CROSS_ENTROPY) return BPKERN_BAD_NAME;
    bpkern_status bad = FIRST_ERROR(check_names(dtype, BPKERN_IDENTITY), api_check_matrix(m, n, a, n),
                                    api_check_matrix(m, n, p, n));
    if (bad) return bad;
    return api_status(bpk_probabilities(api_kernels(dtype), api_losses[loss], m, n, a, p));
}
