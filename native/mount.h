/*
 * The system calls that make a FUSE mount and its further descriptors, without libfuse and fusermount: needs root.
 * All return 0 or an errno, and name the system call that failed in *syscall.
 */
#ifndef TETHERFS_MOUNT_H
#define TETHERFS_MOUNT_H

#include <stdint.h>

/* Mounts read-only on `mountpoint`; *fd is the descriptor on which the kernel's requests come. */
int fuse_mount(const char *mountpoint, const char *source, uint32_t max_read_bytes, int *fd, const char **syscall);

/* A further descriptor of the same session, with a request queue of its own. */
int fuse_clone(int fd, int *clone, const char **syscall);

/* 0 when it is a descriptor of a connection that lives; ENODEV when it is not. */
int fuse_check(int fd, const char **syscall);

/*
 * Has the kernel send again all requests that were read from any descriptor of the session and not answered. EINVAL: it cannot.
 * Before anyone reads: what is in hand already would come twice.
 */
int fuse_resend(int fd, const char **syscall);

/* Device number of the mount, without asking the file server. */
int fuse_device(const char *mountpoint, uint32_t *major, uint32_t *minor, const char **syscall);

#endif
