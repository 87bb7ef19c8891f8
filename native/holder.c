/*
 * tetherfs-holder [--argv0 NAME] COMMAND [ARGUMENT...]: runs a daemon, keeps its descriptors, and starts it again with them when it dies. As
 * dull as can be: it must outlive everything, so it allocates nothing, and opens nothing but the command, whose program it has open
 * from the start, so that it can be started again after its file was deleted. What else it needs to run (its dynamic loader, libraries, scripts)
 * must still be there then, and nothing of it may lie on the mount that it serves.
 *
 * It speaks systemd's descriptor store protocol: $NOTIFY_SOCKET for FDSTORE=1, FDSTOREREMOVE=1, FDNAME=, MAINPID=; $LISTEN_FDS,
 * $LISTEN_FDNAMES and $LISTEN_PID to what it starts again; $FDSTORE to all, by which they know that descriptors are kept. Other than systemd,
 * it keeps the newest of a name: a message's descriptors replace those that were there under it. Messages count when they come from root or our own user; MAINPID= and the one below, from the main process.
 * X_TETHERFS_COMMAND=1, with a line X_TETHERFS_ARGV0= and a line X_TETHERFS_ARG= for each argument, the program's absolute path first, replaces
 * the command that is started again; in its values \n stands for a newline and \\ for a backslash.
 *
 * The main process is started again when it died, otherwise than by a clean exit or a signal that we had passed on to it (SIGTERM, SIGINT), while a
 * descriptor is held whose name begins with "fuse" and whose connection lives: at once, then after a pause that doubles from 100 ms to 5 s,
 * until it has lived for 10 s. What it says is in the kernel's log for the first starts, then once a minute. In every other case we end with its
 * status (128 + signal), and with us what is held. How a process that MAINPID= named has ended cannot be known: it counts as clean when the
 * connection is gone.
 *
 * Only the first command gets the standard streams and whatever else we were started with; we let go of all that ourselves. Those started again
 * have /dev/null, the kernel's log as standard error, the held descriptors, and our oom_score_adj (-1000 where we may). What they are
 * started from is still found when the machine has got another root directory (top_root.h).
 */
#include "inbox.h"
#include "top_root.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef PR_SET_IO_FLUSHER
#define PR_SET_IO_FLUSHER 57 /* Linux 5.6 */
#endif
#ifndef SYS_close_range
#define SYS_close_range 436
#endif

#define MAX_HELD 64
#define MAX_NAME_BYTES 255
#define MAX_ARGUMENTS 256
#define FIRST_LISTENED 3
#define FIRST_PAUSE_MS 100
#define LONGEST_PAUSE_MS 5000
#define LIVED_MS 10000
#define LOUD_STARTS 8   /* of those in a row that did not live, what the first ones say is in the log, */
#define QUIET_STARTS 12 /* and then that of each of so many: a log has other things to tell */
#define PROBE_MS 200 /* how often a process is looked at where there is no pidfd_open (before Linux 5.3) */

struct held {
  int fd;
  char name[MAX_NAME_BYTES + 1];
};

struct command {
  int program; /* O_PATH */
  char *arguments[MAX_ARGUMENTS + 1];
  const char *path;
  char text[2 * INBOX_STATE_BYTES];
};

static struct held held[MAX_HELD];
static int held_count;
static struct command commands[2], *command = &commands[0];
static int inbox = -1, signals = -1, log_to = -1, null = -1;
static sigset_t original_mask;
static char store_size[32];
static char notify_socket[sizeof "NOTIFY_SOCKET=" + 128];
static char listen_pid[32], listen_fds[32], listen_names[sizeof "LISTEN_FDNAMES=" + MAX_HELD * (MAX_NAME_BYTES + 1)];
static char **first_environment, **again_environment;

static pid_t main_pid;
static int main_watch = -1; /* its pidfd, when it is no child of ours */
static bool main_is_child;
static int passed_on; /* the last signal that was */
static int64_t started_ms, start_again_ms; /* the latter 0: it runs */
static unsigned starts; /* in a row that have not lived */

static int64_t now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static bool is_loud(void) { return starts <= LOUD_STARTS || starts % QUIET_STARTS == 0; }

/* What the command is for: its last argument, a daemon's mountpoint. */
static const char *subject(void) {
  size_t last = 0;
  while (command->arguments[last + 1] != NULL) last++;
  return command->arguments[last];
}

/* One line in the kernel's log. */
__attribute__((format(printf, 1, 2))) static void say(const char *format, ...) {
  char line[512];
  if (!is_loud()) return;
  int bytes = snprintf(line, sizeof line, "<4>tetherfs-holder of %.200s: ", subject());
  va_list values;
  va_start(values, format);
  vsnprintf(line + bytes, sizeof line - (size_t)bytes, format, values);
  va_end(values);
  if (log_to >= 0 && write(log_to, line, strlen(line)) < 0) return; /* nobody to tell */
}

/* ---- What is held ---- */

static bool is_name(const char *name, size_t bytes) {
  if (bytes == 0 || bytes > MAX_NAME_BYTES) return false;
  for (size_t i = 0; i < bytes; i++)
    if (name[i] == ':' || (unsigned char)name[i] < ' ' || name[i] == 127) return false;
  return true;
}

static void remove_named(const char *name, size_t bytes) {
  int kept = 0;
  for (int i = 0; i < held_count; i++) {
    if (strlen(held[i].name) == bytes && memcmp(held[i].name, name, bytes) == 0)
      close(held[i].fd);
    else
      held[kept++] = held[i];
  }
  held_count = kept;
}

static void hold(const struct inbox_message *message, const char *name, size_t bytes) {
  remove_named(name, bytes);
  if (message->fd_count > (size_t)(MAX_HELD - held_count)) say("no room for more descriptors than %d", MAX_HELD);
  for (size_t i = 0; i < message->fd_count; i++) {
    if (held_count == MAX_HELD) {
      close(message->fds[i]);
      continue;
    }
    held[held_count].fd = message->fds[i];
    memcpy(held[held_count].name, name, bytes);
    held[held_count++].name[bytes] = 0;
  }
}

enum connection { NONE, ALIVE, GONE };

static enum connection look_at_connection(void) {
  enum connection found = NONE;
  for (int i = 0; i < held_count; i++) {
    struct pollfd poller = {.fd = held[i].fd};
    if (strncmp(held[i].name, "fuse", 4) != 0) continue;
    if (poll(&poller, 1, 0) < 0 || (poller.revents & (POLLERR | POLLNVAL))) return GONE;
    found = ALIVE;
  }
  return found;
}

/* ---- The command ---- */

static bool open_program(struct command *into, const char *path) {
  struct stat status;
  into->path = path;
  into->program = open(path, O_PATH | O_CLOEXEC);
  if (into->program < 0) return false;
  if (fstat(into->program, &status) == 0 && S_ISREG(status.st_mode) && (status.st_mode & 0111)) return true;
  close(into->program);
  errno = EACCES;
  return false;
}

/* As execvp does. At the start only. */
static bool find_program(struct command *into, const char *name) {
  static char path[4096];
  const char *directories = getenv("PATH");
  if (strchr(name, '/') != NULL || directories == NULL) return open_program(into, name);
  while (*directories != 0) {
    size_t bytes = strcspn(directories, ":");
    if (snprintf(path, sizeof path, "%.*s/%s", (int)bytes, directories, name) < (int)sizeof path && open_program(into, path))
      return true;
    directories += bytes + (directories[bytes] == ':');
  }
  errno = ENOENT;
  return false;
}

/* Decodes a value into the command's text; NULL when it is full. */
static char *take_value(struct command *into, size_t *used, const char *value, size_t bytes) {
  char *start = into->text + *used;
  for (size_t i = 0; i < bytes; i++) {
    char letter = value[i];
    if (letter == '\\' && i + 1 < bytes) letter = value[++i] == 'n' ? '\n' : value[i];
    if (*used + 1 >= sizeof into->text) return NULL;
    into->text[(*used)++] = letter;
  }
  into->text[(*used)++] = 0;
  return start;
}

static void replace_command(const char *state) {
  struct command *other = command == &commands[0] ? &commands[1] : &commands[0];
  top_root_reach();
  size_t used = 0, bytes;
  int count = 0;
  for (const char *value = NULL; (value = inbox_field(state, "X_TETHERFS_ARG", value, &bytes)) != NULL;) {
    char *text = count < MAX_ARGUMENTS ? take_value(other, &used, value, bytes) : NULL;
    if (text == NULL) return;
    other->arguments[count++] = text;
  }
  other->arguments[count] = NULL;
  if (count == 0 || other->arguments[0][0] != '/' || !open_program(other, other->arguments[0])) {
    say("the new command %.100s cannot be started (%s): after a crash the old one would be", count == 0 ? "" : other->arguments[0], strerror(errno));
    return;
  }
  const char *name = inbox_field(state, "X_TETHERFS_ARGV0", NULL, &bytes);
  if (name != NULL) {
    char *text = take_value(other, &used, name, bytes);
    if (text != NULL) other->arguments[0] = text;
  }
  close(command->program);
  command = other;
}

/* ---- Starting ---- */

/* In the child. All copies first: where they are to go, one of ours may be. */
static void place_held(void) {
  int copies[MAX_HELD];
  for (int i = 0; i < held_count; i++) copies[i] = fcntl(held[i].fd, F_DUPFD_CLOEXEC, FIRST_LISTENED + MAX_HELD);
  command->program = fcntl(command->program, F_DUPFD_CLOEXEC, FIRST_LISTENED + MAX_HELD);
  for (int i = 0; i < held_count; i++) dup2(copies[i], FIRST_LISTENED + i);
}

static void describe_held(void) {
  size_t used = (size_t)sprintf(listen_names, "LISTEN_FDNAMES=");
  for (int i = 0; i < held_count; i++) used += (size_t)sprintf(listen_names + used, i == 0 ? "%s" : ":%s", held[i].name);
  sprintf(listen_pid, "LISTEN_PID=%d", (int)getpid());
  sprintf(listen_fds, "LISTEN_FDS=%d", held_count);
}

static void run_command(bool again) {
  char **environment = again ? again_environment : first_environment;
  if (again) {
    /* Why it cannot go on must be found somewhere. First, because what is held goes where the log may be. */
    if (log_to >= 0 && is_loud()) dup2(log_to, 2);
    place_held();
    describe_held();
  }
  sigprocmask(SIG_SETMASK, &original_mask, NULL);
  /* The first time by its name, which is then that of the process in ps. A script cannot be started by descriptor. */
  if (!again) execve(command->path, command->arguments, environment);
  syscall(SYS_execveat, command->program, "", command->arguments, environment, AT_EMPTY_PATH);
  execve(command->path, command->arguments, environment);
  _exit(127);
}

static void forget_watch(void) {
  if (main_watch >= 0) close(main_watch);
  main_watch = -1;
}

static int pause_before_start_ms(void) {
  int pause_ms = starts < 2 ? 0 : FIRST_PAUSE_MS;
  for (unsigned i = 2; i < starts && pause_ms < LONGEST_PAUSE_MS; i++) pause_ms *= 2;
  return pause_ms < LONGEST_PAUSE_MS ? pause_ms : LONGEST_PAUSE_MS;
}

static void schedule(void) {
  int pause_ms = pause_before_start_ms();
  start_again_ms = now_ms() + pause_ms;
  say("starting it again in %d ms, with %d descriptors", pause_ms, held_count);
  if (starts == LOUD_STARTS)
    say("%u starts in a row have failed; reads wait until the program is put right. What it says is told once a minute from now on", starts);
}

static bool start(bool again) {
  forget_watch();
  if (again) top_root_reach();
  pid_t pid = fork();
  if (pid == 0) run_command(again);
  started_ms = now_ms();
  start_again_ms = 0;
  main_pid = pid;
  main_is_child = true;
  passed_on = 0;
  return pid > 0;
}

/* ---- Ending ---- */

static int exit_status(int status) { return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status); }

/* The main process is no more; `status` is wait's, or 0 when nobody knows. Ends us, or sees to it that it starts again. */
static void main_has_ended(int status, bool known) {
  enum connection connection = look_at_connection();
  bool clean = known && status == 0;
  bool obeyed = known && passed_on != 0 && WIFSIGNALED(status) && WTERMSIG(status) == passed_on;
  if (clean || obeyed || connection != ALIVE) {
    if (connection == GONE) say("the mount is gone: ending with process %d", (int)main_pid);
    exit(exit_status(status));
  }
  if (now_ms() - started_ms >= LIVED_MS) starts = 0;
  starts++;
  if (!known)
    say("process %d ended", (int)main_pid);
  else if (WIFSIGNALED(status))
    say("process %d died of signal %d", (int)main_pid, WTERMSIG(status));
  else
    say("process %d ended with status %d", (int)main_pid, WEXITSTATUS(status));
  schedule();
}

static void pass_on(int number) {
  if (start_again_ms != 0) exit(128 + number); /* there is none to obey it */
  passed_on = number;
  kill(main_pid, number);
}

/* ---- Messages ---- */

static void follow(const char *value, size_t bytes) {
  char text[16] = "";
  if (bytes == 0 || bytes >= sizeof text) return;
  memcpy(text, value, bytes);
  long pid = strtol(text, NULL, 10);
  if (pid <= 1 || pid > INT32_MAX || pid == main_pid || pid == getpid()) return;
  forget_watch();
  main_pid = (pid_t)pid;
  main_is_child = false;
  passed_on = 0;
  started_ms = now_ms();
  starts = 0;
  main_watch = (int)syscall(SYS_pidfd_open, main_pid, 0); /* without it, see probe */
  if (main_watch >= 0) fcntl(main_watch, F_SETFD, FD_CLOEXEC);
}

static bool says_yes(const char *state, const char *key) {
  size_t bytes;
  const char *value = inbox_field(state, key, NULL, &bytes);
  return value != NULL && bytes == 1 && *value == '1';
}

static void obey(const struct inbox_message *message) {
  size_t name_bytes, pid_bytes;
  const char *name = inbox_field(message->state, "FDNAME", NULL, &name_bytes);
  const char *pid = inbox_field(message->state, "MAINPID", NULL, &pid_bytes);
  if (name == NULL || !is_name(name, name_bytes)) name = "stored", name_bytes = 6;
  if (says_yes(message->state, "FDSTOREREMOVE")) remove_named(name, name_bytes);
  if (says_yes(message->state, "FDSTORE")) {
    if (message->fd_count > 0) hold(message, name, name_bytes);
  } else {
    for (size_t i = 0; i < message->fd_count; i++) close(message->fds[i]);
  }
  if (message->pid != main_pid || start_again_ms != 0) return;
  if (says_yes(message->state, "X_TETHERFS_COMMAND")) replace_command(message->state);
  if (pid != NULL) follow(pid, pid_bytes);
}

static void take_messages(void) {
  static struct inbox_message message;
  int error;
  while ((error = inbox_take(inbox, &message, 1)) != EAGAIN) {
    if (error == 0) obey(&message);
    if (error != 0 && error != EPERM && error != EBADMSG && error != EINTR) return;
  }
}

/* ---- Life ---- */

static bool main_is_there(void) {
  if (main_watch >= 0) {
    struct pollfd poller = {.fd = main_watch, .events = POLLIN};
    return poll(&poller, 1, 0) <= 0 || !(poller.revents & POLLIN);
  }
  return kill(main_pid, 0) == 0 || errno == EPERM;
}

/* Whether the main process has ended by now. What it said before it did is heard first. */
static void look_around(void) {
  pid_t ended, child = -1;
  int status, child_status = 0;
  while ((ended = waitpid(-1, &status, WNOHANG)) > 0)
    if (main_is_child && ended == main_pid) child = ended, child_status = status;
  bool there = main_is_child || start_again_ms != 0 || main_is_there();
  pid_t looked_at = main_pid;
  take_messages();
  if (child > 0 && main_is_child && child == main_pid)
    main_has_ended(child_status, true);
  else if (!there && looked_at == main_pid)
    main_has_ended(0, false);
}

static void take_signals(void) {
  struct signalfd_siginfo signal;
  while (read(signals, &signal, sizeof signal) == (ssize_t)sizeof signal)
    if (signal.ssi_signo != SIGCHLD) pass_on((int)signal.ssi_signo);
}

static int wait_ms(void) {
  if (start_again_ms != 0) {
    int64_t left = start_again_ms - now_ms();
    return left > 0 ? (int)left : 0;
  }
  return !main_is_child && main_watch < 0 ? PROBE_MS : -1;
}

static void live(void) {
  for (;;) {
    struct pollfd pollers[] = {{.fd = inbox, .events = POLLIN},
                               {.fd = signals, .events = POLLIN},
                               {.fd = start_again_ms == 0 ? main_watch : -1, .events = POLLIN}};
    poll(pollers, 3, wait_ms());
    /* Signals first: a SIGCHLD that has been read is looked after below. */
    take_signals();
    look_around();
    if (start_again_ms != 0 && now_ms() >= start_again_ms) {
      if (look_at_connection() != ALIVE) exit(0);
      if (!start(true)) {
        starts++;
        schedule();
      }
    }
  }
}

/* ---- Before ---- */

static bool begins_with(const char *text, const char *start) { return strncmp(text, start, strlen(start)) == 0; }

/* Environments of what we start: ours, but for what concerns descriptors. */
static void make_environments(char **ours) {
  size_t count = 0, first = 0, again = 0;
  while (ours[count] != NULL) count++;
  first_environment = calloc(count + 6, sizeof *ours);
  again_environment = calloc(count + 6, sizeof *ours);
  if (first_environment == NULL || again_environment == NULL) exit(125);
  for (size_t i = 0; i < count; i++) {
    if (begins_with(ours[i], "NOTIFY_SOCKET=") || begins_with(ours[i], "WATCHDOG_") || begins_with(ours[i], "FDSTORE="))
      continue;
    if (!begins_with(ours[i], "LISTEN_")) first_environment[first++] = ours[i];
    if (!begins_with(ours[i], "LISTEN_") && !begins_with(ours[i], "NODE_CHANNEL_")) again_environment[again++] = ours[i];
  }
  snprintf(store_size, sizeof store_size, "FDSTORE=%d", MAX_HELD);
  first_environment[first++] = again_environment[again++] = store_size;
  first_environment[first] = again_environment[again++] = notify_socket;
  again_environment[again++] = listen_pid;
  again_environment[again++] = listen_fds;
  again_environment[again] = listen_names;
}

static bool is_ours(int fd) {
  return fd == inbox || fd == signals || fd == log_to || fd == null || fd == command->program;
}

/* Whoever started us sees the end of its channel when the daemon has let go of it. */
static void let_go(void) {
  int last = 2;
  const int ours[] = {inbox, signals, log_to, null, command->program};
  for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
    if (ours[i] > last) last = ours[i];
  for (int fd = 3; fd < last; fd++)
    if (!is_ours(fd)) close(fd);
  if (syscall(SYS_close_range, (unsigned)last + 1, ~0u, 0) != 0)
    for (int fd = last + 1; fd < 4096; fd++) close(fd);
  for (int fd = 0; fd < 3; fd++) dup2(null, fd);
}

static void stay(void) {
  int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (fd >= 0 && write(fd, "-1000", 5) < 0) say("oom_score_adj could not be set");
  if (fd >= 0) close(fd);
  mlockall(MCL_CURRENT | MCL_FUTURE);
  /* For us and all that we start, threads included: to free memory, the kernel must not begin I/O that may have to wait for us. */
  prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0);
}

/* Above the standard streams, which may be closed: what is opened in their place would be let go. */
static int above_streams(int fd) {
  if (fd < 0 || fd > 2) return fd;
  int other = fcntl(fd, F_DUPFD_CLOEXEC, 3);
  close(fd);
  return other;
}

static int fail(const char *what) {
  fprintf(stderr, "tetherfs-holder: %s: %s\n", what, strerror(errno));
  return 125;
}

int main(int count, char **arguments, char **environment) {
  const char *name = NULL;
  char *path;
  int at = 1;
  if (at + 1 < count && strcmp(arguments[at], "--argv0") == 0) name = arguments[at + 1], at += 2;
  if (at < count && strcmp(arguments[at], "--") == 0) at++;
  if (at >= count || count - at > MAX_ARGUMENTS || (name == NULL && arguments[at][0] == '-')) {
    fprintf(stderr, "usage: tetherfs-holder [--argv0 NAME] COMMAND [ARGUMENT...]\n");
    return 125;
  }
  path = arguments[at];
  if (!find_program(command, path)) return fail(path);
  for (int i = at; i < count; i++) command->arguments[i - at] = arguments[i];
  if (name != NULL) command->arguments[0] = (char *)(uintptr_t)name;

  sigset_t all, wanted;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, &original_mask);
  sigemptyset(&wanted);
  sigaddset(&wanted, SIGCHLD);
  sigaddset(&wanted, SIGTERM);
  sigaddset(&wanted, SIGINT);
  command->program = above_streams(command->program);
  signals = above_streams(signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK));
  null = above_streams(open("/dev/null", O_RDWR | O_CLOEXEC));
  log_to = above_streams(open("/dev/kmsg", O_WRONLY | O_CLOEXEC | O_NONBLOCK));
  if (inbox_open(NULL, &inbox) != 0 || signals < 0 || null < 0) return fail("starting");
  inbox = above_streams(inbox);
  strcpy(notify_socket, "NOTIFY_SOCKET=");
  if (inbox_name(inbox, notify_socket + strlen(notify_socket), 128) != 0) return fail("socket");
  make_environments(environment);
  if (!start(false)) return fail("fork");
  let_go();
  stay();
  live();
}
