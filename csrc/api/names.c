/* The public API's names, and its enumerators beside those of the library, whose order may change. */
#include "api/api.h"

#define ROW(NAME, name) [BPKERN_##NAME] = BPK_##NAME,
const bpk_activation api_activations[] = {BPK_ACTIVATIONS(ROW)};
const bpk_loss api_losses[] = {BPK_LOSSES(ROW)};
const bpk_rule api_rules[] = {BPK_OPTIMIZERS(ROW)};
#undef ROW

_Static_assert(sizeof api_activations / sizeof *api_activations == BPK_N_ACTIVATIONS,
               "numbers without holes");
_Static_assert(sizeof api_losses / sizeof *api_losses == BPK_N_LOSSES, "numbers without holes");
_Static_assert(sizeof api_rules / sizeof *api_rules == BPK_N_RULES, "numbers without holes");

int api_is_activation(int activation) { return activation >= 0 && activation < BPK_N_ACTIVATIONS; }
int api_is_loss(int loss) { return loss >= 0 && loss < BPK_N_LOSSES; }
int api_is_rule(int rule) { return rule >= 0 && rule < BPK_N_RULES; }

const char *bpkern_version(void) { return BPKERN_VERSION; }

const char *bpkern_activation_name(int activation) {
    return api_is_activation(activation) ? bpk_activation_name((int)api_activations[activation]) : NULL;
}

const char *bpkern_loss_name(int loss) {
    return api_is_loss(loss) ? bpk_loss_name((int)api_losses[loss]) : NULL;
}

const char *bpkern_rule_name(int rule) {
    return api_is_rule(rule) ? bpk_rule_name((int)api_rules[rule]) : NULL;
}

int bpkern_needs_z(int activation) {
    return api_is_activation(activation) && bpk_needs_z(api_activations[activation]);
}

const char *bpkern_status_name(int status) {
#define CASE(name) \
    case name: return #name;
    switch (status) {
        CASE(BPKERN_OK)
        CASE(BPKERN_NO_MEMORY)
        CASE(BPKERN_NULL_POINTER)
        CASE(BPKERN_BAD_SIZE)
        CASE(BPKERN_BAD_NAME)
        CASE(BPKERN_BAD_VALUE)
        CASE(BPKERN_BAD_ROW)
        CASE(BPKERN_DIVERGED)
        CASE(BPKERN_STOPPED)
        default: return NULL;
    }
#undef CASE
}

bpkern_status api_status(bpk_status status) {
    switch (status) {
        case BPK_OK: return BPKERN_OK;
        case BPK_NO_MEMORY: return BPKERN_NO_MEMORY;
        case BPK_BAD_ROW: return BPKERN_BAD_ROW;
        case BPK_DIVERGED: return BPKERN_DIVERGED;
        case BPK_STOPPED: return BPKERN_STOPPED;
        case BPK_OTHER_KERNELS: break; /* of two networks, which no function here takes */
    }
    return BPKERN_BAD_VALUE;
}
