/*
 * The other yardstick: what a single-threaded daemon with one server does. It asks over one connection for exactly what the kernel asks for, one
 * request at a time, and keeps nothing; no read-ahead of its own, no verification, no second server. Reads are at most 128 KiB, as libfuse 2
 * has them.
 *
 *   one-path MOUNTPOINT ADDRESS PORT PATH      (until unmounted; shows the last part of PATH; http)
 */
#include "fuse-file.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>

enum { LARGEST_READ = 128 * 1024, LARGEST_HEAD = 8192 };

static struct sockaddr_in server;
static const char *address, *path;
static int connection = -1;
static char answer[LARGEST_HEAD + LARGEST_READ];

static int connected(void) {
  if (connection >= 0) return connection;
  int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || connect(fd, (struct sockaddr *)&server, sizeof server) != 0) return perror("connect"), -1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  return connection = fd;
}

static void disconnect(void) {
  close(connection);
  connection = -1;
}

/* Asks once; returns where the body begins in `answer`, NULL when the connection or the answer was of no use. */
static const char *ask(uint64_t offset, size_t size, uint64_t *file_bytes) {
  char question[2048];
  int fd = connected();
  if (fd < 0) return NULL;
  int bytes = snprintf(question, sizeof question, "GET %s HTTP/1.1\r\nHost: %s\r\nRange: bytes=%llu-%llu\r\n\r\n", path, address,
                       (unsigned long long)offset, (unsigned long long)(offset + size - 1));
  if (send(fd, question, (size_t)bytes, MSG_NOSIGNAL) != bytes) return NULL;
  size_t have = 0;
  const char *body = NULL;
  while (body == NULL || have < (size_t)(body - answer) + size) {
    ssize_t more = recv(fd, answer + have, sizeof answer - 1 - have, 0);
    if (more <= 0) return NULL;
    have += (size_t)more;
    if (body != NULL) continue;
    answer[have] = 0;
    const char *end = strstr(answer, "\r\n\r\n");
    if (end == NULL) continue;
    body = end + 4;
    const char *range = strcasestr(answer, "\r\nContent-Range:");
    if (strncmp(answer, "HTTP/1.1 206", 12) != 0 || range == NULL || range > end) return NULL;
    *file_bytes = strtoull(strchr(range, '/') + 1, NULL, 10);
  }
  return body;
}

/* A server closes a connection after so many requests: the second try is on a fresh one. */
static const char *fetch(uint64_t offset, size_t size) {
  for (int tries = 0; tries < 2; tries++) {
    const char *body = ask(offset, size, &file.bytes);
    if (body != NULL) return body;
    disconnect();
  }
  return NULL;
}

static void serve_read(int fd, const struct fuse_in_header *request, const struct fuse_read_in *in) {
  uint64_t left = in->offset < file.bytes ? file.bytes - in->offset : 0;
  size_t size = in->size < left ? in->size : (size_t)left;
  const char *body = size == 0 ? "" : size > LARGEST_READ ? NULL : fetch(in->offset, size);
  reply(fd, request->unique, body == NULL ? EIO : 0, body, body == NULL ? 0 : size);
}

int main(int count, char **arguments) {
  if (count != 5) return fprintf(stderr, "usage: one-path MOUNTPOINT ADDRESS PORT PATH\n"), 2;
  address = arguments[2];
  path = arguments[4];
  server.sin_family = AF_INET;
  server.sin_port = htons((uint16_t)atoi(arguments[3]));
  if (inet_pton(AF_INET, address, &server.sin_addr) != 1) return fprintf(stderr, "no IPv4 address: %s\n", address), 2;
  file.name = strrchr(path, '/') + 1;
  file.max_readahead = LARGEST_READ;
  if (fetch(0, 1) == NULL) return fprintf(stderr, "%s does not serve %s in ranges\n", address, path), 1;
  int fd = mount_file("one-path", arguments[1]);
  if (fd < 0) return perror("mount"), 1;
  serve_all(fd);
  return 0;
}
