/* The table of AVX2. */
#include "vec_avx2.h"

#include "products.h"
#include "table_tpl.h"
