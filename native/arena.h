/*
 * The memory that holds the cached chunks: one memfd of a hard size, sealed against growing and shrinking, mapped once,
 * cut into slots of equal size, with a list of those that are free. A memfd rather than plain memory so that its
 * descriptor can be handed to a successor process or to the kernel (FUSE passthrough).
 * Knows nothing of chunks. Not thread-safe: the caller's lock covers the free list.
 */
#ifndef TETHERFS_ARENA_H
#define TETHERFS_ARENA_H

#include <stddef.h>
#include <stdint.h>

struct arena {
  int fd;
  uint8_t *base;
  size_t slot_bytes;
  uint32_t slots;
  uint32_t free_count;
  uint32_t *free_list; /* the last one freed is the next one taken: its pages are warm */
};

/* 0, or the errno of the call that failed (nothing is left behind then). */
int arena_open(struct arena *arena, uint32_t slots, size_t slot_bytes);
/* With the memory of another: EINVAL when the descriptor is not a memfd of that size for ever. It stays the caller's then. */
int arena_adopt(struct arena *arena, int fd, uint32_t slots, size_t slot_bytes);
/* Makes the free list one of those slots whose byte in `owned` is 0. */
void arena_free_all_but(struct arena *arena, const uint8_t *owned);
void arena_close(struct arena *arena);

static inline uint8_t *arena_slot(const struct arena *arena, uint32_t slot) {
  return arena->base + (size_t)slot * arena->slot_bytes;
}

/* The caller has looked at free_count. */
static inline uint32_t arena_take(struct arena *arena) {
  return arena->free_list[--arena->free_count];
}

static inline void arena_give(struct arena *arena, uint32_t slot) {
  arena->free_list[arena->free_count++] = slot;
}

/* Takes `count` slots out of the middle of the free list, and puts them back there: `at` counts from its bottom. */
void arena_take_at(struct arena *arena, uint32_t at, uint32_t *slots, uint32_t count);
void arena_give_at(struct arena *arena, uint32_t at, const uint32_t *slots, uint32_t count);

/* Gives the pages of slots back to the system, neighbours (in falling order) in one call. 0 or an errno. */
int arena_discard(const struct arena *arena, const uint32_t *slots, uint32_t count);

#endif
