// SPDX-License-Identifier: GPL-2.0
/*
 * attacks.swapped: the pages of the locks are swapped out, by the process itself and by
 * process_madvise(), and the swap is taken away and added again, while the owner dies. It is
 * a RAM disk. No page is mapped twice: the owner shares the address space.
 */
#define _GNU_SOURCE
#include "attacks.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/swap.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT	21
#endif

#define DISK		"/dev/ram0"
#define MAGIC		"SWAPSPACE2"
#define VMSTAT		"/proc/vmstat"

/* Few: each of their pages is read from the swap by itself. */
#define LOCKS_OF_PART	4096

/* What the kernel expects in the first page of a swap device, behind room for a boot loader */
struct swap_header {
	char boot[1024];
	__u32 version;
	__u32 last_page;
	__u32 bad_pages;
};

static int owner_fd = -1;

#define PIECE		65536

static __u64 size_of(int fd)
{
	__u64 size;

	return ioctl(fd, BLKGETSIZE64, &size) ? 0 : size;
}

static bool is_empty(int fd)
{
	static const char zeroes[PIECE];
	static char piece[PIECE];
	__u64 size = size_of(fd);

	for (__u64 at = 0; at + PIECE <= size; at += PIECE)
		if (pread(fd, piece, PIECE, at) != PIECE || memcmp(piece, zeroes, PIECE))
			return false;
	return size >= PIECE;
}

static bool clear(int fd)
{
	static const char zeroes[PIECE];
	__u64 size = size_of(fd);

	for (__u64 at = 0; at + PIECE <= size; at += PIECE)
		if (pwrite(fd, zeroes, PIECE, at) != PIECE)
			return false;
	return !fsync(fd);
}

static bool write_header(int fd)
{
	struct swap_header *header = calloc(1, page_size());
	ssize_t size = page_size();
	bool written;

	if (!header)
		return false;
	header->version = 1;
	header->last_page = size_of(fd) / size - 1;
	memcpy((char *)header + size - strlen(MAGIC), MAGIC, strlen(MAGIC));
	written = pwrite(fd, header, size, 0) == size && !fsync(fd);
	free(header);
	return written;
}

/* The disk must be free: the selftests use it as well. NULL, or why there is no swap. */
static const char *add_swap(void)
{
	int fd = open(DISK, O_RDWR | O_EXCL | O_CLOEXEC);
	bool empty, written;

	if (fd < 0)
		return "the RAM disk is missing, or in use";
	empty = is_empty(fd);
	if (empty)
		clean_later();
	written = empty && write_header(fd);
	close(fd);
	if (!empty)
		return "the RAM disk is not empty";
	if (!written || swapon(DISK, 0))
		return "the kernel has no swap, or not on a RAM disk";
	return NULL;
}

/* The disk is empty afterwards, as it was. */
void remove_swap(void)
{
	int fd;

	swapoff(DISK);
	fd = open(DISK, O_RDWR | O_EXCL | O_CLOEXEC);
	if (fd < 0 || !clear(fd))
		diag("%s cannot be cleared: %s", DISK, strerror(errno));
	if (fd >= 0)
		close(fd);
}

static size_t part_size(void)
{
	return LOCKS_OF_PART * STEP;
}

static void *part_start(int part)
{
	return slot_of(first_of(part));
}

static bool page_out(void)
{
	static int part;

	part = (part + 1) % PARTS;
	return !madvise(part_start(part), part_size(), MADV_PAGEOUT);
}

static bool page_out_owner(void)
{
	static int part = PARTS / 2;
	struct iovec range;

	part = (part + 1) % PARTS;
	range.iov_base = part_start(part);
	range.iov_len = part_size();
	return syscall(SYS_process_madvise, owner_fd, &range, 1L, (long)MADV_PAGEOUT, 0L) > 0;
}

/* Most of the time it is there. */
static void add_again(void)
{
	swapon(DISK, 0);
	sleep_ms(5);
}

static bool take_swap_away(void)
{
	return !swapoff(DISK);
}

/* No huge pages: what is swapped shall be single ones. */
static void prepare(void)
{
	for (int part = 0; part < PARTS; part++)
		madvise(part_start(part), part_size(), MADV_NOHUGEPAGE);
}

static void find_owner(pid_t owner)
{
	owner_fd = syscall(SYS_pidfd_open, owner, 0);
	if (owner_fd < 0)
		skip("the kernel has no descriptors of processes");
	/* The walk begins with pages that are not there. */
	for (int part = 0; part < PARTS; part++)
		page_out();
}

static void forget_owner(void)
{
	close(owner_fd);
	owner_fd = -1;
}

void attack_swapped(void)
{
	static struct striker strikers[] = {
		{ .name = "pages are swapped out", .strike = page_out, .counter = "pswpout" },
		{ .name = "pages of the owner are swapped out", .strike = page_out_owner,
		  .counter = "pswpout", .when_dying = true },
		{ .name = "the swap is taken away", .ready = add_again, .strike = take_swap_away,
		  .counter = "pswpin" },
	};
	struct deaths deaths = {
		.sharing = MAP_PRIVATE,
		.locks = PARTS * LOCKS_OF_PART,
		.prepare = prepare,
		.before = find_owner,
		.after = forget_owner,
		.strikers = strikers,
		.count = ARRAY_SIZE(strikers),
	};
	long long out = number_in(VMSTAT, "pswpout"), in = number_in(VMSTAT, "pswpin");
	const char *obstacle;

	if (out < 0 || in < 0)
		skip("the kernel does not count the pages that are swapped");
	obstacle = add_swap();
	if (obstacle)
		skip(obstacle);
	run_deaths(&deaths);
	out = number_in(VMSTAT, "pswpout") - out;
	in = number_in(VMSTAT, "pswpin") - in;
	diag("%lld pages were swapped out, %lld in", out, in);
	check(out > 0);
	check(in > 0);
}
