#!/usr/bin/env bash
# Installs the peers of requirements.txt into a Python virtual environment: ./install.sh [FOLDER, default work/peers/venv]
#
# Each line of the list is tried by itself. What could not be installed here is printed by name and written to FOLDER/missing.txt, which the
# page of the comparison repeats.
set -euo pipefail
cd "$(dirname "$0")"
venv=${1:-../../work/peers/venv}

[[ -x $venv/bin/python ]] || "${PYTHON:-python3}" -m venv "$venv"
there='
import importlib.metadata, sys
try:
    sys.exit(any(importlib.metadata.version(name) != wanted for name, wanted in (spec.split("==") for spec in sys.argv[1:])))
except importlib.metadata.PackageNotFoundError:
    sys.exit(1)
'
: > "$venv/missing.txt"
while read -r line; do
    [[ -z $line || $line == \#* ]] && continue
    # shellcheck disable=SC2086 # one line may name packages that only fit together
    if "$venv/bin/python" -c "$there" $line; then continue; fi
    # pip says why one fails.
    # shellcheck disable=SC2086
    if ! "$venv/bin/python" -m pip install --quiet --disable-pip-version-check $line; then
        echo "peers: not installed here: $line" >&2
        echo "$line" >> "$venv/missing.txt"
    fi
done < requirements.txt
echo "peers: $(grep -cvE '^(#|$)' requirements.txt) lines, $(wc -l < "$venv/missing.txt") not installed; $venv"
