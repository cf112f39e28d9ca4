// SPDX-License-Identifier: GPL-2.0
/*
 * attacks.protected: the owner has its words and its links in pages that are write-protected
 * by userfaultfd. What the walk of an exec wants to write waits for this process, which
 * answers late; or answers without effect first, and then twice; or kills the owner and
 * answers after that. The links are only read, and so nobody is asked for them.
 *
 * A fault of a task that exits is not reported by userfaultfd. There the locks in these pages
 * are lost, those in another page are not, and nothing waits.
 */
#define _GNU_SOURCE
#include "attacks.h"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef UFFD_FEATURE_WP_HUGETLBFS_SHMEM

/* The last one is not protected. It has the pending lock. */
#define PAGES		12
#define FREE_PAGE	(PAGES - 1)
/* The one that the walk waits for when the kill comes */
#define DECISIVE	5

/* How late an answer is, in milliseconds */
#define LATE		150

enum answer { ANSWER_LATE, ANSWER_TWICE, ANSWER_AFTER_KILL, NOT_ASKED, ANSWERS };

static const char *const answer_names[ANSWERS] = {
	[ANSWER_LATE] = "an exec, answers are late",
	[ANSWER_TWICE] = "an exec, answers without effect, then two of them",
	[ANSWER_AFTER_KILL] = "an exec, an answer after a kill",
	[NOT_ASKED] = "an exit",
};

static struct control {
	volatile int ready;
	volatile int fd;		/* of the owner; -1: no userfaultfd of this kind */
	struct robust_list_head head;
} *control;

static struct far far;

/* Of this death: the answers that the owner has waited for, by page, and other messages */
static int asked[PAGES], strays;

static int protect(int fd, const char *start, int pages, bool on)
{
	struct uffdio_writeprotect protection = {
		.range = { .start = (uintptr_t)start, .len = pages * far.size },
		.mode = on ? UFFDIO_WRITEPROTECT_MODE_WP : 0,
	};

	return ioctl(fd, UFFDIO_WRITEPROTECT, &protection);
}

static int watch(int fd, char *start, int pages)
{
	struct uffdio_register range = {
		.range = { .start = (uintptr_t)start, .len = pages * far.size },
		.mode = UFFDIO_REGISTER_MODE_WP,
	};

	for (int page = 0; page < pages; page++)
		__atomic_fetch_or((unsigned int *)(start + page * far.size), 0, __ATOMIC_RELAXED);
	if (ioctl(fd, UFFDIO_REGISTER, &range))
		return -1;
	return protect(fd, start, pages, true);
}

static int watch_lists(void)
{
	struct uffdio_api api = { .api = UFFD_API, .features = UFFD_FEATURE_WP_HUGETLBFS_SHMEM };
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	if (fd < 0 || ioctl(fd, UFFDIO_API, &api) || watch(fd, far.words, FREE_PAGE) ||
	    watch(fd, far.links, FREE_PAGE))
		return -1;
	return fd;
}

static void __noreturn own_protected(enum answer answer)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	control->fd = watch_lists();
	register_head(&control->head);
	owners->tids[0] = own_tid();
	control->ready = 1;
	wait_for_go();
	if (answer != NOT_ASKED)
		execl("/proc/self/exe", "attacks", "execed", NULL);
	_exit(0);
}

/* A copy of the descriptor, which is the owner's */
static int copy_of(pid_t pid, int number)
{
	int process = syscall(SYS_pidfd_open, pid, 0), fd;

	if (process < 0)
		skip("the kernel has no descriptors of processes");
	fd = syscall(SYS_pidfd_getfd, process, number, 0);
	close(process);
	if (fd < 0)
		skip("descriptors of other processes cannot be copied");
	return fd;
}

/* The page that the walk waits for; -1 if there is none now */
static int next_message(int fd)
{
	struct pollfd event = { .fd = fd, .events = POLLIN };
	struct uffd_msg message;
	uintptr_t address;

	if (poll(&event, 1, 5) <= 0 || read(fd, &message, sizeof(message)) != sizeof(message))
		return -1;
	address = message.arg.pagefault.address;
	if (message.event != UFFD_EVENT_PAGEFAULT || address < (uintptr_t)far.words ||
	    address >= (uintptr_t)far.words + FREE_PAGE * far.size ||
	    !(message.arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_WP)) {
		strays++;
		return -1;
	}
	return (address - (uintptr_t)far.words) / far.size;
}

static void permit(int fd, int page)
{
	protect(fd, far.words + page * far.size, 1, false);
}

static void wake_only(int fd, int page)
{
	struct uffdio_range range = {
		.start = (uintptr_t)far.words + page * far.size,
		.len = far.size,
	};

	ioctl(fd, UFFDIO_WAKE, &range);
}

static bool is_held(int page, pid_t tid)
{
	for (int i = 0; i < PER_PAGE; i++)
		if (*far_word(&far, page, i) != far_held(i, tid))
			return false;
	return true;
}

static void answer_page(int fd, int page, enum answer answer, pid_t pid, pid_t tid)
{
	bool first = !asked[page]++;

	/* The kernel may ask again, as a kill ends the wait that it was asked in. */
	if (first)
		check(is_held(page, tid));
	switch (answer) {
	case ANSWER_TWICE:
		if (first) {
			wake_only(fd, page);
			return;
		}
		permit(fd, page);
		break;
	case ANSWER_AFTER_KILL:
		if (page == DECISIVE && first) {
			kill(pid, SIGKILL);
			sleep_ms(10 * LATE);
			check(is_held(page, tid));
			check(waitpid(pid, NULL, WNOHANG) == 0);
		}
		break;
	default:
		sleep_ms(LATE);
	}
	permit(fd, page);
}

/* Answers until the owner is dead; its wait status */
static int answer_all(int fd, enum answer answer, pid_t pid, pid_t tid)
{
	long long end = now_ms() + EXIT_LIMIT * 1000;
	int status, page;

	while (waitpid(pid, &status, WNOHANG) != pid) {
		page = next_message(fd);
		if (page >= 0)
			answer_page(fd, page, answer, pid, tid);
		if (now_ms() > end)
			give_up("an exit does not end in time");
	}
	while (next_message(fd) >= 0)
		strays++;
	return status;
}

static int pages_asked(int least)
{
	int pages = 0;

	for (int page = 0; page < PAGES; page++)
		pages += asked[page] >= least;
	return pages;
}

static void expect(enum answer answer, pid_t tid, int status)
{
	struct far_outcome outcome;
	int protected = answer == NOT_ASKED ? 0 : FREE_PAGE;

	judge_pages(&far, 0, FREE_PAGE, tid, &outcome);
	check(outcome.marked + outcome.unmarked == FREE_PAGE * PER_PAGE && !outcome.wrong);
	if (answer != NOT_ASKED)
		check(!outcome.unmarked && outcome.woken == FREE_PAGE);
	check(!outcome.badly_woken);
	judge_pages(&far, FREE_PAGE, PAGES, tid, &outcome);
	check(outcome.marked == PER_PAGE && outcome.woken == 1 && !outcome.badly_woken);
	end_pairs(&far);

	check(!strays);
	check(pages_asked(1) == protected);
	if (answer == ANSWER_TWICE)
		check(pages_asked(2) == protected);
	if (answer == ANSWER_AFTER_KILL)
		check(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	else
		check(WIFEXITED(status) && WEXITSTATUS(status) == (protected ? NEW_PROGRAM : 0));
}

static void run_protected(enum answer answer)
{
	long long began;
	int fd, status;
	pid_t pid, tid;

	memset(owners, 0, sizeof(*owners));
	memset(control, 0, sizeof(*control));
	memset(asked, 0, sizeof(asked));
	strays = 0;
	make_far(&far, MAP_SHARED, PAGES);
	pid = fork();
	if (pid < 0)
		give_up("cannot start a process");
	if (!pid)
		own_protected(answer);
	await(control->ready);
	if (control->fd < 0)
		skip("needs userfaultfd that protects shared memory, and root");
	fd = copy_of(pid, control->fd);
	tid = owners->tids[0];
	own_pages(&far, 0, PAGES, &control->head, tid, &control->head.list);
	start_pairs(&far, 0, PAGES);

	began = now_ms();
	owners->go = 1;
	futex(&owners->go, FUTEX_WAKE, INT32_MAX);
	status = answer_all(fd, answer, pid, tid);
	diag("%s: %d pages were asked for, %d of them again, in %lld ms", answer_names[answer],
	     pages_asked(1), pages_asked(2), now_ms() - began);
	expect(answer, tid, status);
	close(fd);
	free_far(&far);
}

void attack_protected(void)
{
	control = map_memory(sizeof(*control), MAP_SHARED);
	for (int answer = 0; answer < ANSWERS && !failed; answer++)
		run_protected(answer);
}

#else

void attack_protected(void)
{
	skip("built without userfaultfd that protects shared memory");
}

#endif
