/*
 * The leaves of an fs-verity Merkle tree: whether a block of the image is what its leaf says. The tree above the leaves
 * has been checked before they come here. Hash of a block (kernel, fs/verity): SHA-256 over the salt, zero-padded to
 * SHA-256's 64-byte input block (left out when there is no salt), and the data, zero-padded to the block size.
 */
#ifndef TETHERFS_VERITY_H
#define TETHERFS_VERITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VERITY_HASH_BYTES 32
#define VERITY_MAX_SALT_BYTES 32

struct verity;

/* Copies leaves and salt. NULL: no memory or no SHA-256. */
struct verity *verity_create(uint32_t block_bytes, const uint8_t *leaves, size_t leaf_count, const uint8_t *salt,
                             size_t salt_bytes);

/* For another thread: the same leaves, which are shared, so that the original must outlive it. NULL: no memory. */
struct verity *verity_share(const struct verity *verity);

/*
 * Whether each block of `data`, which begins at block number `first_block` and is a whole number of blocks (the caller
 * has zero-padded it), has the hash of its leaf. Blocks past the last leaf are not looked at. One thread at a time.
 */
bool verity_check(struct verity *verity, const uint8_t *data, size_t bytes, uint64_t first_block);

void verity_destroy(struct verity *verity);

#endif
