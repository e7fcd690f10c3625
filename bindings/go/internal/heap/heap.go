// Package heap tells the tests how much memory of C is in use. The library takes its memory there, and the collector knows
// nothing of it.
package heap

/*
#include <malloc.h>

static size_t in_use(void) {
	struct mallinfo2 info = mallinfo2();
	return info.uordblks + info.hblkhd;
}
*/
import "C"

// InUse is how many bytes are allocated and not freed, in the whole process.
func InUse() int64 {
	return int64(C.in_use())
}
