/* Dropout on AVX-512. */
#include "vec_avx512.h"

#include "drop_tpl.h"
