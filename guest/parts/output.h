/* SPDX-License-Identifier: GPL-2.0 */
#ifndef OUTPUT_H
#define OUTPUT_H

/*
 * Both ends of what a program writes to. It is a terminal, not a pipe, because
 * then programs write each line when it is complete: if one of them or the kernel
 * dies, no line is lost, and the console shows how far it came. Returns 0, or -1 and
 * errno.
 */
int open_output(int *reader, int *writer);

#endif
