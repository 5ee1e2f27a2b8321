/* The sweep of plain SGD, if the batch is one row and the next batch, if any, is one row, too. It goes row by
 * row and not in tiles: on AVX2, the registers of a tile would leave none for the sums, and each sum waits
 * for its term before. The formulas are those of spend.h and sweep.c, to the same bits: only a gradient that
 * underflows is 0 here and may be -0 there. On Zen 4, stores take turns with fma, as measured, but not with
 * products and sums: hence no fma for the step. Included by sweep.c; defined here.
 */
#ifndef BPK_SWEEP_ROW_H
#define BPK_SWEEP_ROW_H

static inline int sweeps_by_rows(const bpk_sweep_args *args) {
    const bpk_move *move = args->move;
    return args->k == 1 && args->next_k <= 1 && move->optimizer.rule == BPK_SGD && move->l1 == 0 &&
           move->shrink == 1 && move->decay == 0 && !move->optimizer.nesterov && move->dampening == 0;
}

/* has_m and next: whether there are velocities, and a next row. */
static ALWAYS_INLINE void sweep_rows(int vecs, int has_m, int next, const bpk_sweep_args *args) {
    const ptrdiff_t width = vecs * VEC;
    const vec lr = vset1((real)args->move->lr), momentum = vset1((real)args->move->optimizer.momentum);
    vec delta[TILE_VECS], sums[TILE_VECS];
    UNROLL
    for (int j = 0; j < vecs; j++) {
        delta[j] = vload((const stored *)args->delta + j * VEC);
        sums[j] = args->b ? vload((const stored *)args->b + j * VEC) : vzero();
    }
    for (ptrdiff_t first = 0, of_block; first < args->to; first += of_block) {
        /* The blocks of a single row of x are adjacent. */
        of_block = args->x_rows == 1 ? args->in : width_of_block(args->in - first, VEC, TILE_VECS * VEC);
        ptrdiff_t i = args->from > first ? args->from : first;
        const ptrdiff_t to = args->to < first + of_block ? args->to : first + of_block;
        const ptrdiff_t apart = first * (args->x_rows - 1); /* the elements of other rows of x before */
        const stored *x = (const stored *)args->x + apart;
        const stored *next_x = next ? (const stored *)args->next_x + apart : NULL;
        stored *w = (stored *)args->w + i * width;
        stored *m = has_m ? (stored *)args->state[0] + i * width : NULL;
        for (; i < to; i++, w += width, m += has_m ? width : 0) {
            const vec left = vset1(x[i]), next_left = next ? vset1(next_x[i]) : vzero();
            UNROLL
            for (int j = 0; j < vecs; j++) {
                vec step = vadd(vmul(left, delta[j]), vzero()); /* plus 0, as a tile: -0 becomes 0 */
                if (has_m) {
                    step = vfma(momentum, vload(m + j * VEC), step);
                    vstore(m + j * VEC, step);
                }
                vec moved = vfnma(lr, step, vload(w + j * VEC));
                vstore(w + j * VEC, moved);
                if (next) sums[j] = vfma(next_left, moved, sums[j]);
            }
        }
    }
    if (!next) return;
    UNROLL
    for (int j = 0; j < vecs; j++) vstore((stored *)args->a + j * VEC, sums[j]);
    BPK_NAME(activate)(args->activation, 1, args->n, args->a, args->lda);
}

/* A function each: in one function, gcc would keep the sums in memory. */
#define FUNCTIONS(vecs)                                                                                      \
    static NOINLINE void with_m_##vecs(const bpk_sweep_args *args) { sweep_rows(vecs, 1, 1, args); }         \
    static NOINLINE void without_m_##vecs(const bpk_sweep_args *args) { sweep_rows(vecs, 0, 1, args); }      \
    static NOINLINE void last_with_m_##vecs(const bpk_sweep_args *args) { sweep_rows(vecs, 1, 0, args); }    \
    static NOINLINE void last_without_m_##vecs(const bpk_sweep_args *args) { sweep_rows(vecs, 0, 0, args); } \
    static inline void sweep_by_rows_##vecs(const bpk_sweep_args *args) {                                    \
        if (args->next_k)                                                                                    \
            (args->state[0] ? with_m_##vecs : without_m_##vecs)(args);                                       \
        else                                                                                                 \
            (args->state[0] ? last_with_m_##vecs : last_without_m_##vecs)(args);                             \
    }
FUNCTIONS(1)
FUNCTIONS(2)
FUNCTIONS(3)
#undef FUNCTIONS

#endif
