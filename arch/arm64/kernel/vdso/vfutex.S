/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Release of a robust futex without a system call.
 */

#include <linux/linkage.h>
#include <asm/alternative.h>
#include <asm/assembler.h>
#include <asm/cpucaps.h>

/*
 * u32 __vdso_futex_robust_listBITS_try_unlock(u32 *lock, u32 tid, uBITS *pending)
 *
 * If *@lock is @tid, replace it by 0, and store NULL to *@pending then. Returns what
 * *@lock was.
 *
 * From start to end the kernel finishes what a signal has interrupted. It relies on
 * W1, X2, W3 and W4, see asm/futex_unlock.h. The last instruction of both alternatives
 * is the one that exchanges the word, so that there is one range for them.
 */
.macro futex_try_unlock bits, zero
SYM_FUNC_START(__vdso_futex_robust_list\bits\()_try_unlock)
	mov	w4, wzr
#ifdef CONFIG_ARM64_LSE_ATOMICS
alternative_if_not ARM64_HAS_LSE_ATOMICS
#endif
1:	ldxr	w3, [x0]
	cmp	w3, w1
	b.ne	2f
	stlxr	w4, wzr, [x0]
#ifdef CONFIG_ARM64_LSE_ATOMICS
alternative_else
	.arch_extension lse
	nop
	nop
	mov	w3, w1
	casl	w3, wzr, [x0]
alternative_endif
#endif
VDSO_futex_list\bits\()_start:
	cbnz	w4, 1b
	cmp	w3, w1
	b.ne	2f
VDSO_futex_list\bits\()_success:
	str	\zero, [x2]
VDSO_futex_list\bits\()_end:
2:	mov	w0, w3
	ret
SYM_FUNC_END(__vdso_futex_robust_list\bits\()_try_unlock)
.endm

	.text
	futex_try_unlock 64, xzr
	futex_try_unlock 32, wzr

emit_aarch64_feature_1_and
