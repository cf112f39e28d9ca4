// SPDX-License-Identifier: GPL-2.0
#define _GNU_SOURCE
#include "output.h"

#include <fcntl.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

int open_output(int *reader, int *writer)
{
	struct termios raw;

	*reader = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	if (*reader < 0)
		return -1;
	if (grantpt(*reader) || unlockpt(*reader))
		return -1;
	*writer = open(ptsname(*reader), O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (*writer < 0 || tcgetattr(*writer, &raw))
		return -1;
	cfmakeraw(&raw);
	return tcsetattr(*writer, TCSANOW, &raw);
}
