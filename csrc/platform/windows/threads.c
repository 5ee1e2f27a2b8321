/* Threads of Windows. Ctrl-C comes in a thread of its own there, so no signals need to be kept from ours. */
#define WIN32_LEAN_AND_MEAN
#include "platform/threads.h"

#include <process.h>
#include <windows.h>

static unsigned __stdcall enter(void *argument) {
    thread *self = argument;
    self->run(self);
    return 0;
}

int thread_start(thread *self) {
    const unsigned stack_is_reserved = STACK_SIZE_PARAM_IS_A_RESERVATION; /* and not committed */
    self->handle = _beginthreadex(NULL, THREAD_STACK, enter, self, stack_is_reserved, NULL);
    return self->handle != 0;
}

void thread_join(thread *self) {
    HANDLE handle = (HANDLE)self->handle;
    WaitForSingleObject(handle, INFINITE);
    CloseHandle(handle);
}

/* A detached thread may still run when a program unloads the library that has started it, so that stays. */
void thread_detach(thread *self) {
    static const char address;
    HMODULE library;
    GetModuleHandleExA(GET_MODULE_HANDLE_EX_FLAG_PIN | GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS, &address,
                       &library);
    CloseHandle((HANDLE)self->handle);
}

void call_around_fork(void (*before)(void), void (*after)(void)) {
    (void)before;
    (void)after;
}

void thread_yield(void) { SwitchToThread(); }
