/* See inherited.h. */
#include "inherited.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>

int inherited_close_on_exec(void) {
  /* close_range(CLOSE_RANGE_CLOEXEC) would do it, but is of Linux 5.11. */
  DIR *directory = opendir("/proc/self/fd");
  if (directory == NULL) return errno;
  const struct dirent *entry;
  while ((entry = readdir(directory)) != NULL) {
    char *end;
    long fd = strtol(entry->d_name, &end, 10);
    if (end != entry->d_name && *end == 0 && fd > 2) fcntl((int)fd, F_SETFD, FD_CLOEXEC);
  }
  closedir(directory);
  return 0;
}

/* Enough for every descriptor that we ever have: connections, threads, what is kept for a successor. */
#define DESCRIPTORS 65536

static void raise_soft(int kind, rlim_t wanted) {
  struct rlimit limit;
  if (getrlimit(kind, &limit) != 0 || limit.rlim_cur >= wanted) return;
  struct rlimit raised = {wanted, limit.rlim_max < wanted ? wanted : limit.rlim_max};
  if (setrlimit(kind, &raised) == 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(kind, &limit);
}

void inherited_shed_limits(void) {
  static const int kinds[] = {RLIMIT_CPU, RLIMIT_FSIZE, RLIMIT_AS, RLIMIT_DATA};
  for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) raise_soft(kinds[i], RLIM_INFINITY);
  raise_soft(RLIMIT_NOFILE, DESCRIPTORS);
  /* What lies in our memory, a key among it, does not go to a file. */
  struct rlimit core;
  if (getrlimit(RLIMIT_CORE, &core) == 0) {
    core.rlim_cur = 0;
    setrlimit(RLIMIT_CORE, &core);
  }
  umask(022);
}
