# SPDX-License-Identifier: GPL-2.0
#
# Every target calls one script in scripts/. Each script can also be called directly, and
# has --help.

# The one that the goals of the benchmark are for.
ARCH ?= $(shell sed -n 's/^goal_arch=//p' scripts/bench/goals)
FLAVOUR ?= full

.PHONY: help run test test-arch fuzz bench kernel shell export check-series check-patches check-scripts check-docs \
	check-bisect check-debug check-kcsan check-large check-reference check-input check-kills check-placeholder \
	check-tracers check-unlock check-upstream-selftests check-window check-examples check-model check-paths \
	check-releases report-trace mutants soak clean

help:
	@echo 'make run            kill -9 the owner of a lock, without the series and with it; then the selftests'
	@echo 'make test           all checks: series, scripts, documents, models, selftests, control'
	@echo 'make test-arch      the series on every architecture, or on those that ARCHS="..." names'
	@echo 'make fuzz           kill threads with random lists: LISTS=N FIRE=N SEED=N FLAVOUR=full|debug'
	@echo 'make bench          measure the cost for exits, calls, locks and real-time tasks, on the series and on the base'
	@echo 'make shell          an interactive shell in a guest on the kernel with the series'
	@echo 'make kernel         build one kernel: FLAVOUR=full|ground|base|debug (default full)'
	@echo 'make export         write patches/ and the whole-file copies from build/linux'
	@echo 'make check-series   patches/ applies to the base, and all copies agree with it'
	@echo 'make check-patches  checkpatch --strict on every patch, and on the C of the guest'
	@echo 'make check-scripts  shellcheck and --help of every script, heads of guest/items/'
	@echo 'make check-paths    each path that a document or a script names exists'
	@echo 'make check-docs     build the documents and manual pages without a warning'
	@echo 'make check-examples compile and run the C code of the documents'
	@echo 'make check-bisect   build and boot the kernel after each patch of the series'
	@echo 'make check-debug    run all tests on a kernel with KASAN, lockdep and other runtime checks'
	@echo 'make check-kcsan    run all tests on a kernel with KCSAN, which detects data races'
	@echo 'make check-large    run all tests, and attacks, on a kernel near a distribution'"'"'s, with eight CPUs'
	@echo 'make check-reference  run the selftests on the unpatched base'
	@echo 'make check-releases  apply the series to each release in the archive, by git am and by quilt'
	@echo 'make check-model    check the models of the protocol in every order of its steps'
	@echo 'make check-input    each script rejects bad input with one line'
	@echo 'make check-placeholder  an architecture that has only the placeholder builds and boots'
	@echo 'make check-kills    kill a thread at every instruction of the robust mutexes of glibc and musl'
	@echo 'make check-tracers  bpftrace, perf and trace-cmd read the trace events of an owner that is killed'
	@echo 'make report-trace   what robust-trace prints of an owner that is killed, an exec, a thread, a million locks'
	@echo 'make check-unlock   kills and signals in the middle of the release of a lock, at each instruction and at random'
	@echo 'make check-upstream-selftests  robust_list.c of the selftests of Linux 7.3'
	@echo 'make check-window   a lock costs the same at every address, in instructions'
	@echo 'make mutants        build deliberately broken variants of the series: the tests must detect each'
	@echo 'make soak           kill threads for half an hour, and check that no memory leaks'
	@echo 'make clean          empty build/'
	@echo
	@echo 'ARCH=NAME chooses the architecture (now $(ARCH), see scripts/arch/).'

run:
	@scripts/run $(ARCH)

test:
	@scripts/test $(ARCH)

test-arch:
	@scripts/test-arch $(ARCHS)

kernel:
	@scripts/build-kernel $(ARCH) $(FLAVOUR)

fuzz:
	@scripts/fuzz $(ARCH) --flavour $(FLAVOUR) $(if $(LISTS),--lists $(LISTS)) $(if $(FIRE),--fire $(FIRE)) \
		$(if $(SEED),--seed $(SEED))

bench:
	@scripts/bench-run $(ARCH)
	@scripts/trace-exit $(ARCH)
	@scripts/hash-spread
	@scripts/bench-arch
	@scripts/bench-trace $(ARCH)
	@scripts/bench-report

shell:
	@scripts/shell $(ARCH)

export:
	@scripts/export-series

mutants:
	@scripts/check-mutants $(ARCH)

soak:
	@scripts/soak $(ARCH)

check-kcsan:
	@scripts/check-debug $(ARCH) kcsan

check-bisect check-debug check-kills check-large check-reference check-tracers check-unlock check-upstream-selftests check-window report-trace:
	@scripts/$@ $(ARCH)

check-series check-patches check-scripts check-docs check-examples check-model check-input check-placeholder check-paths check-releases clean:
	@scripts/$@
