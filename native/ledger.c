/* See ledger.h. */
#include "ledger.h"

#include "crc32c.h"
#include "memfd.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static size_t to_pages(size_t bytes, size_t page) { return (bytes + page - 1) / page * page; }

static void lay_out(struct ledger *ledger, const struct ledger_shape *shape) {
  size_t page = shape->page_bytes;
  ledger->head_offset = to_pages(page + (size_t)shape->slots * sizeof *ledger->entries + shape->chunks, page);
  ledger->bytes = ledger->head_offset + to_pages(shape->hidden_bytes, page);
}

static int map(struct ledger *ledger, const struct ledger_shape *shape) {
  uint8_t *base = mmap(NULL, ledger->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, ledger->fd, 0);
  if (base == MAP_FAILED) return errno;
  ledger->base = base;
  ledger->header = (struct ledger_header *)base;
  ledger->entries = (_Atomic uint64_t *)(base + shape->page_bytes);
  ledger->marks = (_Atomic uint8_t *)(ledger->entries + shape->slots);
  return 0;
}

int ledger_create(struct ledger *ledger, const struct ledger_shape *shape) {
  *ledger = (struct ledger){.fd = -1};
  lay_out(ledger, shape);
  int error = memfd_of_size("tetherfs-ledger", ledger->bytes, &ledger->fd);
  if (error == 0) error = map(ledger, shape);
  if (error != 0) {
    ledger_close(ledger);
    return error;
  }
  ledger->header->shape = *shape;
  ledger->header->version = LEDGER_VERSION;
  ledger->header->magic = LEDGER_MAGIC;
  return 0;
}

int ledger_adopt(struct ledger *ledger, int fd, const struct ledger_shape *shape, const char **why) {
  *ledger = (struct ledger){.fd = -1};
  lay_out(ledger, shape);
  int error = memfd_has_size(fd, ledger->bytes);
  if (error != 0) {
    *why = "ledgerFd is not a sealed memfd of a ledger's size";
    return error;
  }
  ledger->fd = fd;
  error = map(ledger, shape);
  if (error == 0) {
    const struct ledger_header *header = ledger->header;
    if (header->magic != LEDGER_MAGIC || header->version != LEDGER_VERSION)
      *why = "ledgerFd is not a ledger of this version";
    else if (memcmp(&header->shape, shape, sizeof *shape) != 0)
      *why = "the ledger is that of another image, or of other sizes";
    else
      return 0;
    error = EINVAL;
  }
  ledger->fd = -1; /* stays the caller's */
  ledger_close(ledger);
  return error;
}

void ledger_close(struct ledger *ledger) {
  if (ledger->base != NULL) munmap(ledger->base, ledger->bytes);
  if (ledger->fd >= 0) close(ledger->fd);
  *ledger = (struct ledger){.fd = -1};
}

uint32_t ledger_crc(uint32_t chunk, const uint8_t *data, size_t bytes) {
  return crc32c(crc32c(0, &chunk, sizeof chunk), data, bytes);
}
