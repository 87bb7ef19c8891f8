/* sd_notify's datagram, to sockets of both kinds. */
#include "check.h"
#include "notify.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

static int listen_on(const char *path, size_t bytes) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  struct timeval patience = {5, 0};
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  memcpy(address.sun_path, path, bytes);
  CHECK(bind(fd, (struct sockaddr *)&address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + bytes)) == 0);
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  return fd;
}

static bool received(int fd, const char *expected) {
  char text[256];
  ssize_t bytes = recv(fd, text, sizeof text, 0);
  return bytes == (ssize_t)strlen(expected) && memcmp(text, expected, (size_t)bytes) == 0;
}

static void to_a_path(void) {
  char directory[] = "/tmp/tetherfs-notify-test-XXXXXX", path[64];
  CHECK(mkdtemp(directory) != NULL);
  snprintf(path, sizeof path, "%s/socket", directory);
  int fd = listen_on(path, strlen(path) + 1);
  setenv("NOTIFY_SOCKET", path, 1);
  CHECK(notify_service_manager("READY=1\nSTATUS=mounted", NULL, 0));
  CHECK(received(fd, "READY=1\nSTATUS=mounted"));
  /* A manager that does not read must not hold us up. */
  int sent = 0;
  while (sent < 100000 && notify_service_manager("WATCHDOG=1", NULL, 0)) sent++;
  CHECK(sent < 100000);
  close(fd);
  CHECK(!notify_service_manager("READY=1", NULL, 0)); /* nobody there */
  unlink(path);
  rmdir(directory);
}

static void to_an_abstract_name(void) {
  char name[64];
  snprintf(name, sizeof name, "@tetherfs-notify-test-%d", (int)getpid());
  size_t bytes = strlen(name);
  setenv("NOTIFY_SOCKET", name, 1);
  name[0] = 0;
  int fd = listen_on(name, bytes);
  CHECK(notify_service_manager("STOPPING=1", NULL, 0));
  CHECK(received(fd, "STOPPING=1"));
  close(fd);
}

static void to_nobody(void) {
  char path[200];
  unsetenv("NOTIFY_SOCKET");
  CHECK(!notify_service_manager("READY=1", NULL, 0));
  static const char *const names[] = {"", "@", "/", "relative", "vsock:2:1", "/is/not/there"};
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
    setenv("NOTIFY_SOCKET", names[i], 1);
    CHECK(!notify_service_manager("READY=1", NULL, 0));
  }
  memset(path, 'x', sizeof path);
  path[0] = '/';
  path[sizeof path - 1] = 0;
  setenv("NOTIFY_SOCKET", path, 1);
  CHECK(!notify_service_manager("READY=1", NULL, 0));
}

int main(void) {
  TEST(to_a_path, "the state arrives at a socket with a path; a full one is not waited for");
  TEST(to_an_abstract_name, "the state arrives at an abstract socket");
  TEST(to_nobody, "without a socket to send to nothing happens");
  DONE();
}
