/* A library to be preloaded that fails allocations by number: the n-th of a kind, or all from it on.
 *
 * The allocating functions of glibc are replaced by ones that look who called: a library that was named to
 * `failing_watch`. NumPy's arrays and Python's objects have allocators of their own in front of these, which
 * keep freed memory: they are asked to take those in here instead, so that no allocation is hidden by a
 * cache. What a kind has allocated and not freed is counted, whoever frees it. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef enum { LIBRARY, ARRAYS, THREADS, INTERPRETER, KINDS, OTHER = -1 } kind;

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *p, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *p);

/* What is failed --------------------------------------------------------------------------------------------
 */

static atomic_int armed = OTHER;
static atomic_long counted, failed;
static long from, to; /* numbers from 1 on; none where `from` is 0 */
static pthread_t armed_by;

void failing_arm(int of_kind, long first, long last) {
    counted = failed = 0;
    from = first;
    to = last;
    armed_by = pthread_self();
    armed = of_kind;
}

void failing_disarm(void) { armed = OTHER; }

/* The same as a method of a Python object, which gives that object: calling it allocates nothing. */
void *failing_disarm_method(void *self, void *no_arguments) {
    void (*keep)(void *) = (__typeof__(keep))dlsym(RTLD_DEFAULT, "Py_IncRef");
    (void)no_arguments;
    armed = OTHER;
    keep(self);
    return self;
}
long failing_counted(void) { return counted; }
long failing_failed(void) { return failed; }

static int fails(kind who) {
    if (who == OTHER || armed != who) return 0;
    /* Of Python's other threads only the library's allocations: they begin and end at any time. */
    if (who == INTERPRETER && !pthread_equal(armed_by, pthread_self())) return 0;
    long number = ++counted;
    if (from == 0 || number < from || number > to) return 0;
    ++failed;
    return 1;
}

/* Who called ------------------------------------------------------------------------------------------------
 */

enum { MOST_RANGES = 16 };
static struct {
    uintptr_t from, to;
    kind who;
} ranges[MOST_RANGES];
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
    for (int i = 0; i < info->dlpi_phnum && range_count < MOST_RANGES; i++) {
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

/* Have calls from the loaded library whose path holds `name` be of that kind; whether there is one. */
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

/* What is alive ---------------------------------------------------------------------------------------------
 */

enum { SLOTS = 1 << 16 };
#define GONE ((void *)1)
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
            /* The end of a chain stays one, or all slots would be visited in the long run. */
            slots[i].p = slots[(i + 1) % SLOTS].p ? GONE : NULL;
            break;
        }
    atomic_flag_clear(&busy);
    return who;
}

long failing_alive(int of_kind) { return alive[of_kind]; }

/* The C library's -------------------------------------------------------------------------------------------
 */

static void *noted(void *p, kind who) {
    note(p, who);
    return p;
}

static void *none(void) {
    errno = ENOMEM;
    return NULL;
}

#define CALLER caller(__builtin_return_address(0))

void *malloc(size_t size) {
    kind who = CALLER;
    return fails(who) ? none() : noted(__libc_malloc(size), who);
}

void *calloc(size_t count, size_t size) {
    kind who = CALLER;
    return fails(who) ? none() : noted(__libc_calloc(count, size), who);
}

void *realloc(void *p, size_t size) {
    kind who = CALLER;
    if (fails(who)) return none();
    forget(p);
    return noted(__libc_realloc(p, size), who);
}

void *aligned_alloc(size_t alignment, size_t size) {
    kind who = CALLER;
    return fails(who) ? none() : noted(__libc_memalign(alignment, size), who);
}

void *memalign(size_t alignment, size_t size) {
    kind who = CALLER;
    return fails(who) ? none() : noted(__libc_memalign(alignment, size), who);
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

/* NumPy's: what PyDataMem_SetHandler takes, in a capsule
 * ------------------------------------------------------ */

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

/* Python's: what PyMem_SetAllocator takes, in front of what was there
 * ----------------------------------------- */

typedef struct {
    void *context;
    void *(*malloc)(void *, size_t), *(*calloc)(void *, size_t, size_t), *(*realloc)(void *, void *, size_t);
    void (*free)(void *, void *);
} allocator;

static allocator before[3];

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

/* Whether it is there: a Python of another kind has no such functions. */
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
