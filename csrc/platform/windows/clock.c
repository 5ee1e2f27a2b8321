/* The performance counter of Windows. Neither call can fail. */
#define WIN32_LEAN_AND_MEAN
#include <windows.h>

#include "platform/clock.h"

double now(void) {
    LARGE_INTEGER ticks, per_second;
    QueryPerformanceCounter(&ticks);
    QueryPerformanceFrequency(&per_second);
    return (double)ticks.QuadPart / (double)per_second.QuadPart;
}
