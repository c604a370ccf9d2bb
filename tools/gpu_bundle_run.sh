#!/bin/sh
# Run a command on a GPU machine without a network, with everything that lies beside this script.
#
#   ./run.sh COMMAND [ARGUMENT …]      e.g. ./run.sh python3 tools/gpu_check.py
#
# Wheels and data are unpacked once, into a folder of TMPDIR (/tmp where the variable is not set). The command runs in OUT
# (./out where it is not set), so that what it writes stays there. Arguments such as tools/gpu_check.py, tests/hsic and
# data/digits mean what the bundle holds. `sslhsic` is the library's command line. PYTHON names the interpreter.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-python3}
work=${TMPDIR:-/tmp}/sslhsic-gpu-bundle-$(id -u)
OUT=${OUT:-out}

fail() {
    echo "run.sh: $*" >&2
    exit 1
}

absolute() {
    mkdir -p "$1"
    (cd "$1" && pwd)
}

check_python() {
    found=$("$python" -c 'import sys; print("{}.{}".format(*sys.version_info))') || fail "$python does not run"
    wanted=$(cat "$here/wheels/PYTHON")
    [ "$found" = "$wanted" ] ||
        fail "the wheels are for Python $wanted, and $python is $found: name another by PYTHON=…, or make the bundle with --python $found"
}

unpack_wheels() {
    mkdir -p "$work/site"
    if "$python" -m pip --version >/dev/null 2>&1; then
        "$python" -m pip --isolated install --quiet --disable-pip-version-check --root-user-action=ignore --no-index \
            --no-deps --no-compile --no-cache-dir --target "$work/site" "$here"/wheels/*.whl
    else
        for wheel in "$here"/wheels/*.whl; do "$python" -m zipfile -e "$wheel" "$work/site"; done
    fi
}

# Anew only when the bundle is another.
unpack() {
    found=$(cat "$here"/wheels/*.whl "$here"/data.tar 2>/dev/null | cksum)
    [ "$found" != "$(cat "$work/unpacked" 2>/dev/null)" ] || return 0
    rm -rf "$work/site" "$work/data" "$work/unpacked"
    if [ -d "$here/wheels" ]; then unpack_wheels; fi
    if [ -f "$here/data.tar" ]; then mkdir -p "$work/data" && tar -xf "$here/data.tar" -C "$work/data"; fi
    echo "$found" >"$work/unpacked"
}

describe() {
    "$python" - <<'PROGRAM'
import importlib.util, os, platform, sys
import sslhsic_transfer
print(f"Python {platform.python_version()} at {sys.executable}, {os.cpu_count()} processors, {platform.platform()}")
print(f"sslhsic_transfer {sslhsic_transfer.__version__} in {os.path.dirname(sslhsic_transfer.__file__)}")
if importlib.util.find_spec("torch") is None:
    print("PyTorch is not installed")
else:
    import torch
    print(f"torch {torch.__version__}, CUDA {torch.version.cuda}, {torch.cuda.device_count()} GPUs")
PROGRAM
    nvidia-smi --query-gpu=index,name,driver_version,memory.total --format=csv,noheader 2>/dev/null ||
        echo "no GPU: nvidia-smi does not answer"
    echo "output: $OUT"
}

[ $# -gt 0 ] || fail "no command; for example: ./run.sh python3 tools/gpu_check.py"
work=$(absolute "$work")
OUT=$(absolute "$OUT")
if [ -d "$here/wheels" ]; then check_python; fi
unpack

export OUT
export PATH="$here/bin:$PATH"
export PYTHON="$python"
export PYTHONPATH="$here/code:$work/site${PYTHONPATH:+:$PYTHONPATH}"
export PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
export HF_HUB_OFFLINE="${HF_HUB_OFFLINE:-1}" # looked up in vain, names would take minutes
if [ -d "$work/data" ]; then export SSLHSIC_DATA="$work/data"; fi
describe

for argument in "$@"; do
    shift
    case $argument in
        /* | ./* | ../* | -*) ;;
        data/*) if [ -e "$work/$argument" ]; then argument=$work/$argument; fi ;;
        */*) if [ -e "$here/code/$argument" ]; then argument=$here/code/$argument; fi ;;
    esac
    set -- "$@" "$argument"
done
cd "$OUT"
exec "$@"
