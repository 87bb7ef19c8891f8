/* See mount.h. */
#include "mount.h"

#include "fuse_protocol.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

/* /dev/fuse, see the kernel's Documentation/admin-guide/devices.txt. */
#define FUSE_DEVICE_MAJOR 10
#define FUSE_DEVICE_MINOR 229

static int open_device(int *fd, const char **syscall) {
  *fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
  *syscall = "open";
  return *fd < 0 ? errno : 0;
}

int fuse_mount(const char *mountpoint, const char *source, uint32_t max_read_bytes, int *fd, const char **syscall) {
  char data[128];
  int error = open_device(fd, syscall);
  if (error != 0) return error;
  /* max_read caps what kernels without FUSE_MAX_PAGES ask for where pages are 64 KiB. */
  snprintf(data, sizeof data, "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions,max_read=%u",
           *fd, max_read_bytes);
  if (mount(source, mountpoint, "fuse.tetherfs", MS_RDONLY | MS_NOSUID | MS_NODEV, data) == 0) return 0;
  error = errno;
  *syscall = "mount";
  close(*fd);
  *fd = -1;
  return error;
}

int fuse_clone(int fd, int *clone, const char **syscall) {
  uint32_t original = (uint32_t)fd;
  int error = open_device(clone, syscall);
  if (error != 0) return error;
  if (ioctl(*clone, FUSE_DEV_IOC_CLONE, &original) == 0) return 0;
  error = errno;
  *syscall = "ioctl";
  close(*clone);
  *clone = -1;
  return error;
}

int fuse_check(int fd, const char **syscall) {
  struct statx status;
  struct pollfd poller = {.fd = fd};
  *syscall = "statx";
  if (statx(fd, "", AT_EMPTY_PATH, STATX_TYPE, &status) != 0) return errno;
  if (!S_ISCHR(status.stx_mode) || status.stx_rdev_major != FUSE_DEVICE_MAJOR || status.stx_rdev_minor != FUSE_DEVICE_MINOR)
    return ENODEV;
  *syscall = "poll";
  if (poll(&poller, 1, 0) < 0) return errno;
  return poller.revents & (POLLERR | POLLNVAL) ? ENODEV : 0;
}

int fuse_resend(int fd, const char **syscall) {
  const struct fuse_out_header notification = {.len = sizeof notification, .error = PROTOCOL_NOTIFY_RESEND};
  *syscall = "write";
  return write(fd, &notification, sizeof notification) == (ssize_t)sizeof notification ? 0 : errno;
}

int fuse_device(const char *mountpoint, uint32_t *major, uint32_t *minor, const char **syscall) {
  struct statx status;
  *syscall = "statx";
  /* The file server is this process, and its threads may not run yet: what the kernel knows must do. */
  if (statx(AT_FDCWD, mountpoint, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC, 0, &status) != 0)
    return errno;
  *major = status.stx_dev_major;
  *minor = status.stx_dev_minor;
  return 0;
}
