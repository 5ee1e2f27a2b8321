/* Online steps on AVX2. */
#include "vec_avx2.h"

#include "online_tpl.h"
