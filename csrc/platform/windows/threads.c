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

void thread_detach(thread *self) { CloseHandle((HANDLE)self->handle); }

void call_after_fork(void (*run)(void)) { (void)run; }

void thread_yield(void) { SwitchToThread(); }
