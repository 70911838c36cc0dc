/* A disk that fails, or a process that is killed, at the n-th change of a folder.
 *
 * Loaded before the C library (LD_PRELOAD), it counts what the processes of a command do to the files below a folder:
 * files opened to write, bytes written, names made, changed and removed, flushes. The count is shared by all of them.
 * The environment says the rest; without it everything is passed on.
 *
 *   CAMPAIGN_FOLDER   the folder, absolute and without links
 *   CAMPAIGN_COUNTER  a file of eight bytes, the count
 *   CAMPAIGN_AT       the number of the change at which it happens; 0 counts alone
 *   CAMPAIGN_LOG      a file that says of each change its number, its call and its name; none where it is empty
 *   CAMPAIGN_EVENT    kill      the process is killed before that change; a write leaves its first half
 *                     full      from there on the disk is full: nothing is made or written, all may be removed
 *                     readonly  from there on nothing can be changed
 *                     once      that change fails (EIO), and no other
 *                     gone      before that change somebody renames the folder's `out` to `away`
 *                     clock     from there on the time of day is a day earlier
 *
 * What is written by memory maps is not seen.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum kind { GROWS, WRITES, CHANGES }; /* makes a name; writes bytes; needs no room: renames, removes, flushes */
enum verdict { PASS, HALF, FAIL };

static uint64_t *counter;
static uint64_t at;
static const char *event, *folder;
static int is_early, log_fd = -1;

#define NEXT(name) ((__typeof__(&name))next(#name))

static void *next(const char *name) { return dlsym(RTLD_NEXT, name); }

/* Whether the environment, which a forked process is given after its start, asks for anything. */
static int is_armed(void) {
    if (counter) return 1;
    const char *name = getenv("CAMPAIGN_COUNTER");
    if (!name || !getenv("CAMPAIGN_FOLDER")) return 0;
    int fd = NEXT(open)(name, O_RDWR | O_CLOEXEC);
    if (fd < 0) return 0;
    void *map = mmap(NULL, sizeof *counter, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (map == MAP_FAILED) return 0;
    folder = strdup(getenv("CAMPAIGN_FOLDER"));
    event = strdup(getenv("CAMPAIGN_EVENT") ? getenv("CAMPAIGN_EVENT") : "");
    const char *kept = getenv("CAMPAIGN_LOG");
    if (kept && *kept) log_fd = NEXT(open)(kept, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    at = getenv("CAMPAIGN_AT") ? strtoull(getenv("CAMPAIGN_AT"), NULL, 10) : 0;
    counter = map;
    return 1;
}

static int is_below(const char *path) {
    size_t size = strlen(folder);
    return strncmp(path, folder, size) == 0 && (path[size] == '/' || path[size] == '\0');
}

static int name_of(int fd, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, PATH_MAX - 1);
    path[size < 0 ? 0 : size] = '\0';
    return size > 0;
}

static int is_ours_at(int dir, const char *path) {
    char whole[2 * PATH_MAX] = "";
    int saved = errno, found = 0;
    if (path && is_armed()) {
        if (path[0] == '/') found = is_below(path);
        else if (dir == AT_FDCWD ? getcwd(whole, PATH_MAX) != NULL : name_of(dir, whole)) {
            snprintf(whole + strlen(whole), PATH_MAX, "/%s", path);
            found = is_below(whole);
        }
    }
    errno = saved;
    return found;
}

static int is_ours(int fd) {
    char path[PATH_MAX];
    int saved = errno, found = is_armed() && name_of(fd, path) && is_below(path);
    errno = saved;
    return found;
}

/* Notes a change of a name, or of an open file where there is no name. */
static void note(uint64_t number, const char *call, const char *path, int fd) {
    char name[PATH_MAX] = "", line[PATH_MAX + 64];
    int saved = errno;
    if (!path && name_of(fd, name)) path = name;
    int size = snprintf(line, sizeof line, "%llu %s %s\n", (unsigned long long)number, call, path ? path : "");
    if (NEXT(write)(log_fd, line, size) < 0) log_fd = -1;
    errno = saved;
}

/* Counts a change, and says what becomes of it. */
static enum verdict count(enum kind kind, const char *call, const char *path, int fd) {
    uint64_t number = __atomic_add_fetch(counter, 1, __ATOMIC_SEQ_CST);
    if (log_fd >= 0) note(number, call, path, fd);
    if (at == 0 || number < at) return PASS;
    int is_first = number == at;
    if (strcmp(event, "kill") == 0) {
        if (is_first && kind == WRITES) return HALF;
        if (is_first) kill(getpid(), SIGKILL);
        return PASS; /* the other processes of the command live on, until they notice */
    }
    if (strcmp(event, "clock") == 0) {
        is_early = 1;
        return PASS;
    }
    if (strcmp(event, "gone") == 0) {
        char out[PATH_MAX], away[PATH_MAX];
        snprintf(out, sizeof out, "%s/out", folder);
        snprintf(away, sizeof away, "%s/away", folder);
        if (is_first) NEXT(rename)(out, away);
        return PASS;
    }
    if (strcmp(event, "once") == 0) {
        if (!is_first) return PASS;
        errno = EIO;
        return FAIL;
    }
    if (strcmp(event, "readonly") == 0) {
        errno = EROFS;
        return FAIL;
    }
    if (kind == CHANGES) return PASS;
    errno = ENOSPC;
    return is_first && kind == WRITES ? HALF : FAIL;
}

/* What asks for the time of day: Python, TensorFlow. */
int clock_gettime(clockid_t clock, struct timespec *now) {
    int failed = NEXT(clock_gettime)(clock, now);
    if (is_early && clock == CLOCK_REALTIME && !failed) now->tv_sec -= 24 * 3600;
    return failed;
}

static void killed_after_half(void) {
    if (strcmp(event, "kill") == 0) kill(getpid(), SIGKILL);
}

#define OPEN(name, ...)                                                                                                \
    {                                                                                                                  \
        mode_t mode = 0;                                                                                               \
        if (flags & (O_CREAT | __O_TMPFILE)) {                                                                         \
            va_list list;                                                                                              \
            va_start(list, flags);                                                                                     \
            mode = va_arg(list, mode_t);                                                                               \
            va_end(list);                                                                                              \
        }                                                                                                              \
        int writes = (flags & O_ACCMODE) != O_RDONLY || flags & (O_CREAT | O_TRUNC);                                   \
        enum kind kind = flags & O_CREAT ? GROWS : CHANGES;                                                            \
        if (writes && is_ours_at(dir, path) && count(kind, #name, path, -1) == FAIL) return -1;                        \
        return NEXT(name)(__VA_ARGS__, flags, mode);                                                                   \
    }

int open(const char *path, int flags, ...) { int dir = AT_FDCWD; OPEN(open, path) }
int open64(const char *path, int flags, ...) { int dir = AT_FDCWD; OPEN(open64, path) }
int openat(int dir, const char *path, int flags, ...) OPEN(openat, dir, path)
int openat64(int dir, const char *path, int flags, ...) OPEN(openat64, dir, path)

#define FOPEN(name)                                                                                                    \
    FILE *name(const char *path, const char *mode) {                                                                   \
        int writes = strpbrk(mode, "wa+") != NULL;                                                                     \
        if (writes && is_ours_at(AT_FDCWD, path) && count(GROWS, #name, path, -1) == FAIL) return NULL;                \
        return NEXT(name)(path, mode);                                                                                 \
    }
FOPEN(fopen)
FOPEN(fopen64)

#define WRITE(result, fd, size, half, whole)                                                                           \
    switch (is_ours(fd) ? count(WRITES, "write", NULL, fd) : PASS) {                                                   \
    case FAIL: return -1;                                                                                              \
    case HALF: {                                                                                                       \
        result done = (size) > 1 ? half : -1;                                                                          \
        killed_after_half();                                                                                           \
        if ((size) <= 1) errno = ENOSPC;                                                                               \
        return done;                                                                                                   \
    }                                                                                                                  \
    default: return whole;                                                                                             \
    }

ssize_t write(int fd, const void *data, size_t size) {
    WRITE(ssize_t, fd, size, NEXT(write)(fd, data, size / 2), NEXT(write)(fd, data, size))
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t place) {
    WRITE(ssize_t, fd, size, NEXT(pwrite)(fd, data, size / 2, place), NEXT(pwrite)(fd, data, size, place))
}
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t place) {
    WRITE(ssize_t, fd, size, NEXT(pwrite64)(fd, data, size / 2, place), NEXT(pwrite64)(fd, data, size, place))
}
ssize_t writev(int fd, const struct iovec *parts, int size) {
    WRITE(ssize_t, fd, size, NEXT(writev)(fd, parts, size / 2), NEXT(writev)(fd, parts, size))
}
ssize_t sendfile(int out, int in, off_t *place, size_t size) {
    WRITE(ssize_t, out, size, NEXT(sendfile)(out, in, place, 1), NEXT(sendfile)(out, in, place, size))
}
ssize_t sendfile64(int out, int in, off64_t *place, size_t size) {
    WRITE(ssize_t, out, size, NEXT(sendfile64)(out, in, place, 1), NEXT(sendfile64)(out, in, place, size))
}
ssize_t copy_file_range(int in, off64_t *from, int out, off64_t *to, size_t size, unsigned flags) {
    WRITE(ssize_t, out, size, NEXT(copy_file_range)(in, from, out, to, 1, flags),
          NEXT(copy_file_range)(in, from, out, to, size, flags))
}
size_t fwrite(const void *data, size_t size, size_t items, FILE *stream) {
    switch (is_ours(fileno(stream)) ? count(WRITES, "write", NULL, fileno(stream)) : PASS) {
    case FAIL: return 0;
    case HALF:
        items = NEXT(fwrite)(data, size, items / 2, stream);
        NEXT(fflush)(stream);
        killed_after_half();
        errno = ENOSPC;
        return items;
    default: return NEXT(fwrite)(data, size, items, stream);
    }
}

#define CHANGE(name, kind, condition, named, opened, types, ...)                                                       \
    int name types {                                                                                                   \
        if ((condition) && count(kind, #name, named, opened) == FAIL) return -1;                                       \
        return NEXT(name)(__VA_ARGS__);                                                                                \
    }
#define BY_NAME(path) is_ours_at(AT_FDCWD, path)

CHANGE(fsync, CHANGES, is_ours(fd), NULL, fd, (int fd), fd)
CHANGE(fdatasync, CHANGES, is_ours(fd), NULL, fd, (int fd), fd)
CHANGE(ftruncate, GROWS, is_ours(fd), NULL, fd, (int fd, off_t size), fd, size)
CHANGE(ftruncate64, GROWS, is_ours(fd), NULL, fd, (int fd, off64_t size), fd, size)
CHANGE(truncate, GROWS, BY_NAME(path), path, -1, (const char *path, off_t size), path, size)
CHANGE(mkdir, GROWS, BY_NAME(path), path, -1, (const char *path, mode_t mode), path, mode)
CHANGE(mkdirat, GROWS, is_ours_at(dir, path), path, -1, (int dir, const char *path, mode_t mode), dir, path, mode)
CHANGE(link, GROWS, BY_NAME(to), to, -1, (const char *from, const char *to), from, to)
CHANGE(symlink, GROWS, BY_NAME(to), to, -1, (const char *from, const char *to), from, to)
CHANGE(rename, CHANGES, BY_NAME(to), to, -1, (const char *from, const char *to), from, to)
CHANGE(renameat, CHANGES, is_ours_at(there, to), to, -1, (int here, const char *from, int there, const char *to), here,
       from, there, to)
CHANGE(renameat2, CHANGES, is_ours_at(there, to), to, -1,
       (int here, const char *from, int there, const char *to, unsigned flags), here, from, there, to, flags)
CHANGE(unlink, CHANGES, BY_NAME(path), path, -1, (const char *path), path)
CHANGE(unlinkat, CHANGES, is_ours_at(dir, path), path, -1, (int dir, const char *path, int flags), dir, path, flags)
CHANGE(rmdir, CHANGES, BY_NAME(path), path, -1, (const char *path), path)
CHANGE(chmod, CHANGES, BY_NAME(path), path, -1, (const char *path, mode_t mode), path, mode)
CHANGE(fchmod, CHANGES, is_ours(fd), NULL, fd, (int fd, mode_t mode), fd, mode)
