/* How fast one thread verifies and decrypts, in GB/s: crypto-speed [CHUNK_KIB] [VERITY_BLOCK_KIB] */
#include "verity.h"
#include "xts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

int main(int count, char **arguments) {
  size_t chunk = (count > 1 ? (size_t)atoi(arguments[1]) : 128) * 1024, done;
  uint32_t block = (count > 2 ? (uint32_t)atoi(arguments[2]) : 64) * 1024;
  uint8_t *data = malloc(chunk), key[64], *leaves = calloc(chunk / block, 32);
  double start;
  memset(data, 1, chunk);
  for (int i = 0; i < 64; i++) key[i] = (uint8_t)i;
  for (size_t key_bytes = 32; key_bytes <= 64; key_bytes += 32) {
    struct xts *xts = xts_create(key, key_bytes, false);
    for (done = 0, start = now(); now() - start < 1; done += chunk) xts_run(xts, data, chunk, done / 512);
    printf("AES-%zu-XTS of 512-byte sectors: %.2f GB/s\n", key_bytes * 4, (double)done / (now() - start) / 1e9);
    xts_destroy(xts);
  }
  /* The leaves are wrong, so each check ends with its first block. */
  struct verity *verity = verity_create(block, leaves, chunk / block, key, 8);
  for (done = 0, start = now(); now() - start < 1; done += block) verity_check(verity, data, block, 0);
  printf("SHA-256 of verity blocks of %u KiB: %.2f GB/s\n", block / 1024, (double)done / (now() - start) / 1e9);
  verity_destroy(verity);
  free(leaves);
  free(data);
  return 0;
}
