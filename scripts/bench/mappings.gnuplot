# SPDX-License-Identifier: GPL-2.0
#
# Cost of an exit against the number of mappings in the process.

width = 800
height = 640
load style

set title "Exit of a thread in a process with many mappings\n{/*0.85 one lock held, ".arch."}" font ',13'
set xlabel 'mappings'
set ylabel 'instructions per exit'
set xrange [7:45000]
set format x '10^{%T}'
set format y '10^{%T}'
set yrange [1000:top]
set key below left Left reverse maxcols 1 samplen 3 spacing 1.15
set bmargin 9

plot directory.'comparator-mappings' with linespoints linestyle 3 title 'comparator: locks registered, mappings searched', \
     directory.'base-mappings' with linespoints linestyle 2 title 'base: its own walk', \
     directory.'full-mappings' with linespoints linestyle 1 title 'full: this series', \
     directory.'ground-mappings' with linespoints linestyle 4 title 'ground: no robust futexes, nothing held'
