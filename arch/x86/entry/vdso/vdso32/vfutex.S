/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Release of a robust futex without a system call.
 */

#include <linux/linkage.h>
#include <asm/dwarf2.h>

/*
 * u32 __vdso_futex_robust_list32_try_unlock(u32 *lock, u32 tid, u32 *pending)
 *
 * As in ../vfutex.S. The kernel relies on ZF and %edx.
 */
	.globl vdso_futex_list32_start, vdso_futex_list32_success
	.globl vdso_futex_list32_end

	.text
SYM_FUNC_START(__vdso_futex_robust_list32_try_unlock)
	CFI_STARTPROC
	pushl	%ebx
	CFI_ADJUST_CFA_OFFSET	4
	CFI_REL_OFFSET		ebx, 0
	movl	8(%esp), %ecx
	movl	12(%esp), %eax
	movl	16(%esp), %edx
	xorl	%ebx, %ebx
	lock cmpxchgl %ebx, (%ecx)
vdso_futex_list32_start:
	jnz	vdso_futex_list32_end
vdso_futex_list32_success:
	movl	$0, (%edx)
vdso_futex_list32_end:
	popl	%ebx
	CFI_RESTORE		ebx
	CFI_ADJUST_CFA_OFFSET	-4
	RET
	CFI_ENDPROC
SYM_FUNC_END(__vdso_futex_robust_list32_try_unlock)
