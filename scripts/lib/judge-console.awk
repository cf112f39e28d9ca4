# SPDX-License-Identifier: GPL-2.0
#
# Judges the console of a guest, for scripts/judge-console, which describes what counts.
#
# Variables:
#   mode      pass or fail: what must become of the tests in the list; or nothing
#   list      the file of --must-pass or --must-fail, if any
#   races     the file of --races, if any
#   outcomes  where the outcome of each test is written, if anywhere
#   oom_items the items during which the kernel may run out of memory
#   quiet     1 if tests that were skipped are not named

# Verdicts.

function passes(name)
{
	passed++
}

function fails(name, why)
{
	failed++
	failures[failed] = (item == "" ? "" : item ": ") name (why == "" ? "" : ": " why)
}

function skips(name, why)
{
	skipped++
	skips_list[skipped] = (item == "" ? "" : item ": ") name (why == "" ? "" : ": " why)
}

# One test came to an end. Those that --must-fail lists are judged at the end.
function verdict(name, how, why)
{
	# Of two tests with one name, the pass counts where none may pass.
	if (!(mode == "fail" && outcome[item, name] == "pass"))
		outcome[item, name] = how
	results++
	if (mode == "fail" && ((base(item), name) in listed || (item, name) in listed))
		return
	if (how == "pass")
		passes(name)
	else if (how == "fail")
		fails(name, why)
	else
		skips(name, why)
}

# KTAP. Every level of nesting has its plan, the results seen, and what the
# levels below it reported since its last result.

function close_block(depth,    number, name)
{
	if (!(depth in plan))
		return
	number = seen[depth] + 1
	# Tests without their sum: what stopped them is a failure of its own.
	if (inner[depth] || inner_trouble[depth])
		number++
	for (; number <= plan[depth]; number++) {
		name = "test " number " of " plan[depth]
		if (running != "")
			name = running
		outcome[item, name] = "fail"
		results++
		trouble_below(depth)
		fails(name, "no result" (running == "" && last != "" ? ", the one before it was " last : ""))
		running = ""
	}
	if (seen[depth] > plan[depth])
		fails("a plan of " plan[depth] " tests", seen[depth] " results")
	delete plan[depth]
	delete seen[depth]
}

function close_blocks(depth,    deepest)
{
	for (deepest = 9; deepest >= depth; deepest--)
		close_block(deepest)
	running = ""
}

function result_below(depth,    above)
{
	for (above = 0; above < depth; above++)
		inner[above]++
}

function trouble_below(depth,    above)
{
	for (above = 0; above < depth; above++)
		inner_trouble[above]++
}

function begin_plan(depth, text,    number)
{
	close_blocks(depth)
	inner[depth] = inner_trouble[depth] = 0
	number = substr(text, 4) + 0
	if (number > 0) {
		plan[depth] = number
		seen[depth] = 0
		last = ""
	} else if (text ~ /# *SKIP/) {
		sub(/.*# *SKIP */, "", text)
		result_below(depth)
		item_results++
		results++
		skips("all tests of a program", text)
	} else {
		trouble_below(depth)
		fails("a plan of 0 tests", "")
	}
}

function end_test(depth, text,    how, name, directive, sums_up)
{
	close_blocks_below(depth)
	how = text ~ /^not ok/ ? "fail" : "pass"
	sub(/^(not )?ok/, "", text)
	sub(/^ +[0-9]+/, "", text)
	sub(/^ +(- +)?/, "", text)
	directive = ""
	name = text
	if (match(text, /(^| )# /)) {
		name = substr(text, 1, RSTART - 1)
		directive = substr(text, RSTART)
		sub(/^ ?# /, "", directive)
	}
	if (how == "pass" && sub(/^[Ss][Kk][Ii][Pp] */, "", directive))
		how = "skip"
	# The harness gives a test that skipped itself no name in its result.
	if (name == "")
		name = running != "" ? running : directive
	running = ""
	if (depth in seen)
		seen[depth]++
	last = name

	sums_up = inner[depth] > 0
	if (sums_up) {
		if (how == "fail" && (!inner_trouble[depth] || directive ~ /^TIMEOUT/))
			fails(name, directive == "" ? "not ok" : directive)
	} else {
		item_results++
		if (how == "fail")
			trouble_below(depth)
		verdict(name, how, directive)
	}
	result_below(depth)
	inner[depth] = inner_trouble[depth] = 0
}

# What comes before the first colon: "selftests", or the name of a program.
function base(name)
{
	sub(/:.*/, "", name)
	return name
}

# To be run by the items of this name.
function list_test(name, test)
{
	if ((name, test) in listed)
		return
	listed[name, test] = 1
	listed_tests[name, ++listed_count[name]] = test
}

# What became of the tests that are listed under this name, in the item that ran them.
function judge_listed(name,    j, test)
{
	for (j = 1; j <= listed_count[name]; j++) {
		test = listed_tests[name, j]
		if (!((item, test) in outcome))
			fails(test, "did not run")
		else if (mode == "fail" && outcome[item, test] == "pass")
			fails(test, "passes, though it must not on this kernel")
		else if (mode == "fail")
			passes(test)
	}
}

# A test that skips itself wherever it runs shows nothing.
function must_pass_once(name, test,    i, skips_itself)
{
	for (i = 1; i <= listed_item_count; i++) {
		if (base(run_items[i]) != name)
			continue
		if (outcome[run_items[i], test] == "pass")
			return
		if (outcome[run_items[i], test] == "skip")
			skips_itself = 1
	}
	if (skips_itself)
		fails(test, "skipped wherever it ran, but it must pass here")
}

function close_blocks_below(depth,    name)
{
	name = running
	close_blocks(depth + 1)
	running = name
}

# A line of a program, or one of KUnit in the kernel, which speaks KTAP too.
function program_line(text,    depth)
{
	if (text ~ /^(# )*#  RUN +/) {
		sub(/^(# )*#  RUN +/, "", text)
		sub(/ \.\.\.$/, "", text)
		running = text
		return
	}
	depth = 0
	while (depth < 9 && text ~ /^(# |    )/) {
		sub(/^(# |    )/, "", text)
		depth++
	}
	if (text ~ /^K?TAP version /)
		close_blocks(depth)
	else if (text ~ /^1\.\.[0-9]+/)
		begin_plan(depth, text)
	else if (text ~ /^(not )?ok +[0-9]+/)
		end_test(depth, text)
	else if (text ~ /^Bail out!/) {
		trouble_below(depth)
		fails(running == "" ? "a program" : running, text)
	} else if (text ~ /^(Segmentation fault|Bus error|Illegal instruction|Aborted|Killed|Terminated|Floating point exception|Trace\/breakpoint trap|Bad system call)( \(core dumped\))?$/ ||
		   text ~ /^[^ ]*: (line [0-9]+: )?[^ ]+: (not found|Permission denied|Exec format error)$/) {
		trouble_below(depth)
		fails("a program after " (last == "" ? "the beginning" : last), text)
	}
}

# Lines of init.

function begin_item(name)
{
	end_blocks()
	item = name
	if (runs_listed(name))
		run_items[++listed_item_count] = name
	item_results = 0
	item_failed = failed
}

function end_blocks()
{
	close_blocks(0)
	for (level = 0; level < 10; level++)
		inner[level] = inner_trouble[level] = 0
	last = ""
}

# Whether an item is one that runs tests that are listed.
function runs_listed(name)
{
	return base(name) == "selftests" || base(name) in listed_count
}

function end_item(status,    name, program_of_item)
{
	end_blocks()
	name = item
	if (runs_listed(name) && !item_results)
		fails("no test reported anything", "exit status " status)
	if (status == "timeout") {
		fails("the time limit", "the item did not come to its end")
	} else if (item_results) {
		if (status != "0" && failed == item_failed && mode != "fail")
			fails("exit status " status, "though no test failed")
	} else if (status == "126" || status == "127") {
		fails("exit status " status, "the program could not be run")
	} else if (!runs_listed(name)) {
		item = ""
		results++
		program_of_item = name
		sub(/:.*/, "", program_of_item)
		if (program_of_item in listed_items && mode == "fail") {
			if (status == "0")
				fails(name, "passes, though it must not on this kernel")
			else
				passes(name)
		} else if (status == "0") {
			passes(name)
		} else {
			fails(name, "exit status " status)
		}
	}
	item = ""
}

# Lines of the kernel. These patterns are what its own reports begin with.

function kernel_line(text)
{
	if (races != "" && race_line(text))
		return
	if (base(item) in may_run_out && oom_line(text))
		return
	if (text ~ /(^|[^E])BUG|WARNING:|Oops|UBSAN:|general protection fault|double fault/ ||
	    text ~ /(^|[^n])[Ss]tall|starved|soft lockup|LOCKUP|blocked for more than/ ||
	    text ~ /INFO: (possible|trying to register|lockdep|inconsistent)/ ||
	    text ~ /DEBUG_LOCKS_WARN_ON|lock held|held lock|scheduling while atomic/ ||
	    text ~ /Kernel panic|not syncing|Unable to handle|Unhandled fault|Internal error:/ ||
	    text ~ /kernel access of bad area|Call Trace:|Call trace:|cut here/ ||
	    text ~ /refusing to wake PI futex|Fixing recursive fault|[Bb]ad page|nobody cared/ ||
	    text ~ /Out of memory|oom-kill|page allocation failure|kmemleak: .*suspected/) {
		# Advice about the CPU that every boot on it gives.
		if (text ~ /^(Spectre|MDS|TAA|MMIO|GDS|RETBleed|Transient Scheduler)/)
			return
		bad(text)
	} else if (text ~ /messages dropped|output lines suppressed/) {
		bad(text)
	}
}

# A report of a data race, from its title to its last line. Whether the line was
# part of one.
function race_line(text)
{
	if (text ~ /^BUG: KCSAN: /) {
		end_race("")
		race_title = text
		race_ours = 0
		race_depth = 99
		return 1
	}
	if (race_title == "")
		return 0
	if (text ~ /^Reported by Kernel Concurrency Sanitizer/) {
		end_race("whole")
		return 1
	}
	# Here a stack begins.
	if (text ~ / to 0x[0-9a-f]+ of [0-9]+ bytes by /) {
		race_depth = 0
		return 1
	}
	if (text !~ /^ *[A-Za-z_][A-Za-z0-9_.]*\+0x[0-9a-f]+\/0x[0-9a-f]+/)
		return 0
	sub(/^ */, "", text)
	sub(/[.+].*/, "", text)
	race_depth++
	if (ours[text] == "anywhere" || (ours[text] == "near" && race_depth <= 2))
		race_ours = 1
	return 1
}

# The end of the report, or of what there is of it.
function end_race(whole)
{
	if (race_title == "")
		return
	if (race_title ~ / hrtimer_wakeup(\+| |$)/)
		race_ours = 0
	if (race_ours || whole == "") {
		bad(race_title)
	} else {
		# Where in the function differs.
		gsub(/\+0x[0-9a-f]+\/0x[0-9a-f]+/, "", race_title)
		sub(/^BUG: KCSAN: /, "", race_title)
		if (!elsewhere[race_title]++)
			elsewhere_titles[++elsewhere_count] = race_title
	}
	race_title = ""
}

# What the kernel says when it chooses a process to kill, from the first line to
# the last one.
function oom_line(text)
{
	if (text ~ /invoked oom-killer:/)
		oom_report = 1
	if (!oom_report)
		return 0
	if (text ~ /[Oo]ut of memory: Killed process/) {
		oom_report = 0
		return 1
	}
	return text ~ /^Call Trace:|invoked oom-killer:|^oom-kill:/
}

function bad(text)
{
	trouble++
	if (trouble == 1) {
		trouble_item = item
		trouble_line = NR
	}
	if (trouble <= 5)
		trouble_text[trouble] = NR ": " text
}

BEGIN {
	while (list != "" && (getline line < list) > 0) {
		sub(/#.*/, "", line)
		count = split(line, words, " ")
		if (count == 3 && words[1] == "item")
			list_test(words[2], words[3])
		else if (count == 2 && words[1] == "item")
			listed_items[words[2]] = 1
		else if (count == 2) {
			list_test("selftests", words[2])
			list_test(words[1], words[2])
		}
	}
	while (races != "" && (getline line < races) > 0) {
		count = split(line, words, " ")
		if (count)
			ours[words[1]] = count > 1 ? words[2] : "anywhere"
	}
	count = split(oom_items, words, " ")
	for (i = 1; i <= count; i++)
		may_run_out[words[i]] = 1
	passed = failed = skipped = results = 0
	item = ""
	end_blocks()
}

{
	sub(/\r+$/, "")
	text = $0
	sub(/^\[ *[0-9]+\.[0-9]+\](\[ *[TC][0-9]+\])? /, "", text)
	if (text ~ /^\| /)
		program_line(substr(text, 3))
	else if (text ~ /^\|/)
		next
	else if (text ~ /^guest: begin /)
		begin_item(substr(text, 14))
	else if (text ~ /^guest: end /) {
		split(text, words, " ")
		end_item(words[4])
	} else if (text ~ /^guest: finished/)
		finished = 1
	else if (text ~ /^guest: (trouble|cannot|unknown)/)
		bad(text)
	else {
		kernel_line(text)
		program_line(text)
	}
}

END {
	if (NR == 0)
		fails("the console", "it is empty")
	if (item != "") {
		end_blocks()
		fails("no end", "the guest stopped while this ran" (last == "" ? "" : ", after " last))
		item = ""
	}
	if (!finished)
		fails("no \"guest: finished\" line", "the guest did not come to its end")

	for (i = 1; i <= listed_item_count; i++) {
		item = run_items[i]
		judge_listed(base(item))
		if (item != base(item))
			judge_listed(item)
	}
	item = ""
	for (i = 1; mode == "pass" && i <= listed_item_count; i++) {
		name = base(run_items[i])
		for (j = 1; !judged[name] && j <= listed_count[name]; j++)
			must_pass_once(name, listed_tests[name, j])
		judged[name] = 1
	}

	end_race("")
	if (trouble) {
		item = trouble_item
		fails("the kernel reports trouble", "from line " trouble_line " of the console")
		item = ""
	}
	if (!results)
		fails("no tests", "nothing on this console reports a result")

	if (outcomes != "") {
		for (key in outcome) {
			split(key, words, SUBSEP)
			print words[1], outcome[key], words[2] | ("sort >" outcomes)
		}
		close("sort >" outcomes)
	}

	if (!quiet)
		for (i = 1; i <= skipped; i++)
			print "skipped: " skips_list[i]
	for (i = 1; i <= failed; i++)
		print "FAILED: " failures[i]
	for (i = 1; i <= trouble && i <= 5; i++)
		print "        " trouble_text[i]
	for (i = 1; i <= elsewhere_count; i++)
		print "race elsewhere: " elsewhere[elsewhere_titles[i]] " times, " elsewhere_titles[i]
	print passed + 0 " passed, " failed + 0 " failed, " skipped + 0 " skipped"
	exit failed > 0
}
