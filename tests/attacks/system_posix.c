/* Pages and signals of POSIX. */
#define _GNU_SOURCE /* MAP_ANONYMOUS, MAP_NORESERVE, sigaltstack */
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "system.h"

char *fenced_memory(size_t size, size_t fence) {
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    char *mapping = mmap(NULL, size + 2 * fence, PROT_NONE, flags, -1, 0);
    if (mapping == MAP_FAILED || mprotect(mapping + fence, size, PROT_READ | PROT_WRITE)) return NULL;
    return mapping + fence;
}

static int (*describe_crash)(char *text, size_t size, unsigned signal, const void *address);
static int status;

/* Without stdio's streams: the signal may have come within printf. */
static void crashed(int signal, siginfo_t *info, void *context) {
    (void)context;
    char text[400];
    int n = describe_crash(text, sizeof text, (unsigned)signal, info->si_addr);
    if (write(STDOUT_FILENO, text, (size_t)n) != n) _exit(4);
    _exit(status);
}

void catch_crashes(int (*how)(char *text, size_t size, unsigned signal, const void *address), int ends_with) {
    static char stack[1 << 16];
    describe_crash = how, status = ends_with;
    sigaltstack(&(stack_t){.ss_sp = stack, .ss_size = sizeof stack}, NULL);
    struct sigaction action = {.sa_sigaction = crashed, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) sigaction(signals[i], &action, NULL);
}
