/* The table of one ISA and dtype: VEC and TILE_VECS are the ISA's. */
const bpk_kernels BPK_NAME(kernels) = {
    .real_size = sizeof(real),
    .vector = VEC,
    .panel = TILE_VECS * VEC,
    .dot_rows = DOT_ROWS,
    .forward = BPK_NAME(forward),
    .delta = BPK_NAME(delta),
    .delta_dot = BPK_NAME(delta_dot),
    .update = BPK_NAME(update),
    .update_bias = BPK_NAME(update_bias),
    .scatter = BPK_NAME(scatter),
    .transpose = BPK_NAME(transpose),
    .activate = BPK_NAME(activate),
    .apply_derivative = BPK_NAME(apply_derivative),
    .loss = BPK_NAME(loss),
    .all_finite = BPK_NAME(all_finite),
    .sum_squares = BPK_NAME(sum_squares),
};
