/*
 * What a program sends: LD_PRELOAD. Every byte it hands to a socket of IPv4 or IPv6 is written to the file that BELFRY_WIRE
 * names, call by call; what goes through Unix sockets and into files is not.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static int goes_out(int fd) {
    struct sockaddr_storage own;
    socklen_t length = sizeof own;
    if (syscall(SYS_getsockname, fd, &own, &length) != 0) return 0;
    return own.ss_family == AF_INET || own.ss_family == AF_INET6;
}

static void kept(const struct iovec *parts, size_t count) {
    const char *path = getenv("BELFRY_WIRE");
    if (!path) return;
    int fd = syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0) abort();
    syscall(SYS_writev, fd, parts, count);
    syscall(SYS_close, fd);
}

static void kept_one(const void *bytes, size_t length) {
    struct iovec part = {(void *)bytes, length};
    kept(&part, 1);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t write(int fd, const void *bytes, size_t length) {
    if (goes_out(fd)) kept_one(bytes, length);
    return REAL(write)(fd, bytes, length);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    if (goes_out(fd)) kept(parts, count);
    return REAL(writev)(fd, parts, count);
}

ssize_t send(int fd, const void *bytes, size_t length, int flags) {
    if (goes_out(fd)) kept_one(bytes, length);
    return REAL(send)(fd, bytes, length, flags);
}

ssize_t sendto(int fd, const void *bytes, size_t length, int flags, const struct sockaddr *to, socklen_t size) {
    if (goes_out(fd)) kept_one(bytes, length);
    return REAL(sendto)(fd, bytes, length, flags, to, size);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
    if (goes_out(fd)) kept(message->msg_iov, message->msg_iovlen);
    return REAL(sendmsg)(fd, message, flags);
}

int sendmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags) {
    if (goes_out(fd))
        for (unsigned n = 0; n < count; n++) kept(messages[n].msg_hdr.msg_iov, messages[n].msg_hdr.msg_iovlen);
    return REAL(sendmmsg)(fd, messages, count, flags);
}
