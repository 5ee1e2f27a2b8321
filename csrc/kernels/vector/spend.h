/* A tile of the gradient, in registers, moves the weights of the tile. Included after tile.h; needs the
 * kernel `move`. Defined here. */
#ifndef BPK_SPEND_H
#define BPK_SPEND_H

/* The weights of a tile, rows ldw apart; and their states, which begin at element `at` of those of the block,
 * rows ld_state apart. n: columns of the block. */
typedef struct {
    stored *w;
    ptrdiff_t ldw;
    void *const *state; /* BPK_STATES of them */
    ptrdiff_t at, ld_state;
    ptrdiff_t n;
} tile_weights;

/* ROW(p, r, ld) is row r of the tile at p, after ROWS(p, ld). With ADDRESS_PER_ROW a load adds either
 * a register or a constant to an address. There the compiler must not see that all rows are parts of one
 * matrix: it would compute the address of each vector from that of the first one, and these are too many for
 * the registers. */
#ifdef ADDRESS_PER_ROW
#define ROWS(p, ld)                        \
    __typeof__(p) p##_rows[TILE_ROWS_MAX]; \
    UNROLL                                 \
    for (int r = 0; r < rows; r++) {       \
        p##_rows[r] = p + r * (ld);        \
        __asm__("" : "+r"(p##_rows[r]));   \
    }
#define ROW(p, r, ld) p##_rows[r]
#else
#define ROWS(p, ld)
#define ROW(p, r, ld) (p + r * (ld))
#endif

/* gradient <- the step of SGD along it, which also updates the velocities m unless m is NULL. Each part of
 * the formula is one loop over the registers, so that its condition is tested once per tile. Without decay
 * the weights are not read: 0 times an infinite weight would be NaN. */
static ALWAYS_INLINE void sgd_steps(int rows, int vecs, int last, ptrdiff_t tail, const bpk_move *move,
                                    const stored *w, ptrdiff_t ldw, stored *m, ptrdiff_t ldm,
                                    vacc gradient[TILE_ROWS_MAX][TILE_VECS]) {
    if (move->decay != 0) {
        vec decay = vset1((real)move->decay);
        ROWS(w, ldw)
        EACH_ACCUMULATOR (r, j)
            gradient[r][j] = vfma(decay, tile_load(ROW(w, r, ldw), j, vecs, last, tail), gradient[r][j]);
    }
    if (!m) return;
    vec momentum = vset1((real)move->optimizer.momentum);
    int nesterov = move->optimizer.nesterov;
    ROWS(m, ldm)
    EACH_ACCUMULATOR (r, j) {
        vec velocity = vfma(momentum, tile_load(ROW(m, r, ldm), j, vecs, last, tail), gradient[r][j]);
        tile_store(ROW(m, r, ldm), velocity, j, vecs, last, tail);
        gradient[r][j] = nesterov ? vfma(momentum, velocity, gradient[r][j]) : velocity;
    }
}

/* For the other optimisers, and rare settings of SGD: stores the tile of the gradient, in the first-level
 * cache, and calls `move`, which has their formulas. One call is enough if the rows of w are adjacent, as in
 * a tile as wide as its block. */
static ALWAYS_INLINE void move_rows(int rows, int vecs, const bpk_move *move, const tile_weights *to,
                                    vacc gradient[TILE_ROWS_MAX][TILE_VECS]) {
    real tile[TILE_ROWS_MAX * TILE_VECS * VEC];
    const ptrdiff_t width = vecs * VEC;
    EACH_ACCUMULATOR (r, j) vstore(tile + r * width + j * VEC, gradient[r][j]);
    int adjacent = to->n == width && to->ldw == width && to->ld_state == width;
    for (int r = 0; r < (adjacent ? 1 : rows); r++) {
        void *state[BPK_STATES];
        for (int k = 0; k < BPK_STATES; k++)
            state[k] = to->state[k] ? (stored *)to->state[k] + to->at + r * to->ld_state : NULL;
        BPK_NAME(move)(move, adjacent ? rows * width : to->n, tile + r * width, to->w + r * to->ldw, state);
    }
}

/* Moves the weights of a tile along its gradient; then `tile` holds the moved weights. */
static ALWAYS_INLINE void spend_tile(int rows, int vecs, int last, ptrdiff_t tail, const bpk_move *move,
                                     const tile_weights *to, vacc tile[TILE_ROWS_MAX][TILE_VECS]) {
    if (move->optimizer.rule != BPK_SGD || move->l1 != 0 || move->shrink != 1 || move->dampening != 0) {
        move_rows(rows, vecs, move, to, tile);
        EACH_ACCUMULATOR (r, j) tile[r][j] = tile_load(to->w + r * to->ldw, j, vecs, last, tail);
        return;
    }
    stored *m = to->state[0] ? (stored *)to->state[0] + to->at : NULL, *w = to->w;
    sgd_steps(rows, vecs, last, tail, move, w, to->ldw, m, to->ld_state, tile);
    __asm__("" : "+r"(w)); /* otherwise gcc loads the tile before the branches above, and spills it */
    vec lr = vset1((real)move->lr);
    ROWS(w, to->ldw)
    EACH_ACCUMULATOR (r, j) {
        tile[r][j] = vfnma(lr, tile[r][j], tile_load(ROW(w, r, to->ldw), j, vecs, last, tail));
        tile_store(ROW(w, r, to->ldw), tile[r][j], j, vecs, last, tail);
    }
}

#endif
