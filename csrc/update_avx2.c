/* Update on AVX2. */
#include "vec_avx2.h"

#include "update_tpl.h"
