/* Pages and exceptions of Windows. */
#define WIN32_LEAN_AND_MEAN
#include <io.h>
#include <signal.h>
#include <stdlib.h>
#include <windows.h>

#include "system.h"

char *fenced_memory(size_t size, size_t fence) {
    char *mapping = VirtualAlloc(NULL, size + 2 * fence, MEM_RESERVE, PAGE_NOACCESS);
    if (!mapping || !VirtualAlloc(mapping + fence, size, MEM_COMMIT, PAGE_READWRITE)) return NULL;
    return mapping + fence;
}

static int (*describe_crash)(char *text, size_t size, unsigned signal, const void *address);
static int status;

static void crash(unsigned signal, const void *address) {
    char text[400];
    int n = describe_crash(text, sizeof text, signal, address);
    _exit(_write(1, text, (unsigned)n) == n ? status : 4);
}

static LONG WINAPI crashed(EXCEPTION_POINTERS *exception) {
    const EXCEPTION_RECORD *record = exception->ExceptionRecord;
    int of_memory = record->ExceptionCode == EXCEPTION_ACCESS_VIOLATION;
    const void *address = of_memory ? (void *)record->ExceptionInformation[1] : record->ExceptionAddress;
    crash(record->ExceptionCode, address);
    return EXCEPTION_CONTINUE_SEARCH;
}

static void aborted(int signal) { crash((unsigned)signal, NULL); }

void catch_crashes(int (*how)(char *text, size_t size, unsigned signal, const void *address), int ends_with) {
    describe_crash = how, status = ends_with;
    SetUnhandledExceptionFilter(crashed);
    signal(SIGABRT, aborted);
}
