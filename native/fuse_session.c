/* See fuse_session.h. */
#include "fuse_session.h"

#include "fuse_init.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define NODE_ROOT FUSE_ROOT_ID
#define NODE_FILE 2
#define VALID_SECONDS (365 * 86400)
#define REQUEST_BUFFER_BYTES 65536 /* the kernel wants 8192 at least; its largest request to us is far smaller */
#define BLOCK_BYTES 4096

struct channel {
  struct reply_to reply_to; /* first: the store hands it back */
  struct session *session;
  int fd;
  pthread_t thread;
  atomic_bool left;
};

struct session {
  struct store *store;
  char name[SESSION_MAX_NAME_BYTES + 1];
  size_t name_bytes;
  uint64_t file_bytes;
  uint64_t mtime;
  bool no_page_cache;
  bool wants_passthrough;
  struct channel channels[SESSION_MAX_THREADS];
  int channel_count;
  int thread_count;
  atomic_int threads_left;
  atomic_bool stop;
  atomic_bool paused; /* the threads end, the session does not */
  atomic_bool over;   /* the last thread has left, and not for a pause */
  atomic_int ended_by; /* the first errno that ended a thread */
  atomic_uint minor, max_read_bytes;
  atomic_bool resend;
  /* The kernel's number of the RAM file when opened files pass through to it, else 0. Settled before the first open. */
  atomic_int backing;

  /* Guards `initialised`: the threads after the first begin when INIT is settled, so that a refusal ends one thread. */
  pthread_mutex_t lock;
  pthread_cond_t begin;
  bool initialised;
};

/* ---- Answers ---- */

/*
 * The kernel copies from and to pages of ours. One that it has to bring in first is its chance to notice that we have been killed, and then
 * it gives the request up with EIO, where otherwise our successor gets it again (fuse_dev_do_read, fuse_dev_do_write: get_user_pages ends
 * with EINTR). Whoever touches all pages before has none to be brought in.
 */
static void touch(const struct iovec *iov, int count) {
  for (int i = 0; i < count; i++) {
    const volatile uint8_t *bytes = iov[i].iov_base;
    for (size_t at = 0; at < iov[i].iov_len; at += 4096) (void)bytes[at];
    if (iov[i].iov_len > 0) (void)bytes[iov[i].iov_len - 1];
  }
}

static void send_vector(const struct channel *channel, uint64_t unique, int error, struct iovec *iov, int count,
                        size_t bytes) {
  struct fuse_out_header header = {.len = (uint32_t)(sizeof header + bytes), .error = -error, .unique = unique};
  iov[0] = (struct iovec){&header, sizeof header};
  touch(iov, count);
  /* ENOENT: the request was given up meanwhile. Without its data the reader gets an error rather than nothing. */
  if (writev(channel->fd, iov, count) >= 0 || errno == ENOENT || errno == ENODEV || count == 1) return;
  header = (struct fuse_out_header){.len = sizeof header, .error = -EIO, .unique = unique};
  if (write(channel->fd, &header, sizeof header) < 0) return; /* nothing is left to try */
}

static void reply_to_read(struct reply_to *to, uint64_t unique, int error, struct iovec *iov, int count, size_t bytes) {
  send_vector((const struct channel *)to, unique, error, iov, count, bytes);
}

static void reply_error(const struct channel *channel, uint64_t unique, int error) {
  struct iovec iov[1];
  send_vector(channel, unique, error, iov, 1, 0);
}

static void reply(const struct channel *channel, uint64_t unique, const void *body, size_t bytes) {
  struct iovec iov[2] = {[1] = {(void *)(uintptr_t)body, bytes}};
  send_vector(channel, unique, 0, iov, 2, bytes);
}

/* ---- One directory, one file ---- */

static void fill_attr(const struct session *session, uint64_t node, struct fuse_attr *attr) {
  bool is_file = node == NODE_FILE;
  *attr = (struct fuse_attr){
      .ino = node,
      .size = is_file ? session->file_bytes : 0,
      .blocks = is_file ? (session->file_bytes + 511) / 512 : 0,
      .atime = session->mtime,
      .mtime = session->mtime,
      .ctime = session->mtime,
      .mode = !is_file ? S_IFDIR | 0555 : S_IFREG | (store_decrypts(session->store) ? 0400 : 0444),
      .nlink = is_file ? 1 : 2,
      .blksize = BLOCK_BYTES,
  };
}

static void fill_entry(const struct session *session, struct fuse_entry_out *entry) {
  *entry = (struct fuse_entry_out){.nodeid = NODE_FILE, .entry_valid = VALID_SECONDS, .attr_valid = VALID_SECONDS};
  fill_attr(session, NODE_FILE, &entry->attr);
}

static void do_lookup(const struct channel *channel, const struct fuse_in_header *request, const char *name,
                      size_t bytes) {
  const struct session *session = channel->session;
  struct fuse_entry_out entry;
  size_t name_bytes = strnlen(name, bytes);
  if (request->nodeid != NODE_ROOT) {
    reply_error(channel, request->unique, ENOTDIR);
    return;
  }
  if (name_bytes == session->name_bytes && memcmp(name, session->name, name_bytes) == 0)
    fill_entry(session, &entry);
  else /* node 0: there is none, and the kernel may remember that */
    entry = (struct fuse_entry_out){.entry_valid = VALID_SECONDS};
  reply(channel, request->unique, &entry, sizeof entry);
}

static void do_getattr(const struct channel *channel, const struct fuse_in_header *request) {
  struct fuse_attr_out out = {.attr_valid = VALID_SECONDS};
  if (request->nodeid != NODE_ROOT && request->nodeid != NODE_FILE) {
    reply_error(channel, request->unique, ENOENT);
    return;
  }
  fill_attr(channel->session, request->nodeid, &out.attr);
  reply(channel, request->unique, &out, sizeof out);
}

/*
 * With ASYNC_DIO the kernel turns the O_DIRECT reads of a file opened as usual into background requests, also those of a
 * reader that waits for them: it could not be interrupted, not even killed. FOPEN_DIRECT_IO keeps asynchronous reads
 * asynchronous, and lets a waiting reader go (fuse_direct_read_iter of fs/fuse/file.c). A loop device opens without
 * O_DIRECT and reads asynchronously: many at once, as it should.
 *
 * Passing through, O_DIRECT is a matter between the kernel and the RAM file; the page cache of our file is not used, and
 * the kernel refuses the flags that concern it. Once a file is open that way, it must be for all: hence never a mixture.
 *
 * FOPEN_NOFLUSH: nothing is ever to be flushed, and a process that dies with the file open must not wait for us.
 */
static void do_open(const struct channel *channel, const struct fuse_in_header *request,
                    const struct fuse_open_in *in) {
  struct fuse_open_out out = {.open_flags = FOPEN_KEEP_CACHE | FOPEN_NOFLUSH};
  int backing = atomic_load_explicit(&channel->session->backing, memory_order_relaxed);
  if ((in->flags & O_DIRECT) || channel->session->no_page_cache) out.open_flags |= FOPEN_DIRECT_IO;
  if (backing != 0) {
    out.open_flags = PROTOCOL_OPEN_PASSTHROUGH | FOPEN_NOFLUSH;
    PROTOCOL_BACKING_ID(out) = (uint32_t)backing;
  }
  if (request->nodeid != NODE_FILE)
    reply_error(channel, request->unique, EISDIR);
  else if ((in->flags & O_ACCMODE) != O_RDONLY || (in->flags & O_TRUNC))
    reply_error(channel, request->unique, EROFS);
  else
    reply(channel, request->unique, &out, sizeof out);
}

static void do_opendir(const struct channel *channel, const struct fuse_in_header *request) {
  struct fuse_open_out out = {0};
  if (request->nodeid == NODE_ROOT)
    reply(channel, request->unique, &out, sizeof out);
  else
    reply_error(channel, request->unique, ENOTDIR);
}

/* Appends an entry to a directory listing, if it fits. */
static bool add_entry(const struct session *session, bool plus, uint8_t *listing, size_t *used, size_t room, int index) {
  const char *name = index == 0 ? "." : index == 1 ? ".." : session->name;
  size_t name_bytes = strlen(name);
  size_t head = plus ? sizeof(struct fuse_entry_out) : 0;
  size_t bytes = FUSE_REC_ALIGN(head + FUSE_NAME_OFFSET + name_bytes);
  if (*used + bytes > room) return false;
  uint8_t *at = listing + *used;
  memset(at, 0, bytes);
  /* For "." and ".." node 0 says: not looked up. */
  if (plus && index == 2) fill_entry(session, (struct fuse_entry_out *)at);
  struct fuse_dirent *entry = (struct fuse_dirent *)(at + head);
  entry->ino = index == 2 ? NODE_FILE : NODE_ROOT;
  entry->off = (uint64_t)index + 1;
  entry->namelen = (uint32_t)name_bytes;
  entry->type = (index == 2 ? S_IFREG : S_IFDIR) >> 12;
  memcpy(entry->name, name, name_bytes);
  *used += bytes;
  return true;
}

static void do_readdir(const struct channel *channel, const struct fuse_in_header *request,
                       const struct fuse_read_in *in, bool plus) {
  uint64_t listing[(3 * (sizeof(struct fuse_direntplus) + 8) + SESSION_MAX_NAME_BYTES) / 8 + 1];
  size_t used = 0;
  size_t room = in->size < sizeof listing ? in->size : sizeof listing;
  if (request->nodeid != NODE_ROOT) {
    reply_error(channel, request->unique, ENOTDIR);
    return;
  }
  for (uint64_t index = in->offset; index < 3; index++)
    if (!add_entry(channel->session, plus, (uint8_t *)listing, &used, room, (int)index)) break;
  reply(channel, request->unique, listing, used);
}

static void do_statfs(const struct channel *channel, const struct fuse_in_header *request) {
  struct fuse_statfs_out out = {.st = {
                                    .blocks = (channel->session->file_bytes + BLOCK_BYTES - 1) / BLOCK_BYTES,
                                    .files = 2,
                                    .bsize = BLOCK_BYTES,
                                    .frsize = BLOCK_BYTES,
                                    .namelen = SESSION_MAX_NAME_BYTES,
                                }};
  reply(channel, request->unique, &out, sizeof out);
}

static void do_read(struct channel *channel, const struct fuse_in_header *request, const struct fuse_read_in *in) {
  if (request->nodeid == NODE_FILE)
    store_read(channel->session->store, &channel->reply_to, request->unique, in->offset, in->size);
  else
    reply_error(channel, request->unique, EISDIR);
}

/* INIT is answered and no file is open yet: only now can the kernel be told of the RAM file. */
static void begin_passthrough(const struct channel *channel) {
  struct session *session = channel->session;
  struct protocol_backing_map map = {.fd = store_begin_passthrough(session->store)};
  if (map.fd < 0) return;
  int backing = ioctl(channel->fd, PROTOCOL_BACKING_OPEN, &map);
  if (backing > 0)
    atomic_store(&session->backing, backing);
  else /* not taken: the reads come to us, as ever */
    store_end_passthrough(session->store);
}

/* 0, or the errno that ends the session. */
static int do_init(struct channel *channel, const struct fuse_in_header *request, const void *body, size_t bytes) {
  struct session *session = channel->session;
  struct init_limits limits = {(uint32_t)sysconf(_SC_PAGESIZE), STORE_MAX_READ_BYTES, session->wants_passthrough};
  struct init_result result;
  fuse_init_negotiate(body, bytes, &limits, &result);
  if (result.error != 0) {
    reply_error(channel, request->unique, result.error);
    return result.error;
  }
  /* Known before the kernel's first read can come. */
  atomic_store(&session->max_read_bytes, result.max_read_bytes);
  atomic_store(&session->resend, (result.flags & PROTOCOL_FLAG_RESEND) != 0);
  atomic_store(&session->minor, result.minor);
  reply(channel, request->unique, &result.out, sizeof result.out);
  if (result.again) return 0;
  if (result.flags & PROTOCOL_FLAG_PASSTHROUGH) begin_passthrough(channel);
  pthread_mutex_lock(&session->lock);
  session->initialised = true;
  pthread_cond_broadcast(&session->begin);
  pthread_mutex_unlock(&session->lock);
  return 0;
}

/* How many bytes must follow the header for the cases below to look at them. */
static size_t body_bytes(uint32_t opcode) {
  switch (opcode) {
    case FUSE_INIT: return 2 * sizeof(uint32_t);
    case FUSE_LOOKUP: return 1;
    case FUSE_OPEN: return sizeof(struct fuse_open_in);
    case FUSE_READ:
    case FUSE_READDIR:
    case FUSE_READDIRPLUS: return sizeof(struct fuse_read_in);
    case FUSE_INTERRUPT: return sizeof(struct fuse_interrupt_in);
    default: return 0;
  }
}

/* 0, or the errno that ends the session. */
static int dispatch(struct channel *channel, const void *message, size_t bytes) {
  const struct fuse_in_header *request = message;
  const void *body = request + 1;
  if (bytes < sizeof *request || request->len != bytes) return 0;
  size_t rest = bytes - sizeof *request;
  if (rest < body_bytes(request->opcode)) {
    reply_error(channel, request->unique, EINVAL);
    return 0;
  }
  switch (request->opcode) {
    case FUSE_READ: do_read(channel, request, body); break;
    case FUSE_INTERRUPT:
      /* No answer: the interrupted read gets one, now or when it arrives (the kernel sends the read first). */
      store_interrupt(channel->session->store, ((const struct fuse_interrupt_in *)body)->unique);
      break;
    case FUSE_INIT: return do_init(channel, request, body, rest);
    case FUSE_LOOKUP: do_lookup(channel, request, body, rest); break;
    case FUSE_GETATTR: do_getattr(channel, request); break;
    case FUSE_OPEN: do_open(channel, request, body); break;
    case FUSE_OPENDIR: do_opendir(channel, request); break;
    case FUSE_READDIR: do_readdir(channel, request, body, false); break;
    case FUSE_READDIRPLUS: do_readdir(channel, request, body, true); break;
    case FUSE_STATFS: do_statfs(channel, request); break;
    case FUSE_RELEASE:
    case FUSE_RELEASEDIR:
    case FUSE_DESTROY: reply_error(channel, request->unique, 0); break;
    case FUSE_FORGET: /* node numbers are fixed; these three want no answer */
    case FUSE_BATCH_FORGET:
    case FUSE_NOTIFY_REPLY: break;
    case FUSE_READLINK: reply_error(channel, request->unique, EINVAL); break;
    case FUSE_SETATTR:
    case FUSE_SYMLINK:
    case FUSE_MKNOD:
    case FUSE_MKDIR:
    case FUSE_UNLINK:
    case FUSE_RMDIR:
    case FUSE_RENAME:
    case FUSE_RENAME2:
    case FUSE_LINK:
    case FUSE_WRITE:
    case FUSE_CREATE:
    case FUSE_TMPFILE:
    case FUSE_FALLOCATE:
    case FUSE_COPY_FILE_RANGE: reply_error(channel, request->unique, EROFS); break;
    /* FLUSH, FSYNC, ACCESS, extended attributes, LSEEK, STATX, …: the kernel remembers, and does without. */
    default: reply_error(channel, request->unique, ENOSYS); break;
  }
  return 0;
}

/* ---- Threads ---- */

/* Only there to make a blocking read return: see session_stop. */
#define WAKE_SIGNAL (SIGRTMIN + 7)

static void on_wake(int signal) { (void)signal; }

static bool wait_for_init(struct session *session) {
  pthread_mutex_lock(&session->lock);
  while (!session->initialised && !atomic_load(&session->stop)) pthread_cond_wait(&session->begin, &session->lock);
  pthread_mutex_unlock(&session->lock);
  return !atomic_load(&session->stop);
}

static void stop_waiting_for_init(struct session *session) {
  pthread_mutex_lock(&session->lock);
  atomic_store(&session->stop, true);
  pthread_cond_broadcast(&session->begin);
  pthread_mutex_unlock(&session->lock);
}

/* The connection is being taken down: returns when no request can be taken from it any more, or when we are woken to end. */
static void wait_until_disconnected(int fd) {
  struct pollfd gone = {.fd = fd}; /* POLLERR is reported unasked */
  (void)poll(&gone, 1, 1000);
}

/*
 * The errno that ended it, 0 for an unmount.
 *
 * An errno counts when the read after it says the same. One alone may be about a request that could not be handed over: its reader has had an
 * error, and the mount lives on. Above all, a thread that has just taken a request when the connection goes down gets ECONNABORTED, whatever
 * took it down; only a read that finds the queue itself disconnected tells an abort (ECONNABORTED) from an unmount (ENODEV): fuse_dev_do_read
 * and fuse_abort_conn of fs/fuse/dev.c.
 */
static int serve(struct channel *channel, void *buffer) {
  int before = 0;
  while (!atomic_load_explicit(&channel->session->stop, memory_order_relaxed)) {
    ssize_t bytes = read(channel->fd, buffer, REQUEST_BUFFER_BYTES);
    if (bytes > 0) {
      int error = dispatch(channel, buffer, (size_t)bytes);
      if (error != 0) return error;
      before = 0;
    } else if (bytes == 0 || errno == ENODEV) {
      return 0;
    } else if (errno != ENOENT && errno != EINTR && errno != EAGAIN) { /* ENOENT: a request that was interrupted before we had it */
      if (errno == before) return before;
      before = errno;
      if (before == ECONNABORTED) wait_until_disconnected(channel->fd);
    }
  }
  return 0;
}

static void *thread_main(void *argument) {
  struct channel *channel = argument;
  struct session *session = channel->session;
  sigset_t wake;
  int error = ENOMEM;
  int none = 0;

  sigemptyset(&wake);
  sigaddset(&wake, WAKE_SIGNAL);
  pthread_sigmask(SIG_UNBLOCK, &wake, NULL);
  void *buffer = mmap(NULL, REQUEST_BUFFER_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (buffer != MAP_FAILED) (void)!mlock(buffer, REQUEST_BUFFER_BYTES); /* see touch(); populated, it is there without */
  if (buffer != MAP_FAILED) error = channel == &session->channels[0] || wait_for_init(session) ? serve(channel, buffer) : 0;
  if (buffer != MAP_FAILED) munmap(buffer, REQUEST_BUFFER_BYTES);
  if (error != 0) atomic_compare_exchange_strong(&session->ended_by, &none, error);
  /* The others may still be waiting for an INIT that never comes. */
  if (channel == &session->channels[0] && !session->initialised) stop_waiting_for_init(session);
  if (atomic_fetch_sub(&session->threads_left, 1) == 1 && !atomic_load(&session->paused)) {
    atomic_store(&session->over, true);
    store_cancel_reads(session->store, EIO);
    store_post(session->store, EVENT_SESSION_ENDED, (uint32_t)atomic_load(&session->ended_by));
  }
  atomic_store(&channel->left, true);
  return NULL;
}

struct session *session_new(struct store *store, const struct session_options *options) {
  struct session *session = calloc(1, sizeof *session);
  if (session == NULL) return NULL;
  session->store = store;
  session->name_bytes = strnlen(options->file_name, SESSION_MAX_NAME_BYTES);
  memcpy(session->name, options->file_name, session->name_bytes);
  session->file_bytes = store_file_bytes(store);
  session->mtime = (uint64_t)options->mtime;
  session->no_page_cache = options->no_page_cache;
  session->wants_passthrough = options->passthrough;
  pthread_mutex_init(&session->lock, NULL);
  pthread_cond_init(&session->begin, NULL);
  return session;
}

void session_add(struct session *session, int fd) {
  struct channel *channel = &session->channels[session->channel_count++];
  channel->reply_to.reply = reply_to_read;
  channel->session = session;
  channel->fd = fd;
}

int session_run(struct session *session) {
  sigset_t all, before;
  int error = 0;
  /* Signals are the main thread's. */
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  atomic_store(&session->threads_left, session->channel_count);
  for (int i = 0; i < session->channel_count && error == 0; i++) {
    error = pthread_create(&session->channels[i].thread, NULL, thread_main, &session->channels[i]);
    if (error != 0) break;
    pthread_setname_np(session->channels[i].thread, "tether-fuse");
    session->thread_count++;
  }
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return error;
}

void session_wait_for_init(struct session *session) {
  struct timespec until;
  clock_gettime(CLOCK_REALTIME, &until);
  until.tv_sec++;
  pthread_mutex_lock(&session->lock);
  while (!session->initialised && !atomic_load(&session->stop))
    if (pthread_cond_timedwait(&session->begin, &session->lock, &until) != 0) break;
  pthread_mutex_unlock(&session->lock);
}

struct session_protocol session_get_protocol(struct session *session) {
  uint32_t minor = atomic_load(&session->minor);
  if (minor == 0) return (struct session_protocol){0};
  return (struct session_protocol){PROTOCOL_MAJOR, minor, atomic_load(&session->max_read_bytes),
                                   (uint32_t)atomic_load(&session->backing), atomic_load(&session->resend)};
}

void session_adopt(struct session *session, struct session_protocol protocol) {
  atomic_store(&session->max_read_bytes, protocol.max_read_bytes);
  atomic_store(&session->resend, protocol.resend);
  atomic_store(&session->backing, (int)protocol.backing);
  atomic_store(&session->minor, protocol.minor);
  session->initialised = true;
  if (protocol.backing != 0) store_adopt_passthrough(session->store);
}

int session_descriptors(const struct session *session, int *fds, int room) {
  for (int i = 0; i < session->channel_count && i < room; i++) fds[i] = session->channels[i].fd;
  return session->channel_count;
}

static void end_threads(struct session *session) {
  struct sigaction wake = {.sa_handler = on_wake}, before;
  const struct timespec pause = {0, 200000};
  stop_waiting_for_init(session);
  /*
   * A poll before each read would cost every request a system call. So a signal makes the blocking read return instead;
   * sent again and again, because one that arrives just before the read begins does not count.
   */
  sigaction(WAKE_SIGNAL, &wake, &before);
  for (int i = 0; i < session->thread_count; i++) {
    while (!atomic_load(&session->channels[i].left)) {
      pthread_kill(session->channels[i].thread, WAKE_SIGNAL);
      nanosleep(&pause, NULL);
    }
    pthread_join(session->channels[i].thread, NULL);
  }
  sigaction(WAKE_SIGNAL, &before, NULL);
  session->thread_count = 0;
}

void session_stop(struct session *session) { end_threads(session); }

void session_pause(struct session *session) {
  if (session->thread_count == 0 || atomic_load(&session->over)) return;
  atomic_store(&session->paused, true);
  end_threads(session);
}

int session_resume(struct session *session) {
  if (session->thread_count > 0 || atomic_load(&session->over)) return 0;
  for (int i = 0; i < session->channel_count; i++) atomic_store(&session->channels[i].left, false);
  atomic_store(&session->paused, false);
  atomic_store(&session->stop, false);
  return session_run(session);
}

void session_free(struct session *session) {
  for (int i = 0; i < session->channel_count; i++) close(session->channels[i].fd);
  pthread_cond_destroy(&session->begin);
  pthread_mutex_destroy(&session->lock);
  free(session);
}
