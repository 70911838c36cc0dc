#!/bin/sh
# Prints the first Python of the versions given that really runs, on the PATH or among pyenv's; nothing where none does.
# (A pyenv shim is on the PATH for every version ever installed, and fails when that one is not switched on.)
for version in "$@"; do
  for python in "python$version" "${PYENV_ROOT:-$HOME/.pyenv}/versions/$version".*/bin/python python3; do
    found=$("$python" -c 'import sys, venv, ensurepip; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
    if [ "$found" = "$version" ]; then
      command -v "$python"
      exit 0
    fi
  done
done
