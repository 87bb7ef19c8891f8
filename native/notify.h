/*
 * sd_notify(3) and sd_pid_notify_with_fds(3) without their library: tells the service manager what state we are in, and gives it descriptors
 * to keep. See inbox.h for the other end.
 */
#ifndef TETHERFS_NOTIFY_H
#define TETHERFS_NOTIFY_H

#include <stdbool.h>
#include <stddef.h>

/* As many as the kernel takes in one message (SCM_MAX_FD). */
#define NOTIFY_MAX_FDS 253
/* How long a message with descriptors waits for room. */
#define NOTIFY_PATIENCE_MS 500

/*
 * One datagram to a socket: an absolute path, or an abstract name with '@' in front. Copies of `fds` go with it. 0 or an errno; EAGAIN when
 * there was no room, for NOTIFY_PATIENCE_MS with descriptors, at once without.
 */
int notify_send(const char *address, const char *state, size_t state_bytes, const int *fds, size_t count);

/* To $NOTIFY_SOCKET. False when there is no such socket or it does not take it. */
bool notify_service_manager(const char *state, const int *fds, size_t count);

#endif
