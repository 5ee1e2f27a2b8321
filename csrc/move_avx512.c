/* Optimisers on AVX-512. */
#include "vec_avx512.h"

#include "move_tpl.h"
