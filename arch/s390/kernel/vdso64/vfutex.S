/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Release of a robust futex without a system call.
 */

#include <asm/dwarf.h>

/*
 * u32 __vdso_futex_robust_listBITS_try_unlock(u32 *lock, u32 tid, uBITS *pending)
 *
 * If *@lock is @tid, replace it by 0, and store NULL to *@pending then. Returns what
 * *@lock was.
 *
 * From start to end the kernel finishes what a signal has interrupted. It relies on
 * the condition code and %r4, see asm/futex_unlock.h.
 */
.macro futex_try_unlock func, bits, store
	.globl \func
	.type  \func,@function
	.align 8
\func:
	CFI_STARTPROC
	lr	%r0,%r3
	lghi	%r1,0
	cs	%r0,%r1,0(%r2)
__kernel_futex_list\bits\()_start:
	jne	__kernel_futex_list\bits\()_end
__kernel_futex_list\bits\()_success:
	\store	%r1,0(%r4)
__kernel_futex_list\bits\()_end:
	llgfr	%r2,%r0
	br	%r14
	CFI_ENDPROC
	.size	\func, . - \func
.endm

	.text
	futex_try_unlock __vdso_futex_robust_list64_try_unlock, 64, stg
	futex_try_unlock __vdso_futex_robust_list32_try_unlock, 32, st
