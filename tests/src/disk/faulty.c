/*
 * A disk that fails, put between a program and the C library: LD_PRELOAD.
 *
 *   BELFRY_DISK_UNDER=PATH   only files below this folder
 *   BELFRY_DISK_WHEN=PATH    only while this file exists; always, if unset
 *   BELFRY_DISK_KINDS=wsortu writes, syncs, openings, renamings, truncations, unlinkings; all, if unset
 *   BELFRY_DISK_FAIL=N       the N-th operation from now on fails, counted from 1
 *   BELFRY_DISK_FOR_EVER=1   and every later one
 *   BELFRY_DISK_ERRNO=E      with this error; EIO, if unset
 *   BELFRY_DISK_MARK=PATH    is made when something failed
 *   BELFRY_DISK_NOSYNC=1     syncs say yes and do nothing
 *   BELFRY_DISK_SECTOR=I:N   whatever reads byte N of the file of inode I, under whatever name, fails; always, and uncounted
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static atomic_long seen;

static int below(const char *path) {
    const char *under = getenv("BELFRY_DISK_UNDER");
    return under && path && strncmp(path, under, strlen(under)) == 0;
}

static int below_fd(int fd) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    return below(path);
}

/* Whether this operation is to fail; errno is set then. */
static int fails(char kind) {
    const char *fail = getenv("BELFRY_DISK_FAIL"), *kinds = getenv("BELFRY_DISK_KINDS");
    const char *when = getenv("BELFRY_DISK_WHEN"), *number = getenv("BELFRY_DISK_ERRNO");
    if (!fail || (kinds && !strchr(kinds, kind))) return 0;
    if (when && syscall(SYS_access, when, F_OK) != 0) return 0;
    long at = atol(fail), count = atomic_fetch_add(&seen, 1) + 1;
    if (count != at && !(count > at && getenv("BELFRY_DISK_FOR_EVER"))) return 0;
    const char *mark = getenv("BELFRY_DISK_MARK");
    if (mark) {
        int fd = syscall(SYS_openat, AT_FDCWD, mark, O_WRONLY | O_CREAT, 0600);
        if (fd >= 0) syscall(SYS_close, fd);
    }
    errno = number ? atoi(number) : EIO;
    return 1;
}

static int without_sync(void) { return getenv("BELFRY_DISK_NOSYNC") != NULL; }

/* Whether so many bytes from there on lie over the sector that is lost; errno is set then. */
static int is_lost(int fd, size_t count, off64_t at) {
    const char *lost = getenv("BELFRY_DISK_SECTOR");
    unsigned long long inode;
    long long sector;
    struct stat64 file;
    if (!lost || sscanf(lost, "%llu:%lld", &inode, &sector) != 2) return 0;
    if (at > sector || at + (long long)count <= sector) return 0;
    if (fstat64(fd, &file) != 0 || file.st_ino != inode) return 0;
    errno = EIO;
    return 1;
}

#define READ(name, type)                                        \
    ssize_t name(int fd, void *bytes, size_t count, type at) {  \
        if (is_lost(fd, count, at)) return -1;                  \
        return NEXT(name)(fd, bytes, count, at);                \
    }
READ(pread, off_t)
READ(pread64, off64_t)

#define SYNC(name)                                              \
    int name(int fd) {                                          \
        if (below_fd(fd)) {                                     \
            if (fails('s')) return -1;                          \
            if (without_sync()) return 0;                       \
        }                                                       \
        return NEXT(name)(fd);                                  \
    }
SYNC(fsync)
SYNC(fdatasync)

int sync_file_range(int fd, off64_t at, off64_t count, unsigned flags) {
    if (below_fd(fd)) {
        if (fails('s')) return -1;
        if (without_sync()) return 0;
    }
    return NEXT(sync_file_range)(fd, at, count, flags);
}

ssize_t write(int fd, const void *bytes, size_t count) {
    if (below_fd(fd) && fails('w')) return -1;
    return NEXT(write)(fd, bytes, count);
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at) {
    if (below_fd(fd) && fails('w')) return -1;
    return NEXT(pwrite)(fd, bytes, count, at);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at) {
    if (below_fd(fd) && fails('w')) return -1;
    return NEXT(pwrite64)(fd, bytes, count, at);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    if (below_fd(fd) && fails('w')) return -1;
    return NEXT(writev)(fd, parts, count);
}

#define TRUNCATE(name, type)                                    \
    int name(int fd, type length) {                             \
        if (below_fd(fd) && fails('t')) return -1;              \
        return NEXT(name)(fd, length);                          \
    }
TRUNCATE(ftruncate, off_t)
TRUNCATE(ftruncate64, off64_t)

#define ALLOCATE(name, type)                                    \
    int name(int fd, int mode, type at, type length) {          \
        if (below_fd(fd) && fails('t')) return -1;              \
        return NEXT(name)(fd, mode, at, length);                \
    }
ALLOCATE(fallocate, off_t)
ALLOCATE(fallocate64, off64_t)

#define OPEN(name)                                              \
    int name(const char *path, int flags, ...) {                \
        mode_t mode = 0;                                        \
        if (flags & (O_CREAT | O_TMPFILE)) {                    \
            va_list more;                                       \
            va_start(more, flags);                              \
            mode = va_arg(more, mode_t);                        \
            va_end(more);                                       \
        }                                                       \
        if ((flags & O_CREAT) && below(path) && fails('o')) return -1; \
        return NEXT(name)(path, flags, mode);                   \
    }
OPEN(open)
OPEN(open64)

int rename(const char *from, const char *to) {
    if (below(to) && fails('r')) return -1;
    return NEXT(rename)(from, to);
}

int link(const char *from, const char *to) {
    if (below(to) && fails('r')) return -1;
    return NEXT(link)(from, to);
}

int unlink(const char *path) {
    if (below(path) && fails('u')) return -1;
    return NEXT(unlink)(path);
}
