/* Online steps on AVX-512. */
#include "vec_avx512.h"

#include "online_tpl.h"
