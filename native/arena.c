/* See arena.h. */
#include "arena.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int arena_open(struct arena *arena, uint32_t slots, size_t slot_bytes) {
  size_t bytes = (size_t)slots * slot_bytes;
  int error;

  *arena = (struct arena){.fd = -1, .slot_bytes = slot_bytes, .slots = slots};
  arena->free_list = malloc(slots * sizeof *arena->free_list);
  if (arena->free_list == NULL) return ENOMEM;
  arena->fd = memfd_create("tetherfs-arena", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (arena->fd < 0) goto failed;
  if (ftruncate(arena->fd, (off_t)bytes) != 0) goto failed;
  if (fcntl(arena->fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) != 0) goto failed;
  arena->base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, arena->fd, 0);
  if (arena->base == MAP_FAILED) goto failed;

  /* Slot 0 is taken first, so that a small working set touches only the arena's beginning. */
  while (arena->free_count < slots) {
    arena->free_list[arena->free_count] = slots - 1 - arena->free_count;
    arena->free_count++;
  }
  return 0;

failed:
  error = errno;
  if (arena->fd >= 0) close(arena->fd);
  free(arena->free_list);
  *arena = (struct arena){.fd = -1};
  return error;
}

void arena_close(struct arena *arena) {
  if (arena->base != NULL) munmap(arena->base, (size_t)arena->slots * arena->slot_bytes);
  if (arena->fd >= 0) close(arena->fd);
  free(arena->free_list);
  *arena = (struct arena){.fd = -1};
}
