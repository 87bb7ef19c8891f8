/* What a process has from whoever started it. */
#ifndef TETHERFS_INHERITED_H
#define TETHERFS_INHERITED_H

/* Has every descriptor but the standard streams closed in whatever this process starts. Gives 0, else errno. */
int inherited_close_on_exec(void);

/*
 * Lifts the limits that end a process (of CPU time, of file sizes) or have it run out of memory or descriptors, as far as we may; allows no core
 * files; sets a umask of 022. The limits of a shell were meant for what that shell runs.
 */
void inherited_shed_limits(void);

#endif
