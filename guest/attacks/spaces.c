// SPDX-License-Identifier: GPL-2.0
/*
 * attacks.spaces: two processes that share their memory with this one are killed at once. The
 * list of each leads into that of the other, so that both walk all locks, and neither comes to
 * its end. The pages of the words are pinned, as buffers of io_uring.
 *
 * Meanwhile some of them are replaced by others, with numbers that are no lock. The kernel
 * still has the old pages, in which each word was marked before, or is as it was: io_uring
 * writes them to a file. And it reads from a file to the end of pages that stay, next to the
 * words that are marked.
 */
#define _GNU_SOURCE
#include "attacks.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * Of each process. Some in the middle of the first one's are replaced: far fewer than
 * ROBUST_LIST_LIMIT locks, or the walk may end there.
 */
#define PAGES		64
#define ALL		(2 * PAGES)
#define GONE_FIRST	(PAGES / 2)
#define GONE_END	(GONE_FIRST + PAGES / 8)
#define DEATHS		8

/* What is written behind the last word of a page, and what is in pages that replace others */
#define BESIDE		0x5a5a5a5aU
#define NO_LOCK		0x12345678U

static struct ring {
	int fd;
	struct io_uring_params params;
	char *submissions, *completions;
	struct io_uring_sqe *entries;
} ring;

static struct robust_list_head heads[2];
static volatile pid_t tids[2];
static struct far far;
static int file = -1;
static volatile int stop;

/* Within a walk: pages that were replaced, and reads next to words */
static long replaced, reads, reads_met;

/* ---- io_uring ---- */

static unsigned int *ring_word(char *start, unsigned int offset)
{
	return (unsigned int *)(start + offset);
}

static char *map_ring(size_t size, off_t offset)
{
	char *start = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring.fd,
			   offset);

	if (start == MAP_FAILED)
		give_up("the rings of io_uring cannot be mapped");
	return start;
}

static void make_ring(void)
{
	struct io_uring_params *params = &ring.params;

	memset(params, 0, sizeof(*params));
	ring.fd = syscall(SYS_io_uring_setup, 1, params);
	if (ring.fd < 0)
		skip("the kernel has no io_uring");
	ring.submissions = map_ring(params->sq_off.array + params->sq_entries * sizeof(int),
				    IORING_OFF_SQ_RING);
	ring.completions = map_ring(params->cq_off.cqes + params->cq_entries *
				    sizeof(struct io_uring_cqe), IORING_OFF_CQ_RING);
	ring.entries = (void *)map_ring(params->sq_entries * sizeof(*ring.entries),
					IORING_OFF_SQES);
}

/* One request, with the registered buffer; its result */
static int request(int opcode, char *address, unsigned int size, off_t offset)
{
	struct io_uring_params *params = &ring.params;
	unsigned int *tail = ring_word(ring.submissions, params->sq_off.tail);
	unsigned int *head = ring_word(ring.completions, params->cq_off.head);
	unsigned int mask = *ring_word(ring.completions, params->cq_off.ring_mask);
	struct io_uring_cqe *results = (void *)(ring.completions + params->cq_off.cqes);
	struct io_uring_sqe *entry = &ring.entries[0];
	int result;

	memset(entry, 0, sizeof(*entry));
	entry->opcode = opcode;
	entry->fd = file;
	entry->addr = (uintptr_t)address;
	entry->len = size;
	entry->off = offset;
	/* There is one entry, and so one index. */
	ring_word(ring.submissions, params->sq_off.array)[0] = 0;
	__atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
	if (syscall(SYS_io_uring_enter, ring.fd, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0L) != 1 ||
	    __atomic_load_n(ring_word(ring.completions, params->cq_off.tail), __ATOMIC_ACQUIRE) ==
	    *head)
		give_up("io_uring gives no result");
	result = results[*head & mask].res;
	__atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
	return result;
}

static void pin_words(void)
{
	struct iovec buffer = { far.words, ALL * far.size };

	if (syscall(SYS_io_uring_register, ring.fd, IORING_REGISTER_BUFFERS, &buffer, 1L))
		give_up("io_uring does not pin the pages");
}

static void unpin_words(void)
{
	if (syscall(SYS_io_uring_register, ring.fd, IORING_UNREGISTER_BUFFERS, NULL, 0L))
		give_up("io_uring does not unpin the pages");
}

/* ---- What happens during the walks ---- */

static bool is_marked_word(int page, int number)
{
	return (*far_word(&far, page, number) & FUTEX_OWNER_DIED) != 0;
}

/* Of the first process, whose pages are replaced */
static bool walk_began(void)
{
	return is_marked_word(0, 0);
}

static bool walk_ended(void)
{
	return is_marked_word(PAGES - 1, PER_PAGE - 1);
}

static void replace_page(int page)
{
	char *place = far.words + page * far.size, *fresh;

	fresh = mmap(NULL, far.size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (fresh == MAP_FAILED)
		give_up("no memory");
	for (size_t i = 0; i < far.size / sizeof(int); i++)
		((unsigned int *)fresh)[i] = NO_LOCK;
	if (mremap(fresh, far.size, far.size, MREMAP_MAYMOVE | MREMAP_FIXED, place) != place)
		give_up("a page cannot be replaced");
}

/* From the end of the range: the walk comes from its beginning. */
static void *replace_pages(void *unused)
{
	while (!stop && !walk_began())
		sched_yield();
	for (int page = GONE_END - 1; page >= GONE_FIRST; page--) {
		bool began = walk_began();

		replace_page(page);
		replaced += began && !walk_ended();
	}
	return unused;
}

static char *end_of_page(int page)
{
	return far.words + (page + 1) * far.size - sizeof(int);
}

/* The pages of the second process, again and again */
static void *read_beside_words(void *unused)
{
	for (int page = PAGES; !stop; page = page + 1 < ALL ? page + 1 : PAGES) {
		bool began = is_marked_word(PAGES, 0);

		check(request(IORING_OP_READ_FIXED, end_of_page(page), sizeof(int), 0) ==
		      sizeof(int));
		reads++;
		reads_met += began && !is_marked_word(ALL - 1, PER_PAGE - 1);
	}
	return unused;
}

/* ---- The deaths ---- */

static int own_half(void *argument)
{
	int number = (intptr_t)argument;

	syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	register_head(&heads[number]);
	tids[number] = own_tid();
	wait_for_go();
	return 0;
}

/* Each list goes on with the first lock of the other one. */
static void make_lists(void)
{
	own_pages(&far, 0, PAGES, &heads[0], tids[0], far_link(&far, PAGES, 0));
	own_pages(&far, PAGES, ALL, &heads[1], tids[1], far_link(&far, 0, 0));
	for (int page = PAGES; page < ALL; page++)
		*(volatile unsigned int *)end_of_page(page) = 0;
}

/* What is in the pages that were replaced, and that io_uring still has */
static void judge_replaced(void)
{
	unsigned int *words = malloc(far.size);
	int waiting, marked = 0;

	if (!words)
		give_up("no memory");
	for (int page = GONE_FIRST; page < GONE_END; page++) {
		const volatile unsigned int *fresh = far_word(&far, page, 0);

		check(request(IORING_OP_WRITE_FIXED, far.words + page * far.size, far.size,
			      sizeof(int)) == (int)far.size);
		check(pread(file, words, far.size, sizeof(int)) == (ssize_t)far.size);
		for (int i = 0; i < PER_PAGE; i++) {
			unsigned int value = words[i * (far.size / PER_PAGE / sizeof(int))];
			unsigned int held = far_held(i, tids[0]);
			unsigned int mark = (held & FUTEX_WAITERS) | FUTEX_OWNER_DIED;

			check(value == held || value == mark);
			marked += value == mark;
		}
		for (size_t i = 0; i < far.size / sizeof(int); i++)
			check(fresh[i] == NO_LOCK);
		/* Only if the word was marked, one may have been woken. */
		waiting = futex(far_word(&far, page, 0), FUTEX_WAKE, INT32_MAX);
		check(waiting == 2 || (waiting == 1 && (words[0] & FUTEX_OWNER_DIED)));
	}
	diag("%d of %d words were marked before their page was replaced", marked,
	     (GONE_END - GONE_FIRST) * PER_PAGE);
	free(words);
}

static void judge_whole(int first, int end, pid_t owner)
{
	struct far_outcome outcome;

	judge_pages(&far, first, end, owner, &outcome);
	check(outcome.marked == (end - first) * PER_PAGE);
	check(outcome.woken == end - first && !outcome.badly_woken);
}

static void run_deaths_of_two(void)
{
	pthread_t replacer, reader;
	pid_t pids[2];
	int status;

	memset(owners, 0, sizeof(*owners));
	memset(heads, 0, sizeof(heads));
	make_far(&far, MAP_PRIVATE, ALL);
	for (int i = 0; i < 2; i++) {
		tids[i] = 0;
		pids[i] = start_sharing(own_half, (void *)(intptr_t)i, i);
		await(tids[i]);
	}
	make_lists();
	start_pairs(&far, 0, ALL);
	pin_words();
	check(number_in("/proc/self/status", "VmPin:") * 1024 >= (long long)(ALL * far.size));
	stop = 0;
	start_thread(&replacer, replace_pages, NULL);
	start_thread(&reader, read_beside_words, NULL);
	kill(pids[0], SIGKILL);
	kill(pids[1], SIGKILL);
	for (int i = 0; i < 2; i++) {
		status = wait_for_death(pids[i]);
		check(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	}
	stop = 1;
	pthread_join(replacer, NULL);
	pthread_join(reader, NULL);

	judge_whole(0, GONE_FIRST, tids[0]);
	judge_whole(GONE_END, PAGES, tids[0]);
	judge_whole(PAGES, ALL, tids[1]);
	judge_replaced();
	end_pairs(&far);
	for (int page = PAGES; page < ALL; page++)
		check(!*(volatile unsigned int *)end_of_page(page) ||
		      *(volatile unsigned int *)end_of_page(page) == BESIDE);
	unpin_words();
	free_far(&far);
}

void attack_spaces(void)
{
	static const unsigned int beside = BESIDE;
	struct repeat repeat = {};

	file = memfd_create("attacks", MFD_CLOEXEC);
	if (file < 0 || pwrite(file, &beside, sizeof(beside), 0) != sizeof(beside))
		skip("the kernel has no memfd_create()");
	make_ring();
	while (once_more(&repeat, DEATHS, replaced && reads_met))
		run_deaths_of_two();
	diag("%d times two died, exits up to %lld ms; %ld pages were replaced within a walk",
	     repeat.deaths, longest, replaced);
	diag("%ld reads beside words, %ld of them within a walk", reads, reads_met);
	must_meet(replaced, "a page is replaced");
	must_meet(reads_met, "io_uring reads into a page beside words");
}
