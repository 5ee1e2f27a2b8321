/* A preloaded library that writes a log of all calls that change files below a folder, with their data.
 *
 * A line per call that succeeded, fields separated by tabs; inodes stand for files, because names change:
 *     create INODE PATH         write INODE OFFSET BYTES-IN-HEX        truncate INODE SIZE
 *     sync INODE                rename PATH TARGET                     link PATH TARGET
 *     unlink PATH               mark TEXT */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static char folder[PATH_MAX];
static int log_file = -1;

/* The C library's own function. */
#define REAL(name, type) ((type)dlsym(RTLD_NEXT, name))

void recording_start(const char *below, int descriptor) {
    strcpy(folder, below);
    log_file = descriptor;
}

void recording_stop(void) { folder[0] = 0; }

static void put(const char *text, size_t size) {
    ssize_t (*write_real)(int, const void *, size_t) = REAL("write", ssize_t (*)(int, const void *, size_t));
    while (size) {
        ssize_t done = write_real(log_file, text, size);
        if (done < 0) abort();
        text += done;
        size -= (size_t)done;
    }
}

static void line(const char *format, ...) {
    char text[2 * PATH_MAX + 100];
    va_list values;
    va_start(values, format);
    int length = vsnprintf(text, sizeof text, format, values);
    va_end(values);
    put(text, (size_t)length);
}

void recording_mark(const char *text) { line("mark\t%s\n", text); }

static int is_below(const char *path) { return folder[0] && path && !strncmp(path, folder, strlen(folder)); }

/* The inode of an open file below the folder, or 0. */
static ino_t file_below(int descriptor) {
    char link[64], path[PATH_MAX];
    struct stat found;
    if (!folder[0]) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return is_below(path) && !fstat(descriptor, &found) ? found.st_ino : 0;
}

static ino_t inode_of(const char *path) {
    struct stat found;
    return stat(path, &found) ? 0 : found.st_ino;
}

static int opened(int descriptor, const char *path, int flags, ino_t before) {
    ino_t now = descriptor < 0 ? 0 : file_below(descriptor);
    if (!now) return descriptor;
    if (!before && flags & O_CREAT) line("create\t%lu\t%s\n", (unsigned long)now, path);
    if (before && flags & O_TRUNC) line("truncate\t%lu\t0\n", (unsigned long)now);
    return descriptor;
}

#define OPEN(name, parameters, arguments)                                             \
    int name parameters {                                                             \
        va_list rest;                                                                 \
        va_start(rest, flags);                                                        \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;       \
        va_end(rest);                                                                 \
        ino_t before = is_below(path) ? inode_of(path) : 0;                           \
        return opened(REAL(#name, int(*) parameters) arguments, path, flags, before); \
    }
OPEN(open, (const char *path, int flags, ...), (path, flags, mode))
OPEN(open64, (const char *path, int flags, ...), (path, flags, mode))
OPEN(openat, (int at, const char *path, int flags, ...), (at, path, flags, mode))
OPEN(openat64, (int at, const char *path, int flags, ...), (at, path, flags, mode))

static void written(ino_t file, off_t offset, const unsigned char *bytes, ssize_t size) {
    static const char digits[] = "0123456789abcdef";
    char text[4096];
    line("write\t%lu\t%ld\t", (unsigned long)file, (long)offset);
    for (ssize_t at = 0; at < size;) {
        size_t filled = 0;
        for (; at < size && filled < sizeof text; ++at) {
            text[filled++] = digits[bytes[at] >> 4];
            text[filled++] = digits[bytes[at] & 15];
        }
        put(text, filled);
    }
    put("\n", 1);
}

static off_t place_of(int descriptor) {
    struct stat found;
    if (fcntl(descriptor, F_GETFL) & O_APPEND) return fstat(descriptor, &found) ? 0 : found.st_size;
    return lseek(descriptor, 0, SEEK_CUR);
}

ssize_t write(int descriptor, const void *bytes, size_t size) {
    ino_t file = file_below(descriptor);
    off_t place = file ? place_of(descriptor) : 0;
    ssize_t done = REAL("write", ssize_t (*)(int, const void *, size_t))(descriptor, bytes, size);
    if (file && done > 0) written(file, place, bytes, done);
    return done;
}

ssize_t writev(int descriptor, const struct iovec *parts, int count) {
    ssize_t sum = 0;
    if (!file_below(descriptor)) {
        return REAL("writev", ssize_t (*)(int, const struct iovec *, int))(descriptor, parts, count);
    }
    for (int i = 0; i < count; ++i) {
        ssize_t done = write(descriptor, parts[i].iov_base, parts[i].iov_len);
        if (done < 0) return sum ? sum : done;
        sum += done;
        if ((size_t)done < parts[i].iov_len) break;
    }
    return sum;
}

#define PWRITE(name)                                                                                    \
    ssize_t name(int descriptor, const void *bytes, size_t size, off_t place) {                         \
        ssize_t done =                                                                                  \
            REAL(#name, ssize_t (*)(int, const void *, size_t, off_t))(descriptor, bytes, size, place); \
        ino_t file = file_below(descriptor);                                                            \
        if (file && done > 0) written(file, place, bytes, done);                                        \
        return done;                                                                                    \
    }
PWRITE(pwrite)
PWRITE(pwrite64)

#define SYNC(name)                                                     \
    int name(int descriptor) {                                         \
        int failed = REAL(#name, int (*)(int))(descriptor);            \
        ino_t file = file_below(descriptor);                           \
        if (file && !failed) line("sync\t%lu\n", (unsigned long)file); \
        return failed;                                                 \
    }
SYNC(fsync)
SYNC(fdatasync)

#define FTRUNCATE(name)                                                                     \
    int name(int descriptor, off_t size) {                                                  \
        int failed = REAL(#name, int (*)(int, off_t))(descriptor, size);                    \
        ino_t file = file_below(descriptor);                                                \
        if (file && !failed) line("truncate\t%lu\t%ld\n", (unsigned long)file, (long)size); \
        return failed;                                                                      \
    }
FTRUNCATE(ftruncate)
FTRUNCATE(ftruncate64)

#define TRUNCATE(name)                                                               \
    int name(const char *path, off_t size) {                                         \
        int failed = REAL(#name, int (*)(const char *, off_t))(path, size);          \
        if (is_below(path) && !failed)                                               \
            line("truncate\t%lu\t%ld\n", (unsigned long)inode_of(path), (long)size); \
        return failed;                                                               \
    }
TRUNCATE(truncate)
TRUNCATE(truncate64)

#define OF_NAMES(name, parameters, arguments, ...)             \
    int name parameters {                                      \
        int failed = REAL(#name, int(*) parameters) arguments; \
        if (is_below(path) && !failed) line(__VA_ARGS__);      \
        return failed;                                         \
    }
OF_NAMES(rename, (const char *path, const char *to), (path, to), "rename\t%s\t%s\n", path, to)
OF_NAMES(renameat, (int a, const char *path, int b, const char *to), (a, path, b, to), "rename\t%s\t%s\n",
         path, to)
OF_NAMES(link, (const char *path, const char *to), (path, to), "link\t%s\t%s\n", path, to)
OF_NAMES(linkat, (int a, const char *path, int b, const char *to, int flags), (a, path, b, to, flags),
         "link\t%s\t%s\n", path, to)
OF_NAMES(unlink, (const char *path), (path), "unlink\t%s\n", path)
OF_NAMES(unlinkat, (int at, const char *path, int flags), (at, path, flags), "unlink\t%s\n", path)
