/* Matrices between fences: see kernels_arena.h. */
#include "kernels_arena.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "system.h"

/* Bytes of a slot and of a fence: multiples of the usual page sizes, up to 64 KiB. PATTERN is the number
 * of bytes that are checked on either side of a matrix. All slots fit into 32-bit addresses where there are
 * no others. */
#define SLOT_SIZE ((size_t)(sizeof(void *) > 4 ? 80 : 48) << 20)
enum { FENCE = 1 << 16, PATTERN = 256 };

static char *slots[SLOTS]; /* the first byte of each; NULL: not mapped yet */

static char *slot_at(int slot) {
    if (slots[slot]) return slots[slot];
    if (!(slots[slot] = fenced_memory(SLOT_SIZE, FENCE))) {
        fputs("no memory between fences\n", stderr);
        exit(2);
    }
    return slots[slot];
}

/* The bytes from the first element to the last, including the gaps between rows. */
static size_t extent(const matrix *m) {
    if (m->rows == 0 || m->columns == 0) return 0;
    return (size_t)((m->rows - 1) * m->ld + m->columns) * m->item;
}

matrix place_items(int slot, size_t item, ptrdiff_t rows, ptrdiff_t columns, ptrdiff_t ld, access access,
                   place where, ptrdiff_t offset) {
    matrix m = {.item = item, .rows = rows, .columns = columns, .ld = ld, .access = access};
    size_t bytes = extent(&m), skipped = 2 * PATTERN + (size_t)offset * item;
    char *first = slot_at(slot), *end = first + SLOT_SIZE;
    if (bytes + skipped + PATTERN > SLOT_SIZE) {
        fprintf(stderr, "a matrix of %td rows, %td elements apart, does not fit into a slot\n", rows, ld);
        exit(2);
    }
    m.at = where == AT_START ? first : where == AT_END ? end - bytes : first + skipped;
    m.before = where == AT_START ? 0 : PATTERN;
    m.behind = where == AT_END ? 0 : PATTERN;
    memset(m.at - m.before, access, m.before + bytes + m.behind);
    for (ptrdiff_t i = 0; bytes && i < rows; i++)
        memset(m.at + (size_t)(i * ld) * item, READ, (size_t)columns * item);
    return m;
}

matrix place_matrix(int slot, bpk_dtype dtype, ptrdiff_t rows, ptrdiff_t columns, ptrdiff_t ld, access access,
                    place where, ptrdiff_t offset) {
    return place_items(slot, dtype == BPK_F64 ? sizeof(double) : sizeof(float), rows, columns, ld, access,
                       where, offset);
}

double get(const matrix *m, ptrdiff_t i, ptrdiff_t j) {
    const char *p = m->at + (size_t)(i * m->ld + j) * m->item;
    return m->item == sizeof(double) ? *(const double *)p : (double)*(const float *)p;
}

void set(const matrix *m, ptrdiff_t i, ptrdiff_t j, double value) {
    char *p = m->at + (size_t)(i * m->ld + j) * m->item;
    if (m->item == sizeof(double))
        *(double *)p = value;
    else
        *(float *)p = (float)value;
}

static int holds_pattern(const char *from, size_t bytes, access access) {
    for (size_t i = 0; i < bytes; i++)
        if ((unsigned char)from[i] != access) return 0;
    return 1;
}

int untouched(const matrix *m) {
    if (!holds_pattern(m->at - m->before, m->before, m->access)) return 0;
    if (!holds_pattern(m->at + extent(m), m->behind, m->access)) return 0;
    size_t rest = (size_t)(m->ld - m->columns) * m->item;
    for (ptrdiff_t i = 0; m->columns && i + 1 < m->rows; i++)
        if (!holds_pattern(m->at + (size_t)(i * m->ld + m->columns) * m->item, rest, m->access)) return 0;
    return 1;
}

void copy_out(const matrix *m, void *to) {
    size_t row = (size_t)m->columns * m->item;
    for (ptrdiff_t i = 0; i < m->rows; i++)
        memcpy((char *)to + (size_t)i * row, m->at + (size_t)(i * m->ld) * m->item, row);
}
