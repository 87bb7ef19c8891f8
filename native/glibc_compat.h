/*
 * Included before everything else in the addon. glibc 2.32 and 2.34 moved the functions of libpthread and libdl to libc
 * under new symbol versions; asking for the old versions, which every glibc still has, lets an addon built on Debian 12
 * be loaded on el8 (glibc 2.28). `make check-glibc` watches over it.
 */
#ifndef TETHERFS_GLIBC_COMPAT_H
#define TETHERFS_GLIBC_COMPAT_H

#if defined(__x86_64__)
#define OLDEST_GLIBC "GLIBC_2.2.5"
#define OLDEST_SETCLOCK "GLIBC_2.3.3"
#define OLDEST_SETNAME "GLIBC_2.12"
#elif defined(__aarch64__)
#define OLDEST_GLIBC "GLIBC_2.17"
#define OLDEST_SETCLOCK "GLIBC_2.17"
#define OLDEST_SETNAME "GLIBC_2.17"
#else
#error "tetherfs is built for x86-64 and arm64"
#endif

__asm__(".symver pthread_condattr_setclock,pthread_condattr_setclock@" OLDEST_SETCLOCK);
__asm__(".symver pthread_create,pthread_create@" OLDEST_GLIBC);
__asm__(".symver pthread_join,pthread_join@" OLDEST_GLIBC);
__asm__(".symver pthread_once,pthread_once@" OLDEST_GLIBC);
__asm__(".symver pthread_kill,pthread_kill@" OLDEST_GLIBC);
__asm__(".symver pthread_sigmask,pthread_sigmask@" OLDEST_GLIBC);
__asm__(".symver dlopen,dlopen@" OLDEST_GLIBC);
__asm__(".symver dlsym,dlsym@" OLDEST_GLIBC);
__asm__(".symver pthread_setname_np,pthread_setname_np@" OLDEST_SETNAME);

#endif
