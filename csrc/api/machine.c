/* The machine: instruction sets, processors, and how many threads a call takes. */
#include "api/api.h"

int bpkern_isa_count(void) { return bpk_isa_count(); }
const char *bpkern_isa_name(int isa) { return bpk_isa_name(isa); }
int bpkern_isa_runs(int isa) { return bpk_isa_runs(isa); }
int bpkern_isa_selected(void) { return bpk_isa_selected(); }

bpkern_status bpkern_isa_select(int isa) {
    if (!bpk_isa_runs(isa)) return BPKERN_BAD_NAME;
    bpk_isa_select(isa);
    return BPKERN_OK;
}

int bpkern_processors(void) { return bpk_processors(); }

int api_processors(void) {
    const int processors = bpk_processors();
    return processors < BPK_MAX_THREADS ? processors : BPK_MAX_THREADS;
}

int api_threads(int threads, double work, double steps) {
    if (threads > 0) return threads;
    /* Asking the system for the processors would take longer than a small call. */
    if (bpk_threads_worth(work, steps, 2) == 1) return 1;
    return bpk_threads_worth(work, steps, api_processors());
}
