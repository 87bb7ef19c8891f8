/*
 * A loader thread that plays TypeScript: fetches what is granted (late, out of order, sometimes twice, sometimes
 * corrupt, sometimes not at all), prefetches at random, keeps an LRU order and evicts what is asked for. It can also have
 * the RAM file come and go, move chunks there, and trim.
 */
#ifndef TETHERFS_LOADER_H
#define TETHERFS_LOADER_H

#include "store.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct loader_options {
  uint32_t chunks, chunk_bytes, slots;
  /* Bytes of a chunk as a member serves them (the buffer holds a whole chunk). */
  void (*fetch)(void *context, uint32_t chunk, uint8_t *data);
  void *context;
  unsigned corrupt, hedge, fail, prefetch, shuffle, ram; /* of 1000 */
};

struct loader_task {
  uint32_t chunk, slot;
  bool retry;
};

struct loader {
  struct loader_options options;
  struct store *store;
  pthread_t thread;
  atomic_bool stop;
  /* Guards `rung`. */
  pthread_mutex_t lock;
  pthread_cond_t bell;
  bool rung;
  /* The thread's own. */
  uint64_t random;
  struct loader_task *tasks;
  size_t task_count;
  uint32_t *order; /* present chunks, oldest first */
  size_t order_count;
  uint8_t *buffer;
  enum { RAM_NONE, RAM_ATTACHED, RAM_LEAVING } ram_state;
  unsigned attached, detached, moved, kept;
  atomic_bool tried_ram; /* each of these has happened, attaching more than once */
  atomic_uint failed, ended;
  atomic_int ended_by;
};

static inline void loader_ring(void *listener) {
  struct loader *loader = listener;
  pthread_mutex_lock(&loader->lock);
  loader->rung = true;
  pthread_cond_signal(&loader->bell);
  pthread_mutex_unlock(&loader->lock);
}

static inline uint64_t next_random(uint64_t *state) {
  *state ^= *state << 13;
  *state ^= *state >> 7;
  *state ^= *state << 17;
  return *state;
}

static inline bool loader_chance(struct loader *loader, unsigned of_1000) {
  return next_random(&loader->random) % 1000 < of_1000;
}

static inline void loader_add(struct loader *loader, uint32_t chunk, uint32_t slot, bool retry) {
  loader->tasks[loader->task_count++] = (struct loader_task){chunk, slot, retry};
}

static inline void loader_evict(struct loader *loader, uint32_t wanted) {
  size_t tries = loader->order_count * 2;
  while (wanted > 0 && tries-- > 0 && loader->order_count > 0) {
    uint32_t chunk = loader->order[0];
    enum evicted evicted = store_try_evict(loader->store, chunk);
    memmove(loader->order, loader->order + 1, --loader->order_count * sizeof *loader->order);
    if (evicted == EVICTED_YES) wanted--;
    if (evicted == EVICTED_PINNED || evicted == EVICTED_REFERENCED) loader->order[loader->order_count++] = chunk;
  }
}

static inline void loader_event(struct loader *loader, struct event event) {
  uint32_t a = (uint32_t)event.a, b = (uint32_t)event.b;
  switch (event.kind) {
    case EVENT_GRANTED:
      loader_add(loader, a, b, false);
      if (loader_chance(loader, loader->options.hedge)) {
        int64_t slot = store_spare(loader->store);
        if (slot >= 0) loader_add(loader, a, (uint32_t)slot, true);
      }
      break;
    case EVENT_REJECTED: loader_add(loader, a, b, true); break;
    case EVENT_PUBLISHED: loader->order[loader->order_count++] = a; break;
    case EVENT_KEPT: loader->kept++; break;
    case EVENT_SLOTS_WANTED: loader_evict(loader, a); break;
    case EVENT_SESSION_ENDED:
      loader->ended_by = event.a;
      loader->ended++;
      break;
    default: break;
  }
}

static inline void loader_do_task(struct loader *loader) {
  size_t which = loader_chance(loader, loader->options.shuffle) ? next_random(&loader->random) % loader->task_count : 0;
  struct loader_task task = loader->tasks[which];
  memmove(loader->tasks + which, loader->tasks + which + 1,
          (--loader->task_count - which) * sizeof *loader->tasks);
  if (loader_chance(loader, loader->options.fail)) {
    store_fail(loader->store, task.chunk, 5);
    store_drop(loader->store, task.slot);
    loader->failed++;
    return;
  }
  loader->options.fetch(loader->options.context, task.chunk, loader->buffer);
  if (!task.retry && loader_chance(loader, loader->options.corrupt)) loader->buffer[100] ^= 4;
  store_write(loader->store, task.slot, 0, loader->buffer, loader->options.chunk_bytes);
  store_complete(loader->store, task.chunk, task.slot);
}

static inline void loader_prefetch(struct loader *loader) {
  uint32_t chunk = (uint32_t)(next_random(&loader->random) % loader->options.chunks);
  int64_t slot = store_grant(loader->store, chunk);
  if (slot < 0) return;
  store_mark(loader->store, chunk);
  if (loader_chance(loader, 200) && store_release(loader->store, chunk))
    store_drop(loader->store, (uint32_t)slot);
  else
    loader_add(loader, chunk, (uint32_t)slot, false);
}

/* One that lies in a slot, most of the time. */
static inline void loader_move(struct loader *loader) {
  bool moved = false;
  if (loader->order_count == 0) return;
  size_t which = next_random(&loader->random) % loader->order_count;
  if (store_move_to_ram(loader->store, loader->order[which], &moved) != 0 || !moved) return;
  memmove(loader->order + which, loader->order + which + 1, (--loader->order_count - which) * sizeof *loader->order);
  loader->moved++;
}

static inline void loader_ram(struct loader *loader) {
  uint32_t holders;
  int fd;
  if (loader_chance(loader, 100)) store_trim(loader->store);
  if (loader->ram_state == RAM_NONE && store_attach_ram(loader->store, &fd) == 0) {
    loader->attached++;
    loader->ram_state = RAM_ATTACHED;
  } else if (loader->ram_state == RAM_ATTACHED) {
    loader_move(loader);
    if (loader_chance(loader, 80)) loader->ram_state = RAM_LEAVING;
  }
  if (loader->ram_state == RAM_LEAVING && store_detach_ram(loader->store, &holders) == 0 && holders == 0) {
    loader->detached++;
    loader->ram_state = RAM_NONE;
  }
  if (loader->attached > 1 && loader->moved > 0 && loader->kept > 0) loader->tried_ram = true;
}

static inline void *loader_main(void *argument) {
  struct loader *loader = argument;
  struct event events[16];
  while (!loader->stop) {
    size_t count;
    while ((count = store_take_events(loader->store, events, 16)) > 0)
      for (size_t i = 0; i < count; i++) loader_event(loader, events[i]);
    if (loader_chance(loader, loader->options.prefetch)) loader_prefetch(loader);
    if (loader_chance(loader, loader->options.ram)) loader_ram(loader);
    if (loader->task_count > 0) {
      loader_do_task(loader);
      continue;
    }
    pthread_mutex_lock(&loader->lock);
    while (!loader->rung && !loader->stop) pthread_cond_wait(&loader->bell, &loader->lock);
    loader->rung = false;
    pthread_mutex_unlock(&loader->lock);
  }
  return NULL;
}

/* Before store_create, whose listener it is. */
static inline void loader_init(struct loader *loader, const struct loader_options *options) {
  memset(loader, 0, sizeof *loader);
  loader->options = *options;
  loader->random = 0x853c49e6748fea9bULL;
  loader->tasks = malloc((options->slots + 1) * sizeof *loader->tasks);
  loader->order = malloc((options->slots + options->chunks) * sizeof *loader->order);
  loader->buffer = malloc(options->chunk_bytes);
  pthread_mutex_init(&loader->lock, NULL);
  pthread_cond_init(&loader->bell, NULL);
}

static inline void loader_start(struct loader *loader, struct store *store) {
  loader->store = store;
  pthread_create(&loader->thread, NULL, loader_main, loader);
}

static inline void loader_stop(struct loader *loader) {
  loader->stop = true;
  loader_ring(loader);
  pthread_join(loader->thread, NULL);
}

static inline void loader_destroy(struct loader *loader) {
  free(loader->tasks);
  free(loader->order);
  free(loader->buffer);
  pthread_mutex_destroy(&loader->lock);
  pthread_cond_destroy(&loader->bell);
}

#endif
