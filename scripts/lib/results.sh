# shellcheck shell=sh disable=SC2034,SC2154
# SPDX-License-Identifier: GPL-2.0
#
# The files in results/: each begins with comments on its origin.

results=$top/results

# result_head LINE...: these comments, a title first. A line is any text, or one of
#   kernel=CONSOLE   the kernel of the guest that has written the console
#   compiler         the one of the architecture
#   qemu             its emulator
#   date
result_head()
{
	for head_line in "$@"; do
		case $head_line in
		kernel=*) echo "# kernel: $(guest_kernel "${head_line#*=}")" ;;
		compiler) echo "# compiler: $("${cross}gcc" --version | sed -n 1p)" ;;
		qemu) echo "# QEMU: $("$qemu" --version | sed -n 1p)" ;;
		date) echo "# date: $(date -u +%Y-%m-%d)" ;;
		*) echo "# $head_line" ;;
		esac
	done
}

# begin_result FILE: FILE.new is written after this, and
begin_result()
{
	mkdir -p "$(dirname "$1")"
	unfinished "$1.new"
}

# end_result FILE: becomes FILE.
end_result()
{
	mv "$1.new" "$1"
	echo "        $1"
}
