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

void inherited_shed_limits(void) {
  static const int kinds[] = {RLIMIT_CPU, RLIMIT_FSIZE, RLIMIT_AS, RLIMIT_DATA};
  for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
    struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};
    if (setrlimit(kinds[i], &limit) == 0 || getrlimit(kinds[i], &limit) != 0) continue;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(kinds[i], &limit);
  }
  umask(022);
}
