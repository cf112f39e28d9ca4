# shellcheck shell=sh disable=SC2034,SC2154
# SPDX-License-Identifier: GPL-2.0
#
# Guests: how they are booted, and what their consoles say.

# What a kernel needs that looks for mistakes: it is slower, and takes more memory.
debug_boot='--memory 2G --append guest.limit=1800 --timeout 5400'
