/* Dot products on AVX-512. */
#include "vec_avx512.h"

#include "dot_tpl.h"
