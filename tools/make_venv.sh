#!/usr/bin/env bash
# Makes the virtual environment of the book:   make_venv.sh FOLDER
# Tells whether it is whole and made here:     make_venv.sh --check FOLDER
set -eu

usable() { # a folder that was copied or moved still names its old place in its scripts
    [ -x "$1/bin/python" ] && "$1/bin/python" -c "" 2>/dev/null &&
        [ -f "$1/bin/pip" ] && head -1 "$1/bin/pip" | grep -qF "$PWD/$1/bin/"
}

if [ "${1:-}" = --check ]; then
    usable "$2"
    exit
fi

venv=$1
python=${PYTHON:-python3}

if ! usable "$venv"; then
    if ! "$python" -c "import sys; sys.exit(sys.version_info < (3, 11))" 2>/dev/null; then
        echo "The book needs Python 3.11 or newer. Install it, or name it: make PYTHON=/path/to/python3.11" >&2
        exit 1
    fi
    if ! "$python" -m venv --clear "$venv"; then
        # Debian keeps venv in a package of its own
        if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
            apt-get update -qq && apt-get install -y -qq python3-venv
            "$python" -m venv --clear "$venv"
        else
            echo "Python's venv module does not work here. On Debian or Ubuntu: sudo apt-get install python3-venv" >&2
            exit 1
        fi
    fi
fi

pip="$venv/bin/python -m pip --disable-pip-version-check"
echo "Installing the book's environment into $venv (a few minutes the first time)"
$pip install --quiet -r requirements.txt
$pip install --quiet --no-deps --editable .
