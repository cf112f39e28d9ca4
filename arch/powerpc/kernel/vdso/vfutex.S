/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Release of a robust futex without a system call.
 */
#include <asm/ppc_asm.h>
#include <asm/synch.h>
#include <asm/vdso.h>

/*
 * u32 __vdso_futex_robust_listBITS_try_unlock(u32 *lock, u32 tid, uBITS *pending)
 *
 * If *@lock is @tid, replace it by 0, and store NULL to *@pending then. Returns what
 * *@lock was.
 *
 * From start to end the kernel finishes what a signal has interrupted. It relies on
 * CR0 and r5, see asm/futex_unlock.h.
 */
.macro futex_try_unlock bits, store
V_FUNCTION_BEGIN(__vdso_futex_robust_list\bits\()_try_unlock)
  .cfi_startproc
	li	r7,0
	LWSYNC
1:	lwarx	r6,0,r3
	cmpw	r6,r4
	bne-	2f
	stwcx.	r7,0,r3
VDSO_futex_list\bits\()_start:
	bne-	1b
VDSO_futex_list\bits\()_success:
	\store	r7,0(r5)
VDSO_futex_list\bits\()_end:
2:	mr	r3,r6
	crclr	cr0*4+so
	blr
  .cfi_endproc
V_FUNCTION_END(__vdso_futex_robust_list\bits\()_try_unlock)
.endm

	.text
#ifdef __VDSO64__
futex_try_unlock 64, std
#endif
futex_try_unlock 32, stw
