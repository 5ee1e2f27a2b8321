/* Activation on AVX-512. */
#include "vec_avx512.h"

#include "activation_tpl.h"
