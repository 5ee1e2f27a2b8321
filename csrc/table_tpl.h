/* Parts of a sum begin and end with blocks. */
_Static_assert(DEPTH % (TILE_VECS * VEC) == 0, "DEPTH is no whole number of blocks");

/* The table of one ISA and dtype: VEC and TILE_VECS are the ISA's. */
const bpk_kernels BPK_NAME(kernels) = {
    .real_size = sizeof(real),
    .vector = VEC,
    .panel = TILE_VECS * VEC,
    .dot_rows = DOT_ROWS,
    .dot_depth = DOT_DEPTH,
    .narrow = NARROW,
    .forward = BPK_NAME(forward),
    .delta = BPK_NAME(delta),
    .dot = BPK_NAME(dot),
    .update = BPK_NAME(update),
    .update_bias = BPK_NAME(update_bias),
    .move = BPK_NAME(move),
    .collect = BPK_NAME(collect),
    .average = BPK_NAME(average),
    .scatter = BPK_NAME(scatter),
    .transpose = BPK_NAME(transpose),
    .activate = BPK_NAME(activate),
    .apply_derivative = BPK_NAME(apply_derivative),
    .activate_with_slope = BPK_NAME(activate_with_slope),
    .drop = BPK_NAME(drop),
    .loss = BPK_NAME(loss),
    .online = ONLINE,
    .all_finite = BPK_NAME(all_finite),
    .sum_squares = BPK_NAME(sum_squares),
    .sum_absolute = BPK_NAME(sum_absolute),
};
