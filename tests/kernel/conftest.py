"""What is for the guest is collected there alone, and what boots one in `make test-kernel` alone."""

from __future__ import annotations

import os

collect_ignore = []
if not os.environ.get("CRYPTLV_GUEST"):
    collect_ignore.append("guest")
if not os.environ.get("CRYPTLV_TEST_KERNEL"):
    collect_ignore.append("test_run.py")
