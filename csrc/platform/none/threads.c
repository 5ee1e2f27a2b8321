/* No threads, as in WebAssembly: no thread can be started, and every team has one member. */
#include "platform/threads.h"

int thread_start(thread *self) {
    (void)self;
    return 0;
}

void thread_join(thread *self) { (void)self; }

void thread_detach(thread *self) { (void)self; }

void call_after_fork(void (*run)(void)) { (void)run; }

void thread_yield(void) {}
