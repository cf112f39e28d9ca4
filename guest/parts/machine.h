/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What depends on the architecture in the programs of the guest, and is in no other file of
 * guest/. It needs no header, so that a program without a C library can use it.
 *
 *   machine_call()    a system call of six arguments, for guest/bare/init.c
 *   machine_exit()    ends the program with status 0, by the system call of that number, for
 *                     guest/quit.c
 *   machine_compat_call()  a system call of two arguments by the 32-bit system call table
 *                     of a 64-bit kernel, where a 64-bit program can make one
 *   MACHINE_POINTER_MASK  the bits of a 32-bit pointer that count, if not all do
 *   PROGRAM_COUNTER   the member of struct user_regs_struct, for guest/step/
 *   STACK_GROWS_UP    defined if clone() takes the lowest address of a stack
 */
#ifndef MACHINE_H
#define MACHINE_H

#ifdef __sh__
static inline long machine_call(long number, long a, long b, long c, long d, long e, long f)
{
	register long r3 __asm__("r3") = number;
	register long r4 __asm__("r4") = a;
	register long r5 __asm__("r5") = b;
	register long r6 __asm__("r6") = c;
	register long r7 __asm__("r7") = d;
	register long r0 __asm__("r0") = e;
	register long r1 __asm__("r1") = f;

	__asm__ volatile("trapa #0x16"
			 : "+r" (r0)
			 : "r" (r3), "r" (r4), "r" (r5), "r" (r6), "r" (r7), "r" (r1)
			 : "memory", "t");
	return r0;
}
#elif defined(__or1k__)
static inline long machine_call(long number, long a, long b, long c, long d, long e, long f)
{
	register long r11 __asm__("r11") = number;
	register long r3 __asm__("r3") = a;
	register long r4 __asm__("r4") = b;
	register long r5 __asm__("r5") = c;
	register long r6 __asm__("r6") = d;
	register long r7 __asm__("r7") = e;
	register long r8 __asm__("r8") = f;

	__asm__ volatile("l.sys 1\n\tl.nop"
			 : "+r" (r11), "+r" (r3), "+r" (r4), "+r" (r5), "+r" (r6), "+r" (r7),
			   "+r" (r8)
			 :
			 : "memory", "r12", "r13", "r15", "r17", "r19", "r21", "r23",
			   "r25", "r27", "r29", "r31");
	return r11;
}
#elif defined(__loongarch__)
static inline long machine_call(long number, long a, long b, long c, long d, long e, long f)
{
	register long a7 __asm__("a7") = number;
	register long a0 __asm__("a0") = a;
	register long a1 __asm__("a1") = b;
	register long a2 __asm__("a2") = c;
	register long a3 __asm__("a3") = d;
	register long a4 __asm__("a4") = e;
	register long a5 __asm__("a5") = f;

	__asm__ volatile("syscall 0"
			 : "+r" (a0)
			 : "r" (a7), "r" (a1), "r" (a2), "r" (a3), "r" (a4), "r" (a5)
			 : "memory", "t0", "t1", "t2", "t3", "t4", "t5", "t6", "t7", "t8");
	return a0;
}
#elif defined(__microblaze__)
static inline long machine_call(long number, long a, long b, long c, long d, long e, long f)
{
	register long r12 __asm__("r12") = number;
	register long r5 __asm__("r5") = a;
	register long r6 __asm__("r6") = b;
	register long r7 __asm__("r7") = c;
	register long r8 __asm__("r8") = d;
	register long r9 __asm__("r9") = e;
	register long r10 __asm__("r10") = f;
	register long r3 __asm__("r3");

	__asm__ volatile("brki r14, 0x8"
			 : "=r" (r3), "+r" (r12)
			 : "r" (r5), "r" (r6), "r" (r7), "r" (r8), "r" (r9), "r" (r10)
			 : "memory", "r4", "r11", "r14");
	return r3;
}
#elif defined(__nios2__)
static inline long machine_call(long number, long a, long b, long c, long d, long e, long f)
{
	register long r2 __asm__("r2") = number;
	register long r4 __asm__("r4") = a;
	register long r5 __asm__("r5") = b;
	register long r6 __asm__("r6") = c;
	register long r7 __asm__("r7") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;

	/* The kernel returns in r7 whether it failed, and then the error without its sign. */
	__asm__ volatile("trap"
			 : "+r" (r2), "+r" (r7)
			 : "r" (r4), "r" (r5), "r" (r6), "r" (r8), "r" (r9)
			 : "memory");
	return r7 ? -r2 : r2;
}
#elif defined(__xtensa__)
static inline long machine_call(long number, long a, long b, long c, long d, long e, long f)
{
	register long a2 __asm__("a2") = number;
	register long a6 __asm__("a6") = a;
	register long a3 __asm__("a3") = b;
	register long a4 __asm__("a4") = c;
	register long a5 __asm__("a5") = d;
	register long a8 __asm__("a8") = e;
	register long a9 __asm__("a9") = f;

	__asm__ volatile("syscall"
			 : "+r" (a2)
			 : "r" (a6), "r" (a3), "r" (a4), "r" (a5), "r" (a8), "r" (a9)
			 : "memory");
	return a2;
}
#endif

#if defined(__x86_64__)
#define PROGRAM_COUNTER rip
#define HAVE_MACHINE_COMPAT_CALL

static inline void machine_exit(long number)
{
	__asm__ volatile("syscall" : : "a" (number), "D" (0) : "rcx", "r11", "memory");
}

static inline long machine_compat_call(long number, unsigned long a, unsigned long b)
{
	long result;

	__asm__ volatile("int $0x80"
			 : "=a" (result)
			 : "a" (number), "b" (a), "c" (b)
			 : "r8", "r9", "r10", "r11", "memory");
	return result;
}
#elif defined(__i386__)
#define PROGRAM_COUNTER eip

static inline void machine_exit(long number)
{
	__asm__ volatile("int $0x80" : : "a" (number), "b" (0) : "memory");
}
#elif defined(__hppa__)
#define STACK_GROWS_UP
#elif defined(__s390__) && !defined(__s390x__)
#define MACHINE_POINTER_MASK 0x7fffffffU
#endif

#endif /* MACHINE_H */
