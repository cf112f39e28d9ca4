// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * robust-trace: the name of a file, from those that have it mapped.
 */
#include <dirent.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "robust-trace.h"

/* Look for the file in the mappings of one process */
static bool find_in_process(const char *pid, unsigned long long dev,
			    unsigned long long ino, char *name, size_t size)
{
	unsigned long long major, minor, found_ino;
	char path[64], *line = NULL;
	size_t room = 0;
	bool found = false;
	int at, len;
	FILE *file;

	if (snprintf(path, sizeof(path), "/proc/%s/maps", pid) >= (int)sizeof(path))
		return false;
	file = fopen(path, "r");
	if (!file)
		return false;
	while (!found && getline(&line, &room, file) > 0) {
		at = 0;
		if (sscanf(line, "%*s %*s %*s %llx:%llx %llu %n", &major, &minor, &found_ino,
			   &at) < 3 || !at)
			continue;
		if (major != dev >> 20 || minor != (dev & 0xfffff) || found_ino != ino)
			continue;
		len = strcspn(line + at, "\n");
		if (!len)
			continue;
		snprintf(name, size, "%.*s", len, line + at);
		found = true;
	}
	free(line);
	fclose(file);
	return found;
}

/**
 * file_name() - Find the name of a file that a process has mapped
 * @dev:	its device, as the kernel encodes it
 * @ino:	its inode
 *
 * The owner of the lock is gone, and those that wait for it have the file
 * mapped. The last answer is kept for a second, also that there is none: locks of one
 * file come together.
 *
 * Return: the name, valid until the next call, or NULL if no process has it mapped
 */
const char *file_name(unsigned long long dev, unsigned long long ino)
{
	static unsigned long long last_dev, last_ino;
	static char name[PATH_MAX];
	static time_t last_time;
	static bool found;
	struct timespec now;
	struct dirent *entry;
	DIR *directory;

	clock_gettime(CLOCK_MONOTONIC, &now);
	if (ino == last_ino && dev == last_dev && now.tv_sec <= last_time + 1)
		return found ? name : NULL;

	last_dev = dev;
	last_ino = ino;
	last_time = now.tv_sec;
	found = false;
	directory = opendir("/proc");
	if (!directory)
		return NULL;
	while (!found && (entry = readdir(directory))) {
		if (entry->d_name[0] < '1' || entry->d_name[0] > '9')
			continue;
		found = find_in_process(entry->d_name, dev, ino, name, sizeof(name));
	}
	closedir(directory);
	return found ? name : NULL;
}
