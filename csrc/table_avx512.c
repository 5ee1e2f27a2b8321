/* The table of AVX-512. */
#include "vec_avx512.h"

#include "products.h"
#include "table_tpl.h"
