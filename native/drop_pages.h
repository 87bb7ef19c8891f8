/*
 * Takes the mounted file out of the kernel's page cache. Pages that are being read, and those that somebody has mapped,
 * stay: FUSE_NOTIFY_INVAL_INODE would take them too, but waits for reads (see errand.h), and needs /dev/fuse for it.
 */
#ifndef TETHERFS_DROP_PAGES_H
#define TETHERFS_DROP_PAGES_H

/*
 * The mountpoint is an absolute path of the time of mounting. It is looked for there and, because the root may have been
 * changed since (switch_root), also in the root of process 1. 0 or an errno; ENOENT when it is at neither. Not for a
 * session thread, which would have to answer the open.
 */
int drop_pages(const char *mountpoint, const char *name, unsigned major, unsigned minor);

#endif
