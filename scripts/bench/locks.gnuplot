# SPDX-License-Identifier: GPL-2.0
#
# Cost per lock against the number of locks, without FUTEX_WAITERS and with it.

width = 1100
height = 640
load style

set multiplot layout 1,2 title "Exit of a thread that holds n locks\n{/*0.85 shared memory, list in address order, ".arch."}" font ',13' offset 0,-0.3
set xlabel 'locks held'
set ylabel 'instructions per lock'
set xrange [0.7:1.5e6]
set yrange [8:top]
set format x '10^{%T}'
set format y '%.0f'
set key below left Left reverse maxcols 1 samplen 3 spacing 1.15
set bmargin 9

set title 'FUTEX\_WAITERS not set' offset 0,-0.5
plot directory.'comparator-none' with linespoints linestyle 3 title 'comparator: locks registered, mappings searched', \
     directory.'base-none' with linespoints linestyle 2 title 'base: its own walk, limit lifted', \
     directory.'full-none' with linespoints linestyle 1 title 'full: this series', \
     directory.'floor-none' with linespoints linestyle 4 title 'floor: a loop in user space'

set title 'FUTEX\_WAITERS set, no waiter' offset 0,-0.5
plot directory.'comparator-bit' with linespoints linestyle 3 title 'comparator: locks registered, mappings searched', \
     directory.'notify-bit' with linespoints linestyle 5 title 'notify: user space, one FUTEX\_WAKE a lock', \
     directory.'base-bit' with linespoints linestyle 2 title 'base: its own walk, limit lifted', \
     directory.'full-bit' with linespoints linestyle 1 title 'full: this series'
unset multiplot
