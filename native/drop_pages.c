/* See drop_pages.h. */
#include "drop_pages.h"

#include "errand.h"
#include "mount.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

static const char *const ROOTS[] = {"", "/proc/1/root"};
#define ROOT_COUNT (sizeof ROOTS / sizeof ROOTS[0])

struct search {
  unsigned major, minor;
  char mountpoints[ROOT_COUNT][PATH_MAX + 16];
  char files[ROOT_COUNT][PATH_MAX + 288];
};

static bool is_ours(const struct search *search, const char *mountpoint) {
  uint32_t major, minor;
  const char *syscall;
  return fuse_device(mountpoint, &major, &minor, &syscall) == 0 && major == search->major && minor == search->minor;
}

static int drop(const void *argument) {
  const struct search *search = argument;
  for (size_t i = 0; i < ROOT_COUNT; i++) {
    if (!is_ours(search, search->mountpoints[i])) continue;
    int fd = open(search->files[i], O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) return errno;
    return posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
  }
  return ENOENT;
}

int drop_pages(const char *mountpoint, const char *name, unsigned major, unsigned minor) {
  struct search search = {.major = major, .minor = minor};
  for (size_t i = 0; i < ROOT_COUNT; i++) {
    snprintf(search.mountpoints[i], sizeof search.mountpoints[i], "%s%s", ROOTS[i], mountpoint);
    snprintf(search.files[i], sizeof search.files[i], "%s%s/%s", ROOTS[i], mountpoint, name);
  }
  return errand_run(drop, &search, -1);
}
