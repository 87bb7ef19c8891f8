/*
 * The least of a FUSE file system with one file, over raw /dev/fuse: what the programs beside this have in common. Each says how it serves a read.
 */
#ifndef TETHERFS_BENCH_FUSE_FILE_H
#define TETHERFS_BENCH_FUSE_FILE_H

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

/* Filled before the mount. */
static struct {
  const char *name;
  uint64_t bytes;
  /* Of INIT, beside FUSE_ASYNC_READ. */
  uint32_t flags;
  uint32_t max_readahead;
  uint16_t max_pages;
} file;

/* Answers a FUSE_READ by `reply`. */
static void serve_read(int fd, const struct fuse_in_header *request, const struct fuse_read_in *in);

static void reply(int fd, uint64_t unique, int error, const void *body, size_t bytes) {
  struct fuse_out_header header = {(uint32_t)(sizeof header + bytes), -error, unique};
  struct iovec iov[2] = {{&header, sizeof header}, {(void *)(uintptr_t)body, bytes}};
  if (writev(fd, iov, bytes > 0 ? 2 : 1) < 0 && errno != ENOENT && errno != ENODEV) perror("writev");
}

static struct fuse_attr attributes(uint64_t node) {
  bool is_file = node == 2;
  return (struct fuse_attr){.ino = node,
                            .size = is_file ? file.bytes : 0,
                            .mode = is_file ? S_IFREG | 0444 : S_IFDIR | 0555,
                            .nlink = 1,
                            .blksize = 4096};
}

static void do_init(int fd, const struct fuse_in_header *request, const struct fuse_init_in *in) {
  struct fuse_init_out out = {.major = 7,
                              .minor = in->minor < 38 ? in->minor : 38,
                              .max_readahead = file.max_readahead,
                              .flags = in->flags & (FUSE_ASYNC_READ | file.flags),
                              .max_background = 256,
                              .congestion_threshold = 192,
                              .max_write = 4096,
                              .time_gran = 1,
                              .max_pages = file.max_pages};
  reply(fd, request->unique, 0, &out, sizeof out);
}

static void serve_one(int fd, const struct fuse_in_header *request) {
  const void *body = request + 1;
  if (request->opcode == FUSE_READ) {
    serve_read(fd, request, body);
  } else if (request->opcode == FUSE_INIT) {
    do_init(fd, request, body);
  } else if (request->opcode == FUSE_LOOKUP && strcmp(body, file.name) == 0) {
    struct fuse_entry_out out = {.nodeid = 2, .entry_valid = 3600, .attr_valid = 3600, .attr = attributes(2)};
    reply(fd, request->unique, 0, &out, sizeof out);
  } else if (request->opcode == FUSE_GETATTR) {
    struct fuse_attr_out out = {.attr_valid = 3600, .attr = attributes(request->nodeid)};
    reply(fd, request->unique, 0, &out, sizeof out);
  } else if (request->opcode == FUSE_OPEN || request->opcode == FUSE_OPENDIR) {
    const struct fuse_open_in *in = body;
    /* As tetherfs does, so that the kernel goes the same way for both. */
    struct fuse_open_out out = {.open_flags = FOPEN_KEEP_CACHE | (in->flags & O_DIRECT ? FOPEN_DIRECT_IO : 0)};
    reply(fd, request->unique, 0, &out, sizeof out);
  } else if (request->opcode == FUSE_RELEASE || request->opcode == FUSE_RELEASEDIR) {
    reply(fd, request->unique, 0, NULL, 0);
  } else if (request->opcode == FUSE_LOOKUP) {
    reply(fd, request->unique, ENOENT, NULL, 0);
  } else if (request->opcode != FUSE_FORGET && request->opcode != FUSE_BATCH_FORGET &&
             request->opcode != FUSE_INTERRUPT) {
    reply(fd, request->unique, ENOSYS, NULL, 0);
  }
}

/* Serves what comes through a descriptor until the mount is gone. */
static void serve_all(int fd) {
  static _Thread_local uint64_t buffer[65536 / 8];
  for (;;) {
    ssize_t bytes = read(fd, buffer, sizeof buffer);
    if (bytes > 0)
      serve_one(fd, (const struct fuse_in_header *)buffer);
    else if (errno != EINTR && errno != ENOENT && errno != EAGAIN)
      return;
  }
}

/* Returns the descriptor, -1 with errno. */
static int mount_file(const char *source, const char *mountpoint) {
  char data[128];
  int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
  if (fd < 0) return -1;
  snprintf(data, sizeof data, "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions", fd);
  return mount(source, mountpoint, "fuse.reference", MS_RDONLY | MS_NOSUID | MS_NODEV, data) == 0 ? fd : -1;
}

#endif
