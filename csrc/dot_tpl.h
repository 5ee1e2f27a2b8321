/* Dot products of the rows of two matrices in blocks: `rows` of x by `columns` of w at a time, at most a
 * vector full of them. Each is summed in the same order whatever its companions, lane by lane and then the
 * lanes in halves. */
static ALWAYS_INLINE void accumulate(int rows, int columns, int masked, vmask tail, const real *x,
                                     const real *w, ptrdiff_t width, vec acc[VEC]) {
    UNROLL
    for (int r = 0; r < rows; r++) {
        vec one = masked ? vmload(tail, x + r * width) : vload(x + r * width);
        UNROLL
        for (int c = 0; c < columns; c++)
            acc[r * columns + c] = vfma(one, vload(w + c * width), acc[r * columns + c]);
    }
}

/* The lanes of `count` accumulators into as many sums. */
static ALWAYS_INLINE void reduce(int count, vec acc[VEC], real sums[VEC]) {
    if (2 * count <= VEC) {
        for (int s = 0; s < count; s++) sums[s] = vsum(acc[s]);
        return;
    }
    for (int s = count; s < VEC; s++) acc[s] = vzero();
    vtranspose(acc);
    for (int half = VEC / 2; half > 0; half /= 2)
        for (int s = 0; s < half; s++) acc[s] = vadd(acc[s], acc[s + half]);
    vstore(sums, acc[0]);
}

static ALWAYS_INLINE void dots(int rows, int columns, const bpk_dot_args *args, ptrdiff_t i, ptrdiff_t j) {
    vec acc[VEC];
    UNROLL
    for (int s = 0; s < rows * columns; s++) acc[s] = vzero();
    for (ptrdiff_t k = 0, width; k < args->k; k += width) {
        width = width_of_block(args->k - k, VEC, TILE_VECS * VEC);
        const real *x = (const real *)args->x + k * args->x_rows + i * width;
        const real *w = (const real *)args->w + k * args->w_rows + (args->w_from + j) * width;
        ptrdiff_t left = args->k - k < width ? args->k - k : width, v = 0;
        for (; v + VEC <= left; v += VEC) accumulate(rows, columns, 0, vtail(0), x + v, w + v, width, acc);
        if (v < left) accumulate(rows, columns, 1, vtail(left - v), x + v, w + v, width, acc);
    }
    real sums[VEC];
    reduce(rows * columns, acc, sums);
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < columns; c++) {
            real *sum = (real *)args->sums + (i + r) * args->lds + j + c;
            real start = args->resume ? *sum : args->b ? ((const real *)args->b)[j + c] : 0;
            *sum = start + sums[r * columns + c];
        }
}

/* Columns j to j + columns, the rows in tiles and what is left one by one. */
static ALWAYS_INLINE void dot_columns(int columns, const bpk_dot_args *args, ptrdiff_t j) {
    const int rows = VEC / columns;
    ptrdiff_t i = args->from;
    for (; i + rows <= args->to; i += rows) dots(rows, columns, args, i, j);
    for (; i < args->to; i++) dots(1, columns, args, i, j);
}

void BPK_NAME(dot)(const bpk_dot_args *args) {
    ptrdiff_t j = 0;
    for (; j + 4 <= args->n; j += 4) dot_columns(4, args, j);
    switch (args->n - j) {
        case 1: dot_columns(1, args, j); break;
        case 2: dot_columns(2, args, j); break;
        case 3: dot_columns(3, args, j); break;
    }
}
