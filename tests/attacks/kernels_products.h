/* Problems for the three products: operands and expected results. Each table of kernels runs on copies of
 * the operands, at any place in the arena. */
#ifndef KERNELS_PRODUCTS_H
#define KERNELS_PRODUCTS_H

#include "kernels_arena.h"
#include "kernels_trial.h"

typedef enum { FORWARD, DELTA, UPDATE, N_PRODUCTS } product;

/* Kinds of random numbers: of random signs; all positive; of very different magnitudes; so small that
 * their products are hardly normal; and small integers, whose results are exact. */
typedef enum { SIGNED, POSITIVE, WILD, SMALL, N_NUMBERS, INTEGERS = N_NUMBERS } numbers;

enum { MAX_OPERANDS = 6 };

/* A problem, and its operands in their order:
 *
 *     forward  a (m, n) = s(x (m, k) w (n, k)' + b (n))                  x, w, b, a
 *     delta    delta (m, n) = (delta_next (m, k) w (k, n)) * s'          delta_next, w, a, delta
 *     update   w (m, n) along delta (k, m)' x (k, n), b (m)              delta, x, w, b, vw, vb
 *
 * The results are a (m, n); delta (m, n); or w (m, n), b (m), vw (m, n) and vb (m), one after the other. */
typedef struct {
    product product;
    bpk_dtype dtype;
    ptrdiff_t m, n, k;
    numbers numbers;
    bpk_activation activation;
    bpk_optimizer sgd;
    ptrdiff_t gaps[MAX_OPERANDS]; /* by operand: elements between the end of a row and the next row */

    double *left, *right; /* (m, k), (n, k); delta holds w', update holds delta' and x' */
    double *bias;         /* forward: b (n); update: b (m) before the step */
    double *given;        /* (m, n); delta: a or z, from which s' is computed; update: w before the step */
    double *velocity;     /* update: vw (m, n) and vb (m) before the step; otherwise NULL */

    ptrdiff_t results;  /* their number */
    long double *exact; /* (results,) */
    double *bound;      /* (results,) bounds of the absolute errors */
} problem;

/* The problem and the table in words, for reports; valid until the next call. */
const char *describe(const problem *p, const table *t);

/* A random problem of this shape. `solve` computes its exact results and their error bounds: operands may
 * be changed only before it. */
problem make_problem(product product, bpk_dtype dtype, ptrdiff_t m, ptrdiff_t n, ptrdiff_t k, numbers numbers,
                     rng *r);
void solve(problem *p);
void free_problem(problem *p);

/* The place of each operand, and its offset from a cache line in elements. */
typedef struct {
    place where[MAX_OPERANDS];
    ptrdiff_t offset[MAX_OPERANDS];
} places;
places all_at(place where, ptrdiff_t offset);
int count_operands(product product);

/* Runs the product and copies the results, in the problem's dtype, to `results`. Returns whether no memory
 * outside the operands was written; if not, reports a failure. */
int run_problem(const problem *p, const table *t, const places *places, void *results);

/* Runs the product and compares the results with the exact ones, within the bounds. */
void check_problem(const problem *p, const table *t);

/* results_memory: new memory for the results in either dtype. result_at: result number i in it. */
void *results_memory(const problem *p);
double result_at(const problem *p, const void *results, ptrdiff_t i);

/* Zeroed memory for `count` items of `size` bytes. If the allocation fails, the program exits. */
void *room(ptrdiff_t count, size_t size);

#endif
