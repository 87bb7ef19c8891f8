/* See top_root.h. */
#include "top_root.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

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
