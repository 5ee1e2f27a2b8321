/* Makes, solves and runs problems for the three products. */
#include "kernels_products.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels_oracle.h"

static const char *const NAMES[] = {"forward", "delta", "update"};

void *room(ptrdiff_t count, size_t size) {
    void *p = calloc((size_t)count + 1, size);
    if (p) return p;
    fprintf(stderr, "no memory for %td items of %zu bytes each\n", count, size);
    exit(2);
}

const char *describe(const problem *p, const table *t) {
    static char text[200];
    snprintf(text, sizeof text, "%s %s %s m %td n %td k %td %s numbers %d", t->isa, dtype_name(p->dtype),
             NAMES[p->product], p->m, p->n, p->k,
             p->product == UPDATE ? "" : bpk_activation_name((int)p->activation), (int)p->numbers);
    return text;
}

static double rounded(bpk_dtype dtype, double x) { return dtype == BPK_F64 ? x : (double)(float)x; }

static double number(bpk_dtype dtype, numbers numbers, rng *r) {
    double sign = one_in(r, 2) ? -1 : 1, x = sign * between(r, 0, 2);
    switch (numbers) {
        case POSITIVE: x = between(r, 1, 2); break;
        case WILD: x = sign * exp2(between(r, -12, 12)); break;
        case SMALL: x = sign * sqrt(type_smallest(dtype)) * between(r, 0.5, 4); break;
        case INTEGERS: return (double)whole(r, -8, 8);
        default: break;
    }
    return rounded(dtype, x);
}

static double *random_numbers(const problem *p, ptrdiff_t count, rng *r) {
    double *values = room(count, sizeof *values);
    for (ptrdiff_t i = 0; i < count; i++) values[i] = number(p->dtype, p->numbers, r);
    return values;
}

/* Random settings that float32 holds exactly. */
static bpk_optimizer random_sgd(numbers numbers, rng *r) {
    static const double lrs[] = {0.5, 0.03125, 1}, momenta[] = {0, 0.5, 0.875}, decays[] = {0, 0, 0.125};
    if (numbers == INTEGERS)
        return (bpk_optimizer){.lr = 2,
                               .momentum = (double)whole(r, 0, 2),
                               .nesterov = 0,
                               .weight_decay = (double)whole(r, 0, 1)};
    bpk_optimizer sgd = {.lr = lrs[whole(r, 0, 2)],
                         .momentum = momenta[whole(r, 0, 2)],
                         .weight_decay = decays[whole(r, 0, 2)]};
    sgd.nesterov = sgd.momentum != 0 && one_in(r, 2);
    return sgd;
}

problem make_problem(product product, bpk_dtype dtype, ptrdiff_t m, ptrdiff_t n, ptrdiff_t k, numbers numbers,
                     rng *r) {
    problem p = {.product = product, .dtype = dtype, .m = m, .n = n, .k = k, .numbers = numbers};
    p.activation = (bpk_activation)whole(r, 0, BPK_N_ACTIVATIONS - 1);
    if (numbers == INTEGERS) p.activation = one_in(r, 2) ? BPK_IDENTITY : BPK_RELU;
    p.sgd = random_sgd(numbers, r);
    for (int i = 0; i < MAX_OPERANDS; i++) p.gaps[i] = whole(r, 0, 5);
    p.left = random_numbers(&p, m * k, r);
    p.right = random_numbers(&p, n * k, r);
    p.bias = random_numbers(&p, product == UPDATE ? m : n, r);
    p.given = random_numbers(&p, m * n, r);
    p.velocity = product == UPDATE ? random_numbers(&p, m * n + m, r) : NULL;
    p.results = product == UPDATE ? 2 * (m * n + m) : m * n;
    if (product == DELTA && !bpk_needs_z(p.activation))
        for (ptrdiff_t i = 0; i < m * n; i++)
            p.given[i] = rounded(dtype, (double)activation_of(p.activation, p.given[i]));
    return p;
}

void free_problem(problem *p) {
    free(p->left), free(p->right), free(p->bias), free(p->given), free(p->velocity);
    free(p->exact), free(p->bound);
}

/* The promised error bound of a sum of k terms whose absolute values add up to `magnitude`. Roundings of
 * random signs add up to less, in proportion to sqrt(k). */
static double product_bound(const problem *p, ptrdiff_t k, double magnitude) {
    double factor = (double)k + 8;
    if (p->numbers == SIGNED || p->numbers == SMALL) factor = fmax(16, 2 * sqrt((double)k));
    return factor * type_eps(p->dtype) * magnitude + (double)k * type_smallest(p->dtype);
}

/* The exact values and error bounds of result number `at`, a parameter w of an update, and of its velocity
 * v. */
static void solve_parameter(problem *p, ptrdiff_t at, double w, double v, long double gradient,
                            double magnitude) {
    const double eps = type_eps(p->dtype), smallest = type_smallest(p->dtype);
    ptrdiff_t half = p->results / 2;
    parameter to = sgd_step(&p->sgd, (parameter){w, v}, gradient);
    /* Without weight decay, w must not enter the bound of v: 0 times an infinite w would be NaN. */
    double decay = p->sgd.weight_decay != 0 ? p->sgd.weight_decay * fabs(w) : 0,
           gradient_error = product_bound(p, p->k, magnitude) + eps * decay;
    double old_v = p->sgd.momentum != 0 ? p->sgd.momentum * fabs(v) : 0;
    double largest_v = magnitude + decay + old_v, lr = p->sgd.lr;
    double v_error = gradient_error + 2 * eps * largest_v + smallest;
    p->exact[at] = to.w;
    p->bound[at] =
        lr * (1 + p->sgd.momentum) * (v_error + 2 * eps * largest_v) + 2 * eps * fabs(w) + smallest;
    p->exact[half + at] = to.v;
    p->bound[half + at] = p->sgd.momentum != 0 ? v_error : 0;
}

static void solve_update(problem *p, const long double *sums, const double *magnitudes) {
    for (ptrdiff_t i = 0; i < p->m; i++) {
        long double sum = 0;
        double magnitude = 0;
        for (ptrdiff_t k = 0; k < p->k; k++) {
            sum += p->left[i * p->k + k];
            magnitude += fabs(p->left[i * p->k + k]);
        }
        ptrdiff_t at = p->m * p->n + i;
        solve_parameter(p, at, p->bias[i], p->velocity[at], sum, magnitude);
    }
    for (ptrdiff_t i = 0; i < p->m * p->n; i++)
        solve_parameter(p, i, p->given[i], p->velocity[i], sums[i], magnitudes[i]);
}

void solve(problem *p) {
    p->exact = room(p->results, sizeof *p->exact);
    p->bound = room(p->results, sizeof *p->bound);
    const double eps = type_eps(p->dtype), smallest = type_smallest(p->dtype);
    long double *sums = room(p->m * p->n, sizeof *sums);
    double *magnitudes = room(p->m * p->n, sizeof *magnitudes);
    exact_product(p->dtype, p->m, p->n, p->k, p->left, p->right, p->product == FORWARD ? p->bias : NULL, sums,
                  magnitudes);
    if (p->product == UPDATE) solve_update(p, sums, magnitudes);
    for (ptrdiff_t i = 0; p->product != UPDATE && i < p->m * p->n; i++) {
        double bound = product_bound(p, p->k, magnitudes[i]);
        if (p->product == FORWARD) {
            p->exact[i] = activation_of(p->activation, sums[i]);
            double ulp = activation_ulp(p->activation) * unit_in_last_place(p->dtype, (double)p->exact[i]);
            p->bound[i] = largest_slope(p->activation) * bound + ulp + (p->activation ? smallest : 0);
        } else {
            /* The roundings of s', of numbers up to 1: one or two from a, more from z. */
            double slope = (double)slope_from(p->activation, p->given[i]);
            double roundings = p->activation == BPK_IDENTITY ? 0 : bpk_needs_z(p->activation) ? 8 : 2;
            p->exact[i] = sums[i] * slope_from(p->activation, p->given[i]);
            p->bound[i] = fabs(slope) * bound + roundings * eps * fabs((double)sums[i]) +
                          (roundings > 0 ? smallest : 0);
        }
    }
    if (p->numbers == INTEGERS) memset(p->bound, 0, (size_t)p->results * sizeof *p->bound);
    free(sums), free(magnitudes);
}

places all_at(place where, ptrdiff_t offset) {
    places same;
    for (int i = 0; i < MAX_OPERANDS; i++) same.where[i] = where, same.offset[i] = offset;
    return same;
}

int count_operands(product product) { return product == UPDATE ? 6 : 4; }

static matrix put(const problem *p, const places *places, int slot, ptrdiff_t rows, ptrdiff_t columns,
                  access access) {
    return place_matrix(slot, p->dtype, rows, columns, columns + p->gaps[slot], access, places->where[slot],
                        places->offset[slot]);
}

static void put_all(const matrix *m, const double *values) {
    for (ptrdiff_t i = 0; i < m->rows; i++)
        for (ptrdiff_t j = 0; j < m->columns; j++) set(m, i, j, values[i * m->columns + j]);
}

static void put_transposed(const matrix *m, const double *values) {
    for (ptrdiff_t i = 0; i < m->rows; i++)
        for (ptrdiff_t j = 0; j < m->columns; j++) set(m, i, j, values[j * m->rows + i]);
}

/* One to three threads: the shapes of all attacks take each of them. */
static int threads_of(const problem *p) { return 1 + (int)((p->m + p->n + p->k) % 3); }

static void check_status(bpk_status status, const problem *p, const table *t) {
    if (status != BPK_OK) fail("%s: status %d", describe(p, t), (int)status);
}

static void run_forward(const problem *p, const table *t, const places *places, matrix o[], char *results) {
    o[0] = put(p, places, 0, p->m, p->k, READ);
    o[1] = put(p, places, 1, p->n, p->k, READ);
    o[2] = put(p, places, 2, 1, p->n, READ);
    o[3] = put(p, places, 3, p->m, p->n, WRITTEN);
    put_all(&o[0], p->left), put_all(&o[1], p->right), put_all(&o[2], p->bias);
    bpk_status status = bpk_linear_forward(t->kernels, threads_of(p), p->m, p->k, p->n, o[0].at, o[0].ld,
                                           o[1].at, o[1].ld, o[2].at, p->activation, o[3].at, o[3].ld);
    check_status(status, p, t);
    copy_out(&o[3], results);
}

static void run_delta(const problem *p, const table *t, const places *places, matrix o[], char *results) {
    o[0] = put(p, places, 0, p->m, p->k, READ);
    o[1] = put(p, places, 1, p->k, p->n, READ);
    o[2] = put(p, places, 2, p->m, p->n, READ);
    o[3] = put(p, places, 3, p->m, p->n, WRITTEN);
    put_all(&o[0], p->left), put_transposed(&o[1], p->right), put_all(&o[2], p->given);
    bpk_status status =
        bpk_delta_backward(t->kernels, threads_of(p), p->m, p->n, p->k, o[0].at, o[0].ld, o[1].at, o[1].ld,
                           o[2].at, o[2].ld, p->activation, o[3].at, o[3].ld);
    check_status(status, p, t);
    copy_out(&o[3], results);
}

static void run_update(const problem *p, const table *t, const places *places, matrix o[], char *results) {
    int has_velocity = p->sgd.momentum != 0;
    o[0] = put(p, places, 0, p->k, p->m, READ);
    o[1] = put(p, places, 1, p->k, p->n, READ);
    o[2] = put(p, places, 2, p->m, p->n, WRITTEN);
    o[3] = put(p, places, 3, 1, p->m, WRITTEN);
    o[4] = put(p, places, 4, p->m, p->n, WRITTEN);
    o[5] = put(p, places, 5, 1, p->m, WRITTEN);
    put_transposed(&o[0], p->left), put_transposed(&o[1], p->right);
    put_all(&o[2], p->given), put_all(&o[3], p->bias);
    put_all(&o[4], p->velocity), put_all(&o[5], p->velocity + p->m * p->n);
    bpk_status status = bpk_sgd_update(t->kernels, threads_of(p), p->k, p->n, p->m, o[2].at, o[2].ld, o[3].at,
                                       o[0].at, o[0].ld, o[1].at, o[1].ld, has_velocity ? o[4].at : NULL,
                                       o[4].ld, has_velocity ? o[5].at : NULL, &p->sgd);
    check_status(status, p, t);
    for (int i = 2; i < 6; results += bytes_of(&o[i]), i++) copy_out(&o[i], results);
}

int run_problem(const problem *p, const table *t, const places *places, void *results) {
    matrix operands[MAX_OPERANDS];
    doing("%s", describe(p, t));
    (p->product == FORWARD ? run_forward
     : p->product == DELTA ? run_delta
                           : run_update)(p, t, places, operands, results);
    for (int i = 0; i < count_operands(p->product); i++)
        if (!untouched(&operands[i])) {
            fail("%s: memory outside operand %d was written", describe(p, t), i);
            return 0;
        }
    return 1;
}

void *results_memory(const problem *p) { return room(p->results, sizeof(double)); }

double result_at(const problem *p, const void *results, ptrdiff_t i) {
    return p->dtype == BPK_F64 ? ((const double *)results)[i] : (double)((const float *)results)[i];
}

/* Whether `got` is NaN if `exact` is, equal to an infinite `exact`, and otherwise within the bound. *part
 * is the error as a fraction of the bound. */
static int is_right(long double got, long double exact, double bound, double *part) {
    if (isnan(exact)) return isnan(got);
    if (isinf(exact)) return got == exact;
    double error = (double)fabsl(got - exact);
    *part = bound > 0 ? error / bound : 0;
    return error <= bound;
}

void check_problem(const problem *p, const table *t) {
    void *results = results_memory(p);
    const places inside = all_at(INSIDE, 0);
    if (run_problem(p, t, &inside, results)) {
        double worst = 0;
        for (ptrdiff_t i = 0; i < p->results; i++) {
            double got = result_at(p, results, i), part = 0;
            if (!is_right(got, p->exact[i], p->bound[i], &part)) {
                fail("%s: result %td is %.17g, not %.20Lg within %.3g", describe(p, t), i, got, p->exact[i],
                     p->bound[i]);
                break;
            }
            if (part > worst) worst = part;
        }
        largest(NAMES[p->product], worst);
    }
    free(results);
}
