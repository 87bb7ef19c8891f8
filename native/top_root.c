/* See top_root.h. */
#include "top_root.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define TOP "/.."

/* What lies in another comes after it. The last one is runtimePlace of src/node/places.ts. */
static const char *const parts[] = {"/dev", "/proc", "/sys", "/sys/fs/fuse/connections", "/run", "/run/initramfs/tetherfs/runtime"};

static bool same(const char *one, const char *other) {
  struct stat first, second;
  return stat(one, &first) == 0 && stat(other, &second) == 0 && first.st_dev == second.st_dev && first.st_ino == second.st_ino;
}

static bool reach(const char *path) {
  char top[128];
  struct stat status;
  snprintf(top, sizeof top, TOP "%s", path);
  if (stat(top, &status) != 0 || same(path, top)) return false;
  if (mkdir(path, 0755) != 0 && errno != EEXIST) return false;
  return mount(top, path, NULL, MS_BIND, NULL) == 0;
}

bool top_root_reach(void) {
  bool reached = false;
  if (same("/", TOP)) return false;
  for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) reached |= reach(parts[i]);
  return reached;
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

/* The directory behind `fd`, under a path at which something else is, or nothing. */
static int show(int fd, const char *path, const char **syscall) {
  char source[64];
  struct stat wanted, found;
  if (fstat(fd, &wanted) == 0 && stat(path, &found) == 0 && wanted.st_dev == found.st_dev && wanted.st_ino == found.st_ino) return 0;
  *syscall = "mkdir";
  int error = make_directories(path);
  if (error != 0) return error;
  snprintf(source, sizeof source, "/proc/self/fd/%d", fd);
  *syscall = "mount";
  return mount(source, path, NULL, MS_BIND, NULL) == 0 ? 0 : errno;
}

int top_root_join(pid_t pid, const char *keep, const char **syscall) {
  char root[64];
  snprintf(root, sizeof root, "/proc/%d/root", (int)pid);
  if (same("/", root)) return 0;
  *syscall = "open";
  int fd = open(keep, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return errno;
  *syscall = "chroot";
  int error = chroot(root) == 0 && chdir("/") == 0 ? 0 : errno;
  if (error == 0) error = show(fd, keep, syscall);
  close(fd);
  return error;
}
