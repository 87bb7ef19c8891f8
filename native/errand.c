/* See errand.h. */
#include "errand.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SYS_close_range
#define SYS_close_range 436
#endif

static void close_between(unsigned first, unsigned last) {
  if (first > last || syscall(SYS_close_range, first, last, 0) == 0) return;
  /* Before Linux 5.9: one by one. */
  long limit = sysconf(_SC_OPEN_MAX);
  for (unsigned fd = first; fd <= last && (long)fd < limit; fd++) close((int)fd);
}

static void close_others(int keep) {
  if (keep < 3) {
    close_between(3, ~0u);
  } else {
    close_between(3, (unsigned)keep - 1);
    close_between((unsigned)keep + 1, ~0u);
  }
}

static int child(int (*task)(const void *argument), const void *argument, int keep) {
  close_others(keep);
  return task(argument);
}

int errand_run(int (*task)(const void *argument), const void *argument, int keep) {
  sigset_t all, before;
  int status;
  /* No handler of ours may run there. */
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  /* vfork, because to copy the page tables of a large process takes milliseconds. */
  pid_t pid = vfork();
  if (pid == 0) _exit(child(task, argument, keep));
  int error = pid < 0 ? errno : 0;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (error != 0) return error;
  while (waitpid(pid, &status, 0) < 0)
    if (errno != EINTR) return errno;
  return WIFEXITED(status) ? WEXITSTATUS(status) : EINTR;
}
