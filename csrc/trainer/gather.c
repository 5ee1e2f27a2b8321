/* Copies rows of any numeric type and any strides, dense or sparse, into a mini-batch of reals. */
#include "trainer/gather.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "trainer/elements.h"

/* Loads one element of a type, at any alignment. 64-bit integers and long doubles are rounded twice on their
 * way to float: a number that is nearly half-way between two floats may become the slightly farther one. */
#define LOADER(name, type)                     \
    static double load_##name(const char *p) { \
        type v;                                \
        memcpy(&v, p, sizeof v);               \
        return (double)v;                      \
    }
LOADER(int8, int8_t)
LOADER(uint8, uint8_t)
LOADER(int16, int16_t)
LOADER(uint16, uint16_t)
LOADER(int32, int32_t)
LOADER(uint32, uint32_t)
LOADER(int64, int64_t)
LOADER(uint64, uint64_t)
LOADER(float, float)
LOADER(double, double)
LOADER(long_double, long double)
#undef LOADER

/* IEEE half: 5 bits of exponent with bias 15, 10 bits of fraction. (1024 + fraction) 2^(exponent - 25) is the
 * value of a normal number, fraction 2^-24 that of a denormal one. */
static double load_half(const char *p) {
    uint16_t bits;
    memcpy(&bits, p, sizeof bits);
    int exponent = bits >> 10 & 0x1f, fraction = bits & 0x3ff;
    double size = exponent == 0x1f ? (fraction ? NAN : INFINITY)
                  : exponent       ? ldexp(1024 + fraction, exponent - 25)
                                   : ldexp(fraction, -24);
    return bits >> 15 ? -size : size;
}

static const size_t type_size[BPK_N_TYPES] = {
    [BPK_BOOL] = 1,
    [BPK_INT8] = 1,
    [BPK_UINT8] = 1,
    [BPK_INT16] = 2,
    [BPK_UINT16] = 2,
    [BPK_INT32] = 4,
    [BPK_UINT32] = 4,
    [BPK_INT64] = 8,
    [BPK_UINT64] = 8,
    [BPK_HALF] = 2,
    [BPK_FLOAT] = 4,
    [BPK_DOUBLE] = 8,
    [BPK_LONG_DOUBLE] = sizeof(long double),
};

static inline void load_elements(double (*load)(const char *), const char *p, ptrdiff_t stride, ptrdiff_t n,
                                 double *out) {
    for (ptrdiff_t j = 0; j < n; j++) out[j] = load(p + j * stride);
}

static void load(bpk_type type, const char *p, ptrdiff_t stride, ptrdiff_t n, double *out) {
    switch (type) {
        case BPK_BOOL:
        case BPK_UINT8: load_elements(load_uint8, p, stride, n, out); break;
        case BPK_INT8: load_elements(load_int8, p, stride, n, out); break;
        case BPK_INT16: load_elements(load_int16, p, stride, n, out); break;
        case BPK_UINT16: load_elements(load_uint16, p, stride, n, out); break;
        case BPK_INT32: load_elements(load_int32, p, stride, n, out); break;
        case BPK_UINT32: load_elements(load_uint32, p, stride, n, out); break;
        case BPK_INT64: load_elements(load_int64, p, stride, n, out); break;
        case BPK_UINT64: load_elements(load_uint64, p, stride, n, out); break;
        case BPK_HALF: load_elements(load_half, p, stride, n, out); break;
        case BPK_FLOAT: load_elements(load_float, p, stride, n, out); break;
        case BPK_DOUBLE: load_elements(load_double, p, stride, n, out); break;
        case BPK_LONG_DOUBLE: load_elements(load_long_double, p, stride, n, out); break;
        case BPK_N_TYPES: break;
    }
}

enum { CHUNK = 256 }; /* elements converted at a time */

/* values (n) <- the n <= CHUNK elements from p on. Swapped bytes are put in order first. */
static void load_chunk(const bpk_source *source, const char *p, ptrdiff_t n, double *values) {
    ptrdiff_t stride = source->column_stride;
    if (!source->swapped) {
        load(source->type, p, stride, n, values);
        return;
    }
    size_t size = type_size[source->type];
    char ordered[CHUNK * sizeof(long double)];
    for (ptrdiff_t i = 0; i < n; i++)
        for (size_t byte = 0; byte < size; byte++)
            ordered[(size_t)i * size + byte] = p[i * stride + (ptrdiff_t)(size - 1 - byte)];
    load(source->type, ordered, (ptrdiff_t)size, n, values);
}

static ptrdiff_t chunk(ptrdiff_t left) { return left < CHUNK ? left : CHUNK; }

/* out (columns) <- the dense row at p, as reals. */
static void convert(const bpk_kernels *kernels, const bpk_source *source, const char *p, void *out) {
    double values[CHUNK];
    for (ptrdiff_t j = 0, n; j < source->columns; j += n) {
        n = chunk(source->columns - j);
        load_chunk(source, p + j * source->column_stride, n, values);
        from_doubles(kernels, n, values, element(kernels, out, j));
    }
}

/* One of `indices` or `indptr`. The read is volatile so that it happens once, and the checked value is the
 * used value: the caller may change the arrays meanwhile. */
static int64_t index_at(const bpk_source *source, const void *indices, ptrdiff_t place) {
    if (!source->wide_indices) return ((const volatile int32_t *)indices)[place];
    return ((const volatile int64_t *)indices)[place];
}

/* out (columns) <- a sparse row, as reals. Returns 0, or -1 if an index is out of range. */
static int spread(const bpk_kernels *kernels, const bpk_source *source, ptrdiff_t row, void *out) {
    int64_t from = index_at(source, source->indptr, row), to = index_at(source, source->indptr, row + 1);
    if (from < 0 || to < from || to > source->entries) return -1;
    memset(out, 0, (size_t)source->columns * kernels->real_size);
    double values[CHUNK];
    for (ptrdiff_t k = (ptrdiff_t)from, n; k < to; k += n) {
        n = chunk((ptrdiff_t)to - k);
        load_chunk(source, source->data + k * source->column_stride, n, values);
        for (ptrdiff_t i = 0; i < n; i++) {
            int64_t j = index_at(source, source->indices, k + i);
            if (j < 0 || j >= source->columns) return -1;
            add_to_element(kernels, out, (ptrdiff_t)j, values[i]);
        }
    }
    return 0;
}

int is_plain(const bpk_kernels *kernels, const bpk_source *source) {
    bpk_type same = kernels->dtype == BPK_F64 ? BPK_DOUBLE : BPK_FLOAT;
    ptrdiff_t size = (ptrdiff_t)kernels->real_size;
    int aligned = (uintptr_t)source->data % kernels->real_size == 0 && source->row_stride % size == 0;
    return source->type == same && !source->indices && !source->swapped && aligned &&
           (source->column_stride == size || source->columns == 1);
}

static void prefetch_row(const batch_origin *batch, ptrdiff_t place) {
    const bpk_source *source = batch->source;
    if (place >= batch->data->rows || source->indices) return;
    ptrdiff_t row = row_at(batch->data, place);
    if (row < 0) return;
    prefetch_start(source->data + row * source->row_stride,
                   source->columns * (ptrdiff_t)type_size[source->type]);
}

enum { STOP_ROWS = 256 }; /* rows between two calls of team_stopped */

ptrdiff_t gather(const bpk_kernels *kernels, member me, const batch_origin *batch, ptrdiff_t from,
                 ptrdiff_t to, void *out, ptrdiff_t ldo, ptrdiff_t rows, void *row) {
    const bpk_source *source = batch->source;
    int plain = is_plain(kernels, source);
    for (ptrdiff_t i = from; i < to; i++) {
        if (i % STOP_ROWS == 0 && team_stopped(me)) break;
        ptrdiff_t number = row_at(batch->data, batch->next + i);
        if (number < 0) return i;
        const void *p = plain ? source->data + number * source->row_stride : row;
        if (source->indices) {
            if (spread(kernels, source, number, row) != 0) return i;
        } else if (!plain) {
            convert(kernels, source, source->data + number * source->row_stride, row);
        }
        prefetch_row(batch, batch->next + i + ROWS_AHEAD);
        /* One row in blocks of one row is a row-major row. */
        int finite = ldo ? kernels->scatter(source->columns, p, element(kernels, out, i * ldo), 1, 0)
                         : kernels->scatter(source->columns, p, out, rows, i);
        if (!finite) return i;
    }
    return -1;
}
