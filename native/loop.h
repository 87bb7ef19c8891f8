/*
 * What a loop device stands on, and having it stand on something else while it is in use. See loop(4).
 * All return 0 or an errno, and name the system call that failed in *syscall.
 */
#ifndef TETHERFS_LOOP_H
#define TETHERFS_LOOP_H

#include <stdbool.h>
#include <stdint.h>

struct loop_status {
  uint32_t major, minor; /* st_dev of the file behind it */
  uint64_t inode;
  bool read_only, direct_io;
};

/*
 * ENXIO: nothing is behind it. ETIMEDOUT: the kernel did not say within LOOP_PATIENCE_MS, because whoever holds the
 * device's lock waits for a read of it: a scan for partitions, a change under way. Such a read may be one that only the
 * calling thread can have answered, so that to wait for it would be to wait for ever.
 */
#define LOOP_PATIENCE_MS 250
int loop_get_status(const char *device, struct loop_status *status, const char **syscall);

/* The device must be read-only, and the file of the same size. Waits for the reads under way. */
int loop_change_file(const char *device, int fd, const char **syscall);

/* Of a file: `size` bytes from `offset` on, a multiple of 512. Size 0: to its end. */
struct loop_part {
  uint64_t offset, size;
};

/*
 * A free loop device, attached read-only to a part of the file, which it leaves with its last user: *fd is one. `device` has room for LOOP_NAME_BYTES.
 */
#define LOOP_NAME_BYTES 32
int loop_attach(const char *path, struct loop_part part, char *device, int *fd, const char **syscall);

#endif
