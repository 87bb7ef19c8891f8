/* See ram_file.h. */
#include "ram_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int map(struct ram_file *ram, uint64_t file_bytes) {
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  size_t head_bytes = (ram->hidden_bytes + page - 1) / page * page;
  ram->region_bytes = head_bytes + (file_bytes + page - 1) / page * page;
  /* First the addresses, so that both parts can be neighbours. */
  uint8_t *region = mmap(NULL, ram->region_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (region == MAP_FAILED) return errno;
  ram->region = region;
  ram->image = region + head_bytes - ram->hidden_bytes;
  if (head_bytes > 0 && mprotect(region, head_bytes, PROT_READ | PROT_WRITE) != 0) return errno;
  if (file_bytes > 0 && mmap(region + head_bytes, file_bytes, PROT_READ, MAP_SHARED | MAP_FIXED, ram->fd, 0) == MAP_FAILED)
    return errno;
  return 0;
}

int ram_file_open(struct ram_file *ram, uint64_t hidden_bytes, uint64_t file_bytes) {
  *ram = (struct ram_file){.hidden_bytes = hidden_bytes};
  ram->fd = memfd_create("tetherfs-image", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (ram->fd < 0) return errno;
  int error = 0;
  if (ftruncate(ram->fd, (off_t)file_bytes) != 0 ||
      fcntl(ram->fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) != 0)
    error = errno;
  if (error == 0) error = map(ram, file_bytes);
  if (error != 0) ram_file_close(ram);
  return error;
}

void ram_file_close(struct ram_file *ram) {
  if (ram->fd < 0) return;
  if (ram->region != NULL) munmap(ram->region, ram->region_bytes);
  close(ram->fd);
  *ram = (struct ram_file){.fd = -1};
}

int ram_file_write(const struct ram_file *ram, uint64_t offset, const uint8_t *data, size_t bytes) {
  if (offset < ram->hidden_bytes) {
    size_t hidden = ram->hidden_bytes - offset < bytes ? (size_t)(ram->hidden_bytes - offset) : bytes;
    memcpy(ram->image + offset, data, hidden);
    offset += hidden;
    data += hidden;
    bytes -= hidden;
  }
  while (bytes > 0) {
    ssize_t written = pwrite(ram->fd, data, bytes, (off_t)(offset - ram->hidden_bytes));
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return written < 0 ? errno : EIO;
    offset += (uint64_t)written;
    data += written;
    bytes -= (size_t)written;
  }
  return 0;
}
