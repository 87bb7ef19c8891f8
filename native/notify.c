/* See notify.h. */
#include "notify.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

bool notify_service_manager(const char *state) {
  const char *path = getenv("NOTIFY_SOCKET");
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (path == NULL || (path[0] != '/' && path[0] != '@')) return false;
  size_t path_bytes = strlen(path), state_bytes = strlen(state);
  if (path_bytes < 2 || path_bytes >= sizeof address.sun_path) return false;
  memcpy(address.sun_path, path, path_bytes);
  /* An abstract name begins with a zero byte and has none at its end. */
  if (path[0] == '@') address.sun_path[0] = 0;
  socklen_t address_bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path_bytes + (path[0] == '/'));
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return false;
  ssize_t sent = sendto(fd, state, state_bytes, MSG_NOSIGNAL | MSG_DONTWAIT, (const struct sockaddr *)&address, address_bytes);
  close(fd);
  return sent == (ssize_t)state_bytes;
}
