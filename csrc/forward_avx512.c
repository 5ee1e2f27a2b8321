/* Forward on AVX-512. */
#include "vec_avx512.h"

#include "forward_tpl.h"
