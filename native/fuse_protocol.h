/*
 * The kernel's FUSE protocol (linux/fuse.h) as far as tetherfs speaks it. Debian 12's header is that of 7.38; what came
 * later is defined here under names of our own, with the numbers of the kernel's include/uapi/linux/fuse.h.
 */
#ifndef TETHERFS_FUSE_PROTOCOL_H
#define TETHERFS_FUSE_PROTOCOL_H

#include <linux/fuse.h>

#define PROTOCOL_MAJOR 7
#define PROTOCOL_OLDEST_MINOR 27 /* el8's kernel */
#define PROTOCOL_NEWEST_MINOR 45 /* Linux 6.18 */

/* INIT flags, the lower and the upper word in one number. The upper word is there from 7.36 on (FUSE_INIT_EXT). */
#define PROTOCOL_FLAG_PASSTHROUGH (1ULL << 37) /* 7.40 */
#define PROTOCOL_FLAG_RESEND (1ULL << 39)      /* 7.40 */

/* Set in `unique` of a request that is sent again after FUSE_NOTIFY_RESEND. */
#define PROTOCOL_UNIQUE_RESEND (1ULL << 63)

/* Pages a read may have when the kernel does not know FUSE_MAX_PAGES (before 7.28). */
#define PROTOCOL_DEFAULT_MAX_PAGES 32

#endif
