/* The cache that products are made for. Defined in caches.c. */
#ifndef BPK_CACHES_H
#define BPK_CACHES_H

#include <stddef.h>

/* The bytes of a core's second-level cache, as the system reports them; 512 KiB if it does not. The speed of
 * a product depends on this number, its result does not. */
ptrdiff_t second_level_cache(void);

#endif
