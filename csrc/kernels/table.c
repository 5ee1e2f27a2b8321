/* The kernel table of one ISA and dtype. The build compiles this file once per ISA and dtype, with the ISA's
 * vec.h. */
#include "vec.h"

_Static_assert(VEC >= 2 && (VEC & (VEC - 1)) == 0, "a vector holds a power of two of elements, at least 2");
_Static_assert(DEPTH % (TILE_VECS * VEC) == 0, "DEPTH is a multiple of the widest block");
_Static_assert(PART_DEPTH % (TILE_VECS * VEC) == 0 && PART_DEPTH <= DEPTH,
               "PART_DEPTH is a multiple of the widest block, at most DEPTH");
_Static_assert(PART_DEPTH % 2 == 0, "parts begin with whole pairs of bfloat16");
_Static_assert(NARROW >= 1 && DOT_ROWS >= 0 && DOT_DEPTH >= 1,
               "NARROW and DOT_DEPTH are at least 1, and DOT_ROWS at least 0");

#define ENTRY(returned, name, parameters) .name = BPK_NAME(name),

const bpk_kernels BPK_NAME(kernels) = {.dtype = BPK_REAL_IS_DOUBLE ? BPK_F64 : BPK_F32,
                                       .real_size = sizeof(real),
                                       .vector = VEC,
                                       .panel = TILE_VECS * VEC,
                                       .tile_rows = {TILE_ROWS_1, TILE_ROWS_2, TILE_ROWS_3},
                                       .update_rows = UPDATE_ROWS_3,
                                       .dot_rows = DOT_ROWS,
                                       .dot_depth = DOT_DEPTH,
                                       .depth = PART_DEPTH,
                                       .narrow = NARROW,
                                       .sweep_rows = SWEEP_ROWS,
                                       .online = ONLINE,
#if !BPK_REAL_IS_DOUBLE
                                       BPK_PAIR_KERNELS(ENTRY)
#endif
                                           BPK_KERNELS(ENTRY)};
