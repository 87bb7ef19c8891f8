/*
 * The readers' side of the store. A read whose chunks are all present is answered on the spot, from the slots or the RAM file. Any other
 * waits in a first-in-first-out queue *holding nothing* until all the slots it needs can be had at once; then it pins
 * what is present, joins what is in flight, and puts the rest in flight. A read that holds something thus needs nothing
 * more than chunks that are on their way, so the smallest arena cannot deadlock.
 *
 * While the queue's head lacks slots (a shortage), reads that are answered on the spot must not keep the arena full for
 * ever: they do not set the referenced bit, and a chunk that could not be evicted for its pins during this shortage is
 * not answered from the spot any more: its readers queue up behind the head.
 */
#include "store_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

/* A read of the greatest size that begins in the middle of a chunk; and the header's place. */
#define MAX_IOV (STORE_MAX_READ_BYTES / STORE_MIN_CHUNK_BYTES + 2)

int64_t store_now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* A reader uses a chunk that is present or in flight. */
static void touch(struct store *store, uint32_t number) {
  struct chunk *chunk = &store->chunks[number];
  if (chunk->flags & CHUNK_MARKED) {
    chunk->flags &= (uint8_t)~CHUNK_MARKED;
    events_post(&store->events, EVENT_TOUCHED, number, 0);
  }
  if (chunk->flags & CHUNK_PREFETCHED) {
    chunk->flags &= (uint8_t)~CHUNK_PREFETCHED;
    store->stats.chunks_prefetched_read++;
  }
  trace_touch(&store->trace, number);
}

static void unpin(struct store *store, struct chunk *chunk) {
  if (--chunk->pins > 0) return;
  if (chunk->slot != IN_RAM)
    store_maybe_evictable(store);
  else if (store->ram_leaving)
    store_drop_from_ram(store, chunk);
}

void store_maybe_evictable(struct store *store) {
  if (store->shortage == 0) return;
  store->slots_wanted = true;
  events_nudge(&store->events);
}

static uint32_t slots_needed(const struct store *store, const struct read *read) {
  uint32_t needed = 0;
  for (uint32_t i = 0; i < read->count; i++) needed += store->chunks[read->first + i].state == CHUNK_ABSENT;
  return needed;
}

uint32_t store_slots_lacking(const struct store *store) {
  const struct read *head = TAILQ_FIRST(&store->queue);
  if (head == NULL) return 0;
  uint32_t needed = slots_needed(store, head);
  return needed > store->arena.free_count ? needed - store->arena.free_count : 0;
}

/* Fills iov[1..] with where the read's bytes lie. All its chunks are pinned, so no lock is needed. */
static int gather(const struct store *store, uint64_t offset, uint32_t bytes, struct iovec *iov) {
  int count = 1;
  uint32_t number = (uint32_t)(offset >> store->chunk_shift);
  uint32_t within = (uint32_t)(offset & (store->chunk_bytes - 1));
  while (bytes > 0) {
    uint32_t piece = store->chunk_bytes - within;
    if (piece > bytes) piece = bytes;
    iov[count].iov_base = (void *)(uintptr_t)(store_chunk_bytes(store, number) + within);
    iov[count].iov_len = piece;
    count++;
    number++;
    within = 0;
    bytes -= piece;
  }
  return count;
}

static void reply_error(struct reply_to *to, uint64_t unique, int error) {
  struct iovec iov[1];
  to->reply(to, unique, error, iov, 1, 0);
}

/* ---- Waiting reads ---- */

static void settle(struct store *store, struct read *read, int error) {
  TAILQ_REMOVE(&store->reads, read, arrival);
  store->stats.reads_waiting--;
  read->error = error;
  TAILQ_INSERT_TAIL(&store->ready, read, turn);
}

static void leave_queue(struct store *store, struct read *read) {
  TAILQ_REMOVE(&store->queue, read, turn);
  read->queued = false;
}

static void unpin_all(struct store *store, struct read *read) {
  for (uint32_t i = 0; i < read->count; i++) {
    if (read->waits[i].kind == WAIT_PINNED) unpin(store, &store->chunks[read->waits[i].chunk]);
    read->waits[i].kind = WAIT_NOTHING;
  }
}

void store_settle_error(struct store *store, struct read *read, int error) {
  if (read->queued) leave_queue(store, read);
  for (uint32_t i = 0; i < read->count; i++) {
    if (read->waits[i].kind != WAIT_JOINED) continue;
    LIST_REMOVE(&read->waits[i], of_chunk);
    read->waits[i].kind = WAIT_NOTHING;
  }
  unpin_all(store, read);
  settle(store, read, error);
}

void store_wake_waiters(struct store *store, struct chunk *chunk) {
  struct wait *wait;
  while ((wait = LIST_FIRST(&chunk->waiters)) != NULL) {
    LIST_REMOVE(wait, of_chunk);
    wait->kind = WAIT_PINNED;
    chunk->pins++;
    if (--wait->read->missing == 0) settle(store, wait->read, 0);
  }
}

static void admit_chunk(struct store *store, struct wait *wait) {
  struct chunk *chunk = &store->chunks[wait->chunk];
  if (chunk->state == CHUNK_PRESENT) {
    chunk->pins++;
    chunk->flags |= CHUNK_REFERENCED;
    wait->kind = WAIT_PINNED;
    touch(store, wait->chunk);
    return;
  }
  if (chunk->state == CHUNK_ABSENT) {
    uint32_t slot = arena_take(&store->arena);
    store->slot_owner[slot] = SLOT_CONTROLLER;
    chunk->state = CHUNK_IN_FLIGHT;
    chunk->flags = CHUNK_DEMANDED;
    store->stats.chunks_in_flight++;
    events_post(&store->events, EVENT_GRANTED, wait->chunk, slot);
  } else if (!(chunk->flags & CHUNK_DEMANDED)) {
    chunk->flags |= CHUNK_DEMANDED;
    events_post(&store->events, EVENT_PROMOTED, wait->chunk, 0);
  }
  LIST_INSERT_HEAD(&chunk->waiters, wait, of_chunk);
  wait->kind = WAIT_JOINED;
  wait->read->missing++;
  touch(store, wait->chunk);
}

void store_admit(struct store *store) {
  struct read *read;
  while ((read = TAILQ_FIRST(&store->queue)) != NULL) {
    if (store_slots_lacking(store) > 0) {
      if (store->shortage == 0) {
        if (++store->shortages == 0) store->shortages = 1;
        store->shortage = store->shortages;
      }
      store_maybe_evictable(store);
      return;
    }
    store->shortage = 0;
    leave_queue(store, read);
    for (uint32_t i = 0; i < read->count; i++) admit_chunk(store, &read->waits[i]);
    if (read->missing == 0) settle(store, read, 0);
  }
  store->shortage = 0;
}

static void count_answer(struct store *store, const struct read *read) {
  if (read->error == EINTR) {
    store->stats.reads_interrupted++;
  } else if (read->error != 0) {
    store->stats.reads_failed++;
  } else {
    double waited_ms = (double)(store_now_ns() - read->since_ns) / 1e6;
    store->stats.reads_waited++;
    store->stats.bytes_read += read->bytes;
    if (waited_ms > store->stats.longest_wait_ms) store->stats.longest_wait_ms = waited_ms;
  }
}

void store_write_answers(struct store *store) {
  struct read *read;
  while ((read = TAILQ_FIRST(&store->ready)) != NULL) {
    struct iovec iov[MAX_IOV];
    TAILQ_REMOVE(&store->ready, read, turn);
    /* Counted before the reader can know, so that whoever has read finds it counted. */
    count_answer(store, read);
    store_unlock(store);
    int count = read->error == 0 ? gather(store, read->offset, read->bytes, iov) : 1;
    read->to->reply(read->to, read->unique, read->error, iov, count, read->error == 0 ? read->bytes : 0);
    pthread_mutex_lock(&store->lock);
    unpin_all(store, read);
    free(read);
  }
}

void store_pass_answers(struct store *store) {
  if (!TAILQ_EMPTY(&store->ready)) pthread_cond_signal(&store->work);
}

/* ---- Arrival ---- */

/* Whether the interrupt for this read came before it. */
static bool take_early_interrupt(struct store *store, uint64_t unique) {
  uint32_t known = store->early_count < EARLY_INTERRUPTS ? store->early_count : EARLY_INTERRUPTS;
  for (uint32_t i = 0; i < known; i++)
    if (store->early_interrupts[i] == unique) return true;
  return false;
}

static bool all_present(const struct store *store, uint32_t first, uint32_t last) {
  for (uint32_t number = first; number <= last; number++) {
    const struct chunk *chunk = &store->chunks[number];
    if (chunk->state != CHUNK_PRESENT) return false;
    if (store->shortage != 0 && chunk->refused_in == store->shortage) return false;
  }
  return true;
}

static void pin_present(struct store *store, uint32_t first, uint32_t last) {
  for (uint32_t number = first; number <= last; number++) {
    struct chunk *chunk = &store->chunks[number];
    chunk->pins++;
    if (store->shortage == 0) chunk->flags |= CHUNK_REFERENCED;
    touch(store, number);
  }
}

static struct read *new_read(struct reply_to *to, uint64_t unique, uint64_t offset, uint32_t bytes, uint32_t first,
                             uint32_t last) {
  uint32_t count = last - first + 1;
  struct read *read = calloc(1, sizeof *read + count * sizeof read->waits[0]);
  if (read == NULL) return NULL;
  read->to = to;
  read->unique = unique;
  read->offset = offset;
  read->bytes = bytes;
  read->first = first;
  read->count = count;
  for (uint32_t i = 0; i < count; i++) {
    read->waits[i].read = read;
    read->waits[i].chunk = first + i;
  }
  return read;
}

static void fail_on_arrival(struct store *store, struct reply_to *to, uint64_t unique, int error) {
  pthread_mutex_lock(&store->lock);
  store->stats.reads_failed++;
  store_unlock(store);
  reply_error(to, unique, error);
}

static void wait_for_chunks(struct store *store, struct reply_to *to, uint64_t unique, uint64_t offset, uint32_t bytes,
                            uint32_t first, uint32_t last) {
  struct read *read = new_read(to, unique, offset, bytes, first, last);
  if (read == NULL) {
    fail_on_arrival(store, to, unique, ENOMEM);
    return;
  }
  read->since_ns = store_now_ns();
  pthread_mutex_lock(&store->lock);
  TAILQ_INSERT_TAIL(&store->reads, read, arrival);
  TAILQ_INSERT_TAIL(&store->queue, read, turn);
  read->queued = true;
  store->stats.reads_waiting++;
  if (store->closed)
    store_settle_error(store, read, EIO);
  else if (take_early_interrupt(store, unique))
    store_settle_error(store, read, EINTR);
  else if (TAILQ_FIRST(&store->queue) == read)
    store_admit(store);
  store_write_answers(store);
  store_unlock(store);
}

void store_read(struct store *store, struct reply_to *to, uint64_t unique, uint64_t file_offset, uint32_t bytes) {
  struct iovec iov[MAX_IOV];
  uint64_t file_bytes = store_file_bytes(store);

  if (bytes > STORE_MAX_READ_BYTES) {
    fail_on_arrival(store, to, unique, EINVAL);
    return;
  }
  if (file_offset >= file_bytes || bytes == 0) {
    to->reply(to, unique, 0, iov, 1, 0);
    return;
  }
  if (bytes > file_bytes - file_offset) bytes = (uint32_t)(file_bytes - file_offset);
  uint64_t offset = file_offset + store->hidden_bytes;
  uint32_t first = (uint32_t)(offset >> store->chunk_shift);
  uint32_t last = (uint32_t)((offset + bytes - 1) >> store->chunk_shift);

  pthread_mutex_lock(&store->lock);
  if (store->closed || !all_present(store, first, last)) {
    store_unlock(store);
    wait_for_chunks(store, to, unique, offset, bytes, first, last);
    return;
  }
  pin_present(store, first, last);
  store->stats.reads_cached++;
  store->stats.bytes_read += bytes;
  store_unlock(store);

  int count = gather(store, offset, bytes, iov);
  to->reply(to, unique, 0, iov, count, bytes);

  pthread_mutex_lock(&store->lock);
  for (uint32_t number = first; number <= last; number++) unpin(store, &store->chunks[number]);
  store_unlock(store);
}

void store_interrupt(struct store *store, uint64_t unique) {
  struct read *read;
  pthread_mutex_lock(&store->lock);
  if (store->frozen) {
    store_unlock(store);
    return;
  }
  TAILQ_FOREACH(read, &store->reads, arrival) if (read->unique == unique) break;
  if (read != NULL) {
    bool was_queued = read->queued;
    store_settle_error(store, read, EINTR);
    if (was_queued) store_admit(store);
  } else {
    store->early_interrupts[store->early_count % EARLY_INTERRUPTS] = unique;
    if (++store->early_count == 2 * EARLY_INTERRUPTS) store->early_count = EARLY_INTERRUPTS;
  }
  store_write_answers(store);
  store_unlock(store);
}

void store_cancel_reads(struct store *store, int error) {
  struct read *read;
  pthread_mutex_lock(&store->lock);
  while (!store->frozen && (read = TAILQ_FIRST(&store->reads)) != NULL) store_settle_error(store, read, error);
  if (!store->frozen) store_admit(store);
  store_write_answers(store);
  store_unlock(store);
}
