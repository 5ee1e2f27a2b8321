/* A preloaded library that makes the n-th system call on files below a folder fail, or a range of calls.
 *
 * It replaces the C library's functions that create, write, sync, rename and remove files. Each
 * replacement checks whether the path, or the path of the descriptor, is below the folder. Instead of
 * failing, a write may write only a part, as if the disk were full or a signal had come. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

enum { SHORT = -1 }; /* instead of an errno: a write takes about half of its bytes */

static char folder[PATH_MAX];
static long counted, failed, from, to;
static int error;
static char calls[1 << 16]; /* the names of the calls so far, each followed by a blank */

/* From now on, calls number `first` to `last`, counted from 1, fail with an errno, or SHORT. If `first` is
 * 0, calls are only counted. */
void failing_arm(const char *below, long first, long last, int with_error) {
    counted = failed = 0;
    calls[0] = 0;
    from = first;
    to = last;
    error = with_error;
    strcpy(folder, below);
}

void failing_disarm(void) { folder[0] = 0; }
long failing_counted(void) { return counted; }
long failing_failed(void) { return failed; }
const char *failing_calls(void) { return calls; }

static int is_below(const char *path) { return folder[0] && path && !strncmp(path, folder, strlen(folder)); }

static int is_of_file_below(int descriptor) {
    char link[64], path[PATH_MAX];
    if (!folder[0]) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return is_below(path);
}

/* Counts a call. Returns whether it must fail. */
static int fails(const char *name) {
    size_t length = strlen(calls);
    if (length + strlen(name) + 2 < sizeof calls) sprintf(calls + length, "%s ", name);
    long number = ++counted;
    if (from == 0 || number < from || number > to) return 0;
    ++failed;
    errno = error;
    return 1;
}

/* The C library's own function. */
#define REAL(name, type) ((type)dlsym(RTLD_NEXT, name))

static mode_t mode_of(int flags, va_list rest) {
    return flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
}

#define OPEN(name)                                                                               \
    int name(const char *path, int flags, ...) {                                                 \
        va_list rest;                                                                            \
        va_start(rest, flags);                                                                   \
        mode_t mode = mode_of(flags, rest);                                                      \
        va_end(rest);                                                                            \
        if (is_below(path) && fails(flags & (O_WRONLY | O_RDWR) ? "create" : "open")) return -1; \
        return REAL(#name, int (*)(const char *, int, ...))(path, flags, mode);                  \
    }
OPEN(open)
OPEN(open64)

#define WRITE(name, parameters, arguments)                    \
    ssize_t name parameters {                                 \
        if (is_of_file_below(descriptor) && fails("write")) { \
            if (error != SHORT) return -1;                    \
            size = size / 2 + 1;                              \
        }                                                     \
        return REAL(#name, ssize_t(*) parameters) arguments;  \
    }
WRITE(write, (int descriptor, const void *bytes, size_t size), (descriptor, bytes, size))
WRITE(pwrite, (int descriptor, const void *bytes, size_t size, off_t place), (descriptor, bytes, size, place))
WRITE(pwrite64, (int descriptor, const void *bytes, size_t size, off_t place),
      (descriptor, bytes, size, place))

#define OF_DESCRIPTOR(name, parameters, arguments)                   \
    int name parameters {                                            \
        if (is_of_file_below(descriptor) && fails(#name)) return -1; \
        return REAL(#name, int(*) parameters) arguments;             \
    }
OF_DESCRIPTOR(fsync, (int descriptor), (descriptor))
OF_DESCRIPTOR(fdatasync, (int descriptor), (descriptor))
OF_DESCRIPTOR(ftruncate, (int descriptor, off_t size), (descriptor, size))
OF_DESCRIPTOR(ftruncate64, (int descriptor, off_t size), (descriptor, size))
OF_DESCRIPTOR(fchmod, (int descriptor, mode_t mode), (descriptor, mode))

/* Linux closes the descriptor even if `close` fails. */
int close(int descriptor) {
    int fault = is_of_file_below(descriptor) && fails("close") ? errno : 0;
    int result = REAL("close", int (*)(int))(descriptor);
    if (!fault) return result;
    errno = fault;
    return -1;
}

#define OF_PATH(name, parameters, arguments)             \
    int name parameters {                                \
        if (is_below(path) && fails(#name)) return -1;   \
        return REAL(#name, int(*) parameters) arguments; \
    }
OF_PATH(rename, (const char *path, const char *target), (path, target))
OF_PATH(renameat, (int from_at, const char *path, int at, const char *target), (from_at, path, at, target))
OF_PATH(chmod, (const char *path, mode_t mode), (path, mode))
OF_PATH(fchmodat, (int at, const char *path, mode_t mode, int flags), (at, path, mode, flags))
OF_PATH(unlink, (const char *path), (path))
OF_PATH(unlinkat, (int at, const char *path, int flags), (at, path, flags))
OF_PATH(truncate, (const char *path, off_t size), (path, size))
OF_PATH(truncate64, (const char *path, off_t size), (path, size))
OF_PATH(stat, (const char *path, struct stat *of), (path, of))
OF_PATH(stat64, (const char *path, struct stat64 *of), (path, of))
OF_PATH(lstat, (const char *path, struct stat *of), (path, of))
OF_PATH(lstat64, (const char *path, struct stat64 *of), (path, of))
