/* Delta on AVX2. */
#include "vec_avx2.h"

#include "delta_tpl.h"
