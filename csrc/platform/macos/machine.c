/* The processors and caches of macOS. Threads cannot be bound to processors there. */
#include <stdint.h>
#include <sys/sysctl.h>
#include <sys/types.h>
#include <unistd.h>

#include "bpkern.h"

int bpk_processors(void) { return (int)sysconf(_SC_NPROCESSORS_ONLN); }

static ptrdiff_t number(const char *name) {
    int64_t value = 0;
    size_t size = sizeof value;
    return sysctlbyname(name, &value, &size, NULL, 0) ? 0 : (ptrdiff_t)value;
}

/* Of the fast cores, if there are two kinds: level 0 is the fastest. */
ptrdiff_t bpk_cache(int level) {
    static const char *const fast[] = {"hw.perflevel0.l1dcachesize", "hw.perflevel0.l2cachesize",
                                       "hw.perflevel0.l3cachesize"};
    static const char *const all[] = {"hw.l1dcachesize", "hw.l2cachesize", "hw.l3cachesize"};
    if (level < 1 || level > 3) return 0;
    ptrdiff_t bytes = number(fast[level - 1]);
    return bytes ? bytes : number(all[level - 1]);
}
