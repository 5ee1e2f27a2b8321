/* The attack program: makes trials of one attack on the kernels, on every instruction set that runs here.
 *
 *     cmake -S . -B build/attacks -DBPKERN_ATTACKS=ON -DBPKERN_PYTHON=OFF
 *     cmake --build build/attacks --target attack_kernels
 *     build/attacks/attack_kernels ATTACK [--from TRIAL] [--count TRIALS] [--seed SEED] [--isa NAME]
 *
 * tests/attacks/kernels.py builds and runs the program, which prints lines:
 *
 *     ran NAME, or missing NAME        an instruction set that runs here, or does not
 *     fail TRIAL HOW                   a failure of a trial
 *     crash TRIAL HOW                  a signal or an exception ended the program
 *     largest FIGURE VALUE
 *     counted FIGURE NUMBER
 *     done                             all trials were made
 *
 * The exit status is 1 if a trial failed, 2 if the program could not run, and 3 after a crash. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels_trial.h"
#include "system.h"

table tables[MAX_TABLES];
int count_tables;

static const struct {
    const char *name;
    void (*make_trial)(ptrdiff_t number, rng *r);
} ATTACKS[] = {
    {"boundaries", boundaries},
    {"random_sizes", random_sizes},
    {"large_sizes", large_sizes},
    {"misalignments", misalignments},
    {"integers", integers},
    {"integer_nets", integer_nets},
    {"special_values", special_values},
    {"scratch", scratch},
    {"net_scratch", net_scratch},
    {"fences", fences},
    {"table_fences", table_fences},
    {"net_fences", net_fences},
};
enum { N_ATTACKS = sizeof ATTACKS / sizeof ATTACKS[0], MAX_FIGURES = 16 };

static ptrdiff_t trial; /* the number of the current trial */
static int failed;
static char activity[300]; /* what the trial is doing */

static struct {
    const char *name;
    double value;
    int is_count;
} figures[MAX_FIGURES];

void doing(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(activity, sizeof activity, format, arguments);
    va_end(arguments);
}

void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    printf("fail %td ", trial);
    vprintf(format, arguments);
    printf("\n");
    va_end(arguments);
    failed = 1;
}

static void figure(const char *name, double value, int is_count) {
    for (int i = 0; i < MAX_FIGURES; i++) {
        if (figures[i].name && strcmp(figures[i].name, name)) continue;
        figures[i].name = name, figures[i].is_count = is_count;
        if (is_count)
            figures[i].value += value;
        else if (value > figures[i].value)
            figures[i].value = value;
        return;
    }
}

void largest(const char *name, double value) { figure(name, value, 0); }
void counted(const char *name, long more) { figure(name, (double)more, 1); }

static void print_figures(void) {
    for (int i = 0; i < MAX_FIGURES && figures[i].name; i++)
        printf("%s %s %.6g\n", figures[i].is_count ? "counted" : "largest", figures[i].name,
               figures[i].value);
}

static int tell_crash(char *text, size_t size, unsigned signal, const void *address) {
    return snprintf(text, size, "crash %td signal %#x at %p: %s\n", trial, signal, address, activity);
}

/* Fills `tables` with those of the instruction set `only`; or, if it is NULL, of all that run here. */
static void find_tables(const char *only) {
    for (int isa = 0; isa < bpk_isa_count(); isa++) {
        if (only && strcmp(only, bpk_isa_name(isa))) continue;
        printf("%s %s\n", bpk_isa_runs(isa) ? "ran" : "missing", bpk_isa_name(isa));
        for (bpk_dtype dtype = 0; bpk_isa_runs(isa) && dtype < BPK_N_DTYPES; dtype++)
            tables[count_tables++] = (table){bpk_isa_name(isa), dtype, bpk_isa_kernels(isa, dtype)};
    }
}

/* The generator of a trial depends on the seed, the attack and the trial's number. */
static rng generator(uint64_t seed, int attack) {
    rng r = {seed * N_ATTACKS + (uint64_t)attack};
    uint64_t first = draw(&r);
    return (rng){first ^ ((uint64_t)trial * 0xd1342543de82ef95u)};
}

int main(int count, char **arguments) {
    ptrdiff_t from = 0, trials = 1;
    uint64_t seed = 0;
    const char *isa = NULL;
    int attack = 0;
    while (attack < N_ATTACKS && (count < 2 || strcmp(arguments[1], ATTACKS[attack].name))) attack++;
    for (int i = 2; i + 1 < count; i += 2) {
        if (!strcmp(arguments[i], "--from")) from = atoll(arguments[i + 1]);
        if (!strcmp(arguments[i], "--count")) trials = atoll(arguments[i + 1]);
        if (!strcmp(arguments[i], "--seed")) seed = (uint64_t)atoll(arguments[i + 1]);
        if (!strcmp(arguments[i], "--isa")) isa = arguments[i + 1];
    }
    if (attack == N_ATTACKS) {
        fprintf(stderr,
                "usage: %s ATTACK [--from TRIAL] [--count TRIALS] [--seed SEED] [--isa NAME]; attacks:\n",
                arguments[0]);
        for (int i = 0; i < N_ATTACKS; i++) fprintf(stderr, "  %s\n", ATTACKS[i].name);
        return 2;
    }
    find_tables(isa);
    catch_crashes(tell_crash, 3);
    setvbuf(stdout, NULL, _IONBF, 0); /* a crash loses no earlier line; Windows cannot flush each line */
    for (trial = from; trial < from + trials; trial++) {
        rng r = generator(seed, attack);
        ATTACKS[attack].make_trial(trial, &r);
    }
    print_figures();
    printf("done\n");
    return failed;
}
