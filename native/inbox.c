/* See inbox.h. */
#include "inbox.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define FIRST_LISTENED 3

static int prepare(int fd, const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  socklen_t bytes = offsetof(struct sockaddr_un, sun_path);
  const int yes = 1;
  if (setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &yes, sizeof yes) != 0) return errno;
  if (path != NULL) {
    size_t length = strlen(path);
    if (path[0] != '/' || length >= sizeof address.sun_path) return EINVAL;
    memcpy(address.sun_path, path, length + 1);
    bytes += (socklen_t)length + 1;
    /* Linux makes the socket's file with the mode that its descriptor has: nobody else can have opened it first. */
    if (fchmod(fd, 0600) != 0) return errno;
  }
  return bind(fd, (const struct sockaddr *)&address, bytes) == 0 ? 0 : errno;
}

int inbox_open(const char *path, int *fd) {
  *fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (*fd < 0) return errno;
  int error = prepare(*fd, path);
  if (error == 0) return 0;
  close(*fd);
  *fd = -1;
  return error;
}

int inbox_name(int fd, char *name, size_t room) {
  struct sockaddr_un address;
  socklen_t bytes = sizeof address;
  if (getsockname(fd, (struct sockaddr *)&address, &bytes) != 0) return errno;
  size_t length = bytes - offsetof(struct sockaddr_un, sun_path);
  if (bytes <= offsetof(struct sockaddr_un, sun_path) + 1 || address.sun_path[0] != 0 || length >= room) return EINVAL;
  memcpy(name, address.sun_path, length);
  name[0] = '@';
  name[length] = 0;
  return 0;
}

static void take_control(struct msghdr *header, struct inbox_message *message) {
  for (struct cmsghdr *part = CMSG_FIRSTHDR(header); part != NULL; part = CMSG_NXTHDR(header, part)) {
    if (part->cmsg_level != SOL_SOCKET) continue;
    if (part->cmsg_type == SCM_RIGHTS) {
      message->fd_count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
      memcpy(message->fds, CMSG_DATA(part), message->fd_count * sizeof(int));
    } else if (part->cmsg_type == SCM_CREDENTIALS) {
      struct ucred sender;
      memcpy(&sender, CMSG_DATA(part), sizeof sender);
      message->pid = sender.pid;
      message->uid = sender.uid;
    }
  }
}

int inbox_take(int fd, struct inbox_message *message, int or_own) {
  union {
    char bytes[CMSG_SPACE(NOTIFY_MAX_FDS * sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))];
    struct cmsghdr align;
  } control;
  struct iovec iov = {message->state, INBOX_STATE_BYTES};
  struct msghdr header = {
      .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  message->pid = 0;
  message->uid = (uid_t)-1;
  message->fd_count = 0;
  ssize_t bytes = recvmsg(fd, &header, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  if (bytes < 0) return errno;
  take_control(&header, message);
  message->state_bytes = (size_t)bytes;
  message->state[bytes] = 0;
  int error = 0;
  if (message->pid <= 0 || (message->uid != 0 && !(or_own && message->uid == getuid())))
    error = EPERM;
  else if ((header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) || strlen(message->state) != (size_t)bytes)
    error = EBADMSG;
  if (error == 0) return 0;
  for (size_t i = 0; i < message->fd_count; i++) close(message->fds[i]);
  message->fd_count = 0;
  return error;
}

const char *inbox_field(const char *state, const char *key, const char *from, size_t *bytes) {
  size_t key_bytes = strlen(key);
  const char *line = from == NULL ? state : strchr(from, '\n');
  if (from != NULL && line != NULL) line++;
  while (line != NULL && *line != 0) {
    const char *end = strchr(line, '\n');
    if (strncmp(line, key, key_bytes) == 0 && line[key_bytes] == '=') {
      const char *value = line + key_bytes + 1;
      *bytes = end == NULL ? strlen(value) : (size_t)(end - value);
      return value;
    }
    line = end == NULL ? NULL : end + 1;
  }
  return NULL;
}

static long number_of(const char *text) {
  char *end;
  if (text == NULL || *text == 0) return -1;
  errno = 0;
  long number = strtol(text, &end, 10);
  return errno != 0 || *end != 0 ? -1 : number;
}

void inbox_listened(void (*each)(void *context, int fd, const char *name), void *context) {
  char name[256];
  long count = number_of(getenv("LISTEN_FDS"));
  const char *names = getenv("LISTEN_FDNAMES");
  if (number_of(getenv("LISTEN_PID")) == (long)getpid() && count > 0 && count <= 65536) {
    for (int fd = FIRST_LISTENED; fd < FIRST_LISTENED + count; fd++) {
      size_t bytes = names == NULL ? 0 : strcspn(names, ":");
      if (bytes > 0 && bytes < sizeof name)
        snprintf(name, sizeof name, "%.*s", (int)bytes, names);
      else
        snprintf(name, sizeof name, "unknown");
      if (names != NULL) names = names[bytes] == ':' ? names + bytes + 1 : NULL;
      int flags = fcntl(fd, F_GETFD);
      if (flags < 0) continue;
      fcntl(fd, F_SETFD, flags | FD_CLOEXEC);
      each(context, fd, name);
    }
  }
  unsetenv("LISTEN_PID");
  unsetenv("LISTEN_FDS");
  unsetenv("LISTEN_FDNAMES");
}
