/* Fails, or kills the process, at its n-th operation on the files of a folder (benchmarks/sweep.py).

   LD_PRELOAD=fail_at.so FAIL_IN=/folder FAIL_AT=7 FAIL_HOW=kill FAIL_COUNT=/counter command

   FAIL_HOW: kill (SIGKILL before the operation), full (ENOSPC there and at every later one that needs room), broken
   (EIO there, once). FAIL_COUNT: a file of 8 bytes that holds how many operations there were. FAIL_AT=0 only counts.
   Counted is what changes a folder, and with "broken" what reads its files too. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static const char *in;
static long at;
static enum { COUNT, KILL, FULL, BROKEN } how;
static long *count;
static long alone;

__attribute__((constructor)) static void begin(void) {
    const char *name = getenv("FAIL_HOW"), *counter = getenv("FAIL_COUNT");
    in = getenv("FAIL_IN");
    at = atol(getenv("FAIL_AT") ? getenv("FAIL_AT") : "0");
    how = !name ? COUNT : !strcmp(name, "kill") ? KILL : !strcmp(name, "full") ? FULL : BROKEN;
    count = &alone;
    int file = counter ? syscall(257 /* openat */, AT_FDCWD, counter, O_RDWR) : -1;
    if (file >= 0) {
        void *mapped = mmap(0, sizeof(long), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
        if (mapped != MAP_FAILED) count = mapped;
        close(file);
    }
}

static int of_path(int folder, const char *path) {
    if (!in || !path) return 0;
    if (path[0] == '/') return !strncmp(path, in, strlen(in));
    if (folder == AT_FDCWD) return 1; /* the command works in the folder */
    char link[64], found[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
    ssize_t length = readlink(link, found, sizeof found - 1);
    return length > 0 && (found[length] = 0, !strncmp(found, in, strlen(in)));
}

static int of_file(int file) { return of_path(file, ""); }

/* Whether the operation is to fail; errno is set then. */
static int fails(int counted, int needs_room) {
    if (!counted) return 0;
    long now = __sync_add_and_fetch(count, 1);
    if (!at || now < at || (now > at && !(how == FULL))) return 0;
    if (how == KILL) kill(getpid(), SIGKILL);
    if (how == FULL && !needs_room) return 0;
    errno = how == FULL ? ENOSPC : EIO;
    return 1;
}

#define REAL(name) static __typeof__(name) *real; if (!real) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)
#define OPENED(name)                                                                  \
    int name(const char *path, int flags, ...) {                                      \
        REAL(name); va_list rest; va_start(rest, flags); mode_t mode = va_arg(rest, mode_t); va_end(rest); \
        int changes = flags & (O_CREAT | O_TRUNC);                                    \
        if (fails((changes || how == BROKEN) && of_path(AT_FDCWD, path), flags & O_CREAT)) return -1; \
        return real(path, flags, mode);                                               \
    }
#define OPENED_AT(name)                                                               \
    int name(int folder, const char *path, int flags, ...) {                          \
        REAL(name); va_list rest; va_start(rest, flags); mode_t mode = va_arg(rest, mode_t); va_end(rest); \
        int changes = flags & (O_CREAT | O_TRUNC);                                    \
        if (fails((changes || how == BROKEN) && of_path(folder, path), flags & O_CREAT)) return -1; \
        return real(folder, path, flags, mode);                                       \
    }
#define CHANGES(type, name, parameters, arguments, counted, needs_room)               \
    type name parameters { REAL(name); return fails(counted, needs_room) ? -1 : real arguments; }

OPENED(open)
OPENED(open64)
OPENED_AT(openat)
OPENED_AT(openat64)
CHANGES(ssize_t, write, (int f, const void *b, size_t n), (f, b, n), of_file(f), 1)
CHANGES(ssize_t, writev, (int f, const struct iovec *v, int n), (f, v, n), of_file(f), 1)
CHANGES(ssize_t, pwrite, (int f, const void *b, size_t n, off_t o), (f, b, n, o), of_file(f), 1)
CHANGES(ssize_t, pwrite64, (int f, const void *b, size_t n, off64_t o), (f, b, n, o), of_file(f), 1)
CHANGES(ssize_t, read, (int f, void *b, size_t n), (f, b, n), how == BROKEN && of_file(f), 0)
CHANGES(ssize_t, pread, (int f, void *b, size_t n, off_t o), (f, b, n, o), how == BROKEN && of_file(f), 0)
CHANGES(ssize_t, pread64, (int f, void *b, size_t n, off64_t o), (f, b, n, o), how == BROKEN && of_file(f), 0)
CHANGES(int, fsync, (int f), (f), of_file(f), 1)
CHANGES(int, fdatasync, (int f), (f), of_file(f), 1)
CHANGES(int, ftruncate, (int f, off_t n), (f, n), of_file(f), 1)
CHANGES(int, ftruncate64, (int f, off64_t n), (f, n), of_file(f), 1)
CHANGES(int, rename, (const char *a, const char *b), (a, b), of_path(AT_FDCWD, b), 1)
CHANGES(int, renameat, (int f, const char *a, int g, const char *b), (f, a, g, b), of_path(g, b), 1)
CHANGES(int, link, (const char *a, const char *b), (a, b), of_path(AT_FDCWD, b), 1)
CHANGES(int, linkat, (int f, const char *a, int g, const char *b, int h), (f, a, g, b, h), of_path(g, b), 1)
CHANGES(int, mkdir, (const char *p, mode_t m), (p, m), of_path(AT_FDCWD, p), 1)
CHANGES(int, mkdirat, (int f, const char *p, mode_t m), (f, p, m), of_path(f, p), 1)
CHANGES(int, unlink, (const char *p), (p), of_path(AT_FDCWD, p), 0)
CHANGES(int, unlinkat, (int f, const char *p, int h), (f, p, h), of_path(f, p), 0)
CHANGES(int, rmdir, (const char *p), (p), of_path(AT_FDCWD, p), 0)
