/* The table of the scalar kernels, for any processor. */
#include "real.h"

/* They have no vectors: these only set the layout of the trainer's panels. */
#define VEC 4
#define TILE_VECS 2

#include "table_tpl.h"
