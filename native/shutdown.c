/*
 * shutdown VERB…: the last program of a diskless node. systemd-shutdown changes its root to /run/initramfs, where this lies as `shutdown`, and becomes it, when
 * everything is unmounted that can be. What remains is the root itself and what it stands on, down to the mount; it is let go here, and not
 * called a failure. VERB is poweroff, reboot, halt or kexec; anything else powers off. See systemd's INITRD_INTERFACE document.
 */
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <unistd.h>

#ifndef RB_KEXEC
#define RB_KEXEC 0x45584543
#endif

static int command(const char *verb) {
  if (strcmp(verb, "reboot") == 0) return RB_AUTOBOOT;
  if (strcmp(verb, "halt") == 0) return RB_HALT_SYSTEM;
  if (strcmp(verb, "kexec") == 0) return RB_KEXEC;
  return RB_POWER_OFF;
}

int main(int count, char **arguments) {
  int wanted = command(count > 1 ? arguments[1] : "");
  sync();
  umount2("/oldroot", MNT_DETACH);
  reboot(wanted);
  /* No kernel is loaded, or it cannot power off: process 1 must not end. */
  reboot(RB_AUTOBOOT);
  for (;;) pause();
}
