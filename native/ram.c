/*
 * The controlling thread's side of the RAM file: it comes, takes over chunks that lie in slots, and goes. What arrives
 * while it is there is put into it by the finisher. Only these two write to it, each chunk is written before it is
 * published there, and never again while it is.
 */
#include "memfd.h"
#include "store_internal.h"

#include <errno.h>

int store_attach_ram(struct store *store, int *fd) {
  struct ram_file ram;
  /* Nobody else opens or closes it: no lock is needed to look. */
  if (store->closed || store->frozen) return EBADF;
  if (store->ram.fd >= 0) return store->ram_attached ? EEXIST : EBUSY;
  int error = ram_file_open(&ram, store->hidden_bytes, store_file_bytes(store), store_ram_head(store));
  if (error != 0) return error;
  pthread_mutex_lock(&store->lock);
  store->ram = ram;
  store->ram_attached = true;
  ledger_set_ram(&store->ledger, memfd_inode(ram.fd)); /* no chunk is marked yet */
  store_unlock(store);
  *fd = ram.fd;
  return 0;
}

int store_copy_to_ram(const struct store *store, uint32_t number, uint32_t slot) {
  return ram_file_write(&store->ram, (uint64_t)number << store->chunk_shift, arena_slot(&store->arena, slot),
                        store_chunk_length(store, number));
}

int store_move_to_ram(struct store *store, uint32_t number, bool *moved) {
  struct chunk *chunk = &store->chunks[number];
  *moved = false;
  if (store->frozen) return 0; /* set on this thread */
  pthread_mutex_lock(&store->lock);
  int error = store->ram_attached ? 0 : ENXIO;
  bool in_slot = error == 0 && chunk->state == CHUNK_PRESENT && chunk->slot != IN_RAM;
  *moved = error == 0 && chunk->state == CHUNK_PRESENT && !in_slot;
  /* Somebody reads it now: it would be copied in vain. */
  if (!in_slot || chunk->pins > 0) {
    store_unlock(store);
    return error;
  }
  chunk->pins++;
  store_unlock(store);

  error = store_copy_to_ram(store, number, chunk->slot);

  pthread_mutex_lock(&store->lock);
  if (--chunk->pins == 0 && error == 0) {
    uint32_t slot = chunk->slot;
    chunk->slot = IN_RAM;
    store->stats.chunks_in_ram++;
    ledger_mark(&store->ledger, number, 1);
    *moved = true;
    store_free_slot(store, slot);
    store_admit(store);
    store_pass_answers(store);
  } else if (chunk->pins == 0) {
    store_maybe_evictable(store);
  }
  store_unlock(store);
  return error;
}

void store_drop_from_ram(struct store *store, struct chunk *chunk) {
  ledger_mark(&store->ledger, (uint32_t)(chunk - store->chunks), 0);
  chunk->state = CHUNK_ABSENT;
  chunk->flags = 0;
  store->stats.chunks_present--;
  store->stats.chunks_in_ram--;
  /* The queue's head may need a slot more now. */
  store_maybe_evictable(store);
}

uint32_t store_let_ram_go(struct store *store) {
  if (store->ram.fd < 0) return 0;
  pthread_mutex_lock(&store->lock);
  store->ram_attached = false;
  if (!store->ram_leaving) {
    store->ram_leaving = true;
    /* Those that are pinned now go when their last pin does. */
    for (uint32_t number = 0; number < store->chunk_count; number++) {
      struct chunk *chunk = &store->chunks[number];
      if (chunk->state == CHUNK_PRESENT && chunk->slot == IN_RAM && chunk->pins == 0) store_drop_from_ram(store, chunk);
    }
  }
  uint32_t holders = (uint32_t)store->stats.chunks_in_ram + store->ram_workers;
  struct ram_file ram = store->ram;
  if (holders == 0) {
    store->ram = (struct ram_file){.fd = -1};
    store->ram_leaving = false;
    ledger_set_ram(&store->ledger, 0);
  }
  store_unlock(store);
  if (holders == 0) ram_file_close(&ram);
  return holders;
}

int store_detach_ram(struct store *store, uint32_t *holders) {
  pthread_mutex_lock(&store->lock);
  bool passed = store->ram_passed || store->frozen;
  /* From now on it cannot begin either. */
  if (!passed) store->ram_attached = false;
  store_unlock(store);
  if (passed) return EBUSY;
  *holders = store_let_ram_go(store);
  return 0;
}

bool store_is_in_ram(struct store *store) {
  pthread_mutex_lock(&store->lock);
  bool whole = store->ram_attached && store->stats.chunks_in_ram == store->chunk_count;
  store_unlock(store);
  return whole;
}

int store_begin_passthrough(struct store *store) {
  int fd = -1;
  pthread_mutex_lock(&store->lock);
  if (store->ram_attached && store->stats.chunks_in_ram == store->chunk_count) {
    store->ram_passed = true;
    fd = store->ram.fd;
  }
  store_unlock(store);
  return fd;
}

void store_adopt_passthrough(struct store *store) {
  pthread_mutex_lock(&store->lock);
  store->ram_passed = store->ram_attached;
  store_unlock(store);
}

void store_end_passthrough(struct store *store) {
  pthread_mutex_lock(&store->lock);
  store->ram_passed = false;
  store_unlock(store);
}
