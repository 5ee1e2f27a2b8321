/* Groups of parameters, those of one kind of one layer, which training moves by factors of the optimiser's
 * settings or not at all. A net whose groups are all {1, 1, 0} trains by the same instructions as without
 * them. Defined in groups.c. */
#ifndef BPK_GROUPS_H
#define BPK_GROUPS_H

#include "trainer/net.h"

static inline int is_frozen(const net_layer *layer, bpk_kind kind) { return layer->groups[kind].frozen; }

/* The lowest layer that training changes; the number of layers if all are frozen; 0 if there is an
 * input stage, which is always trained, as the shares of activations are. No delta below it is needed, except
 * for the stage. */
int lowest_trained(const bpk_net *net);

#endif
