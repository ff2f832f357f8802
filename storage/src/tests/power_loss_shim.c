/* Simulates a power loss for a process that does its own file I/O; loaded into a test's child by LD_PRELOAD.
 *
 * It keeps, for every file below POWER_DIR, the image that the last returned fsync or fdatasync covered. After
 * POWER_OPERATIONS writes and syncs it puts the images back, wholly (POWER_SEED unset) or 4 KiB block by block as a
 * coin falls, and ends the process; at the latest when it ends by itself. Names are durable at once, as in a file system whose journal is quick.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BLOCK = 4096 };

struct file {
    dev_t device;
    ino_t inode;
    int descriptor;
    char *durable;
    size_t length;
    struct file *next;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct file *files;
static const char *directory;
static long operations_left;
static int is_random;
static uint64_t seed;

static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static ssize_t (*real_write)(int, const void *, size_t);
static int (*real_ftruncate)(int, off_t);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static int (*real_openat)(int, const char *, int, ...);

__attribute__((constructor)) static void start(void)
{
    real_pwrite = dlsym(RTLD_NEXT, "pwrite64");
    real_write = dlsym(RTLD_NEXT, "write");
    real_ftruncate = dlsym(RTLD_NEXT, "ftruncate64");
    real_fsync = dlsym(RTLD_NEXT, "fsync");
    real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
    real_openat = dlsym(RTLD_NEXT, "openat64");
    directory = getenv("POWER_DIR");
    const char *operations = getenv("POWER_OPERATIONS");
    operations_left = operations ? atol(operations) : 0;
    const char *seed_text = getenv("POWER_SEED");
    is_random = seed_text != NULL;
    seed = seed_text ? strtoull(seed_text, NULL, 10) : 0;
}

static int toss(void)
{
    if (!is_random)
        return 0;
    seed += 0x9E3779B97F4A7C15ull;
    uint64_t mixed = seed;
    mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9ull;
    mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EBull;
    return (mixed ^ (mixed >> 31)) & 1;
}

static char *read_all(int descriptor, size_t *length)
{
    struct stat status;
    fstat(descriptor, &status);
    char *bytes = calloc(1, status.st_size + 1);
    size_t filled = 0;
    while (filled < (size_t)status.st_size) {
        ssize_t n = pread(descriptor, bytes + filled, status.st_size - filled, filled);
        if (n <= 0)
            break;
        filled += n;
    }
    *length = filled;
    return bytes;
}

static struct file *find(int descriptor)
{
    struct stat status;
    if (!directory || fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode))
        return NULL;
    for (struct file *file = files; file; file = file->next)
        if (file->device == status.st_dev && file->inode == status.st_ino)
            return file;
    return NULL;
}

static void cut_power(void)
{
    for (struct file *file = files; file; file = file->next) {
        size_t live_length;
        char *live = read_all(file->descriptor, &live_length);
        size_t length = toss() ? live_length : file->length;
        real_ftruncate(file->descriptor, length);
        for (size_t at = 0; at < length; at += BLOCK) {
            size_t size = length - at < BLOCK ? length - at : BLOCK;
            char left[BLOCK] = {0};
            if (at < file->length)
                memcpy(left, file->durable + at, file->length - at < size ? file->length - at : size);
            char now[BLOCK] = {0};
            if (at < live_length)
                memcpy(now, live + at, live_length - at < size ? live_length - at : size);
            if (memcmp(left, now, size) != 0 && !toss())
                real_pwrite(file->descriptor, left, size, at);
            else if (at >= live_length)
                real_pwrite(file->descriptor, left, size, at);
        }
    }
    _exit(99);
}

/* A process that gets to its end loses the power there. */
__attribute__((destructor)) static void end(void)
{
    if (!directory)
        return;
    pthread_mutex_lock(&lock);
    cut_power();
}

/* The caller holds the lock. */
static void count_operation(void)
{
    if (operations_left > 0 && --operations_left == 0)
        cut_power();
}

static int track(int descriptor, const char *path)
{
    if (descriptor < 0 || !directory || strncmp(path, directory, strlen(directory)) != 0)
        return descriptor;
    struct stat status;
    if (fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode))
        return descriptor;
    pthread_mutex_lock(&lock);
    if (!find(descriptor)) {
        char name[64];
        snprintf(name, sizeof name, "/proc/self/fd/%d", descriptor);
        struct file *file = calloc(1, sizeof *file);
        file->device = status.st_dev;
        file->inode = status.st_ino;
        file->descriptor = real_openat(AT_FDCWD, name, O_RDWR | O_CLOEXEC);
        file->durable = read_all(file->descriptor, &file->length);
        file->next = files;
        files = file;
    }
    pthread_mutex_unlock(&lock);
    return descriptor;
}

static int open_and_track(int at, const char *path, int flags, mode_t mode)
{
    return track(real_openat(at, path, flags, mode), path);
}

#define MODE_ARGUMENT(flags, mode)                       \
    mode_t mode = 0;                                     \
    if ((flags) & (O_CREAT | O_TMPFILE)) {               \
        va_list arguments;                               \
        va_start(arguments, flags);                      \
        mode = va_arg(arguments, mode_t);                \
        va_end(arguments);                               \
    }

int open(const char *path, int flags, ...)
{
    MODE_ARGUMENT(flags, mode)
    return open_and_track(AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    MODE_ARGUMENT(flags, mode)
    return open_and_track(AT_FDCWD, path, flags, mode);
}

int openat(int at, const char *path, int flags, ...)
{
    MODE_ARGUMENT(flags, mode)
    return open_and_track(at, path, flags, mode);
}

int openat64(int at, const char *path, int flags, ...)
{
    MODE_ARGUMENT(flags, mode)
    return open_and_track(at, path, flags, mode);
}

ssize_t pwrite64(int descriptor, const void *bytes, size_t length, off_t offset)
{
    pthread_mutex_lock(&lock);
    ssize_t n = real_pwrite(descriptor, bytes, length, offset);
    if (find(descriptor))
        count_operation();
    pthread_mutex_unlock(&lock);
    return n;
}

ssize_t pwrite(int descriptor, const void *bytes, size_t length, off_t offset)
{
    return pwrite64(descriptor, bytes, length, offset);
}

ssize_t write(int descriptor, const void *bytes, size_t length)
{
    pthread_mutex_lock(&lock);
    ssize_t n = real_write(descriptor, bytes, length);
    if (find(descriptor))
        count_operation();
    pthread_mutex_unlock(&lock);
    return n;
}

int ftruncate64(int descriptor, off_t length)
{
    pthread_mutex_lock(&lock);
    int outcome = real_ftruncate(descriptor, length);
    if (find(descriptor))
        count_operation();
    pthread_mutex_unlock(&lock);
    return outcome;
}

int ftruncate(int descriptor, off_t length)
{
    return ftruncate64(descriptor, length);
}

static int sync_file(int descriptor, int (*real_sync)(int))
{
    pthread_mutex_lock(&lock);
    struct file *file = find(descriptor);
    int outcome = 0;
    if (file) {
        /* Before the sync: the power may go while it is under way. */
        count_operation();
        free(file->durable);
        file->durable = read_all(file->descriptor, &file->length);
    } else {
        outcome = real_sync(descriptor);
    }
    pthread_mutex_unlock(&lock);
    return outcome;
}

int fsync(int descriptor)
{
    return sync_file(descriptor, real_fsync);
}

int fdatasync(int descriptor)
{
    return sync_file(descriptor, real_fdatasync);
}
