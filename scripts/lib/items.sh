# shellcheck shell=sh disable=SC2034,SC2154
# SPDX-License-Identifier: GPL-2.0
#
# What guests run: the items of guest/items/. Each has in its head, as "# KEY: VALUE",
#
#   labels     the setting of scripts/arch/ARCH that has its LABELs: user_compilers, libcs,
#              clients (those that name it) or steps
#   lists      where it is run, with each LABEL, or with the first one alone (LIST:first):
#                basic   with every kernel that a guest can boot
#                all     with all that a kernel is tested with
#                brief   the same for slow kernels: the most important, in half of the time
#              "-" if only by a script of its own
#   flavours   on which kernels: names of scripts/config/, or any; and
#   order      its place among the others; only with lists
#   arguments  what follows the LABEL in these lists (nothing)
#   limit      seconds that scripts/boot-guest allows for it
#   expects    oom: the kernel may report meanwhile that memory is exhausted (nothing)
#   tests      its own tests that need robust futexes, for scripts/list-tests; "status" if it
#              reports none and its exit status counts; "-" if there are none
#   also       its own tests that scripts/list-tests leaves out
#
# There may be several lines with the keys tests and also. scripts/check-scripts compares
# the heads with the programs.

# item_value ITEM KEY: what its head says.
item_value()
{
	sed -n -e '/^#/!q' -e "s/^# $2: *//p" "$top/guest/items/$1"
}

# items_with KEY VALUE: the items that have it in their head.
items_with()
{
	for each_item in $(files_in "$top/guest/items"); do
		[ "$(item_value "$each_item" "$1")" != "$2" ] || echo "$each_item"
	done | xargs
}

# item_labels ITEM: its LABELs on the architecture of load_arch().
item_labels()
{
	labels_from=$(item_value "$1" labels)
	eval "label_pairs=\$$labels_from"
	for pair in $label_pairs; do
		[ "$labels_from" != clients ] || [ "${pair#*:}" = "$1" ] || continue
		echo "${pair%%:*}"
	done
}

# item_runs ITEM LIST: with which LABELs the list has it, for --run.
item_runs()
{
	run_arguments=$(item_value "$1" arguments)
	for entry in $(item_value "$1" lists); do
		case $entry in
		"$2") item_labels "$1" ;;
		"$2:first") item_labels "$1" | head -n 1 ;;
		esac
	done | sed "s/.*/$1:&${run_arguments:+:$run_arguments}/"
}

# items_in LIST FLAVOUR: what this kernel is tested with, for --run.
items_in()
{
	for each_item in $(files_in "$top/guest/items"); do
		case " $(item_value "$each_item" flavours) " in
		*' any '* | *" $2 "*) echo "$(item_value "$each_item" order) $each_item" ;;
		esac
	done | sort -n | while read -r _ each_item; do
		item_runs "$each_item" "$1"
	done | paste -sd ,
}

# story_items: kill9, and the selftests in each word size.
story_items()
{
	echo "kill9,$(item_labels selftests | sed 's/^/selftests:/' | paste -sd ,)"
}

# run_limit ITEM[,ITEM...]: the seconds that all of them together are allowed, as --run
# has them. Unknown items are ignored here: the guest reports them.
run_limit()
{
	seconds=0
	for each_item in $(echo "$1" | tr , ' '); do
		! is_name_in "${each_item%%:*}" "$top/guest/items" ||
			seconds=$((seconds + $(item_value "${each_item%%:*}" limit)))
	done
	echo $seconds
}
