// SPDX-License-Identifier: GPL-2.0
/*
 * The program that calls.c executes: it exits at once, with status 0. It is linked
 * without a C library, which would register a robust list first.
 */
#include <sys/syscall.h>

void _start(void);

void _start(void)
{
#if defined(__x86_64__)
	__asm__ volatile("syscall" : : "a" (SYS_exit_group), "D" (0) : "rcx", "r11", "memory");
#elif defined(__i386__)
	__asm__ volatile("int $0x80" : : "a" (SYS_exit_group), "b" (0) : "memory");
#else
#error "how does a program of this architecture make a system call?"
#endif
	__builtin_unreachable();
}
