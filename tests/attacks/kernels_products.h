/* A problem for one of the three products: its operands, made once, and what is to come out of it. Each table
 * of kernels is then run on copies of the operands, wherever these are to lie. */
#ifndef KERNELS_PRODUCTS_H
#define KERNELS_PRODUCTS_H

#include "kernels_arena.h"
#include "kernels_trial.h"

typedef enum { FORWARD, DELTA, UPDATE, N_PRODUCTS } product;

/* The numbers: of random signs, all positive, of very different sizes, so small that their products are
 * hardly normal, or small integers, which come out exact. */
typedef enum { SIGNED, POSITIVE, WILD, SMALL, N_NUMBERS, INTEGERS = N_NUMBERS } numbers;

enum { MOST_OPERANDS = 6 };

/* forward  a (m, n) = s(x (m, k) w (n, k)' + b (n))                  x, w, b, a
 * delta    delta (m, n) = (delta_next (m, k) w (k, n)) * s'          delta_next, w, a, delta
 * update   w (m, n) along delta (k, m)' x (k, n), b (m)              delta, x, w, b, vw, vb
 *
 * Results, w and vw after an update among them, are (m, n), and followed by b and vb of an update. */
typedef struct {
    product product;
    bpk_dtype dtype;
    ptrdiff_t m, n, k;
    numbers numbers;
    bpk_activation activation;
    bpk_optimizer sgd;
    ptrdiff_t spare[MOST_OPERANDS]; /* how much farther apart rows are than the matrix is wide */

    double *left, *right; /* (m, k), (n, k) */
    double *bias;         /* forward: (n,); update: (m,) before */
    double *given;        /* (m, n): delta: what s' is taken from; update: w before */
    double *speed;        /* update: (m, n) of vw and (m,) of vb before */

    ptrdiff_t results; /* how many */
    long double *exact;
    double *bound;
} problem;

/* What can be seen in a failure's text. */
const char *told(const problem *p, const table *t);

/* A problem of that shape, the rest by chance; then, operands being changed perhaps, what it comes to. */
problem make_problem(product product, bpk_dtype dtype, ptrdiff_t m, ptrdiff_t n, ptrdiff_t k, numbers numbers,
                     rng *r);
void solve(problem *p);
void free_problem(problem *p);

/* Where each operand is to lie. */
typedef struct {
    place where[MOST_OPERANDS];
    ptrdiff_t offset[MOST_OPERANDS];
} places;
places all_at(place where, ptrdiff_t offset);
int count_operands(product product);

/* Runs it, and copies the results, of the dtype, to memory of the caller's. Whether nothing else was written
 * to; a failure is told. */
int run_problem(const problem *p, const table *t, const places *places, void *results);

/* Runs it and compares with what it should come to, within the bounds. */
void check_problem(const problem *p, const table *t);

void *results_memory(const problem *p);
double result_at(const problem *p, const void *results, ptrdiff_t i);

/* Memory, or the end of the program. */
void *room(ptrdiff_t count, size_t size);

#endif
