/*
 * Work for a process of its own, which has none of our descriptors. Some system calls wait for reads of our own mount,
 * and nothing ends that wait, not even SIGKILL. In a thread of ours such a call would outlive the threads that answer
 * those reads, and hold /dev/fuse open for ever: the kernel could not end the mount, and neither the wait nor the dying
 * process would end. A process without /dev/fuse goes on waiting alone until the mount has ended with us.
 */
#ifndef TETHERFS_ERRAND_H
#define TETHERFS_ERRAND_H

/*
 * Runs `task` there and waits for it: what it returned (0 or an errno), or the errno because of which it did not run.
 * Descriptors 0 to 2 and `keep` (-1: none) are open there. The task shares our memory while we wait: it may make system
 * calls, and must not allocate, lock, or leave anything changed. Not for a thread
 * that others wait for.
 */
int errand_run(int (*task)(const void *argument), const void *argument, int keep);

#endif
