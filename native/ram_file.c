/* See ram_file.h. */
#include "ram_file.h"

#include "memfd.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int map(struct ram_file *ram, uint64_t file_bytes, struct ram_head head) {
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  size_t head_bytes = (ram->hidden_bytes + page - 1) / page * page;
  ram->region_bytes = head_bytes + (file_bytes + page - 1) / page * page;
  /* First the addresses, so that both parts can be neighbours. */
  uint8_t *region = mmap(NULL, ram->region_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (region == MAP_FAILED) return errno;
  ram->region = region;
  ram->image = region + head_bytes - ram->hidden_bytes;
  if (head_bytes > 0 && mmap(region, head_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, head.fd, (off_t)head.offset) == MAP_FAILED)
    return errno;
  if (file_bytes > 0 && mmap(region + head_bytes, file_bytes, PROT_READ, MAP_SHARED | MAP_FIXED, ram->fd, 0) == MAP_FAILED)
    return errno;
  return 0;
}

int ram_file_open(struct ram_file *ram, uint64_t hidden_bytes, uint64_t file_bytes, struct ram_head head) {
  *ram = (struct ram_file){.hidden_bytes = hidden_bytes};
  int error = memfd_of_size("tetherfs-image", file_bytes, &ram->fd);
  if (error == 0) error = map(ram, file_bytes, head);
  if (error != 0) ram_file_close(ram);
  return error;
}

int ram_file_adopt(struct ram_file *ram, int fd, uint64_t hidden_bytes, uint64_t file_bytes, struct ram_head head) {
  *ram = (struct ram_file){.fd = -1, .hidden_bytes = hidden_bytes};
  int error = memfd_has_size(fd, file_bytes);
  if (error != 0) return error;
  ram->fd = fd;
  error = map(ram, file_bytes, head);
  if (error == 0) return 0;
  if (ram->region != NULL) munmap(ram->region, ram->region_bytes);
  *ram = (struct ram_file){.fd = -1};
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
