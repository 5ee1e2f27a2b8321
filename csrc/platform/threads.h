/* Threads of the system. Defined in posix/threads.c or windows/threads.c; or in none/threads.c for systems
 * without threads. */
#ifndef BPK_THREADS_H
#define BPK_THREADS_H

#include <stdint.h>

#if BPK_X86
#include <immintrin.h>
#endif

/* A thread to start. It is the first member of a struct with the thread's data, to which `run` converts its
 * argument. */
typedef struct thread {
    void (*run)(struct thread *self);
    uintptr_t handle; /* the system's, set by thread_start */
} thread;

/* Bytes of a thread's stack. A team's members need less than 64 KiB of it; systems take the thread-local
 * memory of all loaded libraries out of the same bytes, and sanitizers make frames several times as large.
 * The default would be 8 MiB with glibc and 128 KiB with musl. */
enum { THREAD_STACK = 1 << 20 };

/* Starts self->run(self) in a new thread that takes no signals; returns 0 if the system cannot. A started
 * thread is joined, which waits for its end, or detached, after which it ends by itself. `self` stays where
 * it is until then; of a detached thread, until `run` no longer needs it. */
int thread_start(thread *self);
void thread_join(thread *self);
void thread_detach(thread *self);

/* Moves a thread that has just been started from the caller's processor to another one, if there is one and
 * the system lets threads be moved. For thread_start; defined in linux/placement.c or posix/placement.c. */
void thread_to_another_processor(thread *started);

/* Lets another thread have the processor. */
void thread_yield(void);

/* From now on, each fork calls `before` in the process that forks, and `after` in the child; never on systems
 * without fork. */
void call_around_fork(void (*before)(void), void (*after)(void));

/* A turn of a waiting thread: it spins while there are spins left, and then yields its processor. */
static inline void thread_wait(int *spins) {
    if (*spins > 0) {
        --*spins;
#if BPK_X86
        _mm_pause();
#elif defined(__aarch64__)
        __asm__ volatile("isb" ::: "memory"); /* a pause: its `yield` takes no time on most processors */
#endif
    } else {
        thread_yield();
    }
}

#endif
