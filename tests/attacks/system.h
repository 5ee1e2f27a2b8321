/* What the attack programs ask of the operating system. Defined in system_posix.c, system_windows.c or, for
 * systems without both, system_none.c. */
#ifndef SYSTEM_H
#define SYSTEM_H

#include <stddef.h>

/* `size` bytes of zeros between two fences of `fence` bytes, pages without access, if the system has them;
 * both are multiples of its pages. They are never freed. NULL if memory runs out. */
char *fenced_memory(size_t size, size_t fence);

/* From now on, a signal or an exception that would end the program writes a text to the standard output and
 * ends the program with `status`. `describe_crash` composes the text, as snprintf does. */
void catch_crashes(int (*describe_crash)(char *text, size_t size, unsigned signal, const void *address),
                   int status);

#endif
