/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Release of a robust futex without a system call.
 */

#include <linux/linkage.h>
#include <asm/dwarf2.h>

/*
 * u32 __vdso_futex_robust_listBITS_try_unlock(u32 *lock, u32 tid, uBITS *pending)
 *
 * If *@lock is @tid, replace it by 0, and store NULL to *@pending then. Returns what
 * *@lock was.
 *
 * From start to end the kernel finishes what a signal has interrupted. It relies on
 * ZF and %rdx, see asm/futex_unlock.h. Global symbols, but not exported: vdso2c looks
 * for them.
 */
.macro futex_try_unlock bits, suffix
	.globl vdso_futex_list\bits\()_start, vdso_futex_list\bits\()_success
	.globl vdso_futex_list\bits\()_end

SYM_FUNC_START(__vdso_futex_robust_list\bits\()_try_unlock)
	CFI_STARTPROC
	movl	%esi, %eax
	xorl	%ecx, %ecx
	lock cmpxchgl %ecx, (%rdi)
vdso_futex_list\bits\()_start:
	jnz	vdso_futex_list\bits\()_end
vdso_futex_list\bits\()_success:
	mov\suffix $0, (%rdx)
vdso_futex_list\bits\()_end:
	RET
	CFI_ENDPROC
SYM_FUNC_END(__vdso_futex_robust_list\bits\()_try_unlock)
.endm

	.text
	futex_try_unlock 64, q
	futex_try_unlock 32, l
