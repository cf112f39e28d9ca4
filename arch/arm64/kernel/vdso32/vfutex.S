/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Release of a robust futex without a system call.
 */

/*
 * u32 __vdso_futex_robust_list32_try_unlock(u32 *lock, u32 tid, u32 *pending)
 *
 * If *@lock is @tid, replace it by 0, and store NULL to *@pending then. Returns what
 * *@lock was.
 *
 * From start to end the kernel finishes what a signal has interrupted. It relies on R2
 * and R12, and on this being ARM code: see asm/futex_unlock.h.
 */
	.text
	.syntax	unified
	.arm
	.align	2
	.globl	__vdso_futex_robust_list32_try_unlock
	.type	__vdso_futex_robust_list32_try_unlock, %function
__vdso_futex_robust_list32_try_unlock:
1:	ldrex	r3, [r0]
	cmp	r3, r1
	bne	2f
	mov	r3, #0
	stlex	r12, r3, [r0]
VDSO_compat_futex_list32_start:
	cmp	r12, #0
	bne	1b
VDSO_compat_futex_list32_success:
	str	r3, [r2]
VDSO_compat_futex_list32_end:
	mov	r0, r1
	bx	lr
2:	mov	r0, r3
	bx	lr
	.size	__vdso_futex_robust_list32_try_unlock, . - __vdso_futex_robust_list32_try_unlock

	.section .note.GNU-stack, "", %progbits
