/*
 * CRC-32C (Castagnoli, as in iSCSI and ext4): whether bytes are still those that were written. It finds what a crash or a
 * failing memory does to them, not what an enemy does. By the CPU's own instruction where there is one, three streams at
 * once: 4.3 µs for 64 KiB on the machine of docs/figures.md, where the tables take 32 µs (build/test/ledger-test speed).
 */
#ifndef TETHERFS_CRC32C_H
#define TETHERFS_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* `crc` is 0, or that of what came before. */
uint32_t crc32c(uint32_t crc, const void *data, size_t bytes);

/* The same without the CPU's instruction. */
uint32_t crc32c_by_tables(uint32_t crc, const void *data, size_t bytes);

#endif
