/*
 * Which chunks readers touched, in the order of their first touch: what a boot needs, for the next boot to have it
 * early. A chunk counts once, also when it was evicted and fetched again. Not thread-safe: the store's lock covers it.
 */
#ifndef TETHERFS_TRACE_H
#define TETHERFS_TRACE_H

#include <stdbool.h>
#include <stdint.h>

struct trace {
  uint64_t *seen; /* a bit a chunk */
  uint32_t *chunks;
  uint32_t limit, count;
  bool ended;
};

/* At most `limit` chunks are recorded, and nothing is allocated when it is 0. 0 or ENOMEM. */
int trace_init(struct trace *trace, uint32_t chunk_count, uint32_t limit);
void trace_destroy(struct trace *trace);

static inline void trace_touch(struct trace *trace, uint32_t chunk) {
  if (trace->count == trace->limit || trace->ended) return;
  uint64_t bit = 1ULL << (chunk % 64);
  if (trace->seen[chunk / 64] & bit) return;
  trace->seen[chunk / 64] |= bit;
  trace->chunks[trace->count++] = chunk;
}

#endif
