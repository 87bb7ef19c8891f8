/*
 * The file that readers see, as a whole, in a memfd: complete, it can stand behind a loop device or a FUSE file without
 * us. Written with pwrite rather than through its mapping, so that a machine without memory gives an error and not
 * SIGBUS, and so that the mapping can be read-only: a stray pointer cannot change a byte that was verified.
 *
 * The image's first bytes, which readers do not see (hidden), lie in the ledger's memory, mapped just before the file: any part of
 * the image can be read as one piece, also where a chunk begins hidden and ends in the file, and all of it survives us.
 * Knows nothing of chunks. Not thread-safe against open and close; writes must not overlap reads of the same bytes.
 */
#ifndef TETHERFS_RAM_FILE_H
#define TETHERFS_RAM_FILE_H

#include <stddef.h>
#include <stdint.h>

struct ram_file {
  int fd; /* -1: there is none */
  uint64_t hidden_bytes;
  uint8_t *region; /* the hidden bytes, up to a page's end, and then the file */
  size_t region_bytes;
  uint8_t *image; /* within the region: where the image's first byte lies */
};

/* Where the hidden bytes lie: whole pages of a descriptor. */
struct ram_head {
  int fd;
  size_t offset;
};

/* 0, or the errno of the call that failed (nothing is left behind then). */
int ram_file_open(struct ram_file *ram, uint64_t hidden_bytes, uint64_t file_bytes, struct ram_head head);
/* The file of another. EINVAL when the descriptor is not a memfd of that size for ever; it stays the caller's on failure. */
int ram_file_adopt(struct ram_file *ram, int fd, uint64_t hidden_bytes, uint64_t file_bytes, struct ram_head head);
void ram_file_close(struct ram_file *ram);

/* Offsets are those of the image. 0 or an errno: then the bytes there are undefined. */
int ram_file_write(const struct ram_file *ram, uint64_t offset, const uint8_t *data, size_t bytes);

/* Readable as far as the image goes. */
static inline const uint8_t *ram_file_at(const struct ram_file *ram, uint64_t offset) { return ram->image + offset; }

#endif
