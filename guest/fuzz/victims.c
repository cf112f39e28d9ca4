// SPDX-License-Identifier: GPL-2.0
/* The victim: it fills in the TIDs, registers its lists, and dies. */
#define _FILE_OFFSET_BITS 64
#define _GNU_SOURCE
#include "fuzz.h"

#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define STACK_SIZE	32768

/* Not every thread here has an errno of its own: none of them may use it. */
long futex_call(void *word, int operation, __u32 value, long value2, void *word2)
{
	return syscall(SYS_futex, word, operation, value, value2, word2, 0);
}

static max_align_t stacks[THREADS_MAX][STACK_SIZE / sizeof(max_align_t)];

char *stack_of(int thread)
{
#ifdef STACK_GROWS_UP
	return (char *)stacks[thread];
#else
	return (char *)&stacks[thread + 1];
#endif
}

int clone_flags(void)
{
	if (scene.death == THREAD_EXIT)
		return THREAD_FLAGS | CLONE_VFORK;
	return SIGCHLD | CLONE_VFORK | (scene.common ? CLONE_VM : 0);
}

/* Write the TIDs, now that they are known */
void fill_in(char *memory)
{
	__u32 words = scene.used / 4, i, thread;
	__u32 *word = (__u32 *)memory;

	for (i = 0; i < words; i++) {
		thread = (word[i] & FUTEX_TID_MASK) - TID_OF;
		if (thread < (__u32)scene.threads)
			word[i] = (word[i] & ~FUTEX_TID_MASK) | job->tids[thread];
		else if (thread - THREADS_MAX < (__u32)scene.threads)
			word[i] = (word[i] & ~FUTEX_TID_MASK) |
				  (job->tids[thread - THREADS_MAX] ^ (1 << i % 30));
	}
	for (i = 0; i < (__u32)scene.nr_explicits; i++) {
		thread = scene.explicits[i].word - TID_OF;
		/* An aligned word may have overwritten it later. */
		if (get_word(memory, scene.explicits[i].at) == scene.explicits[i].word)
			put_word(memory, scene.explicits[i].at, job->tids[thread]);
	}
}

static void make_trouble(void)
{
	struct trouble *trouble;
	char *page;
	int i, error = 0;

	for (i = 0; i < scene.nr_troubles; i++) {
		trouble = &scene.troubles[i];
		page = scene.memory->view[trouble->view] + trouble->page * page_size;
		switch (trouble->kind) {
		case READ_ONLY:
			error |= mprotect(page, page_size, PROT_READ);
			break;
		case NO_ACCESS:
			error |= mprotect(page, page_size, PROT_NONE);
			break;
		case UNMAPPED:
			error |= munmap(page, page_size);
			break;
		case CUT_OFF:
			error |= ftruncate(scene.memory->fd,
					   trouble->page * page_size);
			break;
		case NO_TROUBLE:
			break;
		}
	}
	job->trouble_failed = error;
}

long set_compat_list(__u64 head)
{
#ifdef HAVE_MACHINE_COMPAT_CALL
	/* set_robust_list() of the 32-bit system call table */
	return machine_compat_call(311, head & UINT32_MAX, 12);
#else
	return syscall(SYS_set_robust_list, (uintptr_t)head, 12);
#endif
}

static void register_lists(int thread)
{
	struct list *list;
	long error = 0;
	int i;

	for (i = 0; i < scene.nr_lists; i++) {
		list = &scene.lists[i];
		if (list->thread != thread)
			continue;
		if (list->compat)
			error |= set_compat_list(list->registered);
		else
			error |= syscall(SYS_set_robust_list,
					 (uintptr_t)list->registered, 24);
	}
	if (error)
		syscall(SYS_exit_group, VICTIM_FAILED);
}

static void exec_self(void)
{
	const char *path = (const char *)getauxval(AT_EXECFN);
	const char * const arguments[] = { path, "--after-exec", NULL };

	syscall(SYS_execve, path, arguments, &arguments[2]);
	syscall(SYS_exit_group, VICTIM_FAILED);
}

static void wait_until_set(__u32 *word)
{
	while (!__atomic_load_n(word, __ATOMIC_SEQ_CST))
		futex_call(word, FUTEX_WAIT, 0, 0, NULL);
}

static void set_word(__u32 *word)
{
	__atomic_store_n(word, 1, __ATOMIC_SEQ_CST);
	futex_call(word, FUTEX_WAKE, INT_MAX, 0, NULL);
}

static int member(void *argument)
{
	int thread = (intptr_t)argument;

	register_lists(thread);
	__atomic_add_fetch(&job->ready, 1, __ATOMIC_SEQ_CST);
	futex_call(&job->ready, FUTEX_WAKE, INT_MAX, 0, NULL);
	wait_until_set(&job->go[thread]);
	if (scene.death == GROUP_EXEC)
		exec_self();
	syscall(SYS_exit, 0);
	return 0;
}

static void start_members(void)
{
	__u32 ready;
	int thread;

	for (thread = 1; thread < scene.threads; thread++) {
		job->alive[thread] = 1;
		job->go[thread] = 0;
		if (clone(member, stack_of(thread),
			  THREAD_FLAGS | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID,
			  (void *)(intptr_t)thread, &job->tids[thread], NULL,
			  &job->alive[thread]) < 0)
			syscall(SYS_exit_group, VICTIM_FAILED);
	}
	while ((ready = __atomic_load_n(&job->ready, __ATOMIC_SEQ_CST)) <
	       (__u32)scene.threads - 1)
		futex_call(&job->ready, FUTEX_WAIT, ready, 0, NULL);
}

int victim(void *unused)
{
	__u32 alive;
	int thread;

	(void)unused;
	job->tids[0] = syscall(SYS_gettid);
	start_members();
	fill_in(scene.memory->control);
	make_trouble();
	register_lists(0);

	switch (scene.death) {
	case GROUP_IN_TURN:
		for (thread = 1; thread < scene.threads; thread++) {
			set_word(&job->go[thread]);
			while ((alive = __atomic_load_n(&job->alive[thread],
							__ATOMIC_SEQ_CST)))
				futex_call(&job->alive[thread], FUTEX_WAIT, alive,
					   0, NULL);
		}
		break;
	case PROCESS_EXEC:
		exec_self();
		break;
	case GROUP_EXEC:
		set_word(&job->go[scene.threads - 1]);
		/* The exec ends this thread. */
		wait_until_set(&job->go[0]);
		break;
	case PROCESS_KILLED:
	case GROUP_KILLED:
		syscall(SYS_kill, syscall(SYS_getpid), scene.signal);
		syscall(SYS_exit_group, VICTIM_FAILED);
		break;
	case GROUP_EXIT:
		syscall(SYS_exit_group, 0);
		break;
	default:
		break;
	}
	syscall(SYS_exit, 0);
	return 0;
}
