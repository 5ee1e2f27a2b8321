/* The processors and caches of Windows. */
#define WIN32_LEAN_AND_MEAN
#include <stdlib.h>
#include <windows.h>

#include "bpkern.h"

int bpk_processors(void) {
    DWORD_PTR mine, all;
    int count = 0;
    /* The masks are 0 for a process in several groups of processors, which are of up to 64 each. */
    if (GetProcessAffinityMask(GetCurrentProcess(), &mine, &all))
        for (; mine; mine &= mine - 1) count++;
    return count ? count : (int)GetActiveProcessorCount(ALL_PROCESSOR_GROUPS);
}

ptrdiff_t bpk_cache(int level) {
    DWORD size = 0;
    GetLogicalProcessorInformation(NULL, &size);
    SYSTEM_LOGICAL_PROCESSOR_INFORMATION *all = malloc(size ? size : 1);
    ptrdiff_t bytes = 0;
    if (all && GetLogicalProcessorInformation(all, &size))
        for (DWORD i = 0; i < size / sizeof *all && !bytes; i++)
            if (all[i].Relationship == RelationCache && all[i].Cache.Level == level &&
                all[i].Cache.Type != CacheInstruction)
                bytes = (ptrdiff_t)all[i].Cache.Size;
    free(all);
    return bytes;
}
