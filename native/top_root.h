/* What a process finds by absolute paths when the machine has got another root directory than it has. */
#ifndef TETHERFS_TOP_ROOT_H
#define TETHERFS_TOP_ROOT_H

#include <sys/types.h>

/*
 * switch_root mounts the new root over the old one and changes the root of process 1 alone. Who was started before then sees an emptied initramfs. The
 * new root must not become ours: it stands on a mount that we serve, so that whatever we open there may wait for ourselves, and a successor
 * would wait for ever. So those parts of the machine's root that the kernel or RAM answers for are shown under their paths in the old one: /dev, /proc,
 * /sys, /run, and the runtime in it.
 *
 * Path lookup does not see what is mounted on a process's root, but it does see what is mounted on the root that `..` leads to: "/../run" is the
 * machine's /run, whatever our root is.
 *
 * Does nothing when our root is the machine's.
 */
void top_root_reach(void);

/*
 * Makes the root of process `pid` ours, as a successor has to: what it is started from, the directory `keep`, is shown there under the same path. Nothing
 * happens when it is ours already. 0 or an errno; names the system call that failed in *syscall.
 */
int top_root_join(pid_t pid, const char *keep, const char **syscall);

#endif
