/*
 * build/tetherfs-holder with this program as its command: what it keeps, whom it starts again and when, whom it obeys.
 * Started as "child", this program says hello to the test's inbox and does what its own inbox is told.
 */
#include "check.h"
#include "inbox.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_MS 10000

static int64_t now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static bool take(int fd, struct inbox_message *message, int patience_ms) {
  int64_t until = now_ms() + patience_ms;
  for (;;) {
    struct pollfd poller = {.fd = fd, .events = POLLIN};
    if (inbox_take(fd, message, 1) == 0) return true;
    int64_t left = until - now_ms();
    if (left <= 0) return false;
    poll(&poller, 1, (int)left);
  }
}

/* ---- The child ---- */

static struct inbox_message message;
static char names[1024];

static void add_name(void *context, int fd, const char *name) {
  (void)context, (void)fd;
  if (names[0] != 0) strcat(names, ":");
  strcat(names, name);
}

static int child_main(const char *argv0, const char *tag) {
  char hello[4096], address[128], open_fds[512] = "";
  const char *channel = getenv("NODE_CHANNEL_FD");
  int own;
  for (int fd = 0; fd < 200; fd++)
    if (fcntl(fd, F_GETFD) >= 0) sprintf(open_fds + strlen(open_fds), "%d,", fd);
  prctl(PR_SET_PDEATHSIG, 0);
  inbox_listened(add_name, NULL);
  if (inbox_open(NULL, &own) != 0 || inbox_name(own, address, sizeof address) != 0) return 9;
  snprintf(hello, sizeof hello, "ARGV0=%s\nTAG=%s\nNAMES=%s\nINBOX=%s\nCHANNEL=%s\nOPEN=%s", argv0, tag, names, address,
           channel == NULL ? "none" : channel, open_fds);
  if (notify_send(getenv("TEST_INBOX"), hello, strlen(hello), NULL, 0) != 0) return 9;
  while (take(own, &message, 20000)) {
    if (strncmp(message.state, "EXIT=", 5) == 0) return atoi(message.state + 5);
    if (!notify_service_manager(message.state, message.fds, message.fd_count)) return 9;
    for (size_t i = 0; i < message.fd_count; i++) close(message.fds[i]);
    notify_send(getenv("TEST_INBOX"), "SENT=1", 6, NULL, 0);
  }
  return 9; /* the test is gone */
}

/* ---- The test's side ---- */

static int inbox = -1;
static char self[4096], holder_path[4096], child_address[128];
static pid_t holder, child;

static bool field_is(const char *key, const char *expected) {
  size_t bytes;
  const char *value = inbox_field(message.state, key, NULL, &bytes);
  bool same = value != NULL && strlen(expected) == bytes && memcmp(value, expected, bytes) == 0;
  if (!same) fprintf(stderr, "%s=%.*s, not %s\n", key, value == NULL ? 0 : (int)bytes, value, expected);
  return same;
}

/* Waits for a child to have started. */
static bool hello_within(int patience_ms) {
  size_t bytes;
  do
    if (!take(inbox, &message, patience_ms)) return false;
  while (strncmp(message.state, "ARGV0=", 6) != 0);
  child = message.pid;
  const char *value = inbox_field(message.state, "INBOX", NULL, &bytes);
  snprintf(child_address, sizeof child_address, "%.*s", (int)bytes, value);
  return true;
}

static bool hello(void) { return hello_within(PATIENCE_MS); }

/* Has the child send it to the holder. */
static void child_sends(const char *state, const int *fds, size_t count) {
  struct inbox_message *answer = malloc(sizeof *answer);
  CHECK(notify_send(child_address, state, strlen(state), fds, count) == 0);
  CHECK(take(inbox, answer, PATIENCE_MS) && strcmp(answer->state, "SENT=1") == 0);
  free(answer);
}

static void tell(const char *what) { CHECK(notify_send(child_address, what, strlen(what), NULL, 0) == 0); }

/* `channel`: a descriptor that the first child is to inherit, or -1. */
static void start_program(const char *program, int channel) {
  holder = fork();
  if (holder == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (channel >= 0) {
      dup2(channel, 7);
      setenv("NODE_CHANNEL_FD", "7", 1);
    }
    /* What a test is itself started with is not of interest. */
    for (int fd = 3; fd < 256; fd++)
      if (fd != 7 || channel < 0) close(fd);
    execl(holder_path, "@holder", "--argv0", "@child", program, "child", "first", NULL);
    _exit(126);
  }
  CHECK(hello());
}

static void start(void) { start_program(self, -1); }

static int wait_for_end(void) {
  int status = -1;
  for (int i = 0; i < PATIENCE_MS; i++) {
    pid_t ended = waitpid(holder, &status, WNOHANG);
    if (ended == holder) return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
    usleep(1000);
  }
  kill(holder, SIGKILL);
  waitpid(holder, NULL, 0);
  return -1;
}

/* Takes the place of a FUSE connection: it is gone when the other end is closed. Returns that. */
static int store_connection(void) {
  int ends[2];
  CHECK(pipe2(ends, O_CLOEXEC) == 0);
  child_sends("FDSTORE=1\nFDNAME=fuse", &ends[1], 1);
  close(ends[1]);
  return ends[0];
}

static void end(int connection) {
  tell("EXIT=0");
  CHECK(wait_for_end() == 0);
  close(connection);
}

/* ---- Tests ---- */

static void gives_back(void) {
  int ends[2], memory = memfd_create("m", MFD_CLOEXEC), three[3] = {memory, memory, memory};
  char byte;
  CHECK(pipe2(ends, O_CLOEXEC) == 0);
  start_program(self, ends[1]);
  close(ends[1]);
  CHECK(field_is("ARGV0", "@child") && field_is("NAMES", "") && field_is("CHANNEL", "7") && field_is("OPEN", "0,1,2,7,"));
  int connection = store_connection();
  child_sends("FDSTORE=1\nFDNAME=state", three, 3);
  child_sends("FDSTORE=1\nFDNAME=passing", &memory, 1);
  child_sends("FDSTORE=1\nFDNAME=state", &memory, 1); /* instead of the three */
  child_sends("FDSTOREREMOVE=1\nFDNAME=passing", NULL, 0);
  child_sends("FDSTORE=1\nFDNAME=bad:name", &memory, 1);
  child_sends("READY=1\nFDNAME=fuse", &memory, 1); /* nothing to be stored */
  struct pollfd poller = {.fd = ends[0]};
  CHECK(poll(&poller, 1, 0) == 0);
  kill(child, SIGKILL);
  CHECK(hello());
  CHECK(field_is("NAMES", "fuse:state:stored") && field_is("ARGV0", "@child") && field_is("TAG", "first"));
  CHECK(field_is("CHANNEL", "none") && field_is("OPEN", "0,1,2,3,4,5,"));
  CHECK(read(ends[0], &byte, 1) == 0); /* nobody has the first child's channel any more */
  close(ends[0]);
  close(memory);
  tell("EXIT=5"); /* started again as after a crash */
  CHECK(hello() && field_is("NAMES", "fuse:state:stored"));
  end(connection);
}

static void ends(void) {
  start();
  tell("EXIT=0");
  CHECK(wait_for_end() == 0);
  start();
  tell("EXIT=3"); /* nothing is stored */
  CHECK(wait_for_end() == 3);
  start();
  int connection = store_connection();
  close(connection);
  kill(child, SIGKILL);
  CHECK(wait_for_end() == 128 + SIGKILL);
}

static void pauses(void) {
  start();
  int connection = store_connection();
  static const int at_least[] = {0, 100, 200, 400};
  for (size_t i = 0; i < sizeof at_least / sizeof at_least[0]; i++) {
    int64_t from = now_ms();
    kill(child, SIGKILL);
    CHECK(hello());
    CHECK(now_ms() - from >= at_least[i]);
  }
  /* While nothing runs, a signal ends the holder. */
  kill(child, SIGKILL);
  while (kill(child, 0) == 0) usleep(1000);
  kill(holder, SIGTERM);
  CHECK(wait_for_end() == 128 + SIGTERM);
  close(connection);
}

static void passes_signals(void) {
  start();
  int connection = store_connection();
  kill(holder, SIGTERM);
  CHECK(wait_for_end() == 128 + SIGTERM);
  close(connection);
}

static void follows(void) {
  char state[4096 + 200];
  start();
  int connection = store_connection();
  pid_t successor = fork();
  if (successor == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) pause();
  }
  /* A path with what must be encoded in an argument. */
  snprintf(state, sizeof state, "X_TETHERFS_COMMAND=1\nX_TETHERFS_ARGV0=@new\nX_TETHERFS_ARG=%s\nX_TETHERFS_ARG=child\nX_TETHERFS_ARG=a\\\\b", self);
  child_sends("X_TETHERFS_COMMAND=1\nX_TETHERFS_ARG=/is/not/there", NULL, 0);
  child_sends(state, NULL, 0);
  snprintf(state, sizeof state, "MAINPID=%d", (int)successor);
  child_sends(state, NULL, 0);
  tell("EXIT=4"); /* does not count any more */
  CHECK(!hello_within(400) && waitpid(holder, NULL, WNOHANG) == 0);
  kill(successor, SIGKILL); /* a zombie of ours: dead as far as a pidfd is concerned */
  CHECK(hello() && field_is("TAG", "a\\b") && field_is("ARGV0", "@new") && field_is("NAMES", "fuse"));
  waitpid(successor, NULL, 0);
  close(connection);
  kill(child, SIGKILL);
  CHECK(wait_for_end() == 128 + SIGKILL);
}

/* The address of the holder's socket, of the child's environment. */
static void holder_address(char *out, size_t room) {
  static char environment[65536];
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/environ", (int)child);
  int fd = open(path, O_RDONLY);
  ssize_t bytes = read(fd, environment, sizeof environment - 1);
  close(fd);
  *out = 0;
  for (char *at = environment; bytes > 0 && at < environment + bytes; at += strlen(at) + 1)
    if (strncmp(at, "NOTIFY_SOCKET=", 14) == 0) snprintf(out, room, "%s", at + 14);
}

static void obeys_no_stranger(void) {
  char address[128], state[64];
  start();
  int connection = store_connection(), memory = memfd_create("m", MFD_CLOEXEC);
  holder_address(address, sizeof address);
  CHECK(address[0] == '@');
  snprintf(state, sizeof state, "MAINPID=%d", (int)getpid());
  CHECK(notify_send(address, state, strlen(state), NULL, 0) == 0); /* root, but not the main process */
  pid_t stranger = fork();
  if (stranger == 0) {
    bool sent = setgid(65534) == 0 && setuid(65534) == 0;
    for (int i = 0; i < 50 && sent; i++) {
      sent = notify_send(address, "FDSTORE=1\nFDNAME=evil", 21, &memory, 1) == 0;
      notify_send(address, "FDSTOREREMOVE=1\nFDNAME=fuse", 27, NULL, 0);
    }
    _exit(sent ? 0 : 1);
  }
  int status = -1;
  CHECK(waitpid(stranger, &status, 0) == stranger && status == 0);
  kill(child, SIGKILL);
  CHECK(hello() && field_is("NAMES", "fuse"));
  close(memory);
  end(connection);
}

static void deleted_program(void) {
  char copy[] = "/tmp/tetherfs-holder-test-XXXXXX", command[4200];
  int fd = mkstemp(copy);
  fchmod(fd, 0700);
  close(fd);
  snprintf(command, sizeof command, "cp %s %s", self, copy);
  CHECK(system(command) == 0);
  start_program(copy, -1);
  unlink(copy);
  int connection = store_connection();
  kill(child, SIGKILL);
  CHECK(hello() && field_is("NAMES", "fuse"));
  end(connection);
}

static void is_bounded(void) {
  start();
  int connection = store_connection(), many[100];
  for (int i = 0; i < 100; i++) many[i] = connection;
  child_sends("FDSTORE=1\nFDNAME=many", many, 100);
  kill(child, SIGKILL);
  CHECK(hello());
  size_t bytes, colons = 0;
  const char *value = inbox_field(message.state, "NAMES", NULL, &bytes);
  for (size_t i = 0; i < bytes; i++) colons += value[i] == ':';
  CHECK(colons == 63);
  end(connection);
}

int main(int count, char **arguments) {
  char address[128];
  if (count > 2 && strcmp(arguments[1], "child") == 0) return child_main(arguments[0], arguments[2]);
  alarm(120);
  ssize_t bytes = readlink("/proc/self/exe", self, sizeof self - 1);
  if (bytes <= 0 || inbox_open(NULL, &inbox) != 0 || inbox_name(inbox, address, sizeof address) != 0) return 1;
  self[bytes] = 0;
  snprintf(holder_path, sizeof holder_path, "%.*s/../tetherfs-holder", (int)(strrchr(self, '/') - self), self);
  setenv("TEST_INBOX", address, 1);
  TEST(gives_back, "a killed command is started again with what it stored, the newest of a name, and nothing else");
  TEST(ends, "a clean exit, a death with nothing stored, and a mount that is gone end the holder with that status");
  TEST(pauses, "a command that keeps dying is started after growing pauses");
  TEST(passes_signals, "SIGTERM reaches the command, and its death of it is the end");
  TEST(follows, "after MAINPID= and a new command, their end counts, and the old command's does not");
  TEST(obeys_no_stranger, "other users' messages do nothing, and MAINPID= only from the main process");
  TEST(deleted_program, "a command whose file was deleted is started again");
  TEST(is_bounded, "no more than 64 descriptors are kept");
  DONE();
}
