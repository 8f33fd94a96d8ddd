"""`python -m metallize`."""

import sys

from metallize.cli import main

sys.exit(main())
