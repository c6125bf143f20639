#!/usr/bin/env bash
# Installs what this machine lacks to build, test and run the pipeline, beside Rust itself. Nothing to do: ends at once.
#
#   ./setup.sh            install with apt where that is possible, else say what to install
#   ./setup.sh --check    only say what is missing (exit 1 if something is)
#   ./setup.sh --slurm    the same, and Slurm, for the tests that submit jobs to a private cluster
#   ./setup.sh --python   print the Python that has h5py, for the tests of the HDF5 files
set -euo pipefail

# Debian's own Python first: it is the one that apt gives h5py to, and another one may come first on PATH.
python() {
    local candidate
    for candidate in "${PIPELINE_PYTHON:-}" /usr/bin/python3 python3; do
        if [[ -n $candidate ]] && "$candidate" -c 'import h5py, numpy' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    return 1
}

libclang() {
    compgen -G "${LIBCLANG_PATH:-/usr/lib/llvm-*/lib}/libclang*.so*" >/dev/null || compgen -G '/usr/lib*/libclang*.so*' >/dev/null
}

# Asked for by what they can do, not by package, so that other ways to install them count too.
packages=()
need() {
    local wanted=$1
    shift
    "$@" >/dev/null 2>&1 || read -ra more <<<"$wanted"
    packages+=(${more[@]+"${more[@]}"})
    more=()
}

find_missing() {
    packages=()
    need 'make' command -v make
    need 'gcc libc6-dev' command -v cc
    need 'pkg-config' command -v pkg-config
    need 'clang' command -v clang
    need 'libclang-dev' libclang
    need 'ffmpeg' command -v ffmpeg
    local library
    for library in avcodec avformat avutil swscale swresample avfilter avdevice; do
        need "lib$library-dev" pkg-config --exists "lib$library"
    done
    need 'libhdf5-dev' pkg-config --exists hdf5
    need 'python3 python3-h5py python3-numpy' python
    if [[ -n $slurm ]]; then
        need 'slurm-wlm munge' env PATH="$PATH:/usr/sbin" sh -c 'command -v slurmctld && command -v munged'
    fi
}
slurm=
[[ ${1:-} == --slurm ]] && slurm=yes

if [[ ${1:-} == --python ]]; then
    python || { echo "setup: no Python with h5py and numpy; run ./setup.sh" >&2 && exit 1; }
    exit
fi

if ! command -v cargo >/dev/null; then
    echo "setup: cargo is missing; install Rust with rustup (https://rustup.rs), then run this again" >&2
    exit 1
fi

find_missing
if [[ ${#packages[@]} -eq 0 ]]; then
    exit 0
fi
echo "setup: missing: ${packages[*]}"
if [[ ${1:-} == --check ]]; then
    exit 1
fi

as_root=()
if [[ $(id -u) -ne 0 ]]; then
    as_root=(sudo -n)
fi
if ! command -v apt-get >/dev/null || ! ${as_root[@]+"${as_root[@]}"} true 2>/dev/null; then
    echo "setup: these cannot be installed from here (that takes apt-get, and root or sudo without a password)." >&2
    echo "setup: on Debian or Ubuntu: sudo apt-get install ${packages[*]}" >&2
    echo "setup: elsewhere install what corresponds to them, then run this again." >&2
    exit 1
fi
# Daemons of packages are not for this machine to start: the tests start their own.
policy=/usr/sbin/policy-rc.d
if [[ -n $slurm && ! -e $policy ]]; then
    printf '#!/bin/sh\nexit 101\n' | ${as_root[@]+"${as_root[@]}"} tee $policy >/dev/null
    ${as_root[@]+"${as_root[@]}"} chmod +x $policy
    trap '${as_root[@]+"${as_root[@]}"} rm -f $policy' EXIT
fi
${as_root[@]+"${as_root[@]}"} apt-get update -q
${as_root[@]+"${as_root[@]}"} env DEBIAN_FRONTEND=noninteractive \
    apt-get install -q -y --no-install-recommends "${packages[@]}" </dev/null

find_missing
if [[ ${#packages[@]} -gt 0 ]]; then
    echo "setup: still missing after the installation: ${packages[*]}" >&2
    exit 1
fi
