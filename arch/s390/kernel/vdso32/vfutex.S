/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Release of a robust futex without a system call.
 */

#include <asm/dwarf.h>

/*
 * u32 __vdso_futex_robust_list32_try_unlock(u32 *lock, u32 tid, u32 *pending)
 *
 * As in ../vdso64/vfutex.S.
 */
	.text
	.globl __vdso_futex_robust_list32_try_unlock
	.type  __vdso_futex_robust_list32_try_unlock,@function
	.align 8
__vdso_futex_robust_list32_try_unlock:
	CFI_STARTPROC
	lr	%r0,%r3
	lhi	%r1,0
	cs	%r0,%r1,0(%r2)
__kernel_compat_futex_list32_start:
	jne	__kernel_compat_futex_list32_end
__kernel_compat_futex_list32_success:
	st	%r1,0(%r4)
__kernel_compat_futex_list32_end:
	lr	%r2,%r0
	br	%r14
	CFI_ENDPROC
	.size	__vdso_futex_robust_list32_try_unlock, . - __vdso_futex_robust_list32_try_unlock
