/* The public C API as its own files see it. They check what the caller gives, and call the library.
 *
 * Defined in: names.c, machine.c (api_processors, api_threads), random.c, kernels.c (api_check_matrix),
 * net.c, structs.c, settings.c and table.c.
 */
#ifndef BPK_API_H
#define BPK_API_H

#include <stdatomic.h>
#include <stddef.h>

#include "include/bpkern.h"
#include "trainer/workspace.h"

/* The state of SplitMix64 (Steele, Lea and Flood, 2014). */
typedef struct {
    uint64_t state;
} api_random;

uint64_t api_next(api_random *random);                     /* any 64 bits */
double api_uniform(api_random *random);                    /* from 0 to below 1 */
void api_order(void *random, int64_t *index, ptrdiff_t n); /* index (n) <- a random order of 0 ... n - 1 */

struct bpkern_net {
    bpk_net *net;
    bpk_workspace *training; /* kept from fit to fit; or NULL */
    /* For passes that only read, which may be several at once: one of them takes it, the others make their
     * own. NULL: there is none, or it is taken. */
    _Atomic(bpk_workspace *) reading;
    api_random random;
    int rule; /* of the optimiser whose states the network has; -1: of none */
};

/* The library's enumerator for each public one. */
extern const bpk_activation api_activations[];
extern const bpk_loss api_losses[];
extern const bpk_rule api_rules[];

int api_is_activation(int activation);
int api_is_loss(int loss);
int api_is_rule(int rule);

static inline int api_is_dtype(int dtype) { return dtype == BPKERN_FLOAT32 || dtype == BPKERN_FLOAT64; }
static inline int api_are_threads(int threads) { return threads >= 0 && threads <= BPKERN_MAX_THREADS; }

static inline const bpk_kernels *api_kernels(bpkern_dtype dtype) {
    return bpk_isa_kernels(bpk_isa_selected(), dtype == BPKERN_FLOAT64 ? BPK_F64 : BPK_F32);
}

/* BPKERN_OK if the sizes and the pointer of a matrix (m, n) are valid. */
bpkern_status api_check_matrix(ptrdiff_t m, ptrdiff_t n, const void *x, ptrdiff_t ld);

bpkern_status api_status(bpk_status status);

/* The processors that a call may use: at most BPK_MAX_THREADS. */
int api_processors(void);

/* `threads`, or, if that is 0, as many as `steps` steps of this work are worth. */
int api_threads(int threads, double work, double steps);

/* The size of a struct up to this member and with it. */
#define API_SIZE_UP_TO(type, member) (offsetof(type, member) + sizeof(((type *)0)->member))

/* Whether a struct of the caller may have `its_size` bytes: at least `least`, as in the first version. */
int api_is_size(size_t its_size, size_t least);

/* Copies the caller's struct to `own`, which has `size` bytes in this version. Members that the caller's
 * version lacks become 0, and those that this version lacks must be 0, or BPKERN_BAD_VALUE: in every member
 * that a version adds, 0 is the default. */
bpkern_status api_read(void *own, size_t size, size_t least, const void *given);

/* Copies `own` to the caller's struct, which has `its_size` bytes; what this version lacks becomes 0. */
void api_write(void *given, size_t its_size, const void *own, size_t size);

/* Checks the settings of a fit and translates them. */
bpkern_status api_read_training(bpkern_training *training, const bpkern_training *given,
                                bpk_update_settings *update);

/* Checks the rows and translates them. */
bpkern_status api_read_data(const bpk_net *net, const bpkern_data *given, bpk_data *data);

/* x (n, columns) in the network's dtype. */
bpk_source api_source(const bpk_net *net, const void *x, ptrdiff_t ld, ptrdiff_t columns);

/* All functions, as the capsule has them. */
extern const bpkern_api bpk_api_table;

#endif
