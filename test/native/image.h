/*
 * A made-up image: any byte can be told from its place, so that a test can compare without keeping a copy.
 */
#ifndef TETHERFS_TEST_IMAGE_H
#define TETHERFS_TEST_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline uint8_t image_byte(uint64_t at) {
  uint64_t x = (at >> 3) * 0x9e3779b97f4a7c15ULL;
  x ^= x >> 29;
  x *= 0xbf58476d1ce4e5b9ULL;
  x ^= x >> 32;
  return (uint8_t)(x >> (8 * (at & 7)));
}

static inline void image_fill(uint8_t *out, uint64_t at, size_t bytes) {
  for (size_t i = 0; i < bytes; i++) out[i] = image_byte(at + i);
}

static inline bool image_is(const uint8_t *data, uint64_t at, size_t bytes) {
  for (size_t i = 0; i < bytes; i++)
    if (data[i] != image_byte(at + i)) return false;
  return true;
}

#endif
