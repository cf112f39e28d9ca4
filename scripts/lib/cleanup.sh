# shellcheck shell=sh disable=SC2034,SC2154
# SPDX-License-Identifier: GPL-2.0
#
# However a script ends, it leaves nothing half-written.

# What is half-written. An interrupt, an error and a normal end all remove the
# paths that unfinished() was called with and that were not renamed since.

unfinished_paths=
exit_command=

unfinished()
{
	for path in "$@"; do
		unfinished_paths="$unfinished_paths$path
"
	done
}

# keep: all that unfinished() was called with is complete.
keep()
{
	unfinished_paths=
}

# at_exit COMMAND: run as well, however the script ends.
at_exit()
{
	exit_command=$1
}

clean_up()
{
	eval "$exit_command"
	printf '%s' "$unfinished_paths" | while read -r path; do
		rm -rf "$path"
	done
}

interrupted()
{
	trap '' INT TERM HUP
	[ "$outermost" = no ] || echo "$program: interrupted, nothing incomplete is left: run it again to continue" >&2
	exit 130
}

trap clean_up EXIT
trap interrupted INT TERM HUP
