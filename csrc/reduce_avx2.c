/* Reduce on AVX2. */
#include "vec_avx2.h"

#include "reduce_tpl.h"
