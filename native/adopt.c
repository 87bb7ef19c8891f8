/*
 * Taking over the memory of a process that died or froze. Its ledger says what lies where; of that, what is right becomes
 * present, as if we had published it ourselves. A chunk in a slot is compared with its CRC; one in the RAM file is not
 * looked at here, where it would take too long, but must be audited.
 */
#include "memfd.h"
#include "store_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void make_present(struct store *store, uint32_t number, uint32_t slot) {
  struct chunk *chunk = &store->chunks[number];
  chunk->state = CHUNK_PRESENT;
  chunk->slot = slot;
  store->stats.chunks_present++;
}

static int adopt_ram(struct store *store, struct store_adoption *from) {
  struct ledger *ledger = &store->ledger;
  uint64_t inode = atomic_load(&ledger->header->ram_inode);
  bool is_it = from->ram >= 0 && inode != 0 && memfd_inode(from->ram) == inode;
  if (is_it) {
    int error = ram_file_adopt(&store->ram, from->ram, store->hidden_bytes, store_file_bytes(store), store_ram_head(store));
    if (error != 0 && error != EINVAL) return error;
    is_it = error == 0;
  }
  if (is_it) {
    from->ram = -1;
    store->ram_attached = true;
  }
  for (uint32_t number = 0; number < store->chunk_count; number++) {
    uint8_t mark = atomic_load(&ledger->marks[number]);
    if (mark == 0) continue;
    if (is_it && mark == 1) {
      make_present(store, number, IN_RAM);
      store->stats.chunks_in_ram++;
    } else {
      ledger_mark(ledger, number, 0);
    }
  }
  if (!is_it) ledger_set_ram(ledger, 0);
  return 0;
}

/* Whether the slot holds what its entry says, and nothing else holds it: a chunk may have been on its way to the RAM file. */
static bool is_right(struct store *store, uint32_t slot, uint64_t entry) {
  uint64_t number = (entry & UINT32_MAX) - 1; /* none, wrapped around, is past the last */
  if (number < store->chunk_count && store->chunks[number].state == CHUNK_PRESENT) return false;
  if (number < store->chunk_count &&
      ledger_crc((uint32_t)number, arena_slot(&store->arena, slot), store->chunk_bytes) == entry >> 32)
    return true;
  store->stats.chunks_not_adopted++;
  return false;
}

static void adopt_slots(struct store *store) {
  for (uint32_t slot = 0; slot < store->arena.slots; slot++) {
    uint64_t entry = atomic_load(&store->ledger.entries[slot]);
    if (entry == 0) continue;
    if (is_right(store, slot, entry)) {
      make_present(store, (uint32_t)(entry & UINT32_MAX) - 1, slot);
      store->slot_owner[slot] = SLOT_CHUNK;
    } else {
      ledger_empty(&store->ledger, slot);
    }
  }
  arena_free_all_but(&store->arena, store->slot_owner);
}

static int list_adopted(struct store *store) {
  struct store_adopted *adopted = &store->adopted;
  uint32_t *chunks = malloc((store->stats.chunks_present + 1) * sizeof *chunks);
  if (chunks == NULL) return ENOMEM;
  adopted->in_ram = (uint32_t)store->stats.chunks_in_ram;
  adopted->in_slots = (uint32_t)store->stats.chunks_present - adopted->in_ram;
  uint32_t *in_slots = chunks, *in_ram = chunks + adopted->in_slots;
  for (uint32_t number = 0; number < store->chunk_count; number++) {
    if (store->chunks[number].state != CHUNK_PRESENT) continue;
    if (store->chunks[number].slot == IN_RAM)
      *in_ram++ = number;
    else
      *in_slots++ = number;
  }
  adopted->chunks = chunks;
  return 0;
}

int store_adopt(struct store *store, struct store_adoption *from, uint32_t slots, const char **why) {
  _Static_assert(SLOT_FREE == 0, "arena_free_all_but takes 0 for free");
  struct ledger_shape shape = store_ledger_shape(store, slots);
  int error = arena_adopt(&store->arena, from->arena, slots, store->chunk_bytes);
  if (error == EINVAL) *why = "arenaFd is not a sealed memfd of slots * chunkSize bytes";
  if (error == 0) {
    from->arena = -1;
    error = ledger_adopt(&store->ledger, from->ledger, &shape, why);
  }
  if (error != 0) return *why != NULL ? STORE_NOT_FITTING : error;
  from->ledger = -1;
  error = adopt_ram(store, from);
  if (error != 0) return error;
  adopt_slots(store);
  return list_adopted(store);
}
