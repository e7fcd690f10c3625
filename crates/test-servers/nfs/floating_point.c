/*
 * Linux 6.1 as a user process keeps 2,696 bytes of each thread's floating point registers. A kernel that it runs on demands all that
 * the processor has when they are put back, and processors with AMX have more (ptrace refuses anything shorter): here the rest
 * is taken from what the thread has.
 */
#define _GNU_SOURCE
#include <elf.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* Not on the stack, which is that of a kernel: small. There is one processor. */
static char registers[1 << 16];

long ptrace(enum __ptrace_request request, ...) {
    va_list arguments;
    va_start(arguments, request);
    long process = va_arg(arguments, long), address = va_arg(arguments, long), data = va_arg(arguments, long);
    va_end(arguments);
    if (request == PTRACE_SETREGSET && address == NT_X86_XSTATE) {
        struct iovec all = {registers, sizeof registers}, *kept = (struct iovec *)data;
        long got = syscall(SYS_ptrace, PTRACE_GETREGSET, process, address, &all);
        if (got == 0 && kept->iov_len < all.iov_len) {
            memcpy(registers, kept->iov_base, kept->iov_len);
            return syscall(SYS_ptrace, request, process, address, &all);
        }
    }
    if (request == PTRACE_PEEKTEXT || request == PTRACE_PEEKDATA || request == PTRACE_PEEKUSER) {
        /* The C library answers what the system call stores. */
        long peeked = 0;
        long failed = syscall(SYS_ptrace, request, process, address, &peeked);
        return failed < 0 ? failed : peeked;
    }
    return syscall(SYS_ptrace, request, process, address, data);
}
