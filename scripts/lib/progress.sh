# shellcheck shell=sh disable=SC2034,SC2154
# SPDX-License-Identifier: GPL-2.0
#
# Progress: the title of each step, its time, and its full log.

# The clock runs from the first script that the user called.

if [ -z "${STARTED:-}" ]; then
	outermost=yes
	STARTED=$(date +%s)
	export STARTED
else
	outermost=no
fi

now()
{
	date +%s
}

# The title of a step, with the time since the whole command began.
begin()
{
	step_began=$(now)
	printf '[%02d:%02d] %s ...\n' $(((step_began - STARTED) / 60)) $(((step_began - STARTED) % 60)) "$*"
}

# The duration of the step, and its result.
finish()
{
	printf '        %d s%s\n' $(($(now) - step_began)) "${1:+, $1}"
}

# logged FILE COMMAND...: the output goes to FILE; its end is shown on failure.
logged()
{
	log_file=$1
	shift
	log_status=0
	# A subshell, so that an interrupt is not reported into the log.
	("$@") >"$log_file" 2>&1 || log_status=$?
	if [ $log_status -ne 0 ]; then
		tail -n 15 "$log_file" >&2
		echo "        the full log is $log_file" >&2
	fi
	return $log_status
}
