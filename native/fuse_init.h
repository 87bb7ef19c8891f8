/*
 * INIT: what the kernel offers, what we take. Pure, so that exchanges of every protocol version can be tested.
 */
#ifndef TETHERFS_FUSE_INIT_H
#define TETHERFS_FUSE_INIT_H

#include "fuse_protocol.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct init_limits {
  uint32_t page_bytes;
  uint32_t max_read_bytes;
  bool passthrough; /* asked for */
};

struct init_result {
  int error;        /* EPROTO: refused, the session cannot go on */
  int again;        /* the kernel will ask again with our major version */
  uint32_t minor;   /* settled; 0 unless it is */
  uint64_t flags;   /* settled, both words */
  uint32_t max_read_bytes;
  struct fuse_init_out out;
};

/* `body` is what follows the request's header; kernels before 7.36 send less of it. */
void fuse_init_negotiate(const void *body, size_t bytes, const struct init_limits *limits, struct init_result *result);

#endif
