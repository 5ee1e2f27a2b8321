/* Dropout on AVX2. */
#include "vec_avx2.h"

#include "drop_tpl.h"
