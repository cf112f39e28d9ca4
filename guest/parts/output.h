/* SPDX-License-Identifier: GPL-2.0 */
#ifndef OUTPUT_H
#define OUTPUT_H

/*
 * Both ends of a terminal for the output of a program. With a terminal, and not a pipe,
 * programs write each line when it is complete: if one of them or the kernel dies, no line
 * is lost, and the console shows the last step. Returns 0, or -1 and errno.
 */
int open_output(int *reader, int *writer);

#endif
