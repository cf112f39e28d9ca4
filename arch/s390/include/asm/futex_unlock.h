/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The release of robust futexes in the vDSO, see kernel/vdso64/vfutex.S and
 * kernel/vdso32/vfutex.S.
 */
#ifndef _ASM_S390_FUTEX_UNLOCK_H
#define _ASM_S390_FUTEX_UNLOCK_H

#include <linux/compat.h>
#include <asm/ptrace.h>
#include <asm/vdso.h>

static __always_inline bool
arch_futex_unlock_range(const struct pt_regs *regs, bool list32,
			struct futex_unlock_range *range)
{
	unsigned long base = READ_ONCE(current->mm->context.vdso_base);

	if (!base)
		return false;

#ifdef CONFIG_COMPAT
	if (is_compat_task()) {
		if (!list32)
			return false;
		futex_unlock_set_range(range, base, vdso32_offset_futex_list32_start,
				       vdso32_offset_futex_list32_success,
				       vdso32_offset_futex_list32_end);
		return true;
	}
#endif

	if (list32)
		futex_unlock_set_range(range, base, vdso64_offset_futex_list32_start,
				       vdso64_offset_futex_list32_success,
				       vdso64_offset_futex_list32_end);
	else
		futex_unlock_set_range(range, base, vdso64_offset_futex_list64_start,
				       vdso64_offset_futex_list64_success,
				       vdso64_offset_futex_list64_end);
	return true;
}

/*
 * CS sets the condition code to 0 if it has stored, and nothing changes it up to the
 * end. R4 has the third argument, of which 31 bits are the address in a 31-bit task.
 */
static __always_inline bool
arch_futex_unlock_state(const struct pt_regs *regs, unsigned long *pending)
{
	*pending = regs->gprs[4];
	if (is_compat_task())
		*pending &= PSW32_ADDR_INSN;
	return !(regs->psw.mask & PSW_MASK_CC);
}

#endif /* _ASM_S390_FUTEX_UNLOCK_H */
