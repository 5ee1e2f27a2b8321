/* Forward on AVX2. */
#include "vec_avx2.h"

#include "forward_tpl.h"
