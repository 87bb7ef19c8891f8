/* See verity.h. */
#include "verity.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#define SHA256_INPUT_BLOCK 64

struct verity {
  EVP_MD *sha256;
  EVP_MD_CTX *context;
  const uint8_t *leaves;
  uint8_t *own_leaves; /* NULL: another's */
  size_t leaf_count;
  uint32_t block_bytes;
  size_t prefix_bytes;
  uint8_t prefix[SHA256_INPUT_BLOCK];
};

struct verity *verity_create(uint32_t block_bytes, const uint8_t *leaves, size_t leaf_count, const uint8_t *salt,
                             size_t salt_bytes) {
  struct verity *verity = calloc(1, sizeof *verity);
  if (verity == NULL) return NULL;
  verity->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
  verity->context = EVP_MD_CTX_new();
  verity->own_leaves = malloc(leaf_count * VERITY_HASH_BYTES);
  if (verity->sha256 == NULL || verity->context == NULL || verity->own_leaves == NULL) {
    verity_destroy(verity);
    return NULL;
  }
  memcpy(verity->own_leaves, leaves, leaf_count * VERITY_HASH_BYTES);
  verity->leaves = verity->own_leaves;
  verity->leaf_count = leaf_count;
  verity->block_bytes = block_bytes;
  if (salt_bytes > 0) {
    memcpy(verity->prefix, salt, salt_bytes);
    verity->prefix_bytes = SHA256_INPUT_BLOCK;
  }
  return verity;
}

struct verity *verity_share(const struct verity *verity) {
  struct verity *shared = malloc(sizeof *shared);
  if (shared == NULL) return NULL;
  *shared = *verity;
  shared->own_leaves = NULL;
  shared->context = EVP_MD_CTX_new();
  /* Cannot fail; each holds a reference of its own. */
  EVP_MD_up_ref(shared->sha256);
  if (shared->context == NULL) {
    verity_destroy(shared);
    return NULL;
  }
  return shared;
}

static bool block_is_good(struct verity *verity, const uint8_t *block, const uint8_t *leaf) {
  uint8_t hash[VERITY_HASH_BYTES];
  return EVP_DigestInit_ex2(verity->context, verity->sha256, NULL) == 1 &&
         EVP_DigestUpdate(verity->context, verity->prefix, verity->prefix_bytes) == 1 &&
         EVP_DigestUpdate(verity->context, block, verity->block_bytes) == 1 &&
         EVP_DigestFinal_ex(verity->context, hash, NULL) == 1 && memcmp(hash, leaf, sizeof hash) == 0;
}

bool verity_check(struct verity *verity, const uint8_t *data, size_t bytes, uint64_t first_block) {
  uint64_t block = first_block;
  for (size_t at = 0; at < bytes && block < verity->leaf_count; at += verity->block_bytes, block++)
    if (!block_is_good(verity, data + at, verity->leaves + block * VERITY_HASH_BYTES)) return false;
  return true;
}

void verity_destroy(struct verity *verity) {
  if (verity == NULL) return;
  EVP_MD_CTX_free(verity->context);
  EVP_MD_free(verity->sha256);
  free(verity->own_leaves);
  free(verity);
}
