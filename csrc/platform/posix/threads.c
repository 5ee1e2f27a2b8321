/* Threads of POSIX. */
#include "platform/threads.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>

_Static_assert(sizeof(pthread_t) <= sizeof(uintptr_t), "a handle has room for a thread");

static void *enter(void *argument) {
    thread *self = argument;
    self->run(self);
    return NULL;
}

static int start(thread *self) {
    pthread_attr_t attributes;
    pthread_t id;
    if (pthread_attr_init(&attributes)) return 0;
    int failed =
        pthread_attr_setstacksize(&attributes, THREAD_STACK) || pthread_create(&id, &attributes, enter, self);
    pthread_attr_destroy(&attributes);
    if (failed) return 0;
    self->handle = (uintptr_t)id;
    thread_to_another_processor(self);
    return 1;
}

/* A new thread inherits the mask of signals: one that took a signal would run Python's handler in a thread
 * unknown to Python. */
int thread_start(thread *self) {
    sigset_t all, before;
    sigfillset(&all);
    /* Signals that a thread itself causes are not blocked: blocked, they would kill the process silently. */
    const int own[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL};
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++) sigdelset(&all, own[i]);
    if (pthread_sigmask(SIG_SETMASK, &all, &before)) return 0;
    int started = start(self);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return started;
}

void thread_join(thread *self) { pthread_join((pthread_t)self->handle, NULL); }

void thread_detach(thread *self) { pthread_detach((pthread_t)self->handle); }

void call_around_fork(void (*before)(void), void (*after)(void)) { pthread_atfork(before, NULL, after); }

void thread_yield(void) { sched_yield(); }
