/* The table of the scalar kernels, for any processor. */
#include "scalar.h"

#include "products.h"
#include "table_tpl.h"
