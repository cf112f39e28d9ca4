# shellcheck shell=sh disable=SC2034,SC2154
# SPDX-License-Identifier: GPL-2.0
#
# Debian packages: what a script needs is installed, or named.

install_packages()
{
	command -v apt-get >/dev/null ||
		die "not found: $*; no apt-get here, install what your distribution calls these Debian packages"
	[ "$(id -u)" = 0 ] ||
		die "packages are missing: run 'apt-get install $*' as root, then try again"
	begin "install $*"
	# Lists may be missing or old: they are fetched only if the first try fails.
	for try in first second; do
		if [ $try = second ]; then
			logged "$logs/apt-update.log" apt-get -q -o DPkg::Lock::Timeout=300 update ||
				die "apt-get update failed: check the network and /etc/apt/sources.list, then try again"
		fi
		if DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends \
			-o DPkg::Lock::Timeout=300 install "$@" >"$logs/apt-install.log" 2>&1 </dev/null; then
			finish
			return
		fi
	done
	tail -n 15 "$logs/apt-install.log" >&2
	die "apt-get could not install $*: see $logs/apt-install.log, install them by hand, then try again"
}

# need COMMAND=PACKAGE...: the commands exist after this, or the script ends.
need()
{
	missing=
	for want in "$@"; do
		command -v "${want%%=*}" >/dev/null || missing="$missing ${want#*=}"
	done
	# shellcheck disable=SC2086 # a list of words
	[ -z "$missing" ] || install_packages $missing
}

# need_packages PACKAGE...: the same, for packages without a command.
need_packages()
{
	missing=
	for want in "$@"; do
		case $(dpkg-query -W -f '${Status}' "$want" 2>/dev/null) in
		*' installed') ;;
		*) missing="$missing $want" ;;
		esac
	done
	# shellcheck disable=SC2086 # a list of words
	[ -z "$missing" ] || install_packages $missing
}
