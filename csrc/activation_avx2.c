/* Activation on AVX2. */
#include "vec_avx2.h"

#include "activation_tpl.h"
