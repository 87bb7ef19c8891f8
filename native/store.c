/*
 * The store's life, and the controlling thread's side: which chunks are in flight, what becomes of the slots it was
 * given, what may be evicted. See store.h; nothing here blocks for longer than table work takes.
 */
#include "store_internal.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool is_power_of_two(uint64_t number) { return number != 0 && (number & (number - 1)) == 0; }

static const char *invalid(const struct store_options *o) {
  if (!is_power_of_two(o->chunk_bytes) || o->chunk_bytes < STORE_MIN_CHUNK_BYTES ||
      o->chunk_bytes > STORE_MAX_CHUNK_BYTES)
    return "chunkSize must be a power of two from 4096 to 1048576";
  if (o->hidden_bytes % XTS_SECTOR_BYTES != 0) return "hiddenBytes must be a multiple of 512";
  if (o->image_bytes == 0 || o->hidden_bytes > o->image_bytes) return "imageSize must be positive, and at least hiddenBytes";
  uint64_t chunks = (o->image_bytes + o->chunk_bytes - 1) / o->chunk_bytes;
  if (chunks > INT32_MAX) return "imageSize is more than 2147483647 chunks";
  if (o->slots == 0 || o->slots > INT32_MAX) return "slots must be from 1 to 2147483647";
  if (o->slots < chunks && (uint64_t)o->slots * o->chunk_bytes < STORE_MAX_READ_BYTES + o->chunk_bytes)
    return "slots * chunkSize must hold the greatest read: 1 MiB and one chunk, or the whole image";
  if (o->xts_key != NULL) {
    if (o->xts_key_bytes != 32 && o->xts_key_bytes != 64) return "xtsKey must be 32 or 64 bytes";
    if ((o->image_bytes - o->hidden_bytes) % XTS_SECTOR_BYTES != 0)
      return "an encrypted image must be a multiple of 512 bytes after hiddenBytes";
  }
  if (o->leaves != NULL) {
    if (!is_power_of_two(o->block_bytes) || o->block_bytes > o->chunk_bytes)
      return "verity.blockSize must be a power of two, at most chunkSize";
    if (o->salt_bytes > VERITY_MAX_SALT_BYTES) return "verity.salt must be at most 32 bytes";
    if (o->leaf_count != (o->image_bytes + o->block_bytes - 1) / o->block_bytes)
      return "verity.leaves must hold 32 bytes for each block of the image";
  }
  return NULL;
}

static int start_finisher(struct store *store) {
  sigset_t all, before;
  /* Signals are the main thread's. */
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int error = pthread_create(&store->finisher, NULL, store_finisher_main, store);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (error != 0) return error;
  store->finisher_runs = true;
  pthread_setname_np(store->finisher, "tether-finish");
  return 0;
}

struct ledger_shape store_ledger_shape(const struct store *store, uint32_t slots) {
  return (struct ledger_shape){.image_bytes = store->image_bytes,
                               .hidden_bytes = store->hidden_bytes,
                               .chunk_bytes = store->chunk_bytes,
                               .chunks = store->chunk_count,
                               .slots = slots,
                               .page_bytes = (uint32_t)sysconf(_SC_PAGESIZE)};
}

static int open_memory(struct store *store, uint32_t slots) {
  struct ledger_shape shape = store_ledger_shape(store, slots);
  int error = arena_open(&store->arena, slots, store->chunk_bytes);
  return error != 0 ? error : ledger_create(&store->ledger, &shape);
}

static int create(struct store **out, const struct store_options *options, struct store_adoption *adopt, const char **why) {
  *why = invalid(options);
  if (*why != NULL) return EINVAL;
  struct store *store = calloc(1, sizeof *store);
  if (store == NULL) return ENOMEM;
  pthread_mutex_init(&store->lock, NULL);
  pthread_cond_init(&store->work, NULL);
  TAILQ_INIT(&store->reads);
  TAILQ_INIT(&store->queue);
  TAILQ_INIT(&store->ready);
  store->arena.fd = -1;
  store->ledger.fd = -1;
  store->ram.fd = -1;
  store->image_bytes = options->image_bytes;
  store->hidden_bytes = options->hidden_bytes;
  store->chunk_bytes = options->chunk_bytes;
  store->chunk_shift = (uint32_t)__builtin_ctz(options->chunk_bytes);
  store->chunk_count = (uint32_t)((options->image_bytes + options->chunk_bytes - 1) >> store->chunk_shift);
  store->ring = options->ring;
  store->listener = options->listener;

  int error = ENOMEM;
  store->chunks = calloc(store->chunk_count, sizeof *store->chunks);
  store->slot_owner = calloc(options->slots, 1);
  store->jobs = calloc(options->slots, sizeof *store->jobs);
  if (store->chunks == NULL || store->slot_owner == NULL || store->jobs == NULL) goto failed;
  /* A slot's chunk can be granted, promoted, touched, and published, surplus or rejected before anyone looks. */
  error = events_init(&store->events, (size_t)options->slots * 4 + 64);
  if (error != 0) goto failed;
  error = adopt == NULL ? open_memory(store, options->slots) : store_adopt(store, adopt, options->slots, why);
  if (error != 0) goto failed;
  error = trace_init(&store->trace, store->chunk_count, options->trace_limit);
  if (error != 0) goto failed;
  error = ENOMEM;
  if (options->leaves != NULL) {
    store->block_shift = (uint32_t)__builtin_ctz(options->block_bytes);
    store->verity = verity_create(options->block_bytes, options->leaves, options->leaf_count, options->salt,
                                  options->salt_bytes);
    if (store->verity == NULL) goto failed;
  }
  if (options->xts_key != NULL) {
    store->xts = xts_create(options->xts_key, options->xts_key_bytes, false);
    if (store->xts == NULL) goto failed;
    /* May be missing: then an audit says so. */
    store->encrypt = xts_create(options->xts_key, options->xts_key_bytes, true);
  }
  error = start_finisher(store);
  if (error != 0) goto failed;
  *out = store;
  return 0;

failed:
  store_destroy(store);
  return error;
}

int store_create(struct store **out, const struct store_options *options, const char **why) {
  if (options->adopt == NULL) return create(out, options, NULL, why);
  struct store_adoption adopt = *options->adopt;
  int error = create(out, options, &adopt, why);
  const int left[] = {adopt.arena, adopt.ledger, adopt.ram};
  for (size_t i = 0; i < sizeof left / sizeof left[0]; i++)
    if (left[i] >= 0) close(left[i]);
  return error;
}

void store_freeze(struct store *store) {
  pthread_mutex_lock(&store->lock);
  store->freezing = true;
  pthread_cond_signal(&store->work);
  store_unlock(store);
  if (store->finisher_runs) pthread_join(store->finisher, NULL);
  store->finisher_runs = false;
  pthread_mutex_lock(&store->lock);
  store->frozen = true;
  store->events.listening = false; /* the bell stays silent */
  store_unlock(store);
}

/* Their answers are the successor's. */
static void forget_reads(struct store *store) {
  struct read *read;
  pthread_mutex_lock(&store->lock);
  store->closed = true;
  while ((read = TAILQ_FIRST(&store->reads)) != NULL) {
    TAILQ_REMOVE(&store->reads, read, arrival);
    free(read);
  }
  TAILQ_INIT(&store->queue);
  store_unlock(store);
}

void store_close(struct store *store) {
  struct read *read;
  if (store->frozen) {
    forget_reads(store);
    return;
  }
  pthread_mutex_lock(&store->lock);
  store->closed = true;
  while ((read = TAILQ_FIRST(&store->reads)) != NULL) store_settle_error(store, read, EIO);
  store_admit(store);
  pthread_cond_signal(&store->work);
  store_unlock(store);
  if (!store->finisher_runs) return;
  pthread_join(store->finisher, NULL);
  store->finisher_runs = false;
  /* Its memory is worth more than a cache's. An audit may hold it to the end. */
  store_let_ram_go(store);
}

void store_destroy(struct store *store) {
  xts_destroy(store->xts);
  xts_destroy(store->encrypt);
  verity_destroy(store->verity);
  ram_file_close(&store->ram);
  arena_close(&store->arena);
  ledger_close(&store->ledger);
  free((void *)(uintptr_t)store->adopted.chunks);
  trace_destroy(&store->trace);
  events_destroy(&store->events);
  free(store->chunks);
  free(store->slot_owner);
  free(store->jobs);
  pthread_cond_destroy(&store->work);
  pthread_mutex_destroy(&store->lock);
  free(store);
}

uint64_t store_file_bytes(const struct store *store) { return store->image_bytes - store->hidden_bytes; }

bool store_decrypts(const struct store *store) { return store->xts != NULL; }

bool store_has_chunk(const struct store *store, uint64_t chunk) { return chunk < store->chunk_count; }

void store_unlock(struct store *store) {
  bool ring = store->events.ring_bell;
  store->events.ring_bell = false;
  pthread_mutex_unlock(&store->lock);
  if (ring) store->ring(store->listener);
}

/* ---- Events ---- */

size_t store_take_events(struct store *store, struct event *out, size_t room) {
  pthread_mutex_lock(&store->lock);
  size_t taken = 0;
  if (store->frozen) room = 0;
  taken = events_take(&store->events, out, room);
  if (taken < room && store->slots_wanted) {
    /* The number is that of this moment: what was evicted since the event fell due is not asked for again. */
    uint32_t lacking = store_slots_lacking(store);
    store->slots_wanted = false;
    if (lacking > 0) out[taken++] = (struct event){EVENT_SLOTS_WANTED, (int32_t)lacking, 0};
  }
  if (taken == 0 && room > 0) store->events.listening = true;
  store_unlock(store);
  return taken;
}

void store_listen_again(struct store *store) {
  pthread_mutex_lock(&store->lock);
  store->events.listening = !store->frozen;
  store_unlock(store);
}

void store_post(struct store *store, enum event_kind kind, uint32_t a) {
  pthread_mutex_lock(&store->lock);
  if (!store->frozen) events_post(&store->events, kind, a, 0);
  store_unlock(store);
}

/* ---- Slots ---- */

void store_free_slot(struct store *store, uint32_t slot) {
  ledger_empty(&store->ledger, slot);
  store->slot_owner[slot] = SLOT_FREE;
  arena_give(&store->arena, slot);
}

/* For the controlling thread, when no waiting read comes first. */
static int64_t spare_slot(struct store *store) {
  if (!TAILQ_EMPTY(&store->queue) || store->arena.free_count == 0 || store->frozen) return GRANT_NO_SLOT;
  uint32_t slot = arena_take(&store->arena);
  store->slot_owner[slot] = SLOT_CONTROLLER;
  return slot;
}

static bool is_controllers(const struct store *store, uint32_t slot) {
  return slot < store->arena.slots && store->slot_owner[slot] == SLOT_CONTROLLER;
}

int64_t store_spare(struct store *store) {
  pthread_mutex_lock(&store->lock);
  int64_t slot = spare_slot(store);
  store_unlock(store);
  return slot;
}

int store_write(struct store *store, uint32_t slot, uint64_t offset, const void *bytes, size_t count) {
  if (offset > store->chunk_bytes || count > store->chunk_bytes - offset) return EINVAL;
  pthread_mutex_lock(&store->lock);
  bool yours = is_controllers(store, slot), frozen = store->frozen;
  store_unlock(store);
  if (frozen) return 0;
  if (!yours) return EINVAL;
  memcpy(arena_slot(&store->arena, slot) + offset, bytes, count);
  return 0;
}

int store_complete(struct store *store, uint32_t chunk, uint32_t slot) {
  int error = EINVAL;
  pthread_mutex_lock(&store->lock);
  if (store->frozen) {
    error = 0;
  } else if (chunk < store->chunk_count && is_controllers(store, slot)) {
    store->slot_owner[slot] = SLOT_FINISHER;
    store->jobs[(store->job_head + store->job_count) % store->arena.slots] = (struct job){chunk, slot};
    store->job_count++;
    error = 0;
  }
  store_unlock(store);
  /* After the lock: the finisher would only wake up to wait for it. */
  if (error == 0) pthread_cond_signal(&store->work);
  return error;
}

int store_drop(struct store *store, uint32_t slot) {
  int error = EINVAL;
  pthread_mutex_lock(&store->lock);
  if (store->frozen) {
    error = 0;
  } else if (is_controllers(store, slot)) {
    store_free_slot(store, slot);
    store_admit(store);
    store_pass_answers(store);
    error = 0;
  }
  store_unlock(store);
  return error;
}

/* How much is given back in one go: as long as that takes, the slots are missing. */
#define TRIM_BYTES (4u << 20)

/*
 * From the list's bottom, whose slots are taken last; session threads take and give at its top meanwhile. Once sorted,
 * the bottom holds neighbours. What has been given back goes below the rest again, `done` slots so far.
 */
int store_trim(struct store *store) {
  struct arena *arena = &store->arena;
  uint32_t most = TRIM_BYTES / store->chunk_bytes;
  int error = 0;
  if (store->frozen) return 0; /* set on this thread */
  uint32_t *batch = malloc(most * sizeof *batch);
  if (batch == NULL) return ENOMEM;
  pthread_mutex_lock(&store->lock);
  uint32_t count = 0;
  for (uint32_t slot = arena->slots; slot-- > 0;)
    if (store->slot_owner[slot] == SLOT_FREE) arena->free_list[count++] = slot;
  for (uint32_t done = 0; error == 0 && done < arena->free_count; done += count) {
    count = arena->free_count - done < most ? arena->free_count - done : most;
    arena_take_at(arena, done, batch, count);
    for (uint32_t i = 0; i < count; i++) store->slot_owner[batch[i]] = SLOT_TRIMMED;
    store_unlock(store);
    error = arena_discard(arena, batch, count);
    pthread_mutex_lock(&store->lock);
    for (uint32_t i = 0; i < count; i++) store->slot_owner[batch[i]] = SLOT_FREE;
    /* Those below may have been taken. */
    if (done > arena->free_count) done = arena->free_count;
    arena_give_at(arena, done, batch, count);
    store_admit(store);
    store_pass_answers(store);
  }
  store_unlock(store);
  free(batch);
  return error;
}

/* ---- Chunks ---- */

int64_t store_grant(struct store *store, uint32_t number) {
  struct chunk *chunk = &store->chunks[number];
  pthread_mutex_lock(&store->lock);
  int64_t slot = GRANT_NOT_ABSENT;
  if (chunk->state == CHUNK_ABSENT || store->frozen) slot = spare_slot(store);
  if (slot >= 0) {
    chunk->state = CHUNK_IN_FLIGHT;
    chunk->flags = 0;
    store->stats.chunks_in_flight++;
  }
  store_unlock(store);
  return slot;
}

bool store_release(struct store *store, uint32_t number) {
  struct chunk *chunk = &store->chunks[number];
  pthread_mutex_lock(&store->lock);
  bool released = chunk->state == CHUNK_IN_FLIGHT && LIST_EMPTY(&chunk->waiters) && !store->frozen;
  if (released) {
    chunk->state = CHUNK_ABSENT;
    chunk->flags = 0;
    store->stats.chunks_in_flight--;
  }
  store_unlock(store);
  return released;
}

void store_fail(struct store *store, uint32_t number, int error) {
  struct chunk *chunk = &store->chunks[number];
  pthread_mutex_lock(&store->lock);
  if (chunk->state == CHUNK_IN_FLIGHT && !store->frozen) {
    struct wait *wait;
    while ((wait = LIST_FIRST(&chunk->waiters)) != NULL) store_settle_error(store, wait->read, error);
    chunk->state = CHUNK_ABSENT;
    chunk->flags = 0;
    store->stats.chunks_in_flight--;
    store_pass_answers(store);
  }
  store_unlock(store);
}

void store_mark(struct store *store, uint32_t number) {
  struct chunk *chunk = &store->chunks[number];
  pthread_mutex_lock(&store->lock);
  if (chunk->state != CHUNK_ABSENT) chunk->flags |= CHUNK_MARKED;
  store_unlock(store);
}

enum evicted store_try_evict(struct store *store, uint32_t number) {
  struct chunk *chunk = &store->chunks[number];
  enum evicted result = EVICTED_YES;
  pthread_mutex_lock(&store->lock);
  if (store->frozen) {
    result = EVICTED_PINNED;
  } else if (chunk->state != CHUNK_PRESENT || chunk->slot == IN_RAM) {
    result = EVICTED_ABSENT;
  } else if (chunk->pins > 0) {
    chunk->refused_in = store->shortage;
    result = EVICTED_PINNED;
  } else if (chunk->flags & CHUNK_REFERENCED) {
    chunk->flags &= (uint8_t)~CHUNK_REFERENCED;
    result = EVICTED_REFERENCED;
  } else {
    chunk->state = CHUNK_ABSENT;
    chunk->flags = 0;
    store->stats.chunks_present--;
    store->stats.chunks_evicted++;
    store_free_slot(store, chunk->slot);
    store_admit(store);
    store_pass_answers(store);
  }
  store_unlock(store);
  return result;
}

/* ---- For a successor ---- */

struct store_adopted store_get_adopted(const struct store *store) { return store->adopted; }

struct store_adoption store_descriptors(const struct store *store) {
  return (struct store_adoption){store->arena.fd, store->ledger.fd, store->ram.fd};
}

/* ---- Trace ---- */

size_t store_get_trace(struct store *store, uint32_t *out, size_t room) {
  pthread_mutex_lock(&store->lock);
  size_t count = store->trace.count < room ? store->trace.count : room;
  if (count > 0) memcpy(out, store->trace.chunks, count * sizeof *out);
  count = store->trace.count;
  store_unlock(store);
  return count;
}

void store_end_trace(struct store *store) {
  pthread_mutex_lock(&store->lock);
  store->trace.ended = true;
  store_unlock(store);
}

void store_get_stats(struct store *store, struct store_stats *out) {
  pthread_mutex_lock(&store->lock);
  const struct read *oldest = TAILQ_FIRST(&store->reads);
  *out = store->stats;
  out->oldest_wait_ms = oldest == NULL ? 0 : (double)(store_now_ns() - oldest->since_ns) / 1e6;
  out->slots_total = store->arena.slots;
  out->slots_free = store->arena.free_count;
  out->chunks_traced = store->trace.count;
  store_unlock(store);
}
