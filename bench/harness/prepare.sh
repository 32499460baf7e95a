# bench/harness/prepare.sh -- what the commands of bench/ do first: install what is missing, build.
#
# To be sourced, at the top of the repository. $command is the command's name in messages.
# shellcheck shell=bash disable=SC2154

is_installed() { [[ $(dpkg-query --show --showformat='${db:Status-Status}' "$1" 2>/dev/null) == installed ]]; }

# Prints those of the given packages that are not installed.
missing() {
  local package
  for package; do is_installed "$package" || echo "$package"; done
}

# Runs apt-get as root, or says what the user must do.
apt() {
  local root=()
  if ((EUID != 0)); then
    if ! command -v sudo >/dev/null; then
      echo "$command: installing packages needs root. As root, run: apt-get $*" >&2
      return 1
    fi
    root=(sudo)
  fi
  "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq "$@"
}

apt_install() {
  echo "Installing $*"
  apt install --yes --no-install-recommends "$@" >/dev/null
}

# The packages named in a TOML file of bench/.
packages_in() { sed -n 's/^package = "\(.*\)"$/\1/p' "bench/$1"; }

# install_missing NEEDED... -- WANTED...: what is needed must be had, what is wanted may be.
install_missing() {
  local needed=() wanted=() package
  while (($#)) && [[ $1 != -- ]]; do needed+=("$1") && shift; done
  shift || true
  mapfile -t needed < <(missing "${needed[@]}")
  mapfile -t wanted < <(missing "$@" | sort -u)
  if ((${#needed[@]} + ${#wanted[@]})); then
    apt update || true
    ((${#needed[@]} == 0)) || apt_install "${needed[@]}"
    # One by one: a package that this Debian does not have costs its row, not the comparison.
    for package in "${wanted[@]}"; do apt_install "$package" || true; done
  fi
}
