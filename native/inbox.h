/*
 * Where the datagrams of notify.h arrive: states with descriptors, of senders known by the kernel's word. And the environment of
 * sd_listen_fds_with_names(3), by which a restarted process gets them back. Descriptors are close-on-exec.
 */
#ifndef TETHERFS_INBOX_H
#define TETHERFS_INBOX_H

#include "notify.h"

#include <stddef.h>
#include <sys/types.h>

#define INBOX_STATE_BYTES 32768

struct inbox_message {
  pid_t pid;
  uid_t uid;
  size_t state_bytes;
  size_t fd_count;
  int fds[NOTIFY_MAX_FDS];
  char state[INBOX_STATE_BYTES + 1]; /* with a zero at its end */
};

/* A socket at a path that does not exist, mode 0600; or, without one, at an abstract name that the kernel chooses. 0 or an errno. */
int inbox_open(const char *path, int *fd);

/* Its abstract name, with '@' in front. 0 or an errno. */
int inbox_name(int fd, char *name, size_t room);

/*
 * The next message, without waiting: EAGAIN when there is none. EPERM: one of a sender that is neither root nor, if `or_own`, of our own user
 * id. EBADMSG: one that was cut off, or had a zero byte in it. Both are gone then, their descriptors closed.
 */
int inbox_take(int fd, struct inbox_message *message, int or_own);

/* The value of a line KEY=value of a state, and how long it is; NULL when there is none. `from` NULL: the first, else the next after it. */
const char *inbox_field(const char *state, const char *key, const char *from, size_t *bytes);

/* Calls `each` with every descriptor the service manager gave us, and removes the variables that say so. */
void inbox_listened(void (*each)(void *context, int fd, const char *name), void *context);

#endif
