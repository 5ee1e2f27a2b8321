/* Where a new thread begins is left to the system. */
#include "platform/threads.h"

void thread_to_another_processor(thread *started) { (void)started; }
