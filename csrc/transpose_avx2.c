/* Transpose on AVX2. */
#include "vec_avx2.h"

#include "transpose_tpl.h"
