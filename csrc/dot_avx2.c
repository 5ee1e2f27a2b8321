/* Dot products on AVX2. */
#include "vec_avx2.h"

#include "dot_tpl.h"
