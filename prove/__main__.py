"""`python -m prove 1000 --seed 1`."""

import signal
import sys

from prove.run import main

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell ignores it for what runs in the background
sys.exit(main())
