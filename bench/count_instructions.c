/* A plugin of QEMU for programs on aarch64: counts executed instructions, and lists executed blocks of them.
 * For emulated.py.
 *
 *     qemu-aarch64 -plugin count_instructions.so[,skip=N,most=M] PROGRAM
 *
 * writes to the standard error "count all fma loads stores", with fma of vectors only; and, if asked,
 * "block ADDRESS LENGTH" for M blocks, from the one after the Nth that has an fma. QEMU's header of plugins
 * is not part of its packages: what is used of it is declared here.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORTED __attribute__((visibility("default")))

typedef struct translated translated;
typedef struct instruction instruction;
void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id, void (*call)(uint64_t id, translated *block));
void qemu_plugin_register_vcpu_tb_exec_cb(translated *block, void (*call)(unsigned cpu, void *data),
                                          int flags, void *data);
void qemu_plugin_register_atexit_cb(uint64_t id, void (*call)(uint64_t id, void *data), void *data);
size_t qemu_plugin_tb_n_insns(const translated *block);
uint64_t qemu_plugin_tb_vaddr(const translated *block);
instruction *qemu_plugin_tb_get_insn(const translated *block, size_t i);
const void *qemu_plugin_insn_data(const instruction *instruction);

EXPORTED int qemu_plugin_version = 1;

enum { ALL, FMA, LOAD, STORE, KINDS };

typedef struct {
    uint64_t address, counts[KINDS];
} block;

static uint64_t totals[KINDS], skip, most, with_fma, listed;

/* By the tables of encodings in Arm's manual: FMLA and FMLS of vectors, also by an element. */
static int kind_of(uint32_t code) {
    if ((code & 0xbf20fc00) == 0x0e20cc00) return FMA;
    if ((code & 0xbf80b400) == 0x0f801000) return FMA;
    if ((code & 0x0a000000) == 0x08000000) return code >> 22 & 1 ? LOAD : STORE;
    return ALL;
}

static void ran(unsigned cpu, void *data) {
    const block *b = data;
    (void)cpu;
    for (int kind = 0; kind < KINDS; kind++) totals[kind] += b->counts[kind];
    with_fma += b->counts[FMA] > 0;
    if (with_fma <= skip || listed >= most) return;
    listed++;
    fprintf(stderr, "block %" PRIx64 " %" PRIu64 "\n", b->address, b->counts[ALL]);
}

static void look(uint64_t id, translated *t) {
    block *b = calloc(1, sizeof *b);
    (void)id;
    if (!b) abort();
    b->address = qemu_plugin_tb_vaddr(t);
    b->counts[ALL] = qemu_plugin_tb_n_insns(t);
    for (size_t i = 0; i < b->counts[ALL]; i++) {
        uint32_t code;
        memcpy(&code, qemu_plugin_insn_data(qemu_plugin_tb_get_insn(t, i)), sizeof code);
        if (kind_of(code) != ALL) b->counts[kind_of(code)]++;
    }
    qemu_plugin_register_vcpu_tb_exec_cb(t, ran, 0, b);
}

static void end(uint64_t id, void *data) {
    (void)id, (void)data;
    fprintf(stderr, "count %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", totals[ALL], totals[FMA],
            totals[LOAD], totals[STORE]);
}

EXPORTED int qemu_plugin_install(uint64_t id, const void *info, int count, char **options) {
    (void)info;
    for (int i = 0; i < count; i++) {
        sscanf(options[i], "skip=%" SCNu64, &skip);
        sscanf(options[i], "most=%" SCNu64, &most);
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, look);
    qemu_plugin_register_atexit_cb(id, end, NULL);
    return 0;
}
