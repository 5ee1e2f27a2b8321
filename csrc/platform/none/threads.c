/* No threads, as in WebAssembly: no thread can be started, and every team has one member. */
#include "platform/threads.h"

int thread_start(thread *self) {
    (void)self;
    return 0;
}

void thread_join(thread *self) { (void)self; }

void thread_detach(thread *self) { (void)self; }

void call_around_fork(void (*before)(void), void (*after)(void)) {
    (void)before;
    (void)after;
}

void thread_yield(void) {}
