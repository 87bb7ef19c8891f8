/* XTS against the vectors of IEEE 1619-2007 (annex B) and verity against hashes computed the plain way. */
#include "check.h"
#include "image.h"
#include "verity.h"
#include "xts.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

static void from_hex(const char *hex, uint8_t *out) {
  for (size_t i = 0; hex[2 * i] != 0; i++) {
    unsigned byte;
    sscanf(hex + 2 * i, "%2x", &byte);
    out[i] = (uint8_t)byte;
  }
}

static const char KEY_128[] = "2718281828459045235360287471352631415926535897932384626433832795";
static const char KEY_256[] =
    "2718281828459045235360287471352662497757247093699959574966967627"
    "3141592653589793238462643383279502884197169399375105820974944592";

static const char VECTOR_4[] =
    "27a7479befa1d476489f308cd4cfa6e2a96e4bbe3208ff25287dd3819616e89cc78cf7f5e543445f8333d8fa7f560000"
    "05279fa5d8b5e4ad40e736ddb4d35412328063fd2aab53e5ea1e0a9f332500a5df9487d07a5c92cc512c8866c7e860ce"
    "93fdf166a24912b422976146ae20ce846bb7dc9ba94a767aaef20c0d61ad02655ea92dc4c4e41a8952c651d33174be51"
    "a10c421110e6d81588ede82103a252d8a750e8768defffed9122810aaeb99f9172af82b604dc4b8e51bcb08235a6f434"
    "1332e4ca60482a4ba1a03b3e65008fc5da76b70bf1690db4eae29c5f1badd03c5ccf2a55d705ddcd86d449511ceb7ec3"
    "0bf12b1fa35b913f9f747a8afd1b130e94bff94effd01a91735ca1726acd0b197c4e5b03393697e126826fb6bbde8ecc"
    "1e08298516e2c9ed03ff3c1b7860f6de76d4cecd94c8119855ef5297ca67e9f3e7ff72b1e99785ca0a7e7720c5b36dc6"
    "d72cac9574c8cbbc2f801e23e56fd344b07f22154beba0f08ce8891e643ed995c94d9a69c9f1b5f499027a78572aeebd"
    "74d20cc39881c213ee770b1010e4bea718846977ae119f7a023ab58cca0ad752afe656bb3c17256a9f6e9bf19fdd5a38"
    "fc82bbe872c5539edb609ef4f79c203ebb140f2e583cb2ad15b4aa5b655016a8449277dbd477ef2c8d6c017db738b18d"
    "eb4a427d1923ce3ff262735779a418f20a282df920147beabe421ee5319d0568";

static void xts_vectors(void) {
  uint8_t key[64], data[1024], expected[512];
  for (int i = 0; i < 512; i++) data[i] = (uint8_t)i;
  from_hex(KEY_128, key);
  from_hex(VECTOR_4, expected);
  struct xts *encrypt = xts_create(key, 32, true), *decrypt = xts_create(key, 32, false);
  CHECK(xts_run(encrypt, data, 512, 0));
  CHECK(memcmp(data, expected, 512) == 0);

  /* Vector 5: vector 4's ciphertext, encrypted as data unit 1. */
  memcpy(data + 512, expected, 512);
  CHECK(xts_run(encrypt, data + 512, 512, 1));
  from_hex("264d3ca8512194fec312c8c9891f279fefdd608d0c027b60483a3fa811d65ee5", key);
  CHECK(memcmp(data + 512, key, 32) == 0);

  /* Two sectors at once come back as what they were. */
  CHECK(xts_run(decrypt, data, 1024, 0));
  for (int i = 0; i < 512; i++) CHECK(data[i] == (uint8_t)i);
  CHECK(memcmp(data + 512, expected, 512) == 0);
  xts_destroy(encrypt);
  xts_destroy(decrypt);

  /* Vector 10: AES-256, data unit 255. */
  for (int i = 0; i < 512; i++) data[i] = (uint8_t)i;
  from_hex(KEY_256, key);
  encrypt = xts_create(key, 64, true);
  CHECK(xts_run(encrypt, data, 512, 255));
  from_hex("1c3b3a102f770386e4836c99e370cf9bea00803f5e482357a4ae12d414a3e63b", expected);
  CHECK(memcmp(data, expected, 32) == 0);
  xts_destroy(encrypt);
  CHECK(xts_create(key, 48, true) == NULL);
}

/* The library's XTS, one sector, tweak written out by hand. */
static void plain64_sector(const uint8_t *key, uint8_t *sector, uint64_t number) {
  uint8_t tweak[16] = {0};
  int bytes;
  for (int i = 0; i < 8; i++) tweak[i] = (uint8_t)(number >> (8 * i));
  EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
  EVP_EncryptInit_ex(context, EVP_aes_128_xts(), NULL, key, tweak);
  EVP_EncryptUpdate(context, sector, &bytes, sector, 512);
  EVP_CIPHER_CTX_free(context);
}

static void xts_far_sectors(void) {
  uint8_t key[32], data[8 * 512], expected[8 * 512];
  uint64_t first = 0x1fffffffcULL; /* crosses 2^33: a tweak cut to 32 bits would show */
  image_fill(key, 1, sizeof key);
  image_fill(data, 2, sizeof data);
  memcpy(expected, data, sizeof data);
  for (int i = 0; i < 8; i++) plain64_sector(key, expected + 512 * i, first + (uint64_t)i);
  struct xts *encrypt = xts_create(key, 32, true);
  CHECK(xts_run(encrypt, data, sizeof data, first));
  CHECK(memcmp(data, expected, sizeof data) == 0);
  xts_destroy(encrypt);
}

static void plain_leaf(const uint8_t *salt, size_t salt_bytes, const uint8_t *block, size_t bytes, uint8_t *leaf) {
  uint8_t prefix[64] = {0};
  memcpy(prefix, salt, salt_bytes);
  EVP_MD_CTX *context = EVP_MD_CTX_new();
  EVP_DigestInit(context, EVP_sha256());
  if (salt_bytes > 0) EVP_DigestUpdate(context, prefix, sizeof prefix);
  EVP_DigestUpdate(context, block, bytes);
  EVP_DigestFinal(context, leaf, NULL);
  EVP_MD_CTX_free(context);
}

static void verity_leaves_with(size_t salt_bytes) {
  enum { BLOCK = 1024, BLOCKS = 5 };
  uint8_t data[8 * BLOCK] = {0}, leaves[BLOCKS * 32], salt[32];
  image_fill(data, 0, 4 * BLOCK + 100); /* the last block is padded with zeros */
  image_fill(salt, 77, sizeof salt);
  for (int i = 0; i < BLOCKS; i++) plain_leaf(salt, salt_bytes, data + i * BLOCK, BLOCK, leaves + 32 * i);
  struct verity *verity = verity_create(BLOCK, leaves, BLOCKS, salt, salt_bytes);
  CHECK(verity_check(verity, data, 4 * BLOCK, 0));
  CHECK(verity_check(verity, data + 4 * BLOCK, 4 * BLOCK, 4)); /* three blocks past the last leaf */
  CHECK(!verity_check(verity, data, BLOCK, 1));
  data[3 * BLOCK + 1023] ^= 1;
  CHECK(!verity_check(verity, data, 4 * BLOCK, 0));
  CHECK(verity_check(verity, data, 3 * BLOCK, 0));
  data[4 * BLOCK + 500] ^= 0x80; /* in the padding */
  CHECK(!verity_check(verity, data + 4 * BLOCK, BLOCK, 4));
  verity_destroy(verity);
}

static void verity_leaves(void) {
  verity_leaves_with(0);
  verity_leaves_with(1);
  verity_leaves_with(8);
  verity_leaves_with(32);
}

int main(void) {
  TEST(xts_vectors, "XTS agrees with IEEE 1619 vectors 4, 5 and 10, and undoes itself");
  TEST(xts_far_sectors, "sector numbers are 64-bit little-endian tweaks");
  TEST(verity_leaves, "each verity block is compared with its leaf: salted, unsalted, the padded last one");
  DONE();
}
