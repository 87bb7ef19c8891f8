/* See memfd.h. */
#include "memfd.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SEALED_SIZE (F_SEAL_GROW | F_SEAL_SHRINK)

/* statx, because fstat of Debian 12 is newer than glibc 2.28. */
static int status_of(int fd, struct statx *status) {
  return statx(fd, "", AT_EMPTY_PATH, STATX_SIZE | STATX_INO, status) == 0 ? 0 : errno;
}

int memfd_of_size(const char *name, uint64_t bytes, int *fd) {
  *fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (*fd < 0) return errno;
  if (ftruncate(*fd, (off_t)bytes) == 0 && fcntl(*fd, F_ADD_SEALS, SEALED_SIZE | F_SEAL_SEAL) == 0) return 0;
  int error = errno;
  close(*fd);
  *fd = -1;
  return error;
}

int memfd_has_size(int fd, uint64_t bytes) {
  struct statx status;
  int error = status_of(fd, &status);
  if (error != 0) return error;
  int seals = fcntl(fd, F_GET_SEALS);
  if (seals < 0 || (seals & SEALED_SIZE) != SEALED_SIZE || (seals & F_SEAL_WRITE)) return EINVAL;
  return status.stx_size == bytes ? 0 : EINVAL;
}

int memfd_of_bytes(const char *name, const void *data, size_t bytes, int *fd) {
  int error = 0;
  *fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (*fd < 0) return errno;
  for (size_t done = 0; done < bytes && error == 0;) {
    ssize_t written = write(*fd, (const char *)data + done, bytes - done);
    if (written > 0)
      done += (size_t)written;
    else if (written == 0 || errno != EINTR)
      error = written == 0 ? EIO : errno;
  }
  if (error == 0 && fcntl(*fd, F_ADD_SEALS, SEALED_SIZE | F_SEAL_WRITE | F_SEAL_SEAL) != 0) error = errno;
  if (error == 0) return 0;
  close(*fd);
  *fd = -1;
  return error;
}

int memfd_sealed_bytes(int fd, uint64_t most, size_t *bytes) {
  struct statx status;
  int error = status_of(fd, &status);
  if (error != 0) return error;
  int seals = fcntl(fd, F_GET_SEALS);
  if (seals < 0 || (seals & (SEALED_SIZE | F_SEAL_WRITE)) != (SEALED_SIZE | F_SEAL_WRITE)) return EINVAL;
  if (status.stx_size > most) return EFBIG;
  *bytes = (size_t)status.stx_size;
  return 0;
}

int memfd_read(int fd, void *data, size_t bytes) {
  for (size_t done = 0; done < bytes;) {
    ssize_t got = pread(fd, (char *)data + done, bytes - done, (off_t)done);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return got < 0 ? errno : EIO;
    done += (size_t)got;
  }
  return 0;
}

uint64_t memfd_inode(int fd) {
  struct statx status;
  return status_of(fd, &status) == 0 && status.stx_ino != 0 ? status.stx_ino : UINT64_MAX;
}
