/* INIT as kernels of several ages send it, to the pure function and through a whole session without a kernel. */
#include "check.h"
#include "fuse_init.h"
#include "recorder.h"
#include "fuse_session.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

/* What kernels set in INIT, by the header of that version: all flags they know. */
#define FLAGS_7_27 0x003fffffu /* to FUSE_ABORT_ERROR */
#define FLAGS_7_28 0x00ffffffu /* and MAX_PAGES, CACHE_SYMLINKS */
#define FLAGS_7_38 0x73ffffffu /* and INIT_EXT */

static struct init_result negotiate_for(bool passthrough, uint32_t major, uint32_t minor, uint32_t flags, size_t bytes,
                                        uint32_t page) {
  struct fuse_init_in in = {.major = major, .minor = minor, .max_readahead = 131072, .flags = flags, .flags2 = 0xff};
  struct init_limits limits = {page, STORE_MAX_READ_BYTES, passthrough};
  struct init_result result;
  fuse_init_negotiate(&in, bytes, &limits, &result);
  return result;
}

static struct init_result negotiate(uint32_t major, uint32_t minor, uint32_t flags, size_t bytes, uint32_t page) {
  return negotiate_for(false, major, minor, flags, bytes, page);
}

static void refuses_old(void) {
  CHECK(negotiate(7, 26, FLAGS_7_27 >> 1, 16, 4096).error == EPROTO);
  CHECK(negotiate(6, 45, FLAGS_7_38, 64, 4096).error == EPROTO);
  struct init_result newer = negotiate(8, 0, FLAGS_7_38, 64, 4096);
  CHECK(newer.error == 0 && newer.again && newer.out.major == 7 && newer.minor == 0);
}

static void takes_each(void) {
  static const struct {
    uint32_t minor, flags;
    size_t bytes;
    uint32_t settled, reach;
  } cases[] = {
      {27, FLAGS_7_27, 16, 27, 131072}, {28, FLAGS_7_28, 16, 28, 1 << 20}, {31, FLAGS_7_28, 16, 31, 1 << 20},
      {34, FLAGS_7_28, 16, 34, 1 << 20}, {38, FLAGS_7_38, 64, 38, 1 << 20}, {45, FLAGS_7_38, 64, 45, 1 << 20},
      {60, FLAGS_7_38, 64, 45, 1 << 20},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    struct init_result result = negotiate(7, cases[i].minor, cases[i].flags, cases[i].bytes, 4096);
    CHECK(result.error == 0 && !result.again);
    CHECK(result.minor == cases[i].settled && result.out.minor == cases[i].settled);
    CHECK(result.max_read_bytes == cases[i].reach);
    CHECK(result.out.max_pages == (cases[i].reach == 1 << 20 ? 256 : 0));
    CHECK((result.out.flags & ~cases[i].flags) == 0); /* nothing that was not offered */
    CHECK(result.out.flags & FUSE_ASYNC_READ);
    CHECK(!(result.out.flags & (FUSE_WRITEBACK_CACHE | FUSE_POSIX_LOCKS | FUSE_BIG_WRITES)));
    CHECK(!!(result.out.flags & FUSE_INIT_EXT) == (cases[i].minor >= 38));
    CHECK(result.out.flags2 == (cases[i].minor >= 38 ? (PROTOCOL_FLAG_DIRECT_IO_ALLOW_MMAP | PROTOCOL_FLAG_RESEND) >> 32 : 0));
    CHECK(PROTOCOL_MAX_STACK_DEPTH(result.out) == 0);
    CHECK(result.out.max_write >= 4096 && result.out.max_background == 256 && result.out.congestion_threshold == 192);
  }
}

static void passthrough_if_asked(void) {
  struct init_result result = negotiate_for(true, 7, 45, FLAGS_7_38, 64, 4096);
  CHECK((result.flags & PROTOCOL_FLAG_PASSTHROUGH) && (result.out.flags2 & PROTOCOL_FLAG_PASSTHROUGH >> 32));
  CHECK(PROTOCOL_MAX_STACK_DEPTH(result.out) == 1);
  result = negotiate_for(true, 7, 31, FLAGS_7_28, 16, 4096); /* a kernel that does not know it */
  CHECK(!(result.flags & PROTOCOL_FLAG_PASSTHROUGH) && result.out.flags2 == 0);
  CHECK(PROTOCOL_MAX_STACK_DEPTH(result.out) == 0);
}

static void large_pages(void) {
  CHECK(negotiate(7, 38, FLAGS_7_38, 64, 65536).out.max_pages == 16);
  CHECK(negotiate(7, 38, FLAGS_7_38, 64, 65536).max_read_bytes == 1 << 20);
  CHECK(negotiate(7, 27, FLAGS_7_27, 16, 65536).max_read_bytes == 1 << 20); /* 32 pages, cut by max_read */
}

static void no_ring(void *listener) { (void)listener; }

struct request {
  struct fuse_in_header header;
  union {
    struct fuse_init_in init;
    struct fuse_read_in read;
    struct fuse_open_in open;
    struct fuse_interrupt_in interrupt;
    char name[256];
  } body;
};

struct reply {
  struct fuse_out_header header;
  uint8_t body[8192];
};

static int kernel_side;
static uint64_t last_unique;

static void send_request(uint32_t opcode, uint64_t node, struct request *request, size_t bytes) {
  last_unique += 2;
  request->header = (struct fuse_in_header){
      .len = (uint32_t)(sizeof request->header + bytes), .opcode = opcode, .unique = last_unique, .nodeid = node};
  CHECK(write(kernel_side, request, request->header.len) == (ssize_t)request->header.len);
}

static struct reply receive(void) {
  static struct reply reply;
  memset(&reply, 0, sizeof reply);
  ssize_t bytes = recv(kernel_side, &reply, sizeof reply, 0);
  CHECK(bytes == (ssize_t)reply.header.len);
  return reply;
}

static struct store *store;
static struct session *session;

static void open_session(void) {
  const char *why;
  int ends[2];
  struct store_options options = {
      .image_bytes = 100000, .hidden_bytes = 4096, .chunk_bytes = 65536, .slots = 2, .ring = no_ring};
  struct session_options named = {.file_name = "rootimg.sfs", .mtime = 1234};
  struct timeval patience = {10, 0};
  CHECK(store_create(&store, &options, &why) == 0);
  session = session_new(store, &named);
  CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) == 0);
  kernel_side = ends[0];
  setsockopt(kernel_side, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  session_add(session, ends[1]);
  CHECK(session_run(session) == 0);
}

static void close_session(void) {
  session_stop(session);
  store_close(store);
  session_free(session);
  store_destroy(store);
  close(kernel_side);
}

static struct event wait_for_event(void) {
  struct event event = {0, 0, 0};
  for (int i = 0; i < 10000 && store_take_events(store, &event, 1) == 0; i++) usleep(1000);
  return event;
}

static void session_ends_refused(void) {
  open_session();
  struct request request = {.body.init = {.major = 7, .minor = 26}};
  send_request(FUSE_INIT, 0, &request, 16);
  CHECK(receive().header.error == -EPROTO);
  struct event event = wait_for_event();
  CHECK(event.kind == EVENT_SESSION_ENDED && event.a == EPROTO);
  CHECK(session_get_protocol(session).major == 0);
  close_session();
}

static int error_of(uint32_t opcode, uint64_t node, const struct request *template, size_t bytes) {
  struct request request = *template;
  send_request(opcode, node, &request, bytes);
  return receive().header.error;
}

static void session_speaks(void) {
  const struct request nothing = {0};
  open_session();
  struct request request = {.body.init = {.major = 7, .minor = 31, .flags = FLAGS_7_28}};
  CHECK(session_get_protocol(session).minor == 0);
  send_request(FUSE_INIT, 0, &request, 16);
  CHECK(receive().header.error == 0);
  CHECK(session_get_protocol(session).minor == 31 && session_get_protocol(session).max_read_bytes == 1 << 20);

  strcpy(request.body.name, "rootimg.sfs");
  send_request(FUSE_LOOKUP, 1, &request, 12);
  struct reply reply = receive();
  const struct fuse_entry_out *entry = (const struct fuse_entry_out *)reply.body;
  CHECK(entry->nodeid == 2 && entry->attr.size == 100000 - 4096 && entry->attr.mode == 0100444);
  CHECK(entry->attr.mtime == 1234 && entry->entry_valid > 1000);
  strcpy(request.body.name, "rootimg.sf");
  send_request(FUSE_LOOKUP, 1, &request, 11);
  reply = receive();
  CHECK(reply.header.error == 0 && entry->nodeid == 0);
  CHECK(error_of(FUSE_LOOKUP, 2, &request, 11) == -ENOTDIR);
  CHECK(error_of(FUSE_GETATTR, 1, &nothing, 16) == 0);
  CHECK(error_of(FUSE_GETATTR, 3, &nothing, 16) == -ENOENT);

  struct request open = {.body.open = {.flags = 0}};
  CHECK(error_of(FUSE_OPEN, 2, &open, 8) == 0);
  CHECK(error_of(FUSE_OPEN, 1, &open, 8) == -EISDIR);
  open.body.open.flags = 2;
  CHECK(error_of(FUSE_OPEN, 2, &open, 8) == -EROFS);
  CHECK(error_of(FUSE_OPENDIR, 1, &open, 8) == 0);
  CHECK(error_of(FUSE_WRITE, 2, &nothing, 40) == -EROFS);
  CHECK(error_of(FUSE_ACCESS, 2, &nothing, 8) == -ENOSYS);
  CHECK(error_of(FUSE_FLUSH, 2, &nothing, 24) == -ENOSYS);
  CHECK(error_of(52 /* STATX */, 2, &nothing, 24) == -ENOSYS);
  CHECK(error_of(FUSE_READLINK, 2, &nothing, 0) == -EINVAL);
  CHECK(error_of(FUSE_STATFS, 1, &nothing, 0) == 0);
  CHECK(error_of(FUSE_READ, 2, &nothing, 8) == -EINVAL); /* cut short */
  CHECK(error_of(9999, 2, &nothing, 8) == -ENOSYS);

  /* A directory that does not fit in one answer goes on where it stopped. */
  struct request list = {.body.read = {.size = 60}};
  send_request(FUSE_READDIR, 1, &list, sizeof list.body.read);
  reply = receive();
  CHECK(reply.header.len == sizeof reply.header + 32);
  list.body.read.offset = 1, list.body.read.size = 4096;
  send_request(FUSE_READDIR, 1, &list, sizeof list.body.read);
  reply = receive();
  const struct fuse_dirent *file = (const struct fuse_dirent *)(reply.body + 32);
  CHECK(reply.header.len == sizeof reply.header + 32 + 40 && file->ino == 2 && file->namelen == 11);
  CHECK(memcmp(file->name, "rootimg.sfs", 11) == 0);

  /* A read that waits, and is interrupted; only the read is answered. */
  struct request read = {.body.read = {.offset = 0, .size = 4096}};
  send_request(FUSE_READ, 2, &read, sizeof read.body.read);
  uint64_t waiting = last_unique;
  struct event event = wait_for_event();
  CHECK(event.kind == EVENT_GRANTED && event.a == 0);
  struct request interrupt = {.body.interrupt = {.unique = waiting}};
  send_request(FUSE_INTERRUPT, 2, &interrupt, sizeof interrupt.body.interrupt);
  reply = receive();
  CHECK(reply.header.unique == waiting && reply.header.error == -EINTR);
  CHECK(error_of(FUSE_DESTROY, 0, &nothing, 0) == 0);
  close_session();
}

int main(void) {
  TEST(refuses_old, "7.26 and older is refused with EPROTO; a newer major version is asked to come back");
  TEST(takes_each, "7.27 to 7.45: what is offered and of use is taken, nothing else");
  TEST(passthrough_if_asked, "passthrough is taken when it was asked for and offered");
  TEST(large_pages, "with 64 KiB pages no read is greater than 1 MiB either");
  TEST(session_ends_refused, "a refused INIT ends the session with EPROTO");
  TEST(session_speaks, "every request of a read-only file system gets its answer");
  DONE();
}
