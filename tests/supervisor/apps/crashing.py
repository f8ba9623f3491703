"""An application that kills its process while it loads."""

import os
import signal

os.kill(os.getpid(), signal.SIGSEGV)
