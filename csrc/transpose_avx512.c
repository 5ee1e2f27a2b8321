/* Transpose on AVX-512. */
#include "vec_avx512.h"

#include "transpose_tpl.h"
