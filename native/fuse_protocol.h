/*
 * The kernel's FUSE protocol (linux/fuse.h) as far as tetherfs speaks it. Debian 12's header is that of 7.38; what came
 * later is defined here under names of our own, with the numbers of the kernel's include/uapi/linux/fuse.h.
 */
#ifndef TETHERFS_FUSE_PROTOCOL_H
#define TETHERFS_FUSE_PROTOCOL_H

#include <linux/fuse.h>
#include <sys/ioctl.h>

#define PROTOCOL_MAJOR 7
#define PROTOCOL_OLDEST_MINOR 27 /* el8's kernel */
#define PROTOCOL_NEWEST_MINOR 45 /* Linux 6.18 */

/* INIT flags, the lower and the upper word in one number. The upper word is there from 7.36 on (FUSE_INIT_EXT). */
#define PROTOCOL_FLAG_DIRECT_IO_ALLOW_MMAP (1ULL << 36) /* 7.39 */
#define PROTOCOL_FLAG_PASSTHROUGH (1ULL << 37) /* 7.40 */
#define PROTOCOL_FLAG_RESEND (1ULL << 39)      /* 7.40 */


/* Open flags, and the word behind them that is padding in older headers. */
#define PROTOCOL_OPEN_PASSTHROUGH (1u << 7) /* 7.40 */
#define PROTOCOL_BACKING_ID(open_out) ((open_out).padding)

/* Of INIT's answer: how many file systems may lie between ours and the backing file's device. 7.40 */
#define PROTOCOL_MAX_STACK_DEPTH(init_out) ((init_out).unused[0])

/* Makes a file known to the kernel, for files of ours to pass reads through to it; returns its number. 7.40 */
struct protocol_backing_map {
  int32_t fd;
  uint32_t flags;
  uint64_t padding;
};
#define PROTOCOL_BACKING_OPEN _IOW(229, 1, struct protocol_backing_map)

/*
 * Asks for all requests again that were read and not answered, through whichever descriptor. They come with another `unique` (bit 63 is
 * set), which is the only one to answer with from then on. 7.40
 */
#define PROTOCOL_NOTIFY_RESEND 7
#define PROTOCOL_UNIQUE_RESEND (1ULL << 63)

/* Pages a read may have when the kernel does not know FUSE_MAX_PAGES (before 7.28). */
#define PROTOCOL_DEFAULT_MAX_PAGES 32

#endif
