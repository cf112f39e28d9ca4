# SPDX-License-Identifier: GPL-2.0
#
# What the plots have in common. bench-report sets directory, style, result, type
# and top, the upper end of the costs; each plot sets width and height.

if (type eq 'svg') {
	set terminal svg size width,height font 'DejaVu Sans,13' background '#ffffff' dynamic
} else {
	set terminal pngcairo size width,height font 'DejaVu Sans,10' background '#ffffff'
}
set output result
set encoding utf8

# Colours that stay apart for the colour-blind, and a shape of its own for each: the
# hollow ones are larger, and so show where they lie under others.
set style line 1 linewidth 2.5 linecolor rgb '#0072b2' pointtype 7 pointsize 0.9
set style line 2 linewidth 2.0 linecolor rgb '#d55e00' pointtype 4 pointsize 1.9
set style line 3 linewidth 2.0 linecolor rgb '#cc79a7' pointtype 9 pointsize 1.2
set style line 4 linewidth 2.0 linecolor rgb '#555555' pointtype 6 pointsize 1.9 dashtype 2
set style line 5 linewidth 2.0 linecolor rgb '#009e73' pointtype 13 pointsize 1.3

set border 3 linecolor rgb '#444444'
set tics nomirror
set grid xtics ytics linecolor rgb '#dddddd' linetype 1
set logscale xy
