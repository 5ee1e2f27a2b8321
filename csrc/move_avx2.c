/* Optimisers on AVX2. */
#include "vec_avx2.h"

#include "move_tpl.h"
