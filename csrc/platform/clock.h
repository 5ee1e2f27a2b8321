/* Time in seconds from a fixed moment. Defined in posix/clock.c or windows/clock.c. */
#ifndef BPK_CLOCK_H
#define BPK_CLOCK_H

double now(void);

#endif
