/* The names of activations, losses and optimisers, and which activations need z. */
#include "bpkern.h"

#define NAME_OF(NAME, name) [BPK_##NAME] = #name,

const char *bpk_activation_name(int activation) {
    static const char *const names[BPK_N_ACTIVATIONS] = {BPK_ACTIVATIONS(NAME_OF)};
    return activation < BPK_N_ACTIVATIONS ? names[activation] : NULL;
}

const char *bpk_loss_name(int loss) {
    static const char *const names[BPK_N_LOSSES] = {BPK_LOSSES(NAME_OF)};
    return loss < BPK_N_LOSSES ? names[loss] : NULL;
}

const char *bpk_rule_name(int rule) {
    static const char *const names[BPK_N_RULES] = {BPK_OPTIMIZERS(NAME_OF)};
    return rule < BPK_N_RULES ? names[rule] : NULL;
}

int bpk_needs_z(bpk_activation activation) {
    switch (activation) {
#define NEEDS(NAME, name) \
    case BPK_##NAME: return 1;
        BPK_ACTIVATIONS_OF_Z(NEEDS)
#undef NEEDS
        default: return 0;
    }
}
