/* Delta on AVX-512. */
#include "vec_avx512.h"

#include "delta_tpl.h"
