/*
 * AES-XTS over 512-byte sectors: dm-crypt's aes-xts-plain64 (the tweak is the sector number, little-endian,
 * 64 bits and zero fill). Keys of 32 bytes mean AES-128, of 64 bytes AES-256. One context serves one thread at a time.
 */
#ifndef TETHERFS_XTS_H
#define TETHERFS_XTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define XTS_SECTOR_BYTES 512

struct xts;

/* NULL: a key of another length, a key whose halves are equal (encryption only), or no memory. */
struct xts *xts_create(const uint8_t *key, size_t key_bytes, bool encrypt);

/* A further context with the same key, for another thread. The original must not be in use meanwhile. NULL: no memory. */
struct xts *xts_copy(const struct xts *xts);

/* `bytes` is a multiple of 512. False when the crypto library fails; the data is then undefined. */
bool xts_run(struct xts *xts, uint8_t *data, size_t bytes, uint64_t first_sector);

/* The same from one place to another; they must not overlap. */
bool xts_run_into(struct xts *xts, uint8_t *to, const uint8_t *from, size_t bytes, uint64_t first_sector);

void xts_destroy(struct xts *xts);

#endif
