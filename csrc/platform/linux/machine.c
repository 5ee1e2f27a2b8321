/* The processors and caches of Linux. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* sched_getaffinity */
#endif
#include <sched.h>
#include <stdio.h>
#include <unistd.h>

#include "bpkern.h"

/* A container's quota is not considered. */
int bpk_processors(void) {
    cpu_set_t set;
    if (!sched_getaffinity(0, sizeof set, &set)) return CPU_COUNT(&set);
    return (int)sysconf(_SC_NPROCESSORS_ONLN);
}

/* One of glibc's answers, which are 0 on many processors that are not x86; musl has none. */
static long asked(int level) {
#ifdef _SC_LEVEL1_DCACHE_SIZE
    static const int names[] = {_SC_LEVEL1_DCACHE_SIZE, _SC_LEVEL2_CACHE_SIZE, _SC_LEVEL3_CACHE_SIZE};
    return sysconf(names[level - 1]);
#else
    (void)level;
    return 0;
#endif
}

/* The first line of a file about a cache of the first processor; 0 if there is none. */
static int read_line(int cache, const char *file, char *line, int size) {
    char path[80];
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/%s", cache, file);
    FILE *opened = fopen(path, "r");
    if (!opened) return 0;
    int got = fgets(line, size, opened) != NULL;
    fclose(opened);
    return got;
}

/* The files of the system: a level, "Data", "Instruction" or "Unified", and a size such as "512K". */
static ptrdiff_t read_cache(int level) {
    char line[32];
    for (int cache = 0; read_line(cache, "level", line, sizeof line); cache++) {
        int found, kibibytes;
        if (sscanf(line, "%d", &found) != 1 || found != level) continue;
        if (!read_line(cache, "type", line, sizeof line) || line[0] == 'I') continue;
        if (!read_line(cache, "size", line, sizeof line) || sscanf(line, "%dK", &kibibytes) != 1) continue;
        return (ptrdiff_t)kibibytes << 10;
    }
    return 0;
}

ptrdiff_t bpk_cache(int level) {
    if (level < 1 || level > 3) return 0;
    long bytes = asked(level);
    return bytes > 0 ? (ptrdiff_t)bytes : read_cache(level);
}
