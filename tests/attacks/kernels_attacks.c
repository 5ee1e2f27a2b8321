/* The attacks on the three products. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "platform/fp_mode.h"
#include "kernels_products.h"

/* Checks all products of one shape with all tables. */
static void check_shape(ptrdiff_t m, ptrdiff_t n, ptrdiff_t k, numbers numbers, rng *r) {
    for (product product = 0; product < N_PRODUCTS; product++)
        for (bpk_dtype dtype = 0; dtype < BPK_N_DTYPES; dtype++) {
            problem p = make_problem(product, dtype, m, n, k, numbers, r);
            solve(&p);
            for (int i = 0; i < count_tables; i++)
                if (tables[i].dtype == dtype) check_problem(&p, &tables[i]);
            free_problem(&p);
        }
}

static numbers random_kind(rng *r) { return (numbers)whole(r, 0, N_NUMBERS - 1); }

/* Distinct sizes, in the order in which they were added. */
typedef struct {
    ptrdiff_t count, size[64];
} sizes;

static void add(sizes *s, ptrdiff_t size) {
    for (ptrdiff_t i = 0; i < s->count; i++)
        if (s->size[i] == size) return;
    if (size >= 0) s->size[s->count++] = size;
}

static void add_around(sizes *s, ptrdiff_t size) {
    for (ptrdiff_t by = -1; by <= 1; by++) add(s, size + by);
}

/* The batch size from which on the update prefetches: the number in vector/update.c. */
enum { PREFETCH_DEPTH = 128 };

/* The sizes m, n and k around the vector and tile boundaries of a table, whose instruction set need not
 * run here. */
static void boundary_sizes(const bpk_kernels *kernels, sizes *m, sizes *n, sizes *k) {
    const ptrdiff_t vector = kernels->vector, panel = kernels->panel, *tile_rows = kernels->tile_rows;
    m->count = n->count = k->count = 0;
    add(m, 0), add(n, 0), add(k, 0), add(m, 1), add(n, 1), add(k, 1);
    for (int i = 0; i < BPK_TILE_WIDTHS; i++) add_around(m, tile_rows[i]);
    add_around(m, kernels->update_rows);
    add(m, 2 * tile_rows[0] + 1), add(m, 3 * tile_rows[BPK_TILE_WIDTHS - 1] + 1);
    add_around(n, vector / 2);
    for (ptrdiff_t size = vector; size <= panel + 2 * vector; size += vector) add_around(n, size);
    add_around(n, 2 * panel), add(n, 2 * panel + vector + 1);
    for (ptrdiff_t size = vector; size <= panel; size += vector) add_around(k, size);
    add_around(k, panel + vector), add_around(k, PREFETCH_DEPTH), add_around(k, DEPTH),
        add_around(k, DEPTH + panel);
}

/* BOUNDARIES is the number of trials that kernels.py makes: each takes every BOUNDARIES-th shape. STRIDE
 * is a prime that does not divide the number of shapes. Shapes are taken in steps of STRIDE, so that the
 * first trials cover all kinds of shapes. */
enum { BOUNDARIES = 26162, STRIDE = 7919 };

/* Checks all products of one shape with the table of this instruction set and dtype, if it runs here. */
static void check_boundary(const char *isa, bpk_dtype dtype, ptrdiff_t m, ptrdiff_t n, ptrdiff_t k, rng *r) {
    int runs = 0;
    for (int i = 0; i < count_tables; i++) {
        const table *t = &tables[i];
        if (strcmp(t->isa, isa) || t->dtype != dtype) continue;
        runs = 1;
        for (product product = 0; product < N_PRODUCTS; product++) {
            problem p = make_problem(product, dtype, m, n, k, random_kind(r), r);
            solve(&p);
            check_problem(&p, t);
            free_problem(&p);
        }
    }
    if (!runs) counted("not run", 1);
}

/* Checks shape number `which`, counted over all instruction sets and dtypes; nothing if `which` is past
 * the last shape. Returns the number of shapes. */
static ptrdiff_t boundary(ptrdiff_t which, rng *r) {
    ptrdiff_t total = 0;
    for (int isa = 0; isa < bpk_isa_count(); isa++)
        for (bpk_dtype dtype = 0; dtype < BPK_N_DTYPES; dtype++) {
            sizes m, n, k;
            boundary_sizes(bpk_isa_kernels(isa, dtype), &m, &n, &k);
            ptrdiff_t count = m.count * n.count * k.count, at = which - total;
            total += count;
            if (at >= 0 && at < count)
                check_boundary(bpk_isa_name(isa), dtype, m.size[at % m.count], n.size[at / m.count % n.count],
                               k.size[at / m.count / n.count], r);
        }
    return total;
}

void boundaries(ptrdiff_t number, rng *r) {
    ptrdiff_t total = boundary(PTRDIFF_MAX, r);
    if (total % STRIDE == 0) fail("the number of shapes, %td, is a multiple of %d", total, STRIDE);
    for (ptrdiff_t which = number; which < total; which += BOUNDARIES) boundary(which * STRIDE % total, r);
}

void random_sizes(ptrdiff_t number, rng *r) {
    (void)number;
    ptrdiff_t m = whole(r, 0, 70), n = whole(r, 0, 70), k = whole(r, 0, 70);
    check_shape(m, n, k, random_kind(r), r);
}

/* Sizes up to 2048 with at most 2^22 multiplications: not all three sizes are large at once. */
void large_sizes(ptrdiff_t number, rng *r) {
    (void)number;
    ptrdiff_t m, n, k;
    do {
        m = whole(r, 1, 2048), n = whole(r, 1, 2048), k = whole(r, 1, 2048);
    } while (m * n * k > 1 << 22);
    check_shape(m, n, k, random_kind(r), r);
}

static int same_bits(const problem *p, const void *a, const void *b) {
    return !memcmp(a, b, (size_t)p->results * (p->dtype == BPK_F64 ? sizeof(double) : sizeof(float)));
}

/* Fails if the bits of the results depend on the places of the operands. `which` is the operand that was
 * moved, or -1 for all. */
static void compare_places(const problem *p, const table *t, const places *at, const char *how,
                           ptrdiff_t which) {
    void *moved = results_memory(p), *aligned = results_memory(p);
    const places inside = all_at(INSIDE, 0);
    int both_ran = run_problem(p, t, &inside, aligned) && run_problem(p, t, at, moved);
    if (both_ran && !same_bits(p, aligned, moved))
        fail("%s: different bits with operand %td %s", describe(p, t), which, how);
    free(moved), free(aligned);
}

/* Moves the operands of all products of one shape to another place, first one at a time, then all at once,
 * with every table. */
static void move_operands(ptrdiff_t m, ptrdiff_t n, ptrdiff_t k, place where, ptrdiff_t offset,
                          const char *how, rng *r) {
    for (int i = 0; i < count_tables; i++)
        for (product product = 0; product < N_PRODUCTS; product++) {
            problem p = make_problem(product, tables[i].dtype, m, n, k, SIGNED, r);
            for (int operand = 0; operand < count_operands(product); operand++) {
                places at = all_at(INSIDE, 0);
                at.where[operand] = where, at.offset[operand] = offset;
                compare_places(&p, &tables[i], &at, how, operand);
            }
            places everywhere = all_at(where, offset);
            compare_places(&p, &tables[i], &everywhere, how, -1);
            free_problem(&p);
        }
}

/* Operands `number` elements off a cache line. */
void misalignments(ptrdiff_t number, rng *r) {
    for (int shape = 0; shape < 30; shape++) {
        ptrdiff_t m = whole(r, 1, 30), n = whole(r, 1, 100), k = whole(r, 1, 40);
        move_operands(m, n, k, INSIDE, number, "misaligned", r);
    }
}

void fences(ptrdiff_t number, rng *r) {
    (void)number;
    ptrdiff_t m = whole(r, 0, 70), n = whole(r, 0, 70), k = whole(r, 0, 70);
    move_operands(m, n, k, AT_START, 0, "behind a fence", r);
    move_operands(m, n, k, AT_END, 0, "before a fence", r);
}

void integers(ptrdiff_t number, rng *r) {
    (void)number;
    ptrdiff_t k = one_in(r, 8) ? whole(r, 400, 1100) : whole(r, 0, 150);
    check_shape(whole(r, 0, 40), whole(r, 0, 120), k, INTEGERS, r);
}

/* Puts NaN or infinities at one to three random places of the operands. */
static void spoil(problem *p, rng *r) {
    static const double values[] = {NAN, INFINITY, -INFINITY};
    struct {
        double *at;
        ptrdiff_t count;
    } operands[] = {{p->left, p->m * p->k},
                    {p->right, p->n * p->k},
                    {p->bias, p->product == UPDATE    ? p->m
                              : p->product == FORWARD ? p->n
                                                      : 0},
                    {p->given, p->product == FORWARD ? 0 : p->m * p->n},
                    {p->velocity, p->velocity && p->sgd.momentum != 0 ? p->m * p->n + p->m : 0}};
    for (ptrdiff_t remaining = whole(r, 1, 3); remaining > 0; remaining--) {
        int which = (int)whole(r, 0, 4);
        double value = values[whole(r, 0, 2)];
        /* Infinities among activations become possible values: few activations can be minus infinity, and
         * sigmoid and tanh are at most 1. z and the identity stay as they are. */
        int is_activation = which == 3 && p->product == DELTA && p->activation != BPK_IDENTITY;
        if (is_activation && !bpk_needs_z(p->activation) && value < 0) value = INFINITY;
        if (is_activation && !isnan(value) && (p->activation == BPK_SIGMOID || p->activation == BPK_TANH))
            value = 1;
        if (operands[which].count) operands[which].at[whole(r, 0, operands[which].count - 1)] = value;
    }
}

void special_values(ptrdiff_t number, rng *r) {
    (void)number;
    ptrdiff_t m = whole(r, 1, 30), n = whole(r, 1, 60), k = whole(r, 1, 30);
    for (product product = 0; product < N_PRODUCTS; product++)
        for (bpk_dtype dtype = 0; dtype < BPK_N_DTYPES; dtype++) {
            problem p = make_problem(product, dtype, m, n, k, SIGNED, r);
            spoil(&p, r);
            solve(&p);
            for (int i = 0; i < count_tables; i++)
                if (tables[i].dtype == dtype) check_problem(&p, &tables[i]);
            free_problem(&p);
        }
}

/* The forward product with W packed into scratch memory of exactly the size of its blocks, at a fence: the
 * bits must be the same whether the memory held zeros or NaN before. */
void scratch(ptrdiff_t number, rng *r) {
    (void)number;
    ptrdiff_t m = whole(r, 1, 40), n = whole(r, 1, 120),
              k = one_in(r, 8) ? whole(r, 400, 700) : whole(r, 1, 70);
    for (int i = 0; i < count_tables; i++) {
        const bpk_kernels *kernels = tables[i].kernels;
        problem p = make_problem(FORWARD, tables[i].dtype, m, n, k, SIGNED, r);
        char *results[] = {results_memory(&p), results_memory(&p)};
        const place fence = one_in(r, 2) ? AT_END : AT_START;
        for (int held_nan = 0; held_nan < 2; held_nan++) {
            matrix x = place_matrix(0, p.dtype, m, k, k, READ, AT_END, 0),
                   w = place_matrix(1, p.dtype, n, k, k, READ, AT_END, 0);
            const ptrdiff_t width = padded(kernels, n);
            matrix b = place_matrix(2, p.dtype, 1, width, width, READ, AT_END, 0),
                   a = place_matrix(3, p.dtype, m, width, width, READ, AT_END, 0);
            for (ptrdiff_t j = 0; j < m * k; j++) set(&x, j / k, j % k, p.left[j]);
            for (ptrdiff_t j = 0; j < n * k; j++) set(&w, j / k, j % k, p.right[j]);
            for (ptrdiff_t j = 0; j < width; j++) set(&b, 0, j, j < n ? p.bias[j] : 0);
            matrix blocks = place_matrix(4, p.dtype, k, width, width, READ, fence, 0);
            for (ptrdiff_t j = 0; !held_nan && j < k * width; j++) set(&blocks, j / width, j % width, 0);
            const bpk_left rows = {.at = x.at, .ld = k};
            doing("%s with %s in scratch memory", describe(&p, &tables[i]), held_nan ? "NaN" : "zeros");
            fp_mode mode = fp_enter();
            pack_weights(kernels, k, n, w.at, k, blocks.at);
            forward_product(kernels, (member){.count = 1}, m, k, n, &rows, blocks.at, b.at, p.activation,
                            a.at, 0, width);
            fp_leave(mode);
            a.columns = n; /* without the padding */
            copy_out(&a, results[held_nan]);
        }
        if (!same_bits(&p, results[0], results[1]))
            fail("%s: different bits with NaN in scratch memory", describe(&p, &tables[i]));
        free(results[0]), free(results[1]);
        free_problem(&p);
    }
}
