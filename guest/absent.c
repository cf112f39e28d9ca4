// SPDX-License-Identifier: GPL-2.0
/*
 * Robust futexes are absent: both system calls, with valid arguments, return ENOSYS, while
 * other futex operations work. The exit status is 0 if this is so.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/futex.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "parts/util.h"

static struct robust_list_head head = { .list = { &head.list } };
static unsigned int word;

static int is_absent(const char *name, long result)
{
	if (result == -1 && errno == ENOSYS) {
		printf("%s: ENOSYS, as expected\n", name);
		return 1;
	}
	printf("%s: %s, which is wrong\n", name, result < 0 ? strerror(errno) : "success");
	return 0;
}

int main(void)
{
	void *found = NULL;
	size_t length = 0;
	int right = 1;

	right &= is_absent("set_robust_list", syscall(SYS_set_robust_list, &head, sizeof(head)));
	right &= is_absent("get_robust_list", syscall(SYS_get_robust_list, 0, &found, &length));
	if (syscall(SYS_futex, &word, FUTEX_WAKE, 1, NULL, NULL, 0)) {
		printf("futex: %s, which is wrong\n", strerror(errno));
		right = 0;
	}
	return !right;
}
