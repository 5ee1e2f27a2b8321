/* The private contract between the trainer and the kernels: one table an ISA and dtype.
 *
 * Products are made a block of columns at a time. A block is at most `panel` columns wide, and the matrix on
 * the right has its rows `ld` apart: that is a plain row-major matrix, entered at a column, as well as a
 * panel of the trainer's weights, where a block is stored by itself (panels.c). Pointers need no alignment;
 * all are to `real` unless said otherwise.
 */
#ifndef BPK_KERNELS_H
#define BPK_KERNELS_H

#include "bpkern.h"

/* a (m, n) = s(x (m, k) w (k, n) + b (n)) */
typedef struct {
    ptrdiff_t m, n, k;
    const void *x;
    ptrdiff_t ldx;
    const void *w;
    ptrdiff_t ldw;
    const void *b;
    bpk_activation activation;
    void *a;
    ptrdiff_t lda;
} bpk_forward_args;

/* delta (m, n) = (delta_next (m, k) w (k, n)) * s'(a (m, n)) */
typedef struct {
    ptrdiff_t m, n, k;
    const void *delta_next;
    ptrdiff_t ldn;
    const void *w;
    ptrdiff_t ldw;
    const void *a;
    ptrdiff_t lda;
    bpk_activation activation;
    void *delta;
    ptrdiff_t ldd;
} bpk_delta_args;

/* w (m, n) by SGD along left (k, m)' right (k, n), k being the rows of the batch. v is NULL without
 * momentum. */
typedef struct {
    ptrdiff_t m, n, k;
    const void *left;
    ptrdiff_t ldl;
    const void *right;
    ptrdiff_t ldr;
    void *w;
    ptrdiff_t ldw;
    void *v;
    ptrdiff_t ldv;
    const bpk_sgd *sgd;
} bpk_update_args;

/* b (n) by SGD along the column sums of delta (k, n). */
typedef struct {
    ptrdiff_t n, k;
    const void *delta;
    ptrdiff_t ldd;
    void *b;
    void *v;
    const bpk_sgd *sgd;
} bpk_bias_args;

/* The loss of m rows of n outputs, the accuracy where the loss has one, and delta = scale * dloss/da. */
typedef struct {
    bpk_loss loss;
    ptrdiff_t m, n;
    const void *a;
    ptrdiff_t lda;
    const int64_t *labels; /* (m,) or NULL: targets (m, n) */
    const void *targets;
    ptrdiff_t ldt;
    const double *scale; /* (m,) */
    void *delta;         /* (m, n) or NULL: only the losses are wanted */
    ptrdiff_t ldd;
    double *row_loss;     /* (m,) */
    double *row_accuracy; /* (m,): 1 where the class is right; for binary the part of the outputs that is */
} bpk_loss_args;

struct bpk_kernels {
    size_t real_size;
    ptrdiff_t vector; /* elements of a vector register: the grain of padding */
    ptrdiff_t panel;  /* the widest block, a multiple of vector */

    void (*forward)(const bpk_forward_args *args);
    void (*delta)(const bpk_delta_args *args);
    void (*update)(const bpk_update_args *args);
    void (*update_bias)(const bpk_bias_args *args);

    /* dst (columns, rows) = src (rows, columns)' */
    void (*transpose)(ptrdiff_t rows, ptrdiff_t columns, const void *src, ptrdiff_t lds, void *dst,
                      ptrdiff_t ldd);

    /* a (m, n) <- s(a), and delta (m, n) <- delta * s'(a) */
    void (*activate)(bpk_activation activation, ptrdiff_t m, ptrdiff_t n, void *a, ptrdiff_t lda);
    void (*apply_derivative)(bpk_activation activation, ptrdiff_t m, ptrdiff_t n, const void *a,
                             ptrdiff_t lda, void *delta, ptrdiff_t ldd);

    void (*loss)(const bpk_loss_args *args);

    int (*all_finite)(ptrdiff_t n, const void *x);
    double (*sum_squares)(ptrdiff_t n, const void *x);
};

#endif
