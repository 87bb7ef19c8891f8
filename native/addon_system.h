/* The addon's functions that need no store. Their contract is Binding in src/native/binding.ts. */
#ifndef TETHERFS_ADDON_SYSTEM_H
#define TETHERFS_ADDON_SYSTEM_H

#include "addon_values.h"

napi_value js_xts(napi_env env, napi_callback_info info);
napi_value js_unmount(napi_env env, napi_callback_info info);
napi_value js_drop_pages(napi_env env, napi_callback_info info);
napi_value js_close_on_exec(napi_env env, napi_callback_info info);
napi_value js_mount_filesystem(napi_env env, napi_callback_info info);
napi_value js_loop_attach(napi_env env, napi_callback_info info);
napi_value js_reach_top_root(napi_env env, napi_callback_info info);
napi_value js_join_root(napi_env env, napi_callback_info info);
napi_value js_shed_limits(napi_env env, napi_callback_info info);
napi_value js_loop_status(napi_env env, napi_callback_info info);
napi_value js_loop_change_file(napi_env env, napi_callback_info info);

#endif
