/* Update on AVX-512. */
#include "vec_avx512.h"

#include "update_tpl.h"
