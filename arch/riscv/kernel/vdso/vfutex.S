/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Release of a robust futex without a system call.
 */

#include <linux/linkage.h>

/*
 * u32 __vdso_futex_robust_listBITS_try_unlock(u32 *lock, u32 tid, uBITS *pending)
 *
 * If *@lock is @tid, replace it by 0, and store NULL to *@pending then. Returns what
 * *@lock was.
 *
 * From start to end the kernel finishes what a signal has interrupted. It relies on
 * A2 and A4, see asm/futex_unlock.h.
 */
.macro futex_try_unlock bits, store
ENTRY(__vdso_futex_robust_list\bits\()_try_unlock)
	.cfi_startproc
1:	lr.w	a3, (a0)
	bne	a3, a1, 2f
	sc.w.rl	a4, zero, (a0)
__vdso_futex_list\bits\()_start:
	bnez	a4, 1b
__vdso_futex_list\bits\()_success:
	\store	zero, (a2)
__vdso_futex_list\bits\()_end:
2:	mv	a0, a3
	ret
	.cfi_endproc
ENDPROC(__vdso_futex_robust_list\bits\()_try_unlock)
.endm

	.text
#if __riscv_xlen == 64
	futex_try_unlock 64, sd
#endif
	futex_try_unlock 32, sw
