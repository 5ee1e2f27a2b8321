/* Reduce on AVX-512. */
#include "vec_avx512.h"

#include "reduce_tpl.h"
