/* The whole core under a real kernel mount: random reads from several processes, compared; interrupts; abort; unmount. */
#include "check.h"
#include "mounted.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

/* In a child: 0 when all reads were right. */
static int read_around(unsigned seed, int flags, int reads) {
  uint64_t random = seed * 2654435761u + 1;
  /* Not from malloc: some thread may have had its lock when this child was forked, and then nobody gives it back. */
  static _Alignas(4096) uint8_t buffer[1 << 21];
  int fd = open(path, O_RDONLY | flags);
  if (fd < 0) return 2;
  for (int i = 0; i < reads; i++) {
    uint64_t offset = next_random(&random) % (served.bytes - served.hidden);
    size_t bytes = 1 + next_random(&random) % (i % 8 == 0 ? 1500000 : 30000);
    if (flags & O_DIRECT) offset &= ~4095ULL, bytes = (bytes + 4095) & ~4095ULL;
    uint64_t left = served.bytes - served.hidden - offset;
    ssize_t got = pread(fd, buffer, bytes, (off_t)offset);
    if (got != (ssize_t)(bytes < left ? bytes : left) || !image_is(buffer, offset, (size_t)got)) return 1;
  }
  return 0;
}

static bool children_read(int children, int reads) {
  pid_t pids[16];
  bool right = true;
  for (int i = 0; i < children; i++) {
    pids[i] = fork();
    if (pids[i] == 0) drop_inherited(), _exit(read_around((unsigned)i + 1, i % 2 == 0 ? O_DIRECT : 0, reads));
  }
  for (int i = 0; i < children; i++) {
    int status = -1;
    waitpid(pids[i], &status, 0);
    right = right && status == 0;
  }
  return right;
}

static void reads_are_right(void) {
  start(served.chunks / 3, (struct loader_options){.corrupt = 20, .hedge = 50, .prefetch = 100, .shuffle = 200});
  loader_start(&loader, store);
  CHECK(children_read(6, 200));
  struct session_protocol protocol = session_get_protocol(session);
  CHECK(protocol.major == 7 && protocol.minor >= 27 && protocol.max_read_bytes == STORE_MAX_READ_BYTES);
  CHECK(umount2(mountpoint, UMOUNT_NOFOLLOW) == 0);
  CHECK(session_ended() && loader.ended_by == 0);
  finish();
}

static void smallest_arena(void) {
  start(17, (struct loader_options){0});
  loader_start(&loader, store);
  CHECK(children_read(16, 40));
  CHECK(umount2(mountpoint, UMOUNT_NOFOLLOW) == 0);
  CHECK(session_ended());
  finish();
}

static void looks_like_a_directory(void) {
  start(32, (struct loader_options){0});
  loader_start(&loader, store);
  struct stat status;
  struct statvfs fs;
  uint32_t major, minor;
  const char *syscall;
  CHECK(fuse_device(mountpoint, &major, &minor, &syscall) == 0);
  CHECK(stat(path, &status) == 0 && status.st_size == IMAGE - HIDDEN && status.st_mode == (S_IFREG | 0400));
  CHECK(status.st_mtime == 1700000000 && status.st_uid == 0 && status.st_nlink == 1);
  CHECK(status.st_dev == ((unsigned long)major << 8 | minor));
  CHECK(statvfs(mountpoint, &fs) == 0 && fs.f_bsize == 4096 && (fs.f_flag & ST_RDONLY));
  CHECK(open(path, O_RDWR) < 0 && errno == EROFS);
  CHECK(unlink(path) < 0 && errno == EROFS);
  DIR *dir = opendir(mountpoint);
  int names = 0;
  for (struct dirent *entry; (entry = readdir(dir)) != NULL; names++)
    if (entry->d_name[0] != '.') CHECK(strcmp(entry->d_name, "rootimg.sfs") == 0 && entry->d_type == DT_REG);
  closedir(dir);
  CHECK(names == 3);
  CHECK(umount2(mountpoint, UMOUNT_NOFOLLOW) == 0);
  CHECK(session_ended());
  finish();
}

static atomic_bool delivers;

static void fetch_late(void *context, uint32_t chunk, uint8_t *data) {
  while (!loader.stop && !delivers) usleep(1000);
  served_fetch(context, chunk, data);
}

/* Starts with a loader that delivers nothing until `delivers` is set, and children that read directly and wait. */
static void start_stuck(unsigned count, pid_t *readers) {
  start(32, (struct loader_options){0});
  delivers = false;
  loader.options.fetch = fetch_late;
  loader_start(&loader, store);
  for (unsigned i = 0; i < count; i++) {
    readers[i] = fork();
    if (readers[i] == 0) drop_inherited(), _exit(read_around(i + 1, O_DIRECT, 1));
  }
  struct store_stats stats;
  for (int i = 0; i < 5000; i++) {
    store_get_stats(store, &stats);
    if (stats.reads_waiting == count) break;
    usleep(1000);
  }
  CHECK(stats.reads_waiting == count);
}

static pid_t stuck_reader(void) {
  pid_t reader;
  start_stuck(1, &reader);
  return reader;
}

static void kill_frees_a_reader(void) {
  pid_t child = stuck_reader();
  int status = 0;
  kill(child, SIGKILL);
  CHECK(waitpid(child, &status, 0) == child && WIFSIGNALED(status));
  struct store_stats stats;
  store_get_stats(store, &stats);
  CHECK(stats.reads_interrupted > 0 && stats.reads_waiting == 0);
  CHECK(umount2(mountpoint, UMOUNT_NOFOLLOW) == 0);
  loader.stop = true;
  CHECK(session_get_protocol(session).major == 7);
  finish();
}

/*
 * An ordinary unmount takes the connection down while threads take requests: the last readers of a detached mount are killed all at once, which
 * makes an interrupt and a release of each. Without a second look, one such end in nine was taken for an abort.
 */
static void the_last_readers_end_is_no_abort(void) {
  enum { ROUNDS = 100, READERS = 16 };
  pid_t readers[READERS];
  for (int round = 0; round < ROUNDS; round++) {
    start_stuck(READERS, readers);
    CHECK(umount2(mountpoint, MNT_DETACH) == 0);
    for (int i = 0; i < READERS; i++) kill(readers[i], SIGKILL);
    for (int i = 0; i < READERS; i++) waitpid(readers[i], NULL, 0);
    delivers = true; /* the loader is to hear of the end */
    CHECK(session_ended() && loader.ended_by == 0);
    finish();
  }
}

/* The same race, of the release of the one file that is open. */
static void the_last_close_is_no_abort(void) {
  for (int round = 0; round < 300; round++) {
    start(32, (struct loader_options){0});
    loader_start(&loader, store);
    int fd = open(path, O_RDONLY);
    CHECK(fd >= 0 && umount2(mountpoint, MNT_DETACH) == 0);
    close(fd);
    CHECK(session_ended() && loader.ended_by == 0);
    finish();
  }
}

/* What must be told from it. The control file of the connection is named after the mount's device. */
static void an_abort_is_one(void) {
  pid_t readers[16];
  uint32_t major, minor;
  const char *syscall;
  char control[64];
  for (int round = 0; round < 20; round++) {
    start_stuck(16, readers);
    CHECK(fuse_device(mountpoint, &major, &minor, &syscall) == 0);
    snprintf(control, sizeof control, "/sys/fs/fuse/connections/%u/abort", minor);
    int fd = open(control, O_WRONLY);
    CHECK(fd >= 0 && write(fd, "1", 1) == 1);
    close(fd);
    delivers = true;
    for (int i = 0; i < 16; i++) {
      int status = 0;
      CHECK(waitpid(readers[i], &status, 0) == readers[i] && WIFEXITED(status) && WEXITSTATUS(status) == 1);
    }
    CHECK(session_ended() && loader.ended_by == ECONNABORTED);
    CHECK(umount2(mountpoint, UMOUNT_NOFOLLOW) == 0);
    finish();
  }
}

static void close_under_a_live_mount(void) {
  pid_t child = stuck_reader();
  int status = 0;
  finish();
  CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 1);
  CHECK(umount2(mountpoint, UMOUNT_NOFOLLOW) == 0);
}

int main(void) {
  if (!mounted_init()) return 1;
  TEST(reads_are_right, "random direct and buffered reads of six processes are right in every byte");
  TEST(smallest_arena, "sixteen processes read through the smallest arena");
  TEST(looks_like_a_directory, "the mount shows one read-only file");
  TEST(kill_frees_a_reader, "kill -9 ends a reader whose chunk does not come");
  TEST(the_last_readers_end_is_no_abort, "a detached mount that ends with the last of many killed readers was not aborted");
  TEST(the_last_close_is_no_abort, "a detached mount that ends with its last close was not aborted");
  TEST(an_abort_is_one, "an abort under many readers is one");
  TEST(close_under_a_live_mount, "closing under a live mount fails its reader and ends the threads");
  mounted_end();
  DONE();
}
