/* See notify.h. */
#include "notify.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

static int send_message(int fd, const struct sockaddr_un *address, socklen_t address_bytes, const char *state,
                        size_t state_bytes, const int *fds, size_t count) {
  union {
    char bytes[CMSG_SPACE(NOTIFY_MAX_FDS * sizeof(int))];
    struct cmsghdr align;
  } control;
  struct iovec iov = {(void *)(uintptr_t)state, state_bytes};
  struct msghdr message = {
      .msg_name = (void *)(uintptr_t)address, .msg_namelen = address_bytes, .msg_iov = &iov, .msg_iovlen = 1};
  if (count > 0) {
    memset(&control, 0, sizeof control);
    message.msg_control = &control;
    message.msg_controllen = CMSG_SPACE(count * sizeof(int));
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(count * sizeof(int));
    memcpy(CMSG_DATA(header), fds, count * sizeof(int));
  }
  ssize_t sent;
  do sent = sendmsg(fd, &message, MSG_NOSIGNAL | (count > 0 ? 0 : MSG_DONTWAIT));
  while (sent < 0 && errno == EINTR);
  return sent < 0 ? errno : 0;
}

int notify_send(const char *path, const char *state, size_t state_bytes, const int *fds, size_t count) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  const struct timeval patience = {0, NOTIFY_PATIENCE_MS * 1000};
  size_t path_bytes = strlen(path);
  if ((path[0] != '/' && path[0] != '@') || path_bytes < 2 || path_bytes >= sizeof address.sun_path) return EINVAL;
  if (count > NOTIFY_MAX_FDS) return EINVAL;
  memcpy(address.sun_path, path, path_bytes);
  /* An abstract name begins with a zero byte and has none at its end. */
  if (path[0] == '@') address.sun_path[0] = 0;
  socklen_t address_bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path_bytes + (path[0] == '/'));
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return errno;
  int error = setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) == 0 ? 0 : errno;
  if (error == 0) error = send_message(fd, &address, address_bytes, state, state_bytes, fds, count);
  close(fd);
  return error;
}

bool notify_service_manager(const char *state, const int *fds, size_t count) {
  const char *path = getenv("NOTIFY_SOCKET");
  return path != NULL && notify_send(path, state, strlen(state), fds, count) == 0;
}
