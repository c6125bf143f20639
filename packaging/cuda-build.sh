#!/usr/bin/env bash
# Builds the program with CUDA on a machine that needs neither a GPU nor a driver nor a CUDA toolkit.
#
#   packaging/cuda-build.sh             both programs into target/cuda/release
#   packaging/cuda-build.sh --tests     the tests with CUDA, too (cargo nextest run … with the same settings)
#   packaging/cuda-build.sh --toolkit   only the compiler and the stand-ins for CUDA's libraries
#
# CUDA_COMPUTE_CAP   the oldest GPU it is for (default 80: Ampere; later ones take the same code, compiled again by their driver)
# CUDA_TOOLKIT       where the compiler lies (default: target/cuda/toolkit); 300 MB
# CARGO_TARGET_DIR   where the build lies (default: target/cuda): apart from the CPU's, so that neither build undoes the other
# JOBS               compilers at a time (default: one a core)
#
# The compiler is NVIDIA's own, five packages of the Python index at fixed versions and checksums (100 MB). CUDA's libraries are not fetched:
# cuda-lazy.c stands for them, and opens them where the program runs. The versions are those of CUDA 13.0: code for a newer one would be
# refused by a driver of 13.0 (580).
set -euo pipefail
cd "$(dirname "$0")/.."

what=${1:-}
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target/cuda}
toolkit=${CUDA_TOOLKIT:-$CARGO_TARGET_DIR/toolkit}
jobs=${JOBS:-$(nproc)}

[[ $(uname -sm) == "Linux x86_64" ]] || { echo "cuda-build: for Linux on x86-64 only" >&2 && exit 1; }
for tool in cargo gcc g++ ar python3; do
    command -v $tool >/dev/null || { echo "cuda-build: $tool is missing (./setup.sh; apt-get install g++ python3-pip)" >&2 && exit 1; }
done

mkdir -p "$toolkit"
toolkit=$(cd "$toolkit" && pwd)
home=$toolkit/nvidia/cu13
requirements='nvidia-cuda-nvcc==13.0.88 --hash=sha256:56fe502eb77625a12f25172caa3cdddb4e4c8ba2c8c17dba44b164761b380f03
nvidia-nvvm==13.0.88 --hash=sha256:c5f41ffeb6466944a026dfa5317d7d85355c119bbec279205d22f1869d1054e0
nvidia-cuda-crt==13.0.88 --hash=sha256:2c8043c7c9e02492716426e9919fc78d2c5b3b2a7a768a88e952676b08aa55a4
nvidia-cuda-cccl==13.0.85 --hash=sha256:e0da7ad981f3a8aff08241b5bfc1af868742a63e2762f53a5171c492ef242649
nvidia-cuda-runtime==13.0.96 --hash=sha256:7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548'
if [[ $(cat "$toolkit/requirements.txt" 2>/dev/null) != "$requirements" ]]; then
    echo "cuda-build: fetching the compiler of CUDA 13.0"
    rm -rf "${toolkit:?}/wheels" "$toolkit/nvidia"
    echo "$requirements" >"$toolkit/requirements.new"
    platforms=()
    for tag in manylinux_2_28 manylinux_2_17 manylinux2014 manylinux2010 manylinux_2_12; do
        platforms+=(--platform "${tag}_x86_64")
    done
    python3 -m pip download -q --disable-pip-version-check --no-deps --only-binary=:all: --require-hashes --python-version 3.12 \
        "${platforms[@]}" -d "$toolkit/wheels" -r "$toolkit/requirements.new"
    for wheel in "$toolkit"/wheels/*.whl; do
        python3 -m zipfile -e "$wheel" "$toolkit"
    done
    rm -r "$toolkit/wheels"
    chmod +x "$home"/bin/* "$home"/nvvm/bin/* # zipfile drops that
    ln -sfn lib "$home/lib64"
    "$home/bin/nvcc" --version | grep -q 'release 13.0'
    mv "$toolkit/requirements.new" "$toolkit/requirements.txt"
fi

export CUDA_HOME=$home CUDA_PATH=$home NVCC=$home/bin/nvcc PATH=$home/bin:$PATH
export CUDA_COMPUTE_CAP=${CUDA_COMPUTE_CAP:-80} CUDARC_CUDA_VERSION=13000
export CUDAFORGE_THREADS=$jobs RAYON_NUM_THREADS=$jobs CUDAFORGE_HOME=$toolkit/cudaforge

# The runtime is linked in as a whole; of the others only what cudarc names is stood for.
echo 'INPUT(libcudart_static.a -ldl -lrt -lpthread)' >"$home/lib/libcudart.so"
cudarc=$(cargo metadata --locked --format-version 1 --filter-platform x86_64-unknown-linux-gnu --features cuda | python3 -c '
import json, os, sys
found = [p for p in json.load(sys.stdin)["packages"] if p["name"] == "cudarc"]
print(*[os.path.dirname(p["manifest_path"]) for p in found])')
stand_in() {
    local module=$1 name=$2 version=$3 missing=$4 silent=$5
    grep -hoP 'load::<_F>\("\K[A-Za-z0-9_]+' "$cudarc/src/$module/sys/mod.rs" | sort -u | awk '{ print "F(" NR - 1 ", " $0 ")" }' >"$stubs/$name.names"
    [[ -s $stubs/$name.names ]] || { echo "cuda-build: no functions found in $cudarc/src/$module: its layout has changed" >&2 && exit 1; }
    gcc -O2 -fPIC -Wall -Werror -DLIBRARY="\"lib$name.so.$version\"" -DMISSING="$missing" -DSILENT="$silent" -DNAMES="\"$stubs/$name.names\"" \
        -c packaging/cuda-lazy.c -o "$stubs/$name.o"
    rm -f "$stubs/lib$name.a"
    ar rcs "$stubs/lib$name.a" "$stubs/$name.o"
}
stubs=$home/lib/stubs
made_for=$(cat packaging/cuda-lazy.c packaging/cuda-build.sh <(echo "$cudarc") | sha256sum)
if [[ $(cat "$stubs/made-for" 2>/dev/null) != "$made_for" ]]; then
    mkdir -p "$stubs"
    # CUDA_ERROR_NO_DEVICE, and each library's NOT_INITIALIZED (of nvrtc: INTERNAL_ERROR).
    stand_in driver cuda 1 100 1
    stand_in cublas cublas 13 1 0
    stand_in cublaslt cublasLt 13 1 0
    stand_in curand curand 10 101 0
    stand_in nvrtc nvrtc 13 11 0
    echo "$made_for" >"$stubs/made-for"
fi

case $what in
    --toolkit) exit ;;
    --tests) cargo test --locked --release --workspace --features cuda --jobs "$jobs" --no-run ;;
    '') cargo build --locked --release --features cuda --jobs "$jobs" -p pipeline ;;
    *) sed -n '2,12p' "$0" >&2 && exit 2 ;;
esac
if [[ -z $what ]]; then
    for program in pipeline pipeline-media; do
        ls -l "$CARGO_TARGET_DIR/release/$program"
        objdump -p "$CARGO_TARGET_DIR/release/$program" | awk '/NEEDED/ { printf " %s", $2 } END { print "" }'
    done
fi
