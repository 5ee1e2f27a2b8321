/* A preloaded library that makes the n-th allocation of a kind fail, or a range of allocations.
 *
 * It replaces glibc's allocating functions. A replacement looks up its caller: calls from a library that
 * was registered with `failing_watch` are counted, and may fail. NumPy's arrays and Python's objects have
 * allocators of their own, which cache freed memory. These are replaced or wrapped as well, so that a
 * cache hides no allocation. For each kind, the library counts the allocations that nobody has freed yet. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* OTHER: an allocation of no watched kind. */
typedef enum { LIBRARY, ARRAYS, THREADS, INTERPRETER, KINDS, OTHER = -1 } kind;

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *p, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *p);

/* Failures -------------------------------------------------------------------------------------------- */

static atomic_int armed = OTHER;
static atomic_long counted, failed;
static long from, to; /* numbers from 1 on; if `from` is 0, nothing fails */
static pthread_t armed_by;

/* From now on, allocations number `first` to `last` of a kind, counted from 1, fail. If `first` is 0,
 * they are only counted. */
void failing_arm(int of_kind, long first, long last) {
    counted = failed = 0;
    from = first;
    to = last;
    armed_by = pthread_self();
    armed = of_kind;
}

void failing_disarm(void) { armed = OTHER; }

/* The same as a Python function that returns its `self`: calling it allocates nothing. */
void *failing_disarm_method(void *self, void *no_arguments) {
    void (*increment)(void *) = (__typeof__(increment))dlsym(RTLD_DEFAULT, "Py_IncRef");
    (void)no_arguments;
    armed = OTHER;
    increment(self);
    return self;
}

long failing_counted(void) { return counted; }
long failing_failed(void) { return failed; }

static int fails(kind who) {
    if (who == OTHER || armed != who) return 0;
    /* The interpreter's allocations count only in the arming thread: other threads make them at any time. */
    if (who == INTERPRETER && !pthread_equal(armed_by, pthread_self())) return 0;
    long number = ++counted;
    if (from == 0 || number < from || number > to) return 0;
    ++failed;
    return 1;
}

/* Callers --------------------------------------------------------------------------------------------- */

enum { MAX_RANGES = 16 };
static struct {
    uintptr_t from, to;
    kind who;
} ranges[MAX_RANGES];
static atomic_int range_count;

typedef struct {
    const char *name;
    kind who;
    int found;
} search;

static int note_ranges(struct dl_phdr_info *info, size_t size, void *data) {
    search *s = data;
    (void)size;
    if (!strstr(info->dlpi_name, s->name)) return 0;
    for (int i = 0; i < info->dlpi_phnum && range_count < MAX_RANGES; i++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        if (part->p_type != PT_LOAD || !(part->p_flags & PF_X)) continue;
        uintptr_t start = info->dlpi_addr + part->p_vaddr;
        ranges[range_count].from = start;
        ranges[range_count].to = start + part->p_memsz;
        ranges[range_count].who = s->who;
        ++range_count;
        s->found = 1;
    }
    return 0;
}

/* Registers the loaded libraries whose path contains `name`: calls from them are of this kind. Returns
 * whether there is such a library. */
int failing_watch(int of_kind, const char *name) {
    search s = {name, of_kind, 0};
    dl_iterate_phdr(note_ranges, &s);
    return s.found;
}

static kind caller(const void *address) {
    uintptr_t place = (uintptr_t)address;
    int count = range_count;
    for (int i = 0; i < count; i++)
        if (place >= ranges[i].from && place < ranges[i].to) return ranges[i].who;
    return OTHER;
}

/* Live allocations ------------------------------------------------------------------------------------ */

enum { SLOTS = 1 << 16 };
#define GONE ((void *)1)
/* A hash table of live allocations. p is GONE in a slot whose allocation was freed. */
static struct {
    void *p;
    kind who;
} slots[SLOTS];
static atomic_long alive[KINDS];
static atomic_flag busy = ATOMIC_FLAG_INIT;

static size_t slot_of(const void *p) { return ((uintptr_t)p >> 4) * 0x9E3779B97F4A7C15u >> 48; }

static void note(void *p, kind who) {
    if (!p || who == OTHER) return;
    while (atomic_flag_test_and_set(&busy));
    size_t i = slot_of(p);
    while (slots[i].p && slots[i].p != GONE) i = (i + 1) % SLOTS;
    slots[i].p = p;
    slots[i].who = who;
    ++alive[who];
    atomic_flag_clear(&busy);
}

static kind forget(void *p) {
    kind who = OTHER;
    if (!p || !range_count) return who;
    while (atomic_flag_test_and_set(&busy));
    for (size_t i = slot_of(p), tries = 0; slots[i].p && tries < SLOTS; i = (i + 1) % SLOTS, tries++)
        if (slots[i].p == p) {
            who = slots[i].who;
            --alive[who];
            /* The last slot of a chain becomes empty, not GONE: otherwise searches would end up visiting all
             * slots. */
            slots[i].p = slots[(i + 1) % SLOTS].p ? GONE : NULL;
            break;
        }
    atomic_flag_clear(&busy);
    return who;
}

long failing_alive(int of_kind) { return alive[of_kind]; }

/* The C library's allocators -------------------------------------------------------------------------- */

static void *noted(void *p, kind who) {
    note(p, who);
    return p;
}

static void *no_memory(void) {
    errno = ENOMEM;
    return NULL;
}

#define CALLER caller(__builtin_return_address(0))

void *malloc(size_t size) {
    kind who = CALLER;
    return fails(who) ? no_memory() : noted(__libc_malloc(size), who);
}

void *calloc(size_t count, size_t size) {
    kind who = CALLER;
    return fails(who) ? no_memory() : noted(__libc_calloc(count, size), who);
}

void *realloc(void *p, size_t size) {
    kind who = CALLER;
    if (fails(who)) return no_memory();
    forget(p);
    return noted(__libc_realloc(p, size), who);
}

void *aligned_alloc(size_t alignment, size_t size) {
    kind who = CALLER;
    return fails(who) ? no_memory() : noted(__libc_memalign(alignment, size), who);
}

void *memalign(size_t alignment, size_t size) {
    kind who = CALLER;
    return fails(who) ? no_memory() : noted(__libc_memalign(alignment, size), who);
}

int posix_memalign(void **p, size_t alignment, size_t size) {
    kind who = CALLER;
    if (fails(who)) return ENOMEM;
    *p = noted(__libc_memalign(alignment, size), who);
    return *p ? 0 : ENOMEM;
}

void free(void *p) {
    forget(p);
    __libc_free(p);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *),
                   void *argument) {
    static int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    if (!real) real = (__typeof__(real))dlsym(RTLD_NEXT, "pthread_create");
    if (CALLER == LIBRARY && fails(THREADS)) return EAGAIN;
    return real(thread, attributes, start, argument);
}

/* NumPy's allocator: the content of the capsule for PyDataMem_SetHandler ------------------------------ */

static void *array_malloc(void *context, size_t size) {
    (void)context;
    return fails(ARRAYS) ? NULL : noted(__libc_malloc(size), ARRAYS);
}

static void *array_calloc(void *context, size_t count, size_t size) {
    (void)context;
    return fails(ARRAYS) ? NULL : noted(__libc_calloc(count, size), ARRAYS);
}

static void *array_realloc(void *context, void *p, size_t size) {
    (void)context;
    if (fails(ARRAYS)) return NULL;
    forget(p);
    return noted(__libc_realloc(p, size), ARRAYS);
}

static void array_free(void *context, void *p, size_t size) {
    (void)context, (void)size;
    free(p);
}

struct {
    char name[127];
    uint8_t version;
    void *context;
    void *(*malloc)(void *, size_t), *(*calloc)(void *, size_t, size_t), *(*realloc)(void *, void *, size_t);
    void (*free)(void *, void *, size_t);
} failing_arrays = {"failing", 1, NULL, array_malloc, array_calloc, array_realloc, array_free};

/* Python's allocators: wrappers for PyMem_SetAllocator ------------------------------------------------ */

typedef struct {
    void *context;
    void *(*malloc)(void *, size_t), *(*calloc)(void *, size_t, size_t), *(*realloc)(void *, void *, size_t);
    void (*free)(void *, void *);
} allocator;

static allocator before[3]; /* those of the three domains, before they were wrapped */

static void *object_malloc(void *context, size_t size) {
    allocator *real = context;
    return fails(INTERPRETER) ? NULL : real->malloc(real->context, size);
}

static void *object_calloc(void *context, size_t count, size_t size) {
    allocator *real = context;
    return fails(INTERPRETER) ? NULL : real->calloc(real->context, count, size);
}

static void *object_realloc(void *context, void *p, size_t size) {
    allocator *real = context;
    return fails(INTERPRETER) ? NULL : real->realloc(real->context, p, size);
}

static void object_free(void *context, void *p) {
    allocator *real = context;
    real->free(real->context, p);
}

/* Wraps Python's allocators. Returns whether that is possible: Pythons other than CPython lack these
 * functions. */
int failing_watch_interpreter(void) {
    void (*get)(int, allocator *) = (__typeof__(get))dlsym(RTLD_DEFAULT, "PyMem_GetAllocator");
    void (*set)(int, allocator *) = (__typeof__(set))dlsym(RTLD_DEFAULT, "PyMem_SetAllocator");
    if (!get || !set) return 0;
    for (int domain = 0; domain < 3; domain++) {
        get(domain, &before[domain]);
        set(domain, &(allocator){&before[domain], object_malloc, object_calloc, object_realloc, object_free});
    }
    return 1;
}
