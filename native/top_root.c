/* See top_root.h. */
#include "top_root.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define TOP "/.."

/* What lies in another comes after it. The last one is nodeRuntime of src/base/installation.ts. */
static const char *const parts[] = {"/dev", "/proc", "/sys", "/sys/fs/fuse/connections", "/run", "/run/initramfs/tetherfs/runtime"};

/* By statx(2): stat(3) is of glibc 2.33. */
static bool same(const char *one, const char *other) {
  struct statx first, second;
  return statx(AT_FDCWD, one, 0, STATX_INO, &first) == 0 && statx(AT_FDCWD, other, 0, STATX_INO, &second) == 0 &&
         first.stx_dev_major == second.stx_dev_major && first.stx_dev_minor == second.stx_dev_minor && first.stx_ino == second.stx_ino;
}

static int make_directories(const char *path) {
  char part[PATH_MAX];
  if (strlen(path) >= sizeof part) return ENAMETOOLONG;
  for (const char *end = strchr(path + 1, '/');; end = strchr(end + 1, '/')) {
    size_t bytes = end == NULL ? strlen(path) : (size_t)(end - path);
    memcpy(part, path, bytes);
    part[bytes] = 0;
    if (mkdir(part, 0755) != 0 && errno != EEXIST) return errno;
    if (end == NULL) return 0;
  }
}

/* The directory `source` under a path at which something else is, or nothing. */
static int show(const char *source, const char *path, const char **syscall) {
  if (same(source, path)) return 0;
  *syscall = "mkdir";
  int error = make_directories(path);
  if (error != 0) return error;
  *syscall = "mount";
  return mount(source, path, NULL, MS_BIND, NULL) == 0 ? 0 : errno;
}

void top_root_reach(void) {
  const char *syscall;
  char top[128];
  if (same("/", TOP)) return;
  for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
    snprintf(top, sizeof top, TOP "%s", parts[i]);
    if (access(top, F_OK) == 0) show(top, parts[i], &syscall);
  }
}

int top_root_join(pid_t pid, const char *keep, const char **syscall) {
  char root[64], kept[64];
  snprintf(root, sizeof root, "/proc/%d/root", (int)pid);
  if (same("/", root)) return 0;
  *syscall = "open";
  int fd = open(keep, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return errno;
  *syscall = "chroot";
  int error = chroot(root) == 0 && chdir("/") == 0 ? 0 : errno;
  snprintf(kept, sizeof kept, "/proc/self/fd/%d", fd);
  if (error == 0) error = show(kept, keep, syscall);
  close(fd);
  return error;
}
