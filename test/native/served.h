/*
 * The made-up image as a member would serve it: encrypted after a header, with the leaves of its Merkle tree.
 */
#ifndef TETHERFS_SERVED_H
#define TETHERFS_SERVED_H

#include "image.h"
#include "store.h"
#include "xts.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

struct served {
  uint64_t bytes, hidden;
  uint32_t chunk_bytes, chunks, block_bytes;
  size_t leaf_count;
  uint8_t key[32], salt[8];
  uint8_t *data; /* whole chunks, zeros after the end */
  uint8_t *leaves;
};

/* image_byte(n) is the byte that a reader sees at file offset n. */
static inline void served_make(struct served *served, uint64_t bytes, uint64_t hidden, uint32_t chunk_bytes,
                               uint32_t block_bytes) {
  uint8_t prefix[64] = {0};
  memset(served, 0, sizeof *served);
  served->bytes = bytes;
  served->hidden = hidden;
  served->chunk_bytes = chunk_bytes;
  served->chunks = (uint32_t)((bytes + chunk_bytes - 1) / chunk_bytes);
  served->block_bytes = block_bytes;
  image_fill(served->key, 1000, sizeof served->key);
  image_fill(served->salt, 2000, sizeof served->salt);
  memcpy(prefix, served->salt, sizeof served->salt);
  served->data = calloc(served->chunks, chunk_bytes);
  memset(served->data, 0xaa, hidden);
  image_fill(served->data + hidden, 0, bytes - hidden);
  struct xts *xts = xts_create(served->key, sizeof served->key, true);
  xts_run(xts, served->data + hidden, bytes - hidden, 0);
  xts_destroy(xts);
  served->leaf_count = (bytes + block_bytes - 1) / block_bytes;
  served->leaves = malloc(served->leaf_count * 32);
  EVP_MD_CTX *context = EVP_MD_CTX_new();
  for (size_t i = 0; i < served->leaf_count; i++) {
    EVP_DigestInit(context, EVP_sha256());
    EVP_DigestUpdate(context, prefix, sizeof prefix);
    EVP_DigestUpdate(context, served->data + i * block_bytes, block_bytes);
    EVP_DigestFinal(context, served->leaves + 32 * i, NULL);
  }
  EVP_MD_CTX_free(context);
}

static inline void served_fetch(void *context, uint32_t chunk, uint8_t *data) {
  const struct served *served = context;
  memcpy(data, served->data + (uint64_t)chunk * served->chunk_bytes, served->chunk_bytes);
}

static inline void served_options(const struct served *served, uint32_t slots, struct store_options *options) {
  *options = (struct store_options){
      .image_bytes = served->bytes,
      .hidden_bytes = served->hidden,
      .chunk_bytes = served->chunk_bytes,
      .slots = slots,
      .xts_key = served->key,
      .xts_key_bytes = sizeof served->key,
      .leaves = served->leaves,
      .leaf_count = served->leaf_count,
      .block_bytes = served->block_bytes,
      .salt = served->salt,
      .salt_bytes = sizeof served->salt,
  };
}

static inline void served_free(struct served *served) {
  free(served->data);
  free(served->leaves);
}

#endif
