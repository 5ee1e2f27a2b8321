/* Groups of parameters that training moves by factors, or not at all. */
#include "trainer/groups.h"

static int differs(const bpk_net *net) {
    for (int l = 0; l < net->count; l++)
        for (int kind = 0; kind < BPK_N_KINDS; kind++) {
            const bpk_group *group = &net->layers[l].groups[kind];
            if (group->lr != 1 || group->decay != 1 || group->frozen) return 1;
        }
    return 0;
}

void bpk_net_set_group(bpk_net *net, int l, bpk_kind kind, bpk_group group) {
    net->layers[l].groups[kind] = group;
    net->has_groups = differs(net);
}

static int is_trained(const net_layer *layer) {
    for (int kind = 0; kind < BPK_N_KINDS; kind++)
        if (!is_frozen(layer, (bpk_kind)kind)) return 1;
    return layer->mixes;
}

int lowest_trained(const bpk_net *net) {
    int l = 0;
    if (net->inputs) return 0;
    while (net->has_groups && l < net->count && !is_trained(&net->layers[l])) l++;
    return l;
}
