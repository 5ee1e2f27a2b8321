/* Threads for one short call, which take pieces of its work as they come. Starting a thread takes as long as
 * a small product, and longer if the other processors are busy. So the caller begins at once, and waits only
 * for helpers that have taken a piece: one that begins late finds less work, or none. A helper stays for a
 * moment after its work, for a call that may follow. Defined in pieces.c.
 */
#ifndef BPK_PIECES_H
#define BPK_PIECES_H

#include <stddef.h>

typedef struct pieces pieces;

/* One of the threads. Which of them computes a piece must not matter for the result. */
typedef struct {
    pieces *all;
    int index, count; /* worker 0 is the caller; no index reaches count */
    ptrdiff_t passed; /* pieces of each share in earlier phases */
    ptrdiff_t own;    /* the piece that it has taken, or -1 */
} worker;

/* Calls work(context, worker) in the caller, and in up to threads - 1 helpers. If helpers of earlier calls
 * still wait for a processor, it starts no more. */
void pieces_run(int threads, void (*work)(void *context, worker *me), void *context);

/* Takes a piece of n items: `from` to `to`, exclusive, which begins at a multiple of `grain`. Returns 0 when
 * all pieces of this phase are done; the next call begins the next phase, which sees all that was written in
 * this one. Every worker passes the same phases. A single worker takes all items at once. */
int take_piece(worker *me, ptrdiff_t n, ptrdiff_t grain, ptrdiff_t *from, ptrdiff_t *to);

#endif
