/* Loss on AVX-512. */
#include "vec_avx512.h"

#include "loss_tpl.h"
