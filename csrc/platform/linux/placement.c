/* Where Linux lets a new thread begin. A process that has slept has little load on its processor, and Linux
 * then often puts a new thread there although other processors are idle. The creator keeps that processor
 * busy, so the thread would wait for up to a tick of the scheduler: 4 ms, in place of 0.15 ms. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* sched_getcpu, pthread_setaffinity_np */
#endif
#include <pthread.h>
#include <sched.h>

#include "platform/threads.h"

/* An affinity without the caller's processor moves a thread that waits there. It stays where it was moved to
 * when it gets the caller's affinity. If the thread has already ended, its id is 0, and the calls apply to
 * the caller: it is moved, and then gets its own affinity back. */
void thread_to_another_processor(thread *started) {
#ifdef __ANDROID__ /* has no pthread_setaffinity_np */
    (void)started;
#else
    const pthread_t id = (pthread_t)started->handle;
    const int here = sched_getcpu();
    cpu_set_t all, others;
    if (here < 0 || here >= CPU_SETSIZE || sched_getaffinity(0, sizeof all, &all)) return;
    others = all;
    CPU_CLR(here, &others);
    if (!CPU_COUNT(&others) || pthread_setaffinity_np(id, sizeof others, &others)) return;
    pthread_setaffinity_np(id, sizeof all, &all);
#endif
}
