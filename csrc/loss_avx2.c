/* Loss on AVX2. */
#include "vec_avx2.h"

#include "loss_tpl.h"
