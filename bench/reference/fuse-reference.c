/*
 * The yardstick: the barest multi-threaded FUSE server one can write in C. It serves one file from memory over raw
 * /dev/fuse, a cloned descriptor for each thread, one read(2) and one writev(2) a request; no table, no lock, no
 * decryption. What tetherfs loses against it on cached reads is the price of its cache.
 *
 *   fuse-reference MOUNTPOINT THREADS MEGABYTES      (until unmounted)
 */
#include "fuse-file.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

static uint8_t *memory;

static void serve_read(int fd, const struct fuse_in_header *request, const struct fuse_read_in *in) {
  uint64_t left = in->offset < file.bytes ? file.bytes - in->offset : 0;
  reply(fd, request->unique, 0, memory + in->offset, in->size < left ? in->size : left);
}

static void *serve(void *argument) {
  serve_all((int)(intptr_t)argument);
  return NULL;
}

int main(int count, char **arguments) {
  if (count != 4) return fprintf(stderr, "usage: fuse-reference MOUNTPOINT THREADS MEGABYTES\n"), 2;
  int threads = atoi(arguments[2]);
  file.name = "data";
  file.bytes = (uint64_t)atoi(arguments[3]) << 20;
  file.flags = FUSE_ASYNC_DIO | FUSE_MAX_PAGES | FUSE_PARALLEL_DIROPS;
  file.max_readahead = 1 << 20;
  file.max_pages = 256;
  int arena = memfd_create("reference", MFD_CLOEXEC);
  if (arena < 0 || ftruncate(arena, (off_t)file.bytes) != 0) return perror("memfd"), 1;
  memory = mmap(NULL, file.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, arena, 0);
  memset(memory, 0x5a, file.bytes);

  int fd = mount_file("fuse-reference", arguments[1]);
  if (fd < 0) return perror("mount"), 1;
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
