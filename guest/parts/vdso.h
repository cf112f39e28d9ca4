/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The release of robust futexes by the kernel and by its vDSO, as programs of the guest
 * call it. It needs no header of the kernel.
 */
#ifndef VDSO_H
#define VDSO_H

#include <stdbool.h>
#include <stdint.h>

#define FUTEX_WAIT		0
#define FUTEX_WAKE		1
#define FUTEX_ROBUST_UNLOCK	512
#define FUTEX_ROBUST_LIST32	1024
#define FUTEX_WAITERS		0x80000000U
#define FUTEX_OWNER_DIED	0x40000000U

/* A function of the vDSO; its address is 0 if there is none. */
struct try_unlock {
	uintptr_t address;
#if defined(__powerpc64__) && (!defined(_CALL_ELF) || _CALL_ELF == 1)
	/* What it takes for a descriptor of a function */
	unsigned long toc, environment;
#endif
};

/* The one for pending pointers of 4 bytes, or of 8 bytes */
struct try_unlock find_try_unlock(bool list32);

/* Returns what the word held: @tid if it was released. */
unsigned int try_unlock(const struct try_unlock *function, volatile unsigned int *word,
			unsigned int tid, volatile void *pending);

/*
 * Move the vDSO, and the function with it. What the C library uses of it is left as a copy.
 * The calling process has no other thread.
 */
bool move_vdso(struct try_unlock *function);

/* FUTEX_WAKE with FUTEX_ROBUST_UNLOCK: what was woken, or the error number, negative */
long unlock_call(volatile unsigned int *word, int flags, volatile void *pending);
bool has_unlock_call(void);

#endif /* VDSO_H */
