/* The addon's functions that hand descriptors on. Their contract is Binding in src/native/binding.ts. */
#ifndef TETHERFS_ADDON_TAKEOVER_H
#define TETHERFS_ADDON_TAKEOVER_H

#include "addon_values.h"

napi_value js_notify_service_manager(napi_env env, napi_callback_info info);
napi_value js_send_descriptors(napi_env env, napi_callback_info info);
napi_value js_open_descriptor_inbox(napi_env env, napi_callback_info info);
napi_value js_take_listened_descriptors(napi_env env, napi_callback_info info);
napi_value js_write_memfd(napi_env env, napi_callback_info info);
napi_value js_read_memfd(napi_env env, napi_callback_info info);
napi_value js_close_descriptors(napi_env env, napi_callback_info info);

#endif
