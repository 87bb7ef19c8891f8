/* The RAM file under a real kernel: passed through, behind loop devices, and what becomes of it when we are killed. */
#include "check.h"
#include "drop_pages.h"
#include "loop.h"
#include "mounted.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>

#define FILE_BYTES ((uint64_t)IMAGE - HIDDEN)

static int ram = -1;
static bool kernel_can;

/* ---- The server, in this process or a child ---- */

static void fill_ram(void) {
  CHECK(store_attach_ram(store, &ram) == 0);
  for (uint32_t chunk = 0; chunk < served.chunks; chunk++) {
    int64_t slot;
    while ((slot = store_grant(store, chunk)) == GRANT_NO_SLOT) usleep(100);
    CHECK(store_write(store, (uint32_t)slot, 0, served.data + (uint64_t)chunk * CHUNK, CHUNK) == 0);
    CHECK(store_complete(store, chunk, (uint32_t)slot) == 0);
  }
  for (int i = 0; i < 10000 && !store_is_in_ram(store); i++) usleep(1000);
  CHECK(store_is_in_ram(store));
}

static void serve_from_ram(struct session_options how) {
  start_store(32, (struct loader_options){0});
  fill_ram();
  start_session(how);
  loader_start(&loader, store);
}

/* The child's process id, once it serves; `serve` ends only by being killed. */
static pid_t start_server(void (*serve)(void)) {
  int ready[2];
  char byte;
  CHECK(pipe(ready) == 0);
  pid_t server = fork();
  if (server == 0) {
    close(ready[0]);
    serve();
    if (check_failures > 0) _exit(1);
    CHECK(write(ready[1], "r", 1) == 1);
    close(ready[1]);
    for (;;) pause();
  }
  close(ready[1]);
  CHECK(read(ready[0], &byte, 1) == 1);
  close(ready[0]);
  return server;
}

/* Whether the child ended within five seconds of SIGKILL: what hangs in the kernel does not. */
static bool killed(pid_t child) {
  int status;
  kill(child, SIGKILL);
  for (int i = 0; i < 5000; i++) {
    if (waitpid(child, &status, WNOHANG) == child) return WIFSIGNALED(status);
    usleep(1000);
  }
  return false;
}

/* ---- Readers ---- */

/* At most 1 MiB. Without malloc: in a child of a process with threads, somebody may have its lock for ever. */
static bool fd_is_right(int fd, uint64_t offset, size_t bytes) {
  static _Alignas(4096) uint8_t data[1 << 20];
  uint64_t left = FILE_BYTES - offset;
  size_t expected = bytes < left ? bytes : left;
  return pread(fd, data, bytes, (off_t)offset) == (ssize_t)expected && image_is(data, offset, expected);
}

static bool whole_is_right(int fd) {
  for (uint64_t at = 0; at < FILE_BYTES; at += 1 << 20)
    if (!fd_is_right(fd, at, 1 << 20)) return false;
  return true;
}

/* A loop device, read-only, that detaches itself with its last user; its descriptor. */
static int loop_on(int fd, char device[32]) {
  int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
  for (int tries = 0; tries < 50; tries++) {
    struct loop_config config = {.fd = (uint32_t)fd, .info.lo_flags = LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR};
    snprintf(device, 32, "/dev/loop%d", ioctl(control, LOOP_CTL_GET_FREE));
    int loop = open(device, O_RDONLY | O_CLOEXEC);
    if (loop >= 0 && ioctl(loop, LOOP_CONFIGURE, &config) == 0) {
      close(control);
      return loop;
    }
    if (loop >= 0) close(loop);
    usleep(20000);
  }
  close(control);
  return -1;
}

/* Past what the block device has cached. */
static bool loop_is_right(int loop) {
  ioctl(loop, BLKFLSBUF);
  posix_fadvise(loop, 0, 0, POSIX_FADV_DONTNEED);
  return whole_is_right(loop);
}

static bool stands_on(const char *device, int fd) {
  struct loop_status status;
  struct stat file;
  const char *syscall;
  CHECK(fstat(fd, &file) == 0);
  return loop_get_status(device, &status, &syscall) == 0 && status.major == major(file.st_dev) &&
         status.minor == minor(file.st_dev) && status.inode == file.st_ino && status.read_only;
}

/* ---- Passing through ---- */

static void serve_passed_through(void) { serve_from_ram((struct session_options){.passthrough = true}); }

static int read_in_child(void) {
  int fd = open(path, O_RDONLY), direct = open(path, O_RDONLY | O_DIRECT);
  if (fd < 0 || direct < 0) return 1;
  if (!whole_is_right(fd) || !whole_is_right(direct)) return 2;
  uint8_t *mapped = mmap(NULL, FILE_BYTES, PROT_READ, MAP_SHARED, fd, 0);
  if (mapped == MAP_FAILED || !image_is(mapped, 0, FILE_BYTES)) return 3;
  return 0;
}

static bool child_reads(int (*read)(void)) {
  pid_t child = fork();
  if (child == 0) drop_inherited(), _exit(read());
  return child_succeeds(child);
}

static void passes_through(void) {
  serve_passed_through();
  kernel_can = session_get_protocol(session).backing != 0;
  if (!kernel_can) printf("(this kernel does not pass through: the reads below come to us)\n");
  CHECK(child_reads(read_in_child));
  struct store_stats stats;
  store_get_stats(store, &stats);
  CHECK((stats.reads_cached == 0) == kernel_can);
  uint32_t holders;
  CHECK(store_detach_ram(store, &holders) == (kernel_can ? EBUSY : 0));
  CHECK(umount2(mountpoint, UMOUNT_NOFOLLOW) == 0);
  CHECK(session_ended());
  finish();
}

static void outlives_us(void) {
  char device[32];
  if (!kernel_can) return;
  pid_t server = start_server(serve_passed_through);
  int fd = open(path, O_RDONLY), direct = open(path, O_RDONLY | O_DIRECT);
  int loop = loop_on(fd, device);
  CHECK(fd >= 0 && direct >= 0 && loop >= 0);
  CHECK(fd_is_right(fd, 5000, 10000) && loop_is_right(loop));
  CHECK(killed(server));
  CHECK(whole_is_right(fd) && whole_is_right(direct) && loop_is_right(loop));
  CHECK(open(path, O_RDONLY) == -1 && errno == ENOTCONN);
  close(loop);
  close(fd);
  close(direct);
  CHECK(umount2(mountpoint, UMOUNT_NOFOLLOW) == 0);
}

static void an_incomplete_file_is_not_passed(void) {
  start_store(32, (struct loader_options){0});
  CHECK(store_attach_ram(store, &ram) == 0);
  start_session((struct session_options){.passthrough = true});
  loader_start(&loader, store);
  CHECK(session_get_protocol(session).backing == 0);
  CHECK(child_reads(read_in_child));
  CHECK(umount2(mountpoint, UMOUNT_NOFOLLOW) == 0);
  CHECK(session_ended());
  finish();
}

/* ---- Loop devices ---- */

static void serve_unpassed(void) { serve_from_ram((struct session_options){0}); }

/* The server's RAM file; its number is that in the server. */
static int open_ram_of(pid_t server) {
  char name[64], target[64] = "";
  for (int fd = 3; fd < 64; fd++) {
    snprintf(name, sizeof name, "/proc/%d/fd/%d", server, fd);
    if (readlink(name, target, sizeof target - 1) > 0 && strstr(target, "tetherfs-image") != NULL)
      return open(name, O_RDONLY | O_CLOEXEC);
  }
  return -1;
}

static void keep_reading(int loop, atomic_bool *stop, atomic_uint *rounds, atomic_uint *wrong) {
  while (!*stop) {
    if (!loop_is_right(loop)) (*wrong)++;
    (*rounds)++;
  }
}

struct shared {
  atomic_bool stop;
  atomic_uint rounds, wrong;
};

static void changes_under_readers(void) {
  char device[32];
  const char *syscall;
  struct loop_status status;
  struct shared *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  pid_t server = start_server(serve_unpassed);
  int fd = open(path, O_RDONLY | O_CLOEXEC), memory = open_ram_of(server);
  int loop = loop_on(fd, device);
  CHECK(fd >= 0 && memory >= 0 && loop >= 0);
  CHECK(stands_on(device, fd) && !stands_on(device, memory));
  pid_t reader = fork();
  if (reader == 0) keep_reading(loop, &shared->stop, &shared->rounds, &shared->wrong), _exit(0);
  for (int i = 0; i < 20; i++) {
    unsigned before = shared->rounds;
    CHECK(loop_change_file(device, i % 2 == 0 ? memory : fd, &syscall) == 0);
    CHECK(stands_on(device, i % 2 == 0 ? memory : fd));
    for (int wait = 0; wait < 10000 && shared->rounds == before; wait++) usleep(1000);
  }
  CHECK(loop_change_file(device, memory, &syscall) == 0);
  close(fd); /* the device has let it go */
  CHECK(killed(server));
  unsigned before = shared->rounds;
  for (int wait = 0; wait < 10000 && shared->rounds < before + 2; wait++) usleep(1000);
  CHECK(loop_is_right(loop));
  shared->stop = true;
  CHECK(child_succeeds(reader));
  CHECK(shared->rounds > 20 && shared->wrong == 0);
  close(loop);
  for (int i = 0; i < 1000 && loop_get_status(device, &status, &syscall) == 0; i++) usleep(1000);
  CHECK(loop_get_status(device, &status, &syscall) == ENXIO && strcmp(syscall, "ioctl") == 0);
  CHECK(loop_get_status("/dev/loop-is-not-there", &status, &syscall) == ENOENT);
  close(memory);
  munmap(shared, 4096);
  CHECK(umount2(mountpoint, UMOUNT_NOFOLLOW) == 0);
}

/* ---- Killed while something waits for reads that never come ---- */

static void fetch_never(void *context, uint32_t chunk, uint8_t *data) {
  (void)context, (void)chunk, (void)data;
  for (;;) pause();
}

static char waited_for[32];

static atomic_int *go; /* shared: tells the server that the device is there */

static void *change_when_told(void *argument) {
  const char *syscall;
  (void)argument;
  while (*go == 0) usleep(1000);
  loop_change_file(waited_for, ram, &syscall);
  return NULL;
}

static void serve_never(void) {
  pthread_t thread;
  start_store(32, (struct loader_options){0});
  loader.options.fetch = fetch_never;
  CHECK(store_attach_ram(store, &ram) == 0);
  start_session((struct session_options){0});
  loader_start(&loader, store);
  pthread_create(&thread, NULL, change_when_told, NULL);
}

static bool is_uninterruptible(pid_t process) {
  char name[64], text[256] = "";
  snprintf(name, sizeof name, "/proc/%d/stat", process);
  int fd = open(name, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  ssize_t bytes = read(fd, text, sizeof text - 1);
  close(fd);
  const char *state = bytes > 0 ? strrchr(text, ')') : NULL;
  return state != NULL && state[2] == 'D';
}

/* The child of `parent`, 0 when it has none. */
static pid_t child_of(pid_t parent) {
  char name[64], text[512];
  for (pid_t process = parent + 1; process < parent + 200; process++) {
    int other;
    snprintf(name, sizeof name, "/proc/%d/stat", process);
    FILE *file = fopen(name, "re");
    if (file == NULL) continue;
    size_t bytes = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[bytes] = 0;
    const char *end = strrchr(text, ')');
    if (end != NULL && sscanf(end + 4, "%d", &other) == 1 && other == parent) return process;
  }
  return 0;
}

static void can_be_killed_while_it_changes(void) {
  go = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  int fd = -1, loop;
  struct loop_status status;
  const char *syscall;
  /* The device's name must be known before the server is forked: any file will do to find a free one. */
  int other = memfd_create("other", MFD_CLOEXEC);
  CHECK(ftruncate(other, 4096) == 0);
  loop = loop_on(other, waited_for);
  close(loop);
  pid_t server = start_server(serve_never);
  fd = open(path, O_RDONLY | O_CLOEXEC);
  struct loop_config config = {.fd = (uint32_t)fd, .info.lo_flags = LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR};
  loop = -1;
  for (int i = 0; i < 100 && loop < 0; i++) {
    loop = open(waited_for, O_RDONLY | O_CLOEXEC);
    if (ioctl(loop, LOOP_CONFIGURE, &config) == 0) break;
    close(loop);
    loop = -1;
    usleep(20000);
  }
  CHECK(loop >= 0);
  pid_t reader = fork();
  if (reader == 0) _exit(fd_is_right(loop, 0, 4096) ? 1 : 0);
  int calm = 0; /* ms for which it has stood still: the read is under way */
  for (int i = 0; i < 5000 && calm < 20; i++) {
    calm = is_uninterruptible(reader) ? calm + 1 : 0;
    usleep(1000);
  }
  CHECK(calm == 20);
  *go = 1;
  pid_t errand = 0;
  for (int i = 0; i < 5000 && !(errand != 0 && is_uninterruptible(errand)); i++) {
    if (errand == 0) errand = child_of(server);
    usleep(1000);
  }
  CHECK(errand != 0 && is_uninterruptible(errand));
  /* Who asks what the device stands on must not wait with it: the answer may be to come from who asks. */
  CHECK(loop_get_status(waited_for, &status, &syscall) == ETIMEDOUT);
  CHECK(killed(server));
  CHECK(child_succeeds(reader)); /* with an error, but not never */
  CHECK(loop_get_status(waited_for, &status, &syscall) == 0);
  close(loop);
  close(fd);
  close(other);
  munmap(go, 4096);
  CHECK(umount2(mountpoint, UMOUNT_NOFOLLOW) == 0);
}

/* ---- The page cache ---- */

static uint64_t reads_so_far(void) {
  struct store_stats stats;
  store_get_stats(store, &stats);
  return stats.reads_cached + stats.reads_waited;
}

static int read_buffered(void) {
  int fd = open(path, O_RDONLY);
  return fd >= 0 && whole_is_right(fd) ? 0 : 1;
}

static int drop(void) {
  uint32_t major = 0, minor = 0;
  const char *syscall;
  CHECK(fuse_device(mountpoint, &major, &minor, &syscall) == 0);
  return drop_pages(mountpoint, "rootimg.sfs", major, minor);
}

static void drops_pages(void) {
  serve_unpassed();
  /* All pages are there, and stay there while they are locked, whatever else the machine needs memory for. */
  int fd = open(path, O_RDONLY);
  void *locked = mmap(NULL, FILE_BYTES, PROT_READ, MAP_SHARED, fd, 0);
  CHECK(locked != MAP_FAILED && mlock(locked, FILE_BYTES) == 0);
  uint64_t once = reads_so_far();
  CHECK(once > 0);
  CHECK(child_reads(read_buffered));
  CHECK(reads_so_far() == once);
  munmap(locked, FILE_BYTES);
  close(fd);
  CHECK(drop() == 0);
  CHECK(child_reads(read_buffered));
  CHECK(reads_so_far() > once);
  CHECK(drop_pages(mountpoint, "rootimg.sfs", 0, 0) == ENOENT); /* another file system */
  CHECK(drop_pages("/is/not/there", "rootimg.sfs", 0, 0) == ENOENT);
  CHECK(umount2(mountpoint, UMOUNT_NOFOLLOW) == 0);
  CHECK(session_ended());
  finish();
}

static void dropping_waits_for_no_read(void) {
  struct store_stats stats;
  start(32, (struct loader_options){0});
  /* No loader: nothing comes. */
  pid_t reader = fork();
  if (reader == 0) drop_inherited(), _exit(read_buffered());
  for (int i = 0; i < 5000; i++) {
    store_get_stats(store, &stats);
    if (stats.reads_waiting > 0) break;
    usleep(1000);
  }
  CHECK(stats.reads_waiting > 0);
  CHECK(drop() == 0); /* else it would wait for ever */
  CHECK(killed(reader));
  CHECK(umount2(mountpoint, UMOUNT_NOFOLLOW) == 0);
  loader_start(&loader, store);
  CHECK(session_ended());
  finish();
}

static void keeps_no_pages(void) {
  serve_from_ram((struct session_options){.no_page_cache = true});
  CHECK(child_reads(read_buffered));
  uint64_t once = reads_so_far();
  CHECK(child_reads(read_buffered));
  CHECK(reads_so_far() >= 2 * once && once >= FILE_BYTES / STORE_MAX_READ_BYTES);
  CHECK(child_reads(read_in_child)); /* O_DIRECT and mapped */
  CHECK(umount2(mountpoint, UMOUNT_NOFOLLOW) == 0);
  CHECK(session_ended());
  finish();
}

int main(void) {
  if (!mounted_init()) return 1;
  TEST(passes_through, "the kernel reads the RAM file by itself: buffered, O_DIRECT, mapped; it cannot be taken away");
  TEST(an_incomplete_file_is_not_passed, "an incomplete RAM file is not passed through, and what is read is right");
  TEST(outlives_us, "open files and loop devices go on reading after kill -9 when passed through");
  TEST(changes_under_readers, "a loop device changes between the mount and the RAM file under a reader, and outlives us on it");
  TEST(can_be_killed_while_it_changes, "a server that waits for a loop device's reads can be killed and asked; its end frees the reader");
  TEST(drops_pages, "dropping pages makes the next reads come to us");
  TEST(dropping_waits_for_no_read, "dropping pages does not wait for a read whose chunk does not come");
  TEST(keeps_no_pages, "without page cache every read comes to us");
  mounted_end();
  DONE();
}
