#!/usr/bin/env bash
# Measures this program beside its peers and writes docs/peers.md, unattended: benches/peers/run.sh [--quick] [--rounds N] [PART...]
#
# Builds the release, installs the peers (install.sh), renders the clips (make_clips.sh) and draws the weights (make_model.py) into work/peers once, then
# compares (compare.py). PEERS_WORK, PEERS_CLIPS, PEERS_VENV and CARGO_TARGET_DIR name other folders; PEERS_PAGE another page. Other work on the machine
# makes the figures worth less: the load before is on the page.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
work=${PEERS_WORK:-$root/work/peers}
clips=${PEERS_CLIPS:-$work/clips}
venv=${PEERS_VENV:-$work/venv}
model=ViT-B/32
# For other programs; the peers choose for themselves.
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE
export PYTHONDONTWRITEBYTECODE=1

previous=
for argument; do
    [[ $previous == --model ]] && model=$argument
    previous=$argument
done

(cd "$root" && cargo build --locked --release --workspace --bins --example contestant)
"$here/install.sh" "$venv"
"$here/make_clips.sh" "$clips"
checkpoint=$work/models/${model//\//-}
[[ -s $checkpoint/model.onnx ]] || "$venv/bin/python" "$here/make_model.py" "$checkpoint" "$model"
exec "$venv/bin/python" "$here/compare.py" --work "$work" --clips "$clips" --binaries "${CARGO_TARGET_DIR:-$root/target}/release" \
    --page "${PEERS_PAGE:-$root/docs/peers.md}" "$@"
