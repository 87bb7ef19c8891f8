/* See arena.h. */
#include "arena.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
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

void arena_take_at(struct arena *arena, uint32_t at, uint32_t *slots, uint32_t count) {
  uint32_t *place = arena->free_list + at;
  memcpy(slots, place, count * sizeof *slots);
  memmove(place, place + count, (arena->free_count - at - count) * sizeof *place);
  arena->free_count -= count;
}

void arena_give_at(struct arena *arena, uint32_t at, const uint32_t *slots, uint32_t count) {
  uint32_t *place = arena->free_list + at;
  memmove(place + count, place, (arena->free_count - at) * sizeof *place);
  memcpy(place, slots, count * sizeof *place);
  arena->free_count += count;
}

int arena_discard(const struct arena *arena, const uint32_t *slots, uint32_t count) {
  for (uint32_t i = 0; i < count;) {
    uint32_t run = 1;
    while (i + run < count && slots[i + run] == slots[i] - run) run++;
    uint32_t lowest = slots[i] - (run - 1);
    if (fallocate(arena->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)((size_t)lowest * arena->slot_bytes),
                  (off_t)((size_t)run * arena->slot_bytes)) != 0)
      return errno;
    i += run;
  }
  return 0;
}
