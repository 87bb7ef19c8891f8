/* See xts.h. The library's own XTS is called once a sector: it has no notion of consecutive sectors. */
#include "xts.h"

#include <endian.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

struct xts {
  EVP_CIPHER_CTX *context;
};

struct xts *xts_create(const uint8_t *key, size_t key_bytes, bool encrypt) {
  /* Fetched once: EVP_aes_128_xts() would be looked up again at every initialisation. */
  EVP_CIPHER *cipher = NULL;
  struct xts *xts = calloc(1, sizeof *xts);
  if (xts == NULL) return NULL;
  if (key_bytes == 32) cipher = EVP_CIPHER_fetch(NULL, "AES-128-XTS", NULL);
  if (key_bytes == 64) cipher = EVP_CIPHER_fetch(NULL, "AES-256-XTS", NULL);
  xts->context = EVP_CIPHER_CTX_new();
  if (cipher == NULL || xts->context == NULL ||
      EVP_CipherInit_ex2(xts->context, cipher, key, NULL, encrypt ? 1 : 0, NULL) != 1) {
    xts_destroy(xts);
    xts = NULL;
  }
  EVP_CIPHER_free(cipher); /* the context holds its own reference */
  return xts;
}

struct xts *xts_copy(const struct xts *xts) {
  struct xts *copy = calloc(1, sizeof *copy);
  if (copy == NULL) return NULL;
  copy->context = EVP_CIPHER_CTX_new();
  if (copy->context == NULL || EVP_CIPHER_CTX_copy(copy->context, xts->context) != 1) {
    xts_destroy(copy);
    return NULL;
  }
  return copy;
}

bool xts_run_into(struct xts *xts, uint8_t *to, const uint8_t *from, size_t bytes, uint64_t first_sector) {
  uint64_t tweak[2] = {0, 0};
  for (size_t at = 0; at < bytes; at += XTS_SECTOR_BYTES) {
    int written;
    tweak[0] = htole64(first_sector++);
    if (EVP_CipherInit_ex2(xts->context, NULL, NULL, (const unsigned char *)tweak, -1, NULL) != 1) return false;
    if (EVP_CipherUpdate(xts->context, to + at, &written, from + at, XTS_SECTOR_BYTES) != 1) return false;
    if (written != XTS_SECTOR_BYTES) return false;
  }
  return true;
}

bool xts_run(struct xts *xts, uint8_t *data, size_t bytes, uint64_t first_sector) {
  return xts_run_into(xts, data, data, bytes, first_sector);
}

void xts_destroy(struct xts *xts) {
  if (xts == NULL) return;
  EVP_CIPHER_CTX_free(xts->context); /* wipes the key schedule */
  free(xts);
}
