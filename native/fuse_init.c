/* See fuse_init.h. */
#include "fuse_init.h"

#include <errno.h>
#include <string.h>

/*
 * ASYNC_READ and ASYNC_DIO let read-ahead and a loop device's direct reads come many at once. ABORT_ERROR tells an abort
 * from an unmount when the session ends. DIRECT_IO_ALLOW_MMAP: a file opened past the page cache can still be mapped. HAS_RESEND only tells
 * that a successor can ask for what we leave unanswered. Everything else that concerns writing, locks or caching of
 * changes is of no use to one immutable file.
 */
static const uint64_t WANTED = FUSE_ASYNC_READ | FUSE_ASYNC_DIO | FUSE_PARALLEL_DIROPS | FUSE_MAX_PAGES |
                               FUSE_DO_READDIRPLUS | FUSE_READDIRPLUS_AUTO | FUSE_ABORT_ERROR |
                               PROTOCOL_FLAG_DIRECT_IO_ALLOW_MMAP | PROTOCOL_FLAG_RESEND;

/* How many background requests (read-ahead, asynchronous direct reads) the kernel keeps in flight; its default is 12. */
#define MAX_BACKGROUND 256
#define CONGESTION_THRESHOLD (MAX_BACKGROUND * 3 / 4)

/* Nobody writes: as little as the kernel takes. */
#define MAX_WRITE_BYTES 4096
#define MAX_READAHEAD_BYTES (64u << 20) /* the mount's read_ahead_kb decides, within this */

void fuse_init_negotiate(const void *body, size_t bytes, const struct init_limits *limits, struct init_result *result) {
  struct fuse_init_in in;
  memset(&in, 0, sizeof in);
  memset(result, 0, sizeof *result);
  memcpy(&in, body, bytes < sizeof in ? bytes : sizeof in);

  result->out.major = PROTOCOL_MAJOR;
  if (in.major > PROTOCOL_MAJOR) {
    result->again = 1;
    return;
  }
  if (in.major < PROTOCOL_MAJOR || in.minor < PROTOCOL_OLDEST_MINOR) {
    result->error = EPROTO;
    return;
  }
  uint64_t offered = in.flags;
  if (in.flags & FUSE_INIT_EXT) offered |= (uint64_t)in.flags2 << 32;
  uint64_t wanted = WANTED;
  if (in.flags & FUSE_INIT_EXT) wanted |= FUSE_INIT_EXT;
  if (limits->passthrough) wanted |= PROTOCOL_FLAG_PASSTHROUGH;
  result->flags = offered & wanted;
  result->minor = in.minor < PROTOCOL_NEWEST_MINOR ? in.minor : PROTOCOL_NEWEST_MINOR;

  uint32_t pages = PROTOCOL_DEFAULT_MAX_PAGES;
  if (result->flags & FUSE_MAX_PAGES) {
    pages = limits->max_read_bytes / limits->page_bytes;
    if (pages == 0) pages = 1;
    if (pages > UINT16_MAX) pages = UINT16_MAX;
    result->out.max_pages = (uint16_t)pages;
  }
  uint64_t reach = (uint64_t)pages * limits->page_bytes;
  result->max_read_bytes = reach < limits->max_read_bytes ? (uint32_t)reach : limits->max_read_bytes;

  result->out.minor = result->minor;
  result->out.max_readahead = MAX_READAHEAD_BYTES;
  result->out.flags = (uint32_t)result->flags;
  result->out.flags2 = (uint32_t)(result->flags >> 32);
  result->out.max_background = MAX_BACKGROUND;
  result->out.congestion_threshold = CONGESTION_THRESHOLD;
  result->out.max_write = MAX_WRITE_BYTES;
  result->out.time_gran = 1;
  /* The RAM file is on tmpfs, which lies on nothing. */
  if (result->flags & PROTOCOL_FLAG_PASSTHROUGH) PROTOCOL_MAX_STACK_DEPTH(result->out) = 1;
}
