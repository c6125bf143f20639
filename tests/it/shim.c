/*
 * Stands between the program and libc (LD_PRELOAD) for every call that looks at or changes files below one folder: counts them,
 * writes them down, and at a chosen one kills the process or answers with an error. Compiled and driven by `shim.rs`.
 *
 *   SHIM_ROOT    the folder, absolute and without symbolic links; without it nothing is done
 *   SHIM_TRACE   a file outside of it that takes a line for each call, as `shim.rs` reads it
 *   SHIM_DATA    also write down the bytes that are written
 *   SHIM_KINDS   the kinds that are counted, e.g. `,create,write,`
 *   SHIM_AT      the number of the call, from 1, at which something happens
 *   SHIM_ACTION  kill: it dies before the call; torn: in the middle of a write, after any other call; short: half is written;
 *                full: half is written, and nothing from then on; a number: that error
 *   SHIM_LASTING the error stays from then on
 *   SHIM_NO_SWAP the file system cannot exchange two names, as many network file systems cannot
 *
 * Children are not watched: LD_PRELOAD leaves the environment at the start.
 *
 *   SHIM_SIDE    instead of files, what the runner and its media workers hand to each other through pipes is counted, as `send` and
 *                `receive`: in the runner, or (`worker`) in the first worker that comes to SHIM_AT
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum action { NOTHING, KILL, TORN, SHORT, FULL, FAIL };

static char root[PATH_MAX];
static char kinds[256];
static int trace = -1;
static int with_data;
static long at;
static enum action action;
static int error_number;
static int lasting;
static int no_swap;
static long counted;
static enum { NEITHER, RUNNER, WORKER } side;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

__attribute__((constructor)) static void begin(void)
{
    const char *value;
    if ((value = getenv("SHIM_SIDE"))) {
        side = strcmp(value, "worker") ? RUNNER : WORKER;
        /* The runner hands the library on to its workers. */
        if (side == WORKER && strcmp(program_invocation_short_name, "pipeline-media")) {
            side = NEITHER;
            return;
        }
    }
    unsetenv("LD_PRELOAD");
    if ((value = getenv("SHIM_ROOT")))
        snprintf(root, sizeof root, "%s", value);
    if (!root[0] && side == NEITHER)
        return;
    if ((value = getenv("SHIM_KINDS")))
        snprintf(kinds, sizeof kinds, "%s", value);
    if ((value = getenv("SHIM_TRACE")))
        trace = (int)syscall(SYS_openat, AT_FDCWD, value, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    with_data = getenv("SHIM_DATA") != NULL;
    lasting = getenv("SHIM_LASTING") != NULL;
    no_swap = getenv("SHIM_NO_SWAP") != NULL;
    if ((value = getenv("SHIM_AT")))
        at = atol(value);
    if ((value = getenv("SHIM_ACTION"))) {
        error_number = atoi(value);
        action = !strcmp(value, "kill") ? KILL : !strcmp(value, "torn") ? TORN : !strcmp(value, "short") ? SHORT
               : !strcmp(value, "full") ? FULL : FAIL;
    }
}

/* Whether a path is the folder or lies below it. */
static int is_watched(const char *path)
{
    size_t length = strlen(root);
    return length && !strncmp(path, root, length) && (path[length] == 0 || path[length] == '/');
}

/* The path of an open file, as the system knows it now. */
static int of_file(int file, char *path)
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, link, path, PATH_MAX - 1);
    path[length > 0 ? length : 0] = 0;
    return length > 0;
}

static int file_is_watched(int file, char *path)
{
    int before = errno;
    int watched = root[0] && file != trace && of_file(file, path) && is_watched(path);
    errno = before;
    return watched;
}

static int name_is_watched(int folder, const char *name, char *path)
{
    int before = errno;
    if (!root[0] || !name)
        return 0;
    if (name[0] == '/') {
        snprintf(path, PATH_MAX, "%s", name);
    } else {
        char base[PATH_MAX];
        if (folder == AT_FDCWD) {
            if (syscall(SYS_getcwd, base, sizeof base) < 0)
                base[0] = 0;
        } else {
            of_file(folder, base);
        }
        if (snprintf(path, PATH_MAX, "%s/%s", base, name) >= PATH_MAX)
            path[0] = 0;
    }
    errno = before;
    return is_watched(path);
}

static void die(void)
{
    syscall(SYS_kill, getpid(), SIGKILL);
    for (;;)
        pause();
}

/* Whether no other worker of the run has come this far: one dies, and the one in its place goes on. */
static int is_first(void)
{
    char mark[PATH_MAX];
    snprintf(mark, sizeof mark, "%s.fired", getenv("SHIM_TRACE"));
    int file = (int)syscall(SYS_openat, AT_FDCWD, mark, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (file >= 0)
        syscall(SYS_close, file);
    return file >= 0;
}

/* What is to happen with this call. The lock is held. */
static enum action decide(const char *kind)
{
    char pattern[32];
    snprintf(pattern, sizeof pattern, ",%s,", kind);
    if (action == NOTHING || !strstr(kinds, pattern))
        return NOTHING;
    counted++;
    if (counted == at) {
        if (side == WORKER && !is_first())
            return NOTHING;
        if (action == KILL)
            die();
        return action;
    }
    if (counted > at && (lasting || action == FULL))
        return action == FULL ? FAIL : action;
    return NOTHING;
}

/* Kind, result, offset or flag, length, both paths; then the bytes. The lock is held. */
static void note(const char *kind, long result, long offset, const char *path, const char *other, const struct iovec *data, int count)
{
    char head[2 * PATH_MAX + 128];
    size_t bytes = 0;
    struct iovec out[66];
    int parts = 1;
    if (trace < 0)
        return;
    for (int i = 0; with_data && i < count && i < 64 && (long)bytes < result; i++) {
        size_t take = data[i].iov_len;
        if (take > (size_t)result - bytes)
            take = (size_t)result - bytes;
        out[parts].iov_base = data[i].iov_base;
        out[parts++].iov_len = take;
        bytes += take;
    }
    out[0].iov_base = head;
    out[0].iov_len = (size_t)snprintf(head, sizeof head, "%s\t%ld\t%ld\t%zu\t%s\t%s\n", kind, result, offset, bytes, path, other);
    syscall(SYS_writev, trace, out, parts);
}

/* A call on one or two names, or on an open file: counted, perhaps refused, done, written down. */
#define THROUGH(kind, offset, path, other, call)                            \
    do {                                                                     \
        long result_;                                                       \
        pthread_mutex_lock(&lock);                                           \
        enum action now_ = decide(kind);                                     \
        if (now_ == FAIL || now_ == FULL) {                                  \
            errno = now_ == FULL || !error_number ? ENOSPC : error_number;   \
            result_ = -1;                                                   \
        } else {                                                             \
            result_ = (call);                                               \
        }                                                                    \
        int errno_ = errno;                                                  \
        note(kind, result_ < 0 ? -errno_ : result_, offset, path, other, NULL, 0); \
        if (now_ == TORN)                                                    \
            die();                                                           \
        pthread_mutex_unlock(&lock);                                         \
        errno = errno_;                                                      \
        return result_;                                                     \
    } while (0)

/* Opening */

static int opened(int folder, const char *name, int flags, mode_t mode)
{
    char path[PATH_MAX];
    if (!name_is_watched(folder, name, path))
        return (int)syscall(SYS_openat, folder, name, flags, mode);
    int creates = (flags & (O_CREAT | O_TRUNC)) || (flags & O_ACCMODE) != O_RDONLY;
    THROUGH(creates ? "create" : "open", (flags & O_TRUNC) != 0, path, "", (int)syscall(SYS_openat, folder, name, flags, mode));
}

#define MODE(flags, last)                            \
    mode_t mode = 0;                                 \
    if ((flags) & (O_CREAT | __O_TMPFILE)) {         \
        va_list rest;                                \
        va_start(rest, last);                        \
        mode = (mode_t)va_arg(rest, int);            \
        va_end(rest);                                \
    }

int open(const char *name, int flags, ...) { MODE(flags, flags) return opened(AT_FDCWD, name, flags, mode); }
int open64(const char *name, int flags, ...) { MODE(flags, flags) return opened(AT_FDCWD, name, flags, mode); }
int openat(int folder, const char *name, int flags, ...) { MODE(flags, flags) return opened(folder, name, flags, mode); }
int openat64(int folder, const char *name, int flags, ...) { MODE(flags, flags) return opened(folder, name, flags, mode); }
int __open_2(const char *name, int flags) { return opened(AT_FDCWD, name, flags, 0); }
int __open64_2(const char *name, int flags) { return opened(AT_FDCWD, name, flags, 0); }
int creat(const char *name, mode_t mode) { return opened(AT_FDCWD, name, O_CREAT | O_WRONLY | O_TRUNC, mode); }
int creat64(const char *name, mode_t mode) { return opened(AT_FDCWD, name, O_CREAT | O_WRONLY | O_TRUNC, mode); }

/* Writing. `offset` < 0: where the file stands. */

static ssize_t forward(int file, const struct iovec *data, int count, off_t offset)
{
    return offset < 0 ? syscall(SYS_writev, file, data, count)
                      : syscall(SYS_pwritev, file, data, count, (unsigned long)offset, 0UL);
}

/* Between two processes. Waiting for the other end must not hold the lock: its thread may be another's hope. */

static int is_between(int file)
{
    struct stat about;
    /* A worker speaks through its standard input and output; those of the runner are the test's. */
    return side != NEITHER && (side == WORKER ? file <= 1 : file > 2) && !fstat(file, &about) && S_ISFIFO(about.st_mode);
}

static enum action hand_over(const char *kind, long result)
{
    pthread_mutex_lock(&lock);
    enum action now = decide(kind);
    note(kind, result, 0, "", "", NULL, 0);
    pthread_mutex_unlock(&lock);
    return now;
}

static ssize_t sent(int file, const struct iovec *data, int count)
{
    size_t length = 0;
    for (int i = 0; i < count; i++)
        length += data[i].iov_len;
    if (hand_over("send", (long)length) == TORN) {
        struct iovec half = { data[0].iov_base, data[0].iov_len / 2 };
        forward(file, &half, 1, -1);
        die();
    }
    return forward(file, data, count, -1);
}

/* Counted once it is there: an end that is waited for in vain comes when it comes. */
static ssize_t received(int file, void *bytes, size_t length)
{
    ssize_t result = syscall(SYS_read, file, bytes, length);
    int error = errno;
    if (result > 0)
        hand_over("receive", result);
    errno = error;
    return result;
}

static ssize_t written(int file, const struct iovec *data, int count, off_t offset)
{
    char path[PATH_MAX];
    if (is_between(file))
        return sent(file, data, count);
    if (!file_is_watched(file, path))
        return forward(file, data, count, offset);
    pthread_mutex_lock(&lock);
    enum action now = decide("write");
    ssize_t result = -1;
    if (now == FAIL) {
        errno = error_number ? error_number : ENOSPC;
    } else if (now != NOTHING && data[0].iov_len > 1) {
        struct iovec half = { data[0].iov_base, data[0].iov_len / 2 };
        result = forward(file, &half, 1, offset);
    } else {
        result = forward(file, data, count, offset);
    }
    int error = errno;
    off_t where = offset >= 0 ? offset : syscall(SYS_lseek, file, 0L, SEEK_CUR) - (result > 0 ? result : 0);
    note("write", result < 0 ? -error : result, where, path, "", data, count);
    if (now == TORN)
        die();
    pthread_mutex_unlock(&lock);
    errno = error;
    return result;
}

ssize_t write(int file, const void *bytes, size_t length)
{
    struct iovec data = { (void *)bytes, length };
    return written(file, &data, 1, -1);
}

ssize_t pwrite(int file, const void *bytes, size_t length, off_t offset)
{
    struct iovec data = { (void *)bytes, length };
    return written(file, &data, 1, offset);
}

ssize_t pwrite64(int file, const void *bytes, size_t length, off64_t offset) { return pwrite(file, bytes, length, offset); }
ssize_t writev(int file, const struct iovec *data, int count) { return written(file, data, count, -1); }
ssize_t pwritev(int file, const struct iovec *data, int count, off_t offset) { return written(file, data, count, offset); }
ssize_t pwritev64(int file, const struct iovec *data, int count, off64_t offset) { return written(file, data, count, offset); }

/* The kernel's own copying falls back to reading and writing where it is refused: so it is seen. */

ssize_t copy_file_range(int from, off64_t *from_at, int to, off64_t *to_at, size_t length, unsigned flags)
{
    char path[PATH_MAX];
    if (file_is_watched(to, path)) {
        errno = ENOSYS;
        return -1;
    }
    return syscall(SYS_copy_file_range, from, from_at, to, to_at, length, flags);
}

ssize_t sendfile(int to, int from, off_t *offset, size_t length)
{
    char path[PATH_MAX];
    if (file_is_watched(to, path)) {
        errno = ENOSYS;
        return -1;
    }
    return syscall(SYS_sendfile, to, from, offset, length);
}

ssize_t sendfile64(int to, int from, off64_t *offset, size_t length) { return sendfile(to, from, offset, length); }

/* Reading */

ssize_t read(int file, void *bytes, size_t length)
{
    char path[PATH_MAX];
    if (is_between(file))
        return received(file, bytes, length);
    if (!file_is_watched(file, path))
        return syscall(SYS_read, file, bytes, length);
    THROUGH("read", 0, path, "", syscall(SYS_read, file, bytes, length));
}

ssize_t pread(int file, void *bytes, size_t length, off_t offset)
{
    char path[PATH_MAX];
    if (!file_is_watched(file, path))
        return syscall(SYS_pread64, file, bytes, length, offset);
    THROUGH("read", offset, path, "", syscall(SYS_pread64, file, bytes, length, offset));
}

ssize_t pread64(int file, void *bytes, size_t length, off64_t offset) { return pread(file, bytes, length, offset); }

/* Open files */

int ftruncate(int file, off_t length)
{
    char path[PATH_MAX];
    if (!file_is_watched(file, path))
        return (int)syscall(SYS_ftruncate, file, length);
    THROUGH("truncate", length, path, "", (int)syscall(SYS_ftruncate, file, length));
}

int ftruncate64(int file, off64_t length) { return ftruncate(file, length); }

#define SYNC(name, number, how)                                           \
    int name(int file)                                                    \
    {                                                                     \
        char path[PATH_MAX];                                              \
        if (!file_is_watched(file, path))                                 \
            return (int)syscall(number, file);                            \
        THROUGH("sync", 0, path, how, (int)syscall(number, file));        \
    }

SYNC(fsync, SYS_fsync, "one")
SYNC(fdatasync, SYS_fdatasync, "one")
SYNC(syncfs, SYS_syncfs, "all")

/* Names */

static int renamed(int from_folder, const char *from, int to_folder, const char *to, unsigned flags)
{
    char path[PATH_MAX], other[PATH_MAX];
    int first = name_is_watched(from_folder, from, path), second = name_is_watched(to_folder, to, other);
    if (!first && !second)
        return (int)syscall(SYS_renameat2, from_folder, from, to_folder, to, flags);
    if (no_swap && (flags & RENAME_EXCHANGE)) {
        errno = EINVAL;
        return -1;
    }
    THROUGH("rename", flags, path, other, (int)syscall(SYS_renameat2, from_folder, from, to_folder, to, flags));
}

int rename(const char *from, const char *to) { return renamed(AT_FDCWD, from, AT_FDCWD, to, 0); }
int renameat(int a, const char *from, int b, const char *to) { return renamed(a, from, b, to, 0); }
int renameat2(int a, const char *from, int b, const char *to, unsigned flags) { return renamed(a, from, b, to, flags); }

static int unlinked(int folder, const char *name, int flags)
{
    char path[PATH_MAX];
    if (!name_is_watched(folder, name, path))
        return (int)syscall(SYS_unlinkat, folder, name, flags);
    THROUGH("unlink", flags, path, "", (int)syscall(SYS_unlinkat, folder, name, flags));
}

int unlink(const char *name) { return unlinked(AT_FDCWD, name, 0); }
int unlinkat(int folder, const char *name, int flags) { return unlinked(folder, name, flags); }
int rmdir(const char *name) { return unlinked(AT_FDCWD, name, AT_REMOVEDIR); }

static int made(int folder, const char *name, mode_t mode)
{
    char path[PATH_MAX];
    if (!name_is_watched(folder, name, path))
        return (int)syscall(SYS_mkdirat, folder, name, mode);
    THROUGH("mkdir", 0, path, "", (int)syscall(SYS_mkdirat, folder, name, mode));
}

int mkdir(const char *name, mode_t mode) { return made(AT_FDCWD, name, mode); }
int mkdirat(int folder, const char *name, mode_t mode) { return made(folder, name, mode); }

/* What the program is to do without: not every file system has it. */

static int linked(int a, const char *from, int b, const char *to, int flags)
{
    char path[PATH_MAX];
    if (!name_is_watched(b, to, path))
        return (int)syscall(SYS_linkat, a, from, b, to, flags);
    THROUGH("link", 0, path, "", (int)syscall(SYS_linkat, a, from, b, to, flags));
}

int link(const char *from, const char *to) { return linked(AT_FDCWD, from, AT_FDCWD, to, 0); }
int linkat(int a, const char *from, int b, const char *to, int flags) { return linked(a, from, b, to, flags); }

int symlink(const char *from, const char *to)
{
    char path[PATH_MAX];
    if (!name_is_watched(AT_FDCWD, to, path))
        return (int)syscall(SYS_symlinkat, from, AT_FDCWD, to);
    THROUGH("link", 0, path, "", (int)syscall(SYS_symlinkat, from, AT_FDCWD, to));
}

int flock(int file, int operation)
{
    char path[PATH_MAX];
    if (!file_is_watched(file, path))
        return (int)syscall(SYS_flock, file, operation);
    THROUGH("lock", operation, path, "", (int)syscall(SYS_flock, file, operation));
}

static int controlled(int file, int command, long argument)
{
    char path[PATH_MAX];
    int locks = command == F_SETLK || command == F_SETLKW || command == F_OFD_SETLK || command == F_OFD_SETLKW;
    if (!locks || !file_is_watched(file, path))
        return (int)syscall(SYS_fcntl, file, command, argument);
    THROUGH("lock", command, path, "", (int)syscall(SYS_fcntl, file, command, argument));
}

#define ARGUMENT(last)                     \
    va_list rest;                          \
    va_start(rest, last);                  \
    long argument = va_arg(rest, long);    \
    va_end(rest);

int fcntl(int file, int command, ...) { ARGUMENT(command) return controlled(file, command, argument); }
int fcntl64(int file, int command, ...) { ARGUMENT(command) return controlled(file, command, argument); }
