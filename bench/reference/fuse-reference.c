/*
 * The yardstick: the barest multi-threaded FUSE server one can write in C. It serves one file from memory over raw
 * /dev/fuse, a cloned descriptor for each thread, one read(2) and one writev(2) a request; no table, no lock, no
 * decryption. What tetherfs loses against it on cached reads is the price of its cache.
 *
 *   fuse-reference MOUNTPOINT THREADS MEGABYTES      (until unmounted)
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define NAME "data"

static uint8_t *memory;
static uint64_t file_bytes;

static void reply(int fd, uint64_t unique, int error, const void *body, size_t bytes) {
  struct fuse_out_header header = {(uint32_t)(sizeof header + bytes), -error, unique};
  struct iovec iov[2] = {{&header, sizeof header}, {(void *)(uintptr_t)body, bytes}};
  if (writev(fd, iov, bytes > 0 ? 2 : 1) < 0 && errno != ENOENT && errno != ENODEV) perror("writev");
}

static struct fuse_attr attributes(uint64_t node) {
  bool file = node == 2;
  return (struct fuse_attr){.ino = node,
                            .size = file ? file_bytes : 0,
                            .mode = file ? S_IFREG | 0444 : S_IFDIR | 0555,
                            .nlink = 1,
                            .blksize = 4096};
}

static void do_init(int fd, const struct fuse_in_header *request, const struct fuse_init_in *in) {
  uint32_t flags = in->flags & (FUSE_ASYNC_READ | FUSE_ASYNC_DIO | FUSE_MAX_PAGES | FUSE_PARALLEL_DIROPS);
  struct fuse_init_out out = {.major = 7,
                              .minor = in->minor < 38 ? in->minor : 38,
                              .max_readahead = 1 << 20,
                              .flags = flags,
                              .max_background = 256,
                              .congestion_threshold = 192,
                              .max_write = 4096,
                              .time_gran = 1,
                              .max_pages = 256};
  reply(fd, request->unique, 0, &out, sizeof out);
}

static void serve_read(int fd, const struct fuse_in_header *request, const struct fuse_read_in *in) {
  uint64_t left = in->offset < file_bytes ? file_bytes - in->offset : 0;
  reply(fd, request->unique, 0, memory + in->offset, in->size < left ? in->size : left);
}

static void serve_one(int fd, const struct fuse_in_header *request) {
  const void *body = request + 1;
  if (request->opcode == FUSE_READ) {
    serve_read(fd, request, body);
  } else if (request->opcode == FUSE_INIT) {
    do_init(fd, request, body);
  } else if (request->opcode == FUSE_LOOKUP && strcmp(body, NAME) == 0) {
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

static void *serve(void *argument) {
  int fd = (int)(intptr_t)argument;
  static _Thread_local uint64_t buffer[65536 / 8];
  for (;;) {
    ssize_t bytes = read(fd, buffer, sizeof buffer);
    if (bytes > 0)
      serve_one(fd, (const struct fuse_in_header *)buffer);
    else if (errno != EINTR && errno != ENOENT && errno != EAGAIN)
      return NULL;
  }
}

int main(int count, char **arguments) {
  if (count != 4) return fprintf(stderr, "usage: fuse-reference MOUNTPOINT THREADS MEGABYTES\n"), 2;
  int threads = atoi(arguments[2]);
  file_bytes = (uint64_t)atoi(arguments[3]) << 20;
  int arena = memfd_create("reference", MFD_CLOEXEC);
  if (arena < 0 || ftruncate(arena, (off_t)file_bytes) != 0) return perror("memfd"), 1;
  memory = mmap(NULL, file_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, arena, 0);
  memset(memory, 0x5a, file_bytes);

  char data[128];
  int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
  snprintf(data, sizeof data, "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions", fd);
  if (mount("fuse-reference", arguments[1], "fuse.reference", MS_RDONLY | MS_NOSUID | MS_NODEV, data) != 0)
    return perror("mount"), 1;
  pthread_t ids[64];
  for (int i = 0; i < threads && i < 64; i++) {
    int clone = fd;
    uint32_t original = (uint32_t)fd;
    if (i > 0 && ((clone = open("/dev/fuse", O_RDWR | O_CLOEXEC)) < 0 || ioctl(clone, FUSE_DEV_IOC_CLONE, &original)))
      return perror("clone"), 1;
    pthread_create(&ids[i], NULL, serve, (void *)(intptr_t)clone);
  }
  for (int i = 0; i < threads && i < 64; i++) pthread_join(ids[i], NULL);
  return 0;
}
