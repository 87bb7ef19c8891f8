/* See arena.h. */
#include "arena.h"

#include "memfd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int map(struct arena *arena) {
  void *base = mmap(NULL, (size_t)arena->slots * arena->slot_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, arena->fd, 0);
  if (base == MAP_FAILED) return errno;
  arena->base = base;
  return 0;
}

static int prepare(struct arena *arena, uint32_t slots, size_t slot_bytes) {
  *arena = (struct arena){.fd = -1, .slot_bytes = slot_bytes, .slots = slots};
  arena->free_list = malloc(slots * sizeof *arena->free_list);
  if (arena->free_list == NULL) return ENOMEM;
  /* Slot 0 is taken first, so that a small working set touches only the arena's beginning. */
  while (arena->free_count < slots) {
    arena->free_list[arena->free_count] = slots - 1 - arena->free_count;
    arena->free_count++;
  }
  return 0;
}

int arena_open(struct arena *arena, uint32_t slots, size_t slot_bytes) {
  int error = prepare(arena, slots, slot_bytes);
  if (error == 0) error = memfd_of_size("tetherfs-arena", (uint64_t)slots * slot_bytes, &arena->fd);
  if (error == 0) error = map(arena);
  if (error != 0) arena_close(arena);
  return error;
}

int arena_adopt(struct arena *arena, int fd, uint32_t slots, size_t slot_bytes) {
  int error = prepare(arena, slots, slot_bytes);
  if (error == 0) error = memfd_has_size(fd, (uint64_t)slots * slot_bytes);
  arena->fd = fd;
  if (error == 0) error = map(arena);
  if (error != 0) {
    arena->fd = -1;
    arena_close(arena);
  }
  return error;
}

void arena_free_all_but(struct arena *arena, const uint8_t *owned) {
  arena->free_count = 0;
  for (uint32_t slot = arena->slots; slot-- > 0;)
    if (owned[slot] == 0) arena_give(arena, slot);
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
