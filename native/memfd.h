/*
 * memfds: memory that has a descriptor, and so can outlive the process. All are close-on-exec. 0 or an errno.
 */
#ifndef TETHERFS_MEMFD_H
#define TETHERFS_MEMFD_H

#include <stddef.h>
#include <stdint.h>

/* Of exactly that size for ever: zeros that cost no memory until they are written. */
int memfd_of_size(const char *name, uint64_t bytes, int *fd);

/* Whether it has that size for ever: EINVAL if not. To map anything else is to risk SIGBUS. */
int memfd_has_size(int fd, uint64_t bytes);

/* With these bytes for ever. */
int memfd_of_bytes(const char *name, const void *data, size_t bytes, int *fd);

/* How many bytes it has for ever: EINVAL when they can change, EFBIG when there are more than `most`. */
int memfd_sealed_bytes(int fd, uint64_t most, size_t *bytes);

/* Tells it from all others that exist. Never 0. */
uint64_t memfd_inode(int fd);

/* Fills `data` from its beginning. EIO when there are fewer. */
int memfd_read(int fd, void *data, size_t bytes);

#endif
