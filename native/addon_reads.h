/* Reads that JavaScript asks for: the way in for a transport that is not native/fuse_session.c. */
#ifndef TETHERFS_ADDON_READS_H
#define TETHERFS_ADDON_READS_H

#include "addon_store.h"

/* The method: read(offset, bytes), see src/native/binding.ts. */
napi_value js_read(napi_env env, napi_callback_info info);

/* Settles the promises of all reads that have been answered. JavaScript thread only, after each bell. */
void settle_reads(napi_env env, struct handle *handle);

#endif
