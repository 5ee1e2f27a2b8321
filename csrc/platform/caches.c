/* The system is asked once: on some, each answer takes many microseconds. */
#include "platform/caches.h"

#include <stdatomic.h>

#include "bpkern.h"

enum { USUAL = 512 << 10 };

ptrdiff_t second_level_cache(void) {
    static _Atomic ptrdiff_t bytes;
    ptrdiff_t known = atomic_load_explicit(&bytes, memory_order_relaxed);
    if (!known) {
        known = bpk_cache(2);
        if (known <= 0) known = USUAL;
        atomic_store_explicit(&bytes, known, memory_order_relaxed);
    }
    return known;
}
