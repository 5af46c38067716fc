"""`python -m cryptlv`."""

from __future__ import annotations

import sys

from cryptlv.cli.main import main

sys.exit(main())
