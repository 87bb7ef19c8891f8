/* See loop.h. */
#include "loop.h"

#include "errand.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* The kernel's huge_encode_dev(): the minor's lower 8 bits, 12 bits of major, the rest of the minor. */
static void decode_device(uint64_t device, uint32_t *major, uint32_t *minor) {
  *major = (uint32_t)(device >> 8) & 0xfff;
  *minor = (uint32_t)((device & 0xff) | ((device >> 12) & 0xfff00));
}

int loop_get_status(const char *device, struct loop_status *status, const char **syscall) {
  struct loop_info64 info;
  *syscall = "open";
  int fd = open(device, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return errno;
  *syscall = "ioctl";
  int error = ioctl(fd, LOOP_GET_STATUS64, &info) == 0 ? 0 : errno;
  close(fd);
  if (error != 0) return error;
  decode_device(info.lo_device, &status->major, &status->minor);
  status->inode = info.lo_inode;
  status->read_only = info.lo_flags & LO_FLAGS_READ_ONLY;
  status->direct_io = info.lo_flags & LO_FLAGS_DIRECT_IO;
  return 0;
}

struct change {
  const char *device;
  int fd;
};

static int change_file(const void *argument) {
  const struct change *change = argument;
  int device = open(change->device, O_RDONLY | O_CLOEXEC);
  if (device < 0) return errno;
  return ioctl(device, LOOP_CHANGE_FD, change->fd) == 0 ? 0 : errno;
}

int loop_change_file(const char *device, int fd, const char **syscall) {
  const struct change change = {device, fd};
  *syscall = "ioctl";
  return errand_run(change_file, &change, fd);
}
