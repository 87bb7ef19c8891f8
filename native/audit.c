/*
 * Whether the RAM file still is what was served: memory can fail, and what is in RAM is never fetched again. Each chunk
 * is made again as the members served it, hidden head and all, and compared with its leaves. On a thread of the caller's,
 * with contexts of its own, while everything else goes on.
 */
#include "store_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct auditor {
  struct verity *verity;
  struct xts *xts; /* NULL: not encrypted */
  uint8_t *scratch;
};

static int auditor_init(struct auditor *auditor, const struct store *store) {
  auditor->verity = verity_share(store->verity);
  auditor->scratch = malloc(store->chunk_bytes);
  if (auditor->verity == NULL || auditor->scratch == NULL) return ENOMEM;
  if (store->xts == NULL) return 0;
  /* The library decrypts, but does not encrypt, with a key whose halves are equal. */
  if (store->encrypt == NULL) return ENOTSUP;
  auditor->xts = xts_copy(store->encrypt);
  return auditor->xts == NULL ? ENOMEM : 0;
}

static void auditor_destroy(struct auditor *auditor) {
  verity_destroy(auditor->verity);
  xts_destroy(auditor->xts);
  free(auditor->scratch);
}

static bool is_as_served(struct auditor *auditor, const struct store *store, uint32_t number) {
  uint64_t start = (uint64_t)number << store->chunk_shift;
  const uint8_t *data = ram_file_at(&store->ram, start);
  uint8_t *scratch = auditor->scratch;
  size_t length = store_chunk_length(store, number);
  size_t plain = length; /* bytes that are kept as they were served */
  if (auditor->xts != NULL) plain = start >= store->hidden_bytes ? 0 : (size_t)(store->hidden_bytes - start);
  if (plain > length) plain = length;

  memcpy(scratch, data, plain);
  if (plain < length) {
    uint64_t sector = (start + plain - store->hidden_bytes) / XTS_SECTOR_BYTES;
    if (!xts_run_into(auditor->xts, scratch + plain, data + plain, length - plain, sector)) return false;
  }
  memset(scratch + length, 0, store->chunk_bytes - length);
  return verity_check(auditor->verity, scratch, store->chunk_bytes, start >> store->block_shift);
}

/* Counts as a worker, so that the RAM file stays while its bytes are looked at. False when there is none, or the store is over. */
static bool begin(struct store *store, int *error) {
  pthread_mutex_lock(&store->lock);
  if (store->closed || store->frozen) *error = ECANCELED;
  bool begun = *error == 0 && store->ram_attached;
  if (begun) store->ram_workers++;
  store_unlock(store);
  return begun;
}

static void end(struct store *store) {
  pthread_mutex_lock(&store->lock);
  store->ram_workers--;
  store_unlock(store);
}

static bool is_in_ram(struct store *store, uint32_t number, int *error) {
  pthread_mutex_lock(&store->lock);
  const struct chunk *chunk = &store->chunks[number];
  bool in_ram = chunk->state == CHUNK_PRESENT && chunk->slot == IN_RAM;
  if (store->closed || store->frozen) *error = ECANCELED;
  store_unlock(store);
  return in_ram;
}

int store_audit(struct store *store, uint32_t first, uint32_t count, int64_t *wrong) {
  struct auditor auditor = {0};
  int error = 0;
  *wrong = -1;
  if (count == 0) return 0;
  if (!begin(store, &error)) {
    if (error == 0) *wrong = first;
    return error;
  }
  if (store->verity != NULL) error = auditor_init(&auditor, store);
  for (uint32_t i = 0; i < count && error == 0 && *wrong < 0; i++) {
    uint32_t number = first + i;
    if (!is_in_ram(store, number, &error) || (store->verity != NULL && !is_as_served(&auditor, store, number)))
      *wrong = number;
  }
  auditor_destroy(&auditor);
  end(store);
  return error;
}
