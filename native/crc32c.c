/* See crc32c.h. */
#include "crc32c.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#define POLYNOMIAL 0x82f63b78u /* reflected */

/* How far apart the three streams are. */
#define STREAM_BYTES 4096

static pthread_once_t once = PTHREAD_ONCE_INIT;
static uint32_t slices[8][256];
static uint32_t skip[4][256]; /* what STREAM_BYTES zeros make of each byte of a CRC */
static bool has_instruction;

static uint32_t by_tables(uint32_t crc, const uint8_t *at, size_t bytes) {
  while (bytes >= 8) {
    uint32_t low = crc ^ ((uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24);
    crc = slices[7][low & 255] ^ slices[6][low >> 8 & 255] ^ slices[5][low >> 16 & 255] ^ slices[4][low >> 24] ^
          slices[3][at[4]] ^ slices[2][at[5]] ^ slices[1][at[6]] ^ slices[0][at[7]];
    at += 8;
    bytes -= 8;
  }
  while (bytes-- > 0) crc = crc >> 8 ^ slices[0][(crc ^ *at++) & 255];
  return crc;
}

static void prepare(void) {
  static const uint8_t zeros[STREAM_BYTES];
  for (uint32_t i = 0; i < 256; i++) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; bit++) crc = crc & 1 ? crc >> 1 ^ POLYNOMIAL : crc >> 1;
    slices[0][i] = crc;
  }
  for (uint32_t i = 0; i < 256; i++)
    for (int k = 1; k < 8; k++) slices[k][i] = slices[k - 1][i] >> 8 ^ slices[0][slices[k - 1][i] & 255];
  /* A CRC over zeros is linear in what it begins with: each bit once, then their sums. */
  for (int k = 0; k < 4; k++)
    for (int bit = 0; bit < 8; bit++) {
      uint32_t power = by_tables(1u << (8 * k + bit), zeros, STREAM_BYTES);
      for (uint32_t i = 0; i < 256; i++)
        if (i >> bit & 1) skip[k][i] ^= power;
    }
#if defined(__x86_64__)
  has_instruction = __builtin_cpu_supports("sse4.2");
#elif defined(__ARM_FEATURE_CRC32)
  has_instruction = true;
#endif
}

#if defined(__x86_64__)
#define WITH_INSTRUCTION __attribute__((target("sse4.2")))
#define CRC_8(crc, data) __builtin_ia32_crc32di((crc), (data))
#elif defined(__ARM_FEATURE_CRC32)
#include <arm_acle.h>
#define WITH_INSTRUCTION
#define CRC_8(crc, data) __crc32cd((uint32_t)(crc), (data))
#endif

#ifdef WITH_INSTRUCTION
static inline uint64_t word(const uint8_t *at) {
  uint64_t value;
  memcpy(&value, at, sizeof value);
  return value;
}

static uint32_t skip_stream(uint32_t crc) {
  return skip[0][crc & 255] ^ skip[1][crc >> 8 & 255] ^ skip[2][crc >> 16 & 255] ^ skip[3][crc >> 24];
}

/* The instruction takes three cycles, but one can begin in each. */
WITH_INSTRUCTION static uint32_t by_instruction(uint32_t crc, const uint8_t *at, size_t bytes) {
  while (bytes >= 3 * STREAM_BYTES) {
    uint64_t a = crc, b = 0, c = 0;
    for (size_t i = 0; i < STREAM_BYTES; i += 8) {
      a = CRC_8(a, word(at + i));
      b = CRC_8(b, word(at + STREAM_BYTES + i));
      c = CRC_8(c, word(at + 2 * STREAM_BYTES + i));
    }
    crc = skip_stream(skip_stream((uint32_t)a) ^ (uint32_t)b) ^ (uint32_t)c;
    at += 3 * STREAM_BYTES;
    bytes -= 3 * STREAM_BYTES;
  }
  for (; bytes >= 8; at += 8, bytes -= 8) crc = (uint32_t)CRC_8(crc, word(at));
  return by_tables(crc, at, bytes);
}
#else
static uint32_t by_instruction(uint32_t crc, const uint8_t *at, size_t bytes) { return by_tables(crc, at, bytes); }
#endif

uint32_t crc32c(uint32_t crc, const void *data, size_t bytes) {
  pthread_once(&once, prepare);
  return ~(has_instruction ? by_instruction(~crc, data, bytes) : by_tables(~crc, data, bytes));
}

uint32_t crc32c_by_tables(uint32_t crc, const void *data, size_t bytes) {
  pthread_once(&once, prepare);
  return ~by_tables(~crc, data, bytes);
}
