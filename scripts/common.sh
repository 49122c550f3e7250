# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# Shared by the scripts: where the project is, what it needs, how it is installed.
# Messages go to stderr, so that stdout holds only what the program itself says.

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)

# What each script needs: Debian 12 and Ubuntu 24.04 name these packages alike.
build_packages=(cmake ninja-build g++ nlohmann-json3-dev libcli11-dev libeigen3-dev)
test_packages=(catch2 libbenchmark-dev)
test_extra_packages=(git clang clang-format-19 shellcheck python3-matplotlib) # a leg without its tool is skipped, and says so
torch_packages=(libtorch-dev libgloo-dev python3-torch) # only where the leg torch runs: with what they need, half a gigabyte

say() { printf '%s\n' "$*" >&2; }

die() {
  say "$(basename -- "$0"): $*"
  exit 1
}

usage_error() {
  say "$(basename -- "$0"): $*"
  say "Try '$(basename -- "$0") --help'."
  exit 2
}

have() { command -v "$1" >/dev/null 2>&1; }

# elapsed: minutes and seconds since the script began
elapsed() { printf '%2d:%02d' $((SECONDS / 60)) $((SECONDS % 60)); }

step() { say "== [$(elapsed)] $*"; }

# has_package <name>: true when the package, or (for a tool built by hand) its command, is there
has_package() {
  local command=$1
  case $1 in
    ninja-build) command=ninja ;;
    clang) command=clang++ ;;
  esac
  have "$command" && return 0
  have dpkg-query && [[ $(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null) == installed ]]
}

# missing_packages <name>...: prints those that are not there, one a line
missing_packages() {
  local name
  for name in "$@"; do
    has_package "$name" || printf '%s\n' "$name"
  done
}

as_root() {
  if ((EUID == 0)); then
    "$@"
  elif have sudo; then
    sudo "$@"
  else
    die "installing packages needs root or sudo: '$*'"
  fi
}

apt_get() { as_root env DEBIAN_FRONTEND=noninteractive apt-get "$@"; }

# install_packages <install: 0 or 1> required|extra <name>...: installs what is missing, with apt-get.
# A required package that cannot be had ends the script; an extra one is only named.
install_packages() {
  local install=$1 kind=$2 missing name
  shift 2
  mapfile -t missing < <(missing_packages "$@")
  ((${#missing[@]})) || return 0
  if ((!install)) || ! have apt-get; then
    say "Not there, and not installed ($( ((install)) && echo 'no apt-get here' || echo '--no-install')): ${missing[*]}"
    [[ $kind == extra ]] && return 0
    have dpkg-query && die "cannot go on without: ${missing[*]}"
    say "Going on: CMake will say what it does not find."
    return 0
  fi
  step "Installing with apt-get: ${missing[*]}"
  update_package_lists
  if [[ $kind == required ]]; then
    apt_get install -y --no-install-recommends "${missing[@]}" >&2 || die "apt-get could not install: ${missing[*]}"
    return 0
  fi
  for name in "${missing[@]}"; do
    apt_get install -y --no-install-recommends "$name" >&2 || say "Not available here: $name"
  done
}

update_package_lists() {
  [[ -n ${package_lists_updated:-} ]] && return 0
  package_lists_updated=1
  apt_get update >&2 || say "apt-get update failed; trying with the package lists that are there"
}

# default_jobs: one compiler per core, and per 1.5 GiB of memory (a test under the sanitizers takes that much)
default_jobs() {
  local jobs by_memory
  jobs=$(nproc)
  by_memory=$(awk '/^MemAvailable:/ { print int($2 / 1572864) }' /proc/meminfo)
  ((by_memory >= jobs)) || jobs=$((by_memory > 0 ? by_memory : 1))
  printf '%s\n' "$jobs"
}

# use_ccache: compilers go through ccache when it is there; nothing depends on it
use_ccache() {
  have ccache || return 0
  export CMAKE_CXX_COMPILER_LAUNCHER=ccache CMAKE_CUDA_COMPILER_LAUNCHER=ccache
}
