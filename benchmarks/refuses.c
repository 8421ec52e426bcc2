/* A file system without locks, or without memory that processes share, for what lies in one folder.

   LD_PRELOAD=refuses.so REFUSES=flock,fcntl,shm REFUSES_IN=/folder command

   flock: fails with ENOLCK. fcntl: byte-range locks fail with ENOLCK. shm: sqlite's *-shm cannot be mapped. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

#define REAL(name) static __typeof__(name) *real; if (!real) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

static int refused(const char *what, int file, const char *end) {
    const char *refuses = getenv("REFUSES"), *in = getenv("REFUSES_IN");
    if (!refuses || !in || !strstr(refuses, what)) return 0;
    char link[64], found[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, found, sizeof found - 1);
    if (length <= 0) return 0;
    found[length] = 0;
    return !strncmp(found, in, strlen(in)) && strstr(found, end);
}

int flock(int file, int how) {
    REAL(flock);
    if (!refused("flock", file, "")) return real(file, how);
    errno = ENOLCK;
    return -1;
}

static int control(int (*real)(int, int, ...), int file, int command, void *argument) {
    if ((command != F_SETLK && command != F_SETLKW && command != F_GETLK) || !refused("fcntl", file, ""))
        return real(file, command, argument);
    errno = ENOLCK;
    return -1;
}

int fcntl(int file, int command, ...) {
    REAL(fcntl); va_list rest; va_start(rest, command); void *argument = va_arg(rest, void *); va_end(rest);
    return control((int (*)(int, int, ...))real, file, command, argument);
}

int fcntl64(int file, int command, ...) {
    REAL(fcntl64); va_list rest; va_start(rest, command); void *argument = va_arg(rest, void *); va_end(rest);
    return control((int (*)(int, int, ...))real, file, command, argument);
}

void *mmap(void *at, size_t size, int protection, int flags, int file, off_t offset) {
    REAL(mmap);
    if (!refused("shm", file, "-shm")) return real(at, size, protection, flags, file, offset);
    errno = ENODEV;
    return MAP_FAILED;
}

void *mmap64(void *at, size_t size, int protection, int flags, int file, off64_t offset) {
    REAL(mmap64);
    if (!refused("shm", file, "-shm")) return real(at, size, protection, flags, file, offset);
    errno = ENODEV;
    return MAP_FAILED;
}
