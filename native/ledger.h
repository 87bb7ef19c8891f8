/*
 * The ledger: what lies in which slot of the arena, and which chunks the RAM file holds, in a memfd that survives us. A
 * successor finds there what it need not fetch again.
 *
 * It is right at every instruction at which the process can be killed. A slot's entry is one word, so that it is never
 * half written; it is set when the slot's bytes are final, and emptied before the slot goes to anyone else. A chunk's mark
 * is set when its bytes are in the RAM file, and taken away before that goes. Other threads see these in order, because the
 * store's lock lies between, and the next process because it is the same machine's memory.
 *
 * A reader of it trusts nothing: the CRC in an entry is over the chunk's number and the slot's bytes as readers see them. It
 * guards against tearing, not against an enemy: whoever can write to it could write to the arena as well.
 */
#ifndef TETHERFS_LEDGER_H
#define TETHERFS_LEDGER_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define LEDGER_MAGIC 0x726567646574666cULL
#define LEDGER_VERSION 1

struct ledger_shape {
  uint64_t image_bytes, hidden_bytes;
  uint32_t chunk_bytes, chunks, slots, page_bytes;
};

/* At the memfd's beginning; the entries begin at its second page. */
struct ledger_header {
  uint64_t magic;
  uint64_t version;
  struct ledger_shape shape;
  _Atomic uint64_t ram_inode; /* of the RAM file that the marks are about; 0: there is none */
};

struct ledger {
  int fd; /* -1: closed */
  uint8_t *base;
  size_t bytes;
  struct ledger_header *header;
  _Atomic uint64_t *entries; /* a slot each: the chunk's number + 1, and its CRC above; 0: empty */
  _Atomic uint8_t *marks;    /* a chunk each: 1 when it is in the RAM file */
  size_t head_offset; /* in the memfd: room for the image's hidden bytes, whole pages, see ram_file.h */
};

/* Both 0 or an errno; nothing is left behind on failure but, in adopting, the caller's descriptor. */
int ledger_create(struct ledger *ledger, const struct ledger_shape *shape);
/* EINVAL: it is not one of this shape, with the reason in *why, or not a sealed memfd. */
int ledger_adopt(struct ledger *ledger, int fd, const struct ledger_shape *shape, const char **why);
void ledger_close(struct ledger *ledger);

/* What stands in an entry for the chunk with these bytes. */
uint32_t ledger_crc(uint32_t chunk, const uint8_t *data, size_t bytes);

static inline void ledger_set(struct ledger *ledger, uint32_t slot, uint32_t chunk, uint32_t crc) {
  atomic_store_explicit(&ledger->entries[slot], (uint64_t)crc << 32 | (chunk + 1), memory_order_release);
}

/* Whoever writes to the slot afterwards has taken the lock in between. */
static inline void ledger_empty(struct ledger *ledger, uint32_t slot) {
  atomic_store_explicit(&ledger->entries[slot], 0, memory_order_release);
}

static inline void ledger_mark(struct ledger *ledger, uint32_t chunk, uint8_t mark) {
  atomic_store_explicit(&ledger->marks[chunk], mark, memory_order_release);
}

static inline void ledger_set_ram(struct ledger *ledger, uint64_t inode) {
  atomic_store_explicit(&ledger->header->ram_inode, inode, memory_order_release);
}

#endif
