/*
 * The finisher: the thread through which every chunk passes between the network and the readers. It pads the image's
 * last chunk, compares each verity block with its leaf, decrypts in place, copies to the RAM file if there is one,
 * publishes, and answers the reads that became whole. One thread, so no chunk is ever decrypted twice.
 */
#include "store_internal.h"

#include <string.h>

/* Whether the slot's bytes are what they should be; then they are also as readers are to see them. Without the lock. */
static bool finish(struct store *store, struct job job) {
  uint8_t *data = arena_slot(&store->arena, job.slot);
  uint64_t start = (uint64_t)job.chunk << store->chunk_shift;
  uint64_t end = start + store->chunk_bytes;

  if (end > store->image_bytes) {
    memset(data + (store->image_bytes - start), 0, end - store->image_bytes);
    end = store->image_bytes;
  }
  if (store->verity != NULL && !verity_check(store->verity, data, store->chunk_bytes, start >> store->block_shift)) return false;
  if (store->xts != NULL && end > store->hidden_bytes) {
    uint64_t from = start > store->hidden_bytes ? start : store->hidden_bytes;
    uint64_t sector = (from - store->hidden_bytes) / XTS_SECTOR_BYTES;
    /* A failing library counts as a bad chunk: it is fetched again, and shown to nobody. */
    if (!xts_run(store->xts, data + (from - start), end - from, sector)) return false;
  }
  return true;
}

/* `kept`: the RAM file has it. Otherwise the ledger gets the CRC of the slot's bytes. */
static void publish(struct store *store, struct job job, bool kept, uint32_t crc) {
  struct chunk *chunk = &store->chunks[job.chunk];
  chunk->slot = kept ? IN_RAM : job.slot;
  chunk->state = CHUNK_PRESENT;
  if (!(chunk->flags & CHUNK_DEMANDED)) {
    chunk->flags |= CHUNK_PREFETCHED;
    store->stats.chunks_prefetched++;
  }
  chunk->flags &= (uint8_t)~(CHUNK_DEMANDED | CHUNK_REFERENCED);
  store->stats.chunks_in_flight--;
  store->stats.chunks_present++;
  store->stats.chunks_published++;
  store_wake_waiters(store, chunk);
  if (kept) {
    store->stats.chunks_in_ram++;
    ledger_mark(&store->ledger, job.chunk, 1);
    store_free_slot(store, job.slot);
    /* Before the slot is given to anybody, so that the listener hears of it first. */
    events_post(&store->events, EVENT_KEPT, job.chunk, job.slot);
    store_admit(store);
  } else {
    store->slot_owner[job.slot] = SLOT_CHUNK;
    ledger_set(&store->ledger, job.slot, job.chunk, crc);
    events_post(&store->events, EVENT_PUBLISHED, job.chunk, job.slot);
    if (chunk->pins == 0) store_maybe_evictable(store);
  }
}

static void surplus(struct store *store, struct job job) {
  store_free_slot(store, job.slot);
  events_post(&store->events, EVENT_SURPLUS, job.chunk, job.slot);
  store_admit(store);
}

static void reject(struct store *store, struct job job) {
  store->slot_owner[job.slot] = SLOT_CONTROLLER;
  store->stats.chunks_rejected++;
  events_post(&store->events, EVENT_REJECTED, job.chunk, job.slot);
}

static void do_job(struct store *store, struct job job) {
  const struct chunk *chunk = &store->chunks[job.chunk];
  if (chunk->state != CHUNK_IN_FLIGHT) {
    surplus(store, job);
    return;
  }
  bool keep = store->ram_attached;
  if (keep) store->ram_workers++;
  store_unlock(store);
  bool good = finish(store, job);
  /* Without memory for it the chunk stays in its slot, where it is just as good. */
  bool kept = good && keep && store_copy_to_ram(store, job.chunk, job.slot) == 0;
  /* Also when it is kept: the RAM file may have begun to go by now (but no other can have come). */
  uint32_t crc = 0;
  if (good) crc = ledger_crc(job.chunk, arena_slot(&store->arena, job.slot), store->chunk_bytes);
  pthread_mutex_lock(&store->lock);
  if (keep) store->ram_workers--;
  if (!good)
    reject(store, job);
  else if (chunk->state == CHUNK_IN_FLIGHT)
    publish(store, job, kept && store->ram_attached, crc);
  else
    surplus(store, job); /* failed or released meanwhile */
}

void *store_finisher_main(void *argument) {
  struct store *store = argument;
  pthread_mutex_lock(&store->lock);
  for (;;) {
    store_write_answers(store);
    if (store->closed || store->freezing) break;
    if (store->job_count == 0) {
      /* Ring for what the last job posted before going to sleep. */
      if (store->events.ring_bell) {
        store_unlock(store);
        pthread_mutex_lock(&store->lock);
        continue;
      }
      pthread_cond_wait(&store->work, &store->lock);
      continue;
    }
    struct job job = store->jobs[store->job_head];
    store->job_head = (store->job_head + 1) % store->arena.slots;
    store->job_count--;
    do_job(store, job);
  }
  store_unlock(store);
  return NULL;
}
