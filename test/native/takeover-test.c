/*
 * One mount, several processes after one another: killed or frozen, and what its readers see. This program holds the descriptors, as a holder
 * does, and has no threads; servers and readers are its children.
 */
#include "check.h"
#include "mounted.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { SLOTS = 96, READERS = 10, PATIENCE_MS = 20000 };
#define FILE_BYTES (IMAGE - HIDDEN)

/* What is held. */
static int fuse[SESSION_MAX_THREADS], fuse_count;
static struct store_adoption memory;
static struct session_protocol protocol;
static bool kernel_resends;

struct report {
  struct session_protocol protocol;
  int fuse_count, ram;
  struct store_stats stats;
  uint32_t adopted;
};

struct server {
  pid_t pid;
  int commands, reports;
};

enum how { DELIVERING, STUCK, IN_RAM_PASSED };

/* ---- The server, a child ---- */

static void fetch_never(void *context, uint32_t chunk, uint8_t *data) {
  (void)context, (void)chunk, (void)data;
  while (!loader.stop) usleep(1000);
}

static void fetch_slowly(void *context, uint32_t chunk, uint8_t *data) {
  usleep(300);
  served_fetch(context, chunk, data);
}

static void say(int to, struct report report) {
  report.protocol = session_get_protocol(session);
  report.fuse_count = session_descriptors(session, NULL, 0);
  report.ram = store_descriptors(store).ram;
  report.adopted = store_get_adopted(store).in_slots + store_get_adopted(store).in_ram;
  store_get_stats(store, &report.stats);
  if (write(to, &report, sizeof report) != sizeof report) _exit(7);
}

static void open_store(enum how how) {
  struct loader_options options = {.hedge = 20, .prefetch = how == DELIVERING ? 20 : 0, .shuffle = 200};
  struct store_options store_options;
  const char *why = "";
  options.chunks = served.chunks;
  options.chunk_bytes = CHUNK;
  options.slots = SLOTS;
  options.fetch = how == STUCK ? fetch_never : fetch_slowly;
  options.context = &served;
  loader_init(&loader, &options);
  served_options(&served, SLOTS, &store_options);
  store_options.ring = loader_ring;
  store_options.listener = &loader;
  store_options.adopt = &memory;
  if (store_create(&store, &store_options, &why) != 0) fprintf(stderr, "%s\n", why), _exit(3);
  struct store_adopted adopted = store_get_adopted(store);
  for (uint32_t i = 0; i < adopted.in_slots; i++) loader.order[loader.order_count++] = adopted.chunks[i];
}

static void fill_ram(void) {
  struct event event;
  int fd;
  if (store_attach_ram(store, &fd) != 0) _exit(4);
  for (uint32_t chunk = 0; chunk < served.chunks; chunk++) {
    int64_t slot;
    while ((slot = store_grant(store, chunk)) == GRANT_NO_SLOT) usleep(100);
    store_write(store, (uint32_t)slot, 0, served.data + (uint64_t)chunk * CHUNK, CHUNK);
    store_complete(store, chunk, (uint32_t)slot);
  }
  while (!store_is_in_ram(store)) usleep(1000);
  while (store_take_events(store, &event, 1) > 0) continue;
}

static void new_session(enum how how) {
  session = session_new(store, &(struct session_options){
                                   .file_name = "rootimg.sfs", .mtime = 1700000000, .passthrough = how == IN_RAM_PASSED});
}

/* As adoptMount of the addon has it. */
static void begin_session(enum how how, bool first, bool resend) {
  const char *syscall = "";
  int clone;
  new_session(how);
  if (!first && resend && fuse_resend(fuse[0], &syscall) != 0) _exit(5);
  if (!first && !resend) {
    for (int i = 0; i < THREADS; i++) {
      if (fuse_clone(fuse[0], &clone, &syscall) != 0) _exit(6);
      session_add(session, clone);
    }
    for (int i = 0; i < fuse_count; i++) close(fuse[i]);
  } else {
    for (int i = 0; i < fuse_count; i++) session_add(session, fuse[i]);
  }
  if (!first) session_adopt(session, protocol);
  if (session_run(session) != 0) _exit(5);
  session_wait_for_init(session);
}

static struct store_stats stats(void) {
  struct store_stats stats;
  store_get_stats(store, &stats);
  return stats;
}

static void wait_for_readers(uint32_t count) {
  for (int i = 0; i < PATIENCE_MS && stats().reads_waiting < count; i++) usleep(1000);
}

/* Obeys: 'w' waits for all readers, 'm' for one more, 'p' pauses and goes on, 'f' freezes and exits. */
static void serve(struct server server, enum how how, bool first, bool resend) {
  char command;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  open_store(how);
  if (first && how == IN_RAM_PASSED) fill_ram();
  begin_session(how, first, resend);
  loader_start(&loader, store);
  say(server.reports, (struct report){0});
  while (read(server.commands, &command, 1) == 1) {
    if (command == 'w') wait_for_readers(READERS);
    if (command == 'm') wait_for_readers(READERS + 1);
    if (command == 'p') {
      session_pause(session);
      /* What is here is answered while nothing comes in. */
      for (int i = 0; i < PATIENCE_MS && stats().reads_waiting > 0; i++) usleep(1000);
      if (stats().reads_waiting > 0) _exit(8);
      usleep(20000);
      if (stats().reads_waiting > 0) _exit(9);
      if (session_resume(session) != 0) _exit(10);
    }
    if (command == 'f') {
      loader_stop(&loader);
      session_pause(session);
      store_freeze(store);
      say(server.reports, (struct report){0});
      _exit(0);
    }
    say(server.reports, (struct report){0});
  }
  _exit(0);
}

/* ---- This side ---- */

static struct report heard(struct server server) {
  struct report report = {0};
  struct pollfd poller = {.fd = server.reports, .events = POLLIN};
  CHECK(poll(&poller, 1, PATIENCE_MS) == 1 && read(server.reports, &report, sizeof report) == sizeof report);
  return report;
}

static struct report ask(struct server server, char command) {
  CHECK(write(server.commands, &command, 1) == 1);
  return heard(server);
}

static struct server start_server(enum how how, bool first, bool resend, struct report *report) {
  int commands[2], reports[2];
  CHECK(pipe(commands) == 0 && pipe(reports) == 0);
  struct server server = {.commands = commands[0], .reports = reports[1]};
  fflush(stdout);
  server.pid = fork();
  if (server.pid == 0) {
    close(commands[1]);
    close(reports[0]);
    serve(server, how, first, resend);
  }
  close(commands[0]);
  close(reports[1]);
  server.commands = commands[1];
  server.reports = reports[0];
  *report = heard(server);
  protocol = report->protocol;
  return server;
}

static void forget(struct server server) {
  close(server.commands);
  close(server.reports);
}

static void kill_server(struct server server) {
  int status;
  kill(server.pid, SIGKILL);
  CHECK(waitpid(server.pid, &status, 0) == server.pid && WIFSIGNALED(status));
  forget(server);
}

static void freeze_server(struct server server) {
  ask(server, 'f');
  CHECK(child_succeeds(server.pid));
  forget(server);
}

/* Mounts; the memory is that of a store which this process makes for a moment. */
static void mount_it(void) {
  struct store_options options;
  const char *why, *syscall;
  served_options(&served, SLOTS, &options);
  options.ring = loader_ring;
  memset(&loader, 0, sizeof loader);
  options.listener = &loader;
  pthread_mutex_init(&loader.lock, NULL);
  pthread_cond_init(&loader.bell, NULL);
  CHECK(store_create(&store, &options, &why) == 0);
  struct store_adoption own = store_descriptors(store);
  memory = (struct store_adoption){dup(own.arena), dup(own.ledger), -1};
  store_freeze(store); /* no thread is left */
  store_close(store);
  store_destroy(store);
  CHECK(fuse_mount(mountpoint, "tetherfs", STORE_MAX_READ_BYTES, &fuse[0], &syscall) == 0);
  for (fuse_count = 1; fuse_count < THREADS; fuse_count++) CHECK(fuse_clone(fuse[0], &fuse[fuse_count], &syscall) == 0);
}

static void let_go(void) {
  for (int i = 0; i < fuse_count; i++) close(fuse[i]);
  fuse_count = 0;
}

static void unmount_it(void) {
  CHECK(umount2(mountpoint, UMOUNT_NOFOLLOW) == 0);
  let_go();
  close(memory.arena);
  close(memory.ledger);
  if (memory.ram >= 0) close(memory.ram);
}

/* ---- Readers ---- */

static int read_once(int flags, uint64_t offset) {
  static _Alignas(4096) uint8_t buffer[8192];
  int fd = open(path, O_RDONLY | flags);
  if (fd < 0) return 200;
  ssize_t got = pread(fd, buffer, sizeof buffer, (off_t)offset);
  if (got < 0) return errno;
  return got == (ssize_t)sizeof buffer && image_is(buffer, offset, sizeof buffer) ? 0 : 201;
}

static void start_readers(pid_t *pids, int odd_flags) {
  for (int i = 0; i < READERS; i++) {
    pids[i] = fork();
    if (pids[i] == 0) drop_inherited(), _exit(read_once(i % 2 == 0 ? O_DIRECT : odd_flags, (uint64_t)(i + 1) * 20 * CHUNK));
  }
}

/* What the readers exited with: all the same, or -1. */
static int readers_end(const pid_t *pids, int from, int step) {
  int common = -2;
  for (int i = from; i < READERS; i += step) {
    int status = -1;
    for (int tries = 0; tries < PATIENCE_MS && waitpid(pids[i], &status, WNOHANG) == 0; tries++) usleep(1000);
    int result = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    common = common == -2 || common == result ? result : -1;
    if (result != 0 && result != ECONNABORTED) fprintf(stderr, "(reader %d: exit %d, status %#x)\n", i, result, (unsigned)status);
  }
  return common;
}

static int read_until(int64_t until_ms, unsigned seed, int flags) {
  static _Alignas(4096) uint8_t buffer[1 << 19];
  uint64_t random = seed * 2654435761u + 1;
  struct timespec now;
  int fd = open(path, O_RDONLY | flags);
  if (fd < 0) return 200;
  do {
    uint64_t offset = next_random(&random) % FILE_BYTES & ~4095ULL;
    size_t bytes = (1 + next_random(&random) % 60) * 4096;
    uint64_t left = FILE_BYTES - offset;
    ssize_t got = pread(fd, buffer, bytes, (off_t)offset);
    if (got < 0) return errno;
    if (got != (ssize_t)(bytes < left ? bytes : left) || !image_is(buffer, offset, (size_t)got)) return 201;
    if (next_random(&random) % 8 == 0) posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    clock_gettime(CLOCK_MONOTONIC, &now);
  } while ((int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000 < until_ms);
  return 0;
}

static int64_t now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void start_long_readers(pid_t *pids, int ms) {
  int64_t until = now_ms() + ms;
  for (int i = 0; i < READERS; i++) {
    pids[i] = fork();
    if (pids[i] == 0) drop_inherited(), _exit(read_until(until, (unsigned)i, i % 2 == 0 ? O_DIRECT : 0));
  }
}

/* ---- Tests ---- */

static void asks_for_resend(void) {
  struct report report;
  mount_it();
  struct server server = start_server(DELIVERING, true, false, &report);
  CHECK(report.protocol.major == 7 && report.protocol.max_read_bytes == STORE_MAX_READ_BYTES);
  kernel_resends = report.protocol.resend;
  if (!kernel_resends) printf("(this kernel does not send again: the tests of that are left out)\n");
  CHECK(kernel_resends == (report.protocol.minor >= 40));
  kill_server(server);
  unmount_it();
}

/* Killed, but the kernel waits for the answer to its request: until that is so. */
static void wait_uninterruptible(pid_t pid) {
  char path[64], state = 0;
  snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
  for (int i = 0; i < PATIENCE_MS && state != 'D'; i++) {
    FILE *stat = fopen(path, "r");
    CHECK(stat != NULL && fscanf(stat, "%*d %*s %c", &state) == 1);
    fclose(stat);
    usleep(1000);
  }
  CHECK(state == 'D');
}

static void killed_with_resend(void) {
  pid_t readers[READERS];
  struct report report;
  if (!kernel_resends) return;
  mount_it();
  struct server server = start_server(STUCK, true, false, &report);
  start_readers(readers, 0);
  CHECK(ask(server, 'w').stats.reads_waiting >= READERS);
  kill_server(server);
  /* Another that gets them again, and is killed too; a reader that is killed meanwhile is let go. */
  server = start_server(STUCK, false, true, &report);
  CHECK(ask(server, 'w').stats.reads_waiting >= READERS);
  int status = 0;
  pid_t extra = fork();
  if (extra == 0) drop_inherited(), _exit(read_once(O_DIRECT, 300 * CHUNK));
  kill(readers[0], SIGKILL);
  for (int i = 0; i < PATIENCE_MS && waitpid(readers[0], &status, WNOHANG) == 0; i++) usleep(1000);
  CHECK(WIFSIGNALED(status));
  pid_t ended = 0, orphan = fork();
  if (orphan == 0) drop_inherited(), _exit(read_once(O_DIRECT, 310 * CHUNK));
  CHECK(ask(server, 'm').stats.reads_waiting > READERS);
  kill_server(server);
  kill(orphan, SIGKILL); /* while nobody serves */
  wait_uninterruptible(orphan);
  server = start_server(STUCK, false, true, &report);
  for (int i = 0; i < PATIENCE_MS && (ended = waitpid(orphan, &status, WNOHANG)) == 0; i++) usleep(1000);
  CHECK(ended == orphan && WIFSIGNALED(status)); /* the kernel sends its interrupt again, too */
  kill_server(server);
  server = start_server(DELIVERING, false, true, &report);
  readers[0] = extra;
  CHECK(readers_end(readers, 0, 1) == 0);
  kill_server(server);
  unmount_it();
}

static void killed_without_resend(void) {
  pid_t readers[READERS];
  struct report report;
  mount_it();
  struct server server = start_server(STUCK, true, false, &report);
  start_readers(readers, 0);
  CHECK(ask(server, 'w').stats.reads_waiting >= READERS);
  kill_server(server);
  server = start_server(DELIVERING, false, false, &report);
  CHECK(report.fuse_count == THREADS);
  let_go(); /* as the holder is told to */
  CHECK(readers_end(readers, 0, 2) == ECONNABORTED);
  int buffered = readers_end(readers, 1, 2);
  printf("(buffered readers saw %s)\n", buffered == 0 ? "the right bytes" : strerror(buffered));
  fflush(stdout);
  CHECK(buffered == EIO || buffered == ECONNABORTED || buffered == 0);
  /* The connection lives on. */
  start_readers(readers, O_DIRECT);
  CHECK(readers_end(readers, 0, 1) == 0);
  CHECK(umount2(mountpoint, UMOUNT_NOFOLLOW) == 0);
  kill_server(server);
  close(memory.arena);
  close(memory.ledger);
}

static void killed_often(void) {
  pid_t readers[READERS];
  struct report report;
  uint32_t adopted = 0;
  if (!kernel_resends) return;
  mount_it();
  struct server server = start_server(DELIVERING, true, false, &report);
  start_long_readers(readers, 2500);
  for (int i = 0; i < 15; i++) {
    usleep(20000 + (unsigned)(i * 7919 % 80000));
    kill_server(server);
    server = start_server(DELIVERING, false, true, &report);
    adopted += report.adopted;
    CHECK(report.stats.chunks_not_adopted == 0);
  }
  CHECK(readers_end(readers, 0, 1) == 0);
  CHECK(adopted > 100);
  kill_server(server);
  unmount_it();
}

static void taken_over_often(void) {
  pid_t readers[READERS];
  struct report report;
  if (!kernel_resends) return;
  mount_it();
  struct server server = start_server(DELIVERING, true, false, &report);
  start_long_readers(readers, 2500);
  for (int i = 0; i < 10; i++) {
    usleep(20000 + (unsigned)(i * 7919 % 80000));
    freeze_server(server);
    server = start_server(DELIVERING, false, true, &report);
    CHECK(report.adopted > 0 && report.stats.chunks_not_adopted == 0);
  }
  CHECK(readers_end(readers, 0, 1) == 0);
  kill_server(server);
  unmount_it();
}

/* Old kernels: nothing waits when the session is paused and all answers are given. */
static void taken_over_without_resend(void) {
  pid_t readers[READERS];
  struct report report;
  mount_it();
  struct server server = start_server(DELIVERING, true, false, &report);
  start_long_readers(readers, 1000);
  for (int i = 0; i < 5; i++) {
    usleep(50000);
    ask(server, 'p'); /* pauses, is done with all, and resumes */
  }
  CHECK(readers_end(readers, 0, 1) == 0);
  freeze_server(server);
  server = start_server(DELIVERING, false, false, &report);
  let_go();
  start_readers(readers, 0);
  CHECK(readers_end(readers, 0, 1) == 0);
  CHECK(umount2(mountpoint, UMOUNT_NOFOLLOW) == 0);
  kill_server(server);
  close(memory.arena);
  close(memory.ledger);
}

static void passing_through(void) {
  pid_t readers[READERS];
  struct report report;
  char name[64];
  if (!kernel_resends) return;
  mount_it();
  struct server server = start_server(IN_RAM_PASSED, true, false, &report);
  if (report.protocol.backing == 0) printf("(this kernel does not pass through)\n");
  snprintf(name, sizeof name, "/proc/%d/fd/%d", (int)server.pid, report.ram);
  memory.ram = open(name, O_RDWR | O_CLOEXEC);
  CHECK(memory.ram >= 0);
  int fd = open(path, O_RDONLY);
  kill_server(server);
  server = start_server(IN_RAM_PASSED, false, true, &report);
  CHECK(report.stats.chunks_in_ram == served.chunks && report.adopted == served.chunks);
  uint8_t byte;
  CHECK(pread(fd, &byte, 1, 12345) == 1 && image_is(&byte, 12345, 1)); /* opened before */
  close(fd);
  start_readers(readers, 0);
  CHECK(readers_end(readers, 0, 1) == 0);
  kill_server(server);
  unmount_it();
}

static void no_connection(void) {
  const char *syscall;
  int ends[2], fd;
  CHECK(pipe(ends) == 0);
  CHECK(fuse_check(ends[0], &syscall) == ENODEV);
  CHECK(fuse_mount(mountpoint, "tetherfs", STORE_MAX_READ_BYTES, &fd, &syscall) == 0);
  CHECK(fuse_check(fd, &syscall) == 0);
  CHECK(umount2(mountpoint, MNT_DETACH | UMOUNT_NOFOLLOW) == 0);
  CHECK(fuse_check(fd, &syscall) == ENODEV);
  close(fd);
  fd = open("/dev/fuse", O_RDWR);
  CHECK(fuse_check(fd, &syscall) == ENODEV);
  close(fd);
  CHECK(fuse_check(fd, &syscall) == EBADF);
  close(ends[0]);
  close(ends[1]);
}

int main(void) {
  if (!mounted_init()) return 1;
  TEST(asks_for_resend, "a kernel that can send requests again is known");
  TEST(no_connection, "a descriptor that is no live connection is refused");
  TEST(killed_with_resend, "readers of a killed process see a pause, also when its successor is killed; a killed reader is let go");
  TEST(killed_without_resend, "without resend its direct readers see ECONNABORTED, and the mount lives on");
  TEST(killed_often, "killed fifteen times under ten readers: every byte right, no error, chunks kept");
  TEST(taken_over_often, "taken over ten times under ten readers: every byte right, no error, all chunks kept");
  TEST(taken_over_without_resend, "paused, all answers are given and none is asked for; a takeover then loses nothing");
  TEST(passing_through, "reads that pass through go on, before and after");
  mounted_end();
  DONE();
}
