/* sd_notify(3) without its library: tells the service manager what state we are in. */
#ifndef TETHERFS_NOTIFY_H
#define TETHERFS_NOTIFY_H

#include <stdbool.h>

/* One datagram to $NOTIFY_SOCKET, never waiting. False when there is no such socket or it does not take it. */
bool notify_service_manager(const char *state);

#endif
