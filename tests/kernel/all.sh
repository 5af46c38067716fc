#!/bin/sh
# Everything that needs a real kernel: make test-kernel.
#
#   [KERNEL_ARGS=PYTEST_ARGUMENTS] tests/kernel/all.sh PYTHON
set -eu

python=$1
# The guest's own limit ends it with its console's last lines; timeout is for what hangs before or behind that.
guest="timeout 1500 $python -m tests.kernel.run --timeout 1400"
tests="$python -m pytest -p no:cacheprovider -v --durations=6"

status=0
$guest --check || status=$?
# That no kernel can be had was said; it is a failure under continuous integration alone.
if [ $status = 77 ]; then exit 0; fi
if [ $status != 0 ]; then exit $status; fi

if [ -n "${KERNEL_ARGS:-}" ]; then
    eval "exec $guest -- $tests tests/kernel/guest $KERNEL_ARGS"
fi
CRYPTLV_TEST_KERNEL=1 timeout 900 "$python" -m pytest -q tests/kernel
$guest -- $tests tests/kernel/guest
$guest --udev -- $tests tests/kernel/guest_udev tests/kernel/guest/test_dm.py
